"""Bring the tables that keep a bucket's revisions and entries up to date, by overwrites of what is new.

Each partition is replaced whole, by insert overwrite, and then says what it was written from. Whatever fails
in between is found as not kept by the next run, and written again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.athena.queries import OnProgress
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.insert_overwrite import insert_overwrite
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


@dataclass(frozen=True, slots=True)
class KeepResult:
    """What was written."""

    tables: tuple[str, ...]
    units: int
    revisions: int
    results: tuple[OverwriteResult, ...] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, for an XCom."""
        return {
            "tables": list(self.tables),
            "changed": bool(self.results),
            "partitions": self.units,
            "revisions": self.revisions,
            "query_execution_ids": [q for result in self.results for q in result.query_execution_ids],
            "bytes_scanned": sum(result.bytes_scanned for result in self.results),
        }


@dataclass(frozen=True, slots=True)
class Keeper:
    """Writes units of one bucket."""

    clients: LakeClients
    request: KeepRequest
    task_key: str
    timeout_seconds: float
    on_progress: OnProgress | None = None

    @property
    def names(self) -> BucketNames:
        """The names of the bucket's tables."""
        return BucketNames.of(self.request.bucket)

    @property
    def source(self) -> ManifestSource:
        """Our own tables over its files."""
        return ManifestSource.of_bucket(self.names, self.request.database)

    def write(self, name: str, build: Build, units: Mapping[Unit, HeldByPointer]) -> OverwriteResult:
        """Replace the partitions of these units in a table: one by its values, several as a set."""
        revisions = [one for unit, held in units.items() for one in revisions_of(unit, held)]
        single = next(iter(units)) if len(units) == 1 else None
        query = build(self.source, self.request.bucket, revisions, with_keys=single is None)
        table = TableName(self.request.database, name)
        request = OverwriteRequest(
            query=query,
            table=table,
            partition={} if single is None else single.partition,
            database=self.request.database,
            workgroup=self.request.workgroup,
            partitioned_by=KEYS,
            location=self._location(table),
            table_properties={BUCKET_PARAMETER: self.request.bucket},
            retain=DEFAULT_RETAIN,
            max_parallel_queries=self.request.max_parallel_queries,
            kms_key_arn=self.request.kms_key_arn,
            partition_notes={
                note_key((unit.date, unit.package)): {KEEPS_PARAMETER: render_mark(held)}
                for unit, held in units.items()
            },
        )
        key = hashlib.sha256(repr(sorted(units)).encode()).hexdigest()[:16]
        return insert_overwrite(
            self.clients,
            request,
            f"{self.task_key}/{name}/{key}",
            timeout_seconds=self.timeout_seconds,
            on_progress=self.on_progress,
        )

    def _location(self, table: TableName) -> S3Uri | None:
        if catalog.observe_table(self.clients.glue, table) is not None or self.request.location is None:
            return None  # where it is, or where the database puts it
        return self.request.location.folder / f"{table.table}/"

    def missing(self, units: Mapping[Unit, HeldByPointer]) -> tuple[Unit, ...]:
        """Return the units that have no partition."""
        name = TableName(self.request.database, self.names.revisions_table)
        table = catalog.observe_table(self.clients.glue, name)
        if table is None:
            return tuple(units)
        wanted = [(unit.date, unit.package) for unit in units]
        there = {tuple(one["Values"]) for one in catalog.get_partitions(self.clients.glue, table, wanted)}
        return tuple(unit for unit in units if (unit.date, unit.package) not in there)


def keep_quilt_tables(
    clients: LakeClients,
    request: KeepRequest,
    task_key: str,
    *,
    timeout_seconds: float,
    on_progress: OnProgress | None = None,
) -> KeepResult:
    """Write what the tables do not keep yet, and nothing else.

    :param task_key: names the work; the same over retries.
    :raises InvalidCallError: when there is no table over the bucket's manifests to read them by.
    """
    keeper = Keeper(clients, request, task_key, timeout_seconds, on_progress)
    names, database = keeper.names, request.database
    manifests = TableName(database, names.manifests)
    if catalog.observe_table(clients.glue, manifests) is None:
        raise InvalidCallError(
            f"Rows of bucket {request.bucket} are read by table {manifests}, and there is none. Expected "
            "what CreateBucketViewsOperator makes for it in that database."
        )
    seen = observe_kept(clients.glue, clients.s3, names, database)
    units = {unit: held for unit, held in seen.newer_units.items() if revisions_of(unit, held)}
    log.info("Of %d partitions of bucket %s %d are to be written.", seen.unit_count, names.bucket, len(units))
    results: list[OverwriteResult] = []
    for chunk in cut_units(units):
        results += _write_chunk(keeper, chunk)
    return KeepResult(
        tuple(f"{database}.{name}" for name in names.kept_tables),
        len(units),
        sum(len(revisions_of(unit, held)) for unit, held in units.items()),
        tuple(results),
    )


def _write_chunk(keeper: Keeper, chunk: Mapping[Unit, HeldByPointer]) -> list[OverwriteResult]:
    names = keeper.names
    results = [
        keeper.write(names.entries_table, build_kept_entries, chunk),
        keeper.write(names.revisions_table, build_kept_revisions, chunk),
    ]
    # Of a set, what gives no row has no partition. By itself it gets an empty one.
    for unit in keeper.missing(chunk):
        results.append(keeper.write(names.revisions_table, build_kept_revisions, {unit: chunk[unit]}))
    return results


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
