"""Who else reads a folder: the tables and partitions of every database that the caller may look at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from airflow_quilt_athena.core.glue.tables import Table, TableName, parse_table
from airflow_quilt_athena.core.overwrite.partition_changes import location_of
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.glue_partitions import scan_partitions


def find_readers(glue: GlueClient, table: Table, folders: Iterable[str], unread: list[str]) -> dict[str, str]:
    """Return the folders at, above or below which something else lies, and what.

    :param table: whose own folder does not count; its partitions do.
    :param unread: is told of databases that the caller may not look at.
    """
    wanted = _Folders(folders)
    readers: dict[str, str] = {}
    for reader, location in _places(glue, table, unread):
        for folder in wanted.touching(location):
            readers.setdefault(folder, reader)
    return readers


class _Folders:
    def __init__(self, folders: Iterable[str]) -> None:
        self._sorted = sorted(set(folders))
        self._known = set(self._sorted)

    def touching(self, location: str) -> Iterator[str]:
        """Yield the folders that hold a place, are it, or lie below it."""
        start = bisect_left(self._sorted, location)
        while start < len(self._sorted) and self._sorted[start].startswith(location):
            yield self._sorted[start]
            start += 1
        above = location.rstrip("/")
        while "/" in above.removeprefix("s3://"):
            above = above.rpartition("/")[0]
            if f"{above}/" in self._known:
                yield f"{above}/"


def _places(glue: GlueClient, table: Table, unread: list[str]) -> Iterator[tuple[str, str]]:
    """Yield every table and partition with its folder."""
    for database in _databases(glue, table, unread):
        try:
            tables = list(catalog.list_tables(glue, database))
        except AccessError as refused:
            unread.append(f"database {database.database}: {refused}")
            continue
        for raw in tables:
            try:
                yield from _places_of(glue, table, raw, database)
            except AccessError as refused:
                unread.append(f"table {database.database}.{raw['Name']}: {refused}")
            except InvalidCallError as odd:
                unread.append(f"table {database.database}.{raw['Name']}: {odd}")


def _places_of(
    glue: GlueClient, table: Table, raw: dict[str, object], database: TableName
) -> Iterator[tuple[str, str]]:
    reader = parse_table(raw, database.catalog_id)
    location = location_of(raw)
    if location is not None and reader.name != table.name:
        yield f"table {reader.name}", location
    if reader.partition_keys:
        for partition in scan_partitions(glue, reader.name):
            place = location_of(partition)
            if place is not None:
                yield f"partition {partition.get('Values')} of table {reader.name}", place


def _databases(glue: GlueClient, table: Table, unread: list[str]) -> Iterator[TableName]:
    own = table.name.catalog_id
    for catalog_id in dict.fromkeys((own, None)):
        found = False
        try:
            for raw in catalog.list_databases(glue, catalog_id):
                found = True
                yield TableName(str(raw["Name"]).lower(), "", catalog_id)
        except AccessError as refused:
            unread.append(f"databases of catalog {catalog_id or 'of the caller'}: {refused}")
        if not found and catalog_id == own:
            yield TableName(table.name.database, "", own)
