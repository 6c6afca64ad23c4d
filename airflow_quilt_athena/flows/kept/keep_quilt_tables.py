"""Bring the tables that keep a bucket's revisions and entries up to date, by overwrites of what is new.

Each partition is replaced whole, by insert overwrite, and then says what it was written from. Whatever fails
in between is found as not kept by the next run, and written again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.journal_entry import note_key
from airflow_quilt_athena.core.overwrite.request import DEFAULT_RETAIN, OverwriteRequest
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import (
    BUCKET_PARAMETER,
    KEEPS_PARAMETER,
    KEYS,
    Held,
    Unit,
    build_kept_entries,
    build_kept_revisions,
    render_mark,
    revisions_of,
)
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.exceptions import InvalidCallError, QuiltAthenaError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.glue_partitions import get_partitions
from airflow_quilt_athena.flows.overwrite.insert_overwrite import Overwrite
from airflow_quilt_athena.flows.overwrite.overwrite_result import OverwriteResult
from airflow_quilt_athena.flows.quilt.kept import observe_kept

log = logging.getLogger(__name__)

# Of one statement of 262,144 bytes, in which a revision takes its row, its manifest's path and some more.
_MAX_REVISIONS = 500
_MAX_NAME_BYTES = 60_000

HeldByPointer = Mapping[str, Held]
Build = Callable[..., str]


@dataclass(frozen=True, slots=True)
class KeepRequest:
    """Whose tables are to be brought up to date, and where."""

    bucket: str
    database: str
    workgroup: str
    location: S3Uri | None = None
    max_parallel_queries: int = 5
    kms_key_arn: str | None = None


Wait = Callable[[tuple[str, ...]], object]


@dataclass(frozen=True, slots=True)
class KeepResult:
    """What was written."""

    tables: tuple[str, ...]
    units: int
    revisions: int
    query_execution_ids: tuple[str, ...]
    bytes_scanned: int

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, for an XCom."""
        return {
            "tables": list(self.tables),
            "changed": bool(self.query_execution_ids),
            "partitions": self.units,
            "revisions": self.revisions,
            "query_execution_ids": list(self.query_execution_ids),
            "bytes_scanned": self.bytes_scanned,
        }


