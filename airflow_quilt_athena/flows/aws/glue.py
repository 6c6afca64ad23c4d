"""Databases and tables in Glue: looked at, and changed in steps that readers see whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import BASE_PARAMETER, Table, TableName, parse_table, table_input
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless, unless
from airflow_quilt_athena.flows.aws.glue_calls import EXISTS, NOT_FOUND, Ask, catalog_of, pages

_CHANGED = frozenset({"ConcurrentModificationException", "VersionMismatchException"})
_MAX_TRIES_TO_RECORD = 5


def observe_table(glue: GlueClient, name: TableName, ask: Ask = ask) -> Table | None:
    """Return the table, or None when there is none of that name."""
    response = ask(
        unless(
            NOT_FOUND,
            lambda: glue.get_table(DatabaseName=name.database, Name=name.table, **catalog_of(name)),
        ),
        f"read table {name} from Glue",
    )
    return None if response is None else parse_table(response["Table"], name.catalog_id)


def observe_default_location(glue: GlueClient, name: TableName) -> S3Uri | None:
    """Return where a new table lies when the call does not say: in its database's folder, if it has one."""
    response = ask(
        lambda: glue.get_database(Name=name.database, **catalog_of(name)),
        f"read database {name.database} from Glue",
    )
    location = response["Database"].get("LocationUri")
    return S3Uri.parse(location) / f"{name.table}/" if location else None


def list_databases(glue: GlueClient, catalog_id: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the databases of a catalog; None is the caller's own."""
    request: dict[str, Any] = {"CatalogId": catalog_id} if catalog_id else {}
    return pages(glue.get_databases, request, "DatabaseList", "list databases in Glue")


def list_tables(
    glue: GlueClient, database: TableName, pattern: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the tables of a table's database, or those whose names match ``pattern``."""
    request: dict[str, Any] = {"DatabaseName": database.database, **catalog_of(database)}
    request |= {"Expression": pattern} if pattern else {}
    return pages(
        glue.get_tables, request, "TableList", f"list tables of database {database.database} in Glue"
    )


def create_table(glue: GlueClient, name: TableName, definition: Mapping[str, Any], ask: Ask = ask) -> bool:
    """Create a table; False when one of that name came first."""
    response = ask(
        unless(
            EXISTS,
            lambda: glue.create_table(
                DatabaseName=name.database, TableInput=dict(definition), **catalog_of(name)
            ),
        ),
        f"create table {name} in Glue",
    )
    return response is not None


def update_table(glue: GlueClient, table: Table, definition: Mapping[str, Any], ask: Ask = ask) -> bool:
    """Replace a table's definition; False when it is no longer of the version that was read."""
    request: dict[str, Any] = {
        "DatabaseName": table.name.database,
        "TableInput": dict(definition),
        "SkipArchive": True,
        **catalog_of(table.name),
    }
    if table.version is not None:
        request["VersionId"] = table.version
    response = ask(
        unless(_CHANGED, lambda: glue.update_table(**request)), f"change table {table.name} in Glue"
    )
    return response is not None


def record_base(glue: GlueClient, table: Table) -> Table:
    """Note the table's base with the table, once; returns the table as it then is."""
    base = str(table.base)
    for _ in range(_MAX_TRIES_TO_RECORD):
        if BASE_PARAMETER in table.parameters:
            return table
        parameters = {**table.parameters, BASE_PARAMETER: base}
        update_table(glue, table, {**table_input(table), "Parameters": parameters})
        found = observe_table(glue, table.name)
        if found is None:
            raise RetryableError(f"Table {table.name} vanished while it was being written to.")
        table = found
    raise RetryableError(f"Table {table.name} is being changed by others without pause. Run the task again.")


def delete_table(glue: GlueClient, name: TableName) -> None:
    """Delete a table's definition; nothing happens when it is gone. Files stay."""
    ask_unless(
        NOT_FOUND,
        lambda: glue.delete_table(DatabaseName=name.database, Name=name.table, **catalog_of(name)),
        f"delete table {name} from Glue",
    )
