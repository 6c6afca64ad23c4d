"""Glue's tables and partitions, read and changed so that a call may safely be made twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from airflow_quilt_athena.core.overwrite import build_value_expression, is_same_partition
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.core.tables import BASE_PARAMETER, Table, TableName, parse_table, table_input
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError, RetryableError
from airflow_quilt_athena.flows.clients import GlueClient
from airflow_quilt_athena.flows.patience import ask, ask_unless

Result = TypeVar("Result")

_NOT_FOUND = frozenset({"EntityNotFoundException"})
_EXISTS = frozenset({"AlreadyExistsException"})
_CHANGED = frozenset({"ConcurrentModificationException", "VersionMismatchException"})
_MAX_TRIES_TO_RECORD = 5


def observe_table(glue: GlueClient, name: TableName) -> Table | None:
    """Return the table, or None when there is none of that name."""
    response = ask_unless(
        _NOT_FOUND,
        lambda: glue.get_table(DatabaseName=name.database, Name=name.table),
        f"read table {name} from Glue",
    )
    return None if response is None else parse_table(response["Table"])


def observe_default_location(glue: GlueClient, name: TableName) -> S3Uri:
    """Return where a new table lies when the call does not say: in its database's own folder."""
    response = ask(lambda: glue.get_database(Name=name.database), f"read database {name.database} from Glue")
    location = response["Database"].get("LocationUri")
    if not location:
        raise InvalidCallError(
            f"Table {name} does not exist, and database {name.database} has no location to put it in. "
            "Expected location, such as s3://bucket/warehouse/table/."
        )
    return S3Uri.parse(location) / f"{name.table}/"


def create_table(glue: GlueClient, database: str, definition: Mapping[str, Any]) -> bool:
    """Create a table; False when one of that name came first."""
    response = ask_unless(
        _EXISTS,
        lambda: glue.create_table(DatabaseName=database, TableInput=dict(definition)),
        f"create table {database}.{definition['Name']} in Glue",
    )
    return response is not None


def record_base(glue: GlueClient, table: Table) -> Table:
    """Note the table's base with the table, once; returns the table as it then is."""
    base = str(table.base)
    for _ in range(_MAX_TRIES_TO_RECORD):
        if BASE_PARAMETER in table.parameters:
            return table
        definition = table_input(table)
        definition["Parameters"] = {**table.parameters, BASE_PARAMETER: base}
        request = {"DatabaseName": table.name.database, "TableInput": definition, "SkipArchive": True}
        if table.version is not None:
            request["VersionId"] = table.version
        doing = f"record the base of table {table.name} in Glue"
        ask_unless(_CHANGED, lambda sent=request: glue.update_table(**sent), doing)  # type: ignore[misc]
        found = observe_table(glue, table.name)
        if found is None:
            raise RetryableError(f"Table {table.name} vanished while it was being written to.")
        table = found
    raise RetryableError(f"Table {table.name} is being changed by others without pause. Run the task again.")


def delete_table(glue: GlueClient, name: TableName) -> None:
    """Delete a table's definition; nothing happens when it is gone. Files stay."""
    ask_unless(
        _NOT_FOUND,
        lambda: glue.delete_table(DatabaseName=name.database, Name=name.table),
        f"delete table {name} from Glue",
    )


def observe_partition(glue: GlueClient, table: Table, values: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the partition with these values, compared by the keys' types, or None.

    Glue keeps values as text, so that an integer key may have a partition 01 for the value 1.
    """
    expression = build_value_expression(table.partition_keys, values)
    if expression is None:
        return _observe_exact_partition(glue, table, values)
    found = [
        partition
        for partition in _list_partitions(glue, table, expression)
        if is_same_partition(table.partition_keys, partition["Values"], values)
    ]
    if len(found) > 1:
        spelled = " and ".join(str(partition["Values"]) for partition in found)
        raise ManualActionError(
            f"Table {table.name} has the partitions {spelled}, which are one and the same value. Nothing was "
            "published. Drop all but one of them, then run the task again."
        )
    return found[0] if found else None


def _list_partitions(glue: GlueClient, table: Table, expression: str) -> Iterator[dict[str, Any]]:
    request: dict[str, Any] = {
        "DatabaseName": table.name.database,
        "TableName": table.name.table,
        "Expression": expression,
    }
    while True:
        page = ask(lambda: glue.get_partitions(**request), f"list partitions of table {table.name} in Glue")
        yield from page["Partitions"]
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def _observe_exact_partition(
    glue: GlueClient, table: Table, values: tuple[str, ...]
) -> dict[str, Any] | None:
    response = ask_unless(
        _NOT_FOUND,
        lambda: glue.get_partition(
            DatabaseName=table.name.database, TableName=table.name.table, PartitionValues=list(values)
        ),
        f"read partition {list(values)} of table {table.name} from Glue",
    )
    return None if response is None else dict(response["Partition"])


def create_partition(glue: GlueClient, table: Table, partition: Mapping[str, Any]) -> bool:
    """Create a partition; False when there is one with these values."""
    response = ask_unless(
        _EXISTS,
        lambda: glue.create_partition(
            DatabaseName=table.name.database, TableName=table.name.table, PartitionInput=dict(partition)
        ),
        f"create partition {partition['Values']} of table {table.name} in Glue",
    )
    return response is not None


def update_partition(glue: GlueClient, table: Table, partition: Mapping[str, Any]) -> bool:
    """Replace the partition with these values, in one step; False when there is none."""
    response = ask_unless(
        _NOT_FOUND,
        lambda: glue.update_partition(
            DatabaseName=table.name.database,
            TableName=table.name.table,
            PartitionValueList=partition["Values"],
            PartitionInput=dict(partition),
        ),
        f"repoint partition {partition['Values']} of table {table.name} in Glue",
    )
    return response is not None