class Keeping:
    """The work on one bucket's tables. After a wait in between, begun again with ``carry``, it goes on.

    It looks anew then, at what there was when it began: so the overwrites that are left are the same ones,
    and the one that was waited for is joined by its task key.

    :param task_key: names the work; the same over retries.
    :param carry: what an earlier part of the work said.
    :raises InvalidCallError: when there is no table over the bucket's manifests to read them by.
    """

    def __init__(
        self,
        clients: LakeClients,
        request: KeepRequest,
        task_key: str,
        carry: Mapping[str, Any] | None = None,
    ) -> None:
        self._clients = clients
        self._request = request
        self._task_key = task_key
        self._names = names = BucketNames.of(request.bucket)
        self._source = ManifestSource.of_bucket(names, request.database)
        manifests = TableName(request.database, names.manifests)
        if catalog.observe_table(clients.glue, manifests) is None:
            raise InvalidCallError(
                f"Rows of bucket {request.bucket} are read by table {manifests}, and there is none. Expected "
                "what CreateBucketViewsOperator makes for it in that database."
            )
        until = datetime.fromisoformat(carry["until"]) if carry and carry["until"] else None
        seen = observe_kept(clients.glue, clients.s3, names, request.database, until=until)
        self._units = {unit: held for unit, held in seen.newer_units.items() if revisions_of(unit, held)}
        if carry is None:
            revisions = sum(len(revisions_of(unit, held)) for unit, held in self._units.items())
            until_text = seen.last_arrival.isoformat() if seen.last_arrival else None
            carry = {"until": until_text, "units": len(self._units), "revisions": revisions, "written": {}}
            log.info(
                "Bucket %s: %d of %d partitions to write.", names.bucket, carry["units"], seen.unit_count
            )
        # By the journal's entries: one that is joined tells its queries again.
        self.carry: dict[str, Any] = {**carry, "written": dict(carry["written"])}

    def run(self, wait: Wait) -> KeepResult:
        """Write what the tables do not keep yet, and nothing else.

        :param wait: waits for queries, by their ids; what it raises that is not ours ends this part of the
            work, and another one goes on.
        """
        entries, revisions = self._names.entries_table, self._names.revisions_table
        for chunk in cut_units(self._units):
            self._write(entries, build_kept_entries, chunk, wait)
            self._write(revisions, build_kept_revisions, chunk, wait)
            # Of a set, what gives no row has no partition. By itself it gets an empty one.
            for unit in self._missing(chunk):
                self._write(revisions, build_kept_revisions, {unit: chunk[unit]}, wait)
        written = self.carry["written"].values()
        return KeepResult(
            tuple(f"{self._request.database}.{name}" for name in self._names.kept_tables),
            self.carry["units"],
            self.carry["revisions"],
            tuple(query for queries, _ in written for query in queries),
            sum(size for _, size in written),
        )

    def _write(self, name: str, build: Build, units: Mapping[Unit, HeldByPointer], wait: Wait) -> None:
        """Replace the partitions of these units in a table: one by its values, several as a set."""
        overwrite = Overwrite(self._clients, *self._overwrite_of(name, build, units))
        try:
            while not isinstance(reached := overwrite.advance(), OverwriteResult):
                wait(reached)
        except QuiltAthenaError as error:
            raise overwrite.abandon(error) from error
        queries = list(reached.query_execution_ids)
        self.carry["written"][reached.journal_entry] = [queries, reached.bytes_scanned]

    def _overwrite_of(
        self, name: str, build: Build, units: Mapping[Unit, HeldByPointer]
    ) -> tuple[OverwriteRequest, str]:
        revisions = [one for unit, held in units.items() for one in revisions_of(unit, held)]
        single = next(iter(units)) if len(units) == 1 else None
        asked = self._request
        table = TableName(asked.database, name)
        request = OverwriteRequest(
            query=build(self._source, asked.bucket, revisions, with_keys=single is None),
            table=table,
            partition={} if single is None else single.partition,
            database=asked.database,
            workgroup=asked.workgroup,
            partitioned_by=KEYS,
            location=self._location(table),
            table_properties={BUCKET_PARAMETER: asked.bucket},
            retain=DEFAULT_RETAIN,
            max_parallel_queries=asked.max_parallel_queries,
            kms_key_arn=asked.kms_key_arn,
            partition_notes={
                note_key((unit.date, unit.package)): {KEEPS_PARAMETER: render_mark(held)}
                for unit, held in units.items()
            },
        )
        key = hashlib.sha256(repr(sorted(units)).encode()).hexdigest()[:16]
        return request, f"{self._task_key}/{name}/{key}"

    def _location(self, table: TableName) -> S3Uri | None:
        if catalog.observe_table(self._clients.glue, table) is not None or self._request.location is None:
            return None  # where it is, or where the database puts it
        return self._request.location.folder / f"{table.table}/"

    def _missing(self, units: Mapping[Unit, HeldByPointer]) -> tuple[Unit, ...]:
        """Return the units that have no partition."""
        name = TableName(self._request.database, self._names.revisions_table)
        table = catalog.observe_table(self._clients.glue, name)
        if table is None:
            return tuple(units)
        wanted = [(unit.date, unit.package) for unit in units]
        there = {tuple(one["Values"]) for one in get_partitions(self._clients.glue, table, wanted)}
        return tuple(unit for unit in units if (unit.date, unit.package) not in there)


def cut_units(units: Mapping[Unit, HeldByPointer]) -> Iterable[dict[Unit, HeldByPointer]]:
    """Yield the units in parts that a statement holds, those whose names Trino does not write one by one."""
    part: dict[Unit, HeldByPointer] = {}
    revisions = size_bytes = 0
    for unit, held in sorted(units.items()):
        if not unit.is_printable:
            yield {unit: held}
            continue
        count, length = len(held), len(unit.package) * len(held)
        if part and (revisions + count > _MAX_REVISIONS or size_bytes + length > _MAX_NAME_BYTES):
            yield part
            part, revisions, size_bytes = {}, 0, 0
        part[unit] = held
        revisions, size_bytes = revisions + count, size_bytes + length
    if part:
        yield part
