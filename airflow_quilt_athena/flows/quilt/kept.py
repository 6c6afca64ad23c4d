"""Look at what a bucket's tables keep and what of its registry they do not. Changes nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import (
    BUCKET_PARAMETER,
    KEEPS_PARAMETER,
    KEYS,
    Held,
    Newer,
    Registry,
    Unit,
    find_current_elsewhere,
    find_newer,
    find_units,
    guess_hashes,
    parse_mark,
    revisions_of,
)
from airflow_quilt_athena.core.quilt.revisions import parse_pointer
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.exceptions import ManualActionError
from airflow_quilt_athena.flows.aws.clients import GlueClient, S3Client
from airflow_quilt_athena.flows.aws.glue import observe_table
from airflow_quilt_athena.flows.aws.glue_partitions import list_partitions
from airflow_quilt_athena.flows.aws.objects import list_objects
from airflow_quilt_athena.flows.quilt.revisions import read_pointers

_TOP_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class KeptSeen:
    """What there is, and what of it is not kept."""

    newer_units: dict[Unit, dict[str, Held]]
    current_elsewhere: tuple[str, ...]
    unit_count: int
    last_arrival: datetime | None  # of the pointers

    @property
    def newer(self) -> Newer:
        """What views have to read from manifests."""
        revisions = [one for unit, held in self.newer_units.items() for one in revisions_of(unit, held)]
        return Newer(tuple(revisions), self.current_elsewhere)


def observe_kept(
    glue: GlueClient, s3: S3Client, names: BucketNames, database: str, *, until: datetime | None = None
) -> KeptSeen:
    """Compare a listing of the registry, 1,000 objects to a call, with what the partitions say they hold.

    Pointers are read as far as their ETags do not tell what they hold.

    :param until: what arrived later is not looked at.
    """
    tables = find_kept_tables(glue, names, database)
    revisions = tables.get(names.revisions_table)
    marks = _read_marks(glue, revisions) if len(tables) == len(names.kept_tables) and revisions else {}
    registry = _list_registry(s3, names.bucket, until)
    hashes, unread = guess_hashes(registry, marks)
    hashes |= read_pointers(s3, names.bucket, unread)
    units = find_units(registry, hashes)
    newer = {unit: dict(held) for unit, held in find_newer(units, marks).items()}
    arrivals = [pointer.arrived_at for pointer in registry.pointers if pointer.arrived_at]
    return KeptSeen(newer, find_current_elsewhere(registry, hashes), len(units), max(arrivals, default=None))


def find_kept_tables(glue: GlueClient, names: BucketNames, database: str) -> dict[str, Table]:
    """Return those of the tables that are there, by name. Raises as ``find_kept_table``."""
    found = {name: find_kept_table(glue, names, TableName(database, name)) for name in names.kept_tables}
    return {name: table for name, table in found.items() if table is not None}


def find_kept_table(glue: GlueClient, names: BucketNames, name: TableName) -> Table | None:
    """Return one of the tables, or None. Raises ManualActionError when its name is something else's."""
    table = observe_table(glue, name)
    if table is None:
        return None
    if table.parameters.get(BUCKET_PARAMETER) != names.bucket or table.partition_keys != KEYS:
        raise ManualActionError(
            f"Cannot keep rows of bucket {names.bucket} in {name}: it was not made for that (its parameter "
            f"{BUCKET_PARAMETER} is {table.parameters.get(BUCKET_PARAMETER)!r}). Expected a table that "
            "MaterializeQuiltTablesOperator made, or none. Rename or drop it, or name another database."
        )
    return table


def _read_marks(glue: GlueClient, table: Table) -> dict[Unit, dict[str, Held]]:
    marks: dict[Unit, dict[str, Held]] = {}
    for partition in list_partitions(glue, table):
        mark = parse_mark((partition.get("Parameters") or {}).get(KEEPS_PARAMETER))
        if mark is not None:
            date, package = partition["Values"]
            marks[Unit(date, package)] = mark
    return marks


def _list_registry(s3: S3Client, bucket: str, until: datetime | None) -> Registry:
    pointers = {}
    # Pointers first: quilt3 writes a manifest before the pointers to it.
    for listed in list_objects(s3, packages_location(bucket)):
        pointer = parse_pointer(bucket, listed.key, listed.modified_at)
        if pointer is not None and (until is None or listed.modified_at <= until):
            pointers[pointer] = listed.etag
    root = manifests_location(bucket).key
    manifests = {
        listed.key.removeprefix(root): listed.etag
        for listed in list_objects(s3, manifests_location(bucket))
        if _TOP_HASH.fullmatch(listed.key.removeprefix(root))
    }
    return Registry(pointers, manifests)
