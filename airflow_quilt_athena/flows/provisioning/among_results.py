"""Whose rows lie among Athena's results: they would expire with them, or be deleted with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.attempt_names import TEMPORARY_PREFIX
from airflow_quilt_athena.core.overwrite.partition_changes import location_of
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.glue_partitions import scan_partitions
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from airflow_quilt_athena.flows.quilt.refresh_plan import observe_tables


def any_table(_: Mapping[str, Any]) -> bool:
    """Whether a table's partitions have to be looked at: of all."""
    return True


def no_table(_: Mapping[str, Any]) -> bool:
    """Whether a table's partitions have to be looked at: of none."""
    return False


def list_databases(clients: AwsClients) -> list[str]:
    """Return the names of all databases of this account's catalog that the caller may see."""
    pages = clients.glue.get_paginator("get_databases").paginate()
    found = ask(lambda: list(pages), "list the databases in Glue, to see whose tables are results")
    # A link leads to another account's, whose tables are not among these results' files.
    return [one["Name"] for page in found for one in page["DatabaseList"] if not one.get("TargetDatabase")]


def find_rows_among(
    clients: AwsClients,
    results: S3Uri,
    databases: Iterable[str],
    has_to_be_looked_into: Callable[[Mapping[str, Any]], bool],
) -> Iterator[tuple[str, str]]:
    """Yield the tables, and their partitions, that lie among these results or around them, and where.

    What an overwrite under way stages is left out: where the workgroup decides, it lies among the results.

    :param has_to_be_looked_into: of which tables the partitions are looked at, which may lie anywhere.
    """
    for database in databases:
        for name, table in observe_tables(clients.glue, database).items():
            if name.startswith(TEMPORARY_PREFIX):
                continue
            partitions = bool(table.get("PartitionKeys")) and has_to_be_looked_into(table)
            for what, place in _places_of(clients, TableName(database, name), table, partitions=partitions):
                folder = f"{place.rstrip('/')}/"
                if place and (folder.startswith(str(results)) or str(results).startswith(folder)):
                    yield what, place


def _places_of(
    clients: AwsClients, name: TableName, table: Mapping[str, Any], *, partitions: bool
) -> Iterator[tuple[str, str]]:
    yield f"Table {name}", location_of(table) or ""
    if partitions:
        for partition in scan_partitions(clients.glue, name):
            yield f"Partition {', '.join(partition['Values'])} of table {name}", location_of(partition) or ""
