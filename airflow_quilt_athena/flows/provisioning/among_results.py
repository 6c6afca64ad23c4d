"""Whose rows lie among Athena's results: they would expire with them, or be deleted with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.attempt_names import TEMPORARY_PREFIX
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.glue_partitions import scan_partitions
from airflow_quilt_athena.flows.provisioning.resources import AwsClients
from airflow_quilt_athena.flows.quilt.refresh_plan import observe_tables


def list_databases(clients: AwsClients) -> list[str]:
    """Return the names of all databases of this account's catalog that the caller may see."""
    pages = clients.glue.get_paginator("get_databases").paginate()
    found = ask(lambda: list(pages), "list the databases in Glue, to see whose tables are results")
    # A link leads to another account's, whose tables are not among these results' files.
    return [one["Name"] for page in found for one in page["DatabaseList"] if not one.get("TargetDatabase")]


def find_rows_among(
    clients: AwsClients, results: S3Uri, databases: Iterable[str], *, partitions: bool
) -> Iterator[tuple[str, str]]:
    """Yield the tables, and their partitions, that lie among these results or around them, and where.

    What an overwrite under way stages is left out: where the workgroup decides, it lies among the results.

    :param partitions: whether those are looked at, which may lie anywhere.
    """
    for database in databases:
        for name, table in observe_tables(clients.glue, database).items():
            if name.startswith(TEMPORARY_PREFIX):
                continue
            for what, place in _places_of(clients, TableName(database, name), table, partitions=partitions):
                folder = f"{place.rstrip('/')}/"
                if place and (folder.startswith(str(results)) or str(results).startswith(folder)):
                    yield what, place


def _places_of(
    clients: AwsClients, name: TableName, table: Mapping[str, Any], *, partitions: bool
) -> Iterator[tuple[str, str]]:
    yield f"Table {name}", _location(table)
    if partitions and table.get("PartitionKeys"):
        for partition in scan_partitions(clients.glue, name):
            yield f"Partition {', '.join(partition['Values'])} of table {name}", _location(partition)


def _location(described: Mapping[str, Any]) -> str:
    return (described.get("StorageDescriptor") or {}).get("Location") or ""
