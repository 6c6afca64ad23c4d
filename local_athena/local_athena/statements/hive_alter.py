"""Hive DDL that changes databases and tables in Glue; no object in S3 is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local_athena.data.catalog import EntityExists, EntityMissing
from local_athena.data.session import Outcome
from local_athena.data.tables import Table
from local_athena.errors import QueryFailed
from local_athena.statements.hive_create import (
    GlueColumns,
    checked_location,
    column,
    column_list,
    database_not_found,
    properties,
)
from local_athena.statements.hive_partitions import add_partitions, alter_partition, drop_partitions
from local_athena.statements.statement import Statement, table_not_found, task_error
from local_athena.statements.token_cursor import Cursor

# What Glue answers and UpdateTable does not take (Glue API reference, TableInput, read 2026-11).
_TABLE_INPUT_FIELDS = frozenset(
    {
        "Name", "Description", "Owner", "LastAccessTime", "LastAnalyzedTime", "Retention",
        "StorageDescriptor", "PartitionKeys", "ViewOriginalText", "ViewExpandedText", "TableType",
        "Parameters", "TargetTable",
    }
)  # fmt: skip


def create_database(statement: Statement) -> Outcome:
    """``CREATE DATABASE [IF NOT EXISTS] name [COMMENT …] [LOCATION …] [WITH DBPROPERTIES (…)]``."""
    cursor = statement.hive()
    cursor.step()
    cursor.step()
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    database: dict[str, Any] = {"Name": cursor.identifier()}
    if cursor.take("COMMENT"):
        database["Description"] = cursor.string()
    if cursor.take("LOCATION"):
        database["LocationUri"] = checked_location(cursor)
    if cursor.take("WITH", "DBPROPERTIES"):
        database["Parameters"] = properties(cursor)
    cursor.expect_end()
    try:
        statement.catalog.create_database(database)
    except EntityExists as error:
        if not if_not_exists:
            raise task_error(f"Database {database['Name']} already exists") from error
    return Outcome("DDL", "CREATE_DATABASE")


def drop_database(statement: Statement) -> Outcome:
    """``DROP DATABASE [IF EXISTS] name [RESTRICT | CASCADE]``; RESTRICT refuses one that holds tables."""
    cursor = statement.hive()
    cursor.step()
    cursor.step()
    if_exists = cursor.take("IF", "EXISTS")
    name = cursor.identifier()
    cascade = cursor.take("CASCADE")
    if not cascade:
        cursor.take("RESTRICT")
    cursor.expect_end()
    outcome = Outcome("DDL", "DROP_DATABASE")
    if statement.catalog.get_database(name) is None:
        if if_exists:
            return outcome
        raise database_not_found(name)
    if not cascade and statement.catalog.list_tables(name):
        raise task_error(
            f"InvalidOperationException(message:Database {name} is not empty. One or more tables exist.)"
        )
    statement.catalog.delete_database(name)
    return outcome


def alter_database(statement: Statement) -> Outcome:
    """``ALTER DATABASE name SET DBPROPERTIES (…)``."""
    cursor = statement.hive()
    cursor.step()
    cursor.step()
    name = cursor.identifier()
    cursor.expect("SET", "DBPROPERTIES")
    changed = properties(cursor)
    cursor.expect_end()
    found = statement.catalog.get_database(name)
    if found is None:
        raise database_not_found(name)
    kept = {key: found[key] for key in ("Name", "Description", "LocationUri") if found.get(key)}
    statement.catalog.update_database(
        name, {**kept, "Parameters": {**found.get("Parameters", {}), **changed}}
    )
    return Outcome("DDL", "ALTER_DATABASE")


def drop_table(statement: Statement) -> Outcome:
    """``DROP TABLE [IF EXISTS] name``. Athena drops a view by it, too; the objects of a table stay."""
    cursor = statement.hive()
    cursor.expect("DROP", "TABLE")
    if_exists = cursor.take("IF", "EXISTS")
    database, name = statement.resolve(cursor.qualified_name())
    cursor.take("PURGE")
    cursor.expect_end()
    try:
        statement.catalog.delete_table(database, name)
    except EntityMissing as error:
        if not if_exists:
            raise table_not_found(database, name) from error
    return Outcome("DDL", "DROP_TABLE")


def alter_table(statement: Statement) -> Outcome:
    """``ALTER TABLE name …``: the change is found by its words."""
    cursor = statement.hive()
    cursor.expect("ALTER", "TABLE")
    name = cursor.qualified_name()
    change = next((change for words, change in _CHANGES if cursor.at(*words)), None)
    if change is None:
        cursor.refuse(f"cannot recognize input near '{cursor.token.text}' in alter table statement")
    table = statement.find(name)
    if table.is_view:
        raise QueryFailed(
            "FAILED: SemanticException [Error 10131]: To alter a view you need to use the ALTER VIEW "
            f"command: {table.database}.{table.name}"
        )
    change(statement, cursor, table)
    return Outcome("DDL", "ALTER_TABLE")


def update_table(statement: Statement, table: Table, **changed: Any) -> None:
    """Write the table back with some fields changed, provided nobody else wrote it meanwhile."""
    kept = {key: value for key, value in table.raw.items() if key in _TABLE_INPUT_FIELDS}
    statement.catalog.update_table(table.database, {**kept, **changed}, table.raw.get("VersionId"))


def _set_properties(statement: Statement, cursor: Cursor, table: Table) -> None:
    cursor.expect("SET", "TBLPROPERTIES")
    changed = properties(cursor)
    cursor.expect_end()
    update_table(statement, table, Parameters={**table.parameters, **changed})


def _set_location(statement: Statement, cursor: Cursor, table: Table) -> None:
    cursor.expect("SET", "LOCATION")
    location = checked_location(cursor)
    cursor.expect_end()
    update_table(statement, table, StorageDescriptor=_with_storage(table, Location=location))


def _add_columns(statement: Statement, cursor: Cursor, table: Table) -> None:
    cursor.expect("ADD", "COLUMNS")
    added = column_list(cursor)
    cursor.expect_end()
    _write_columns(statement, table, [*_columns(table), *added])


def _replace_columns(statement: Statement, cursor: Cursor, table: Table) -> None:
    cursor.expect("REPLACE", "COLUMNS")
    columns = column_list(cursor)
    cursor.expect_end()
    _write_columns(statement, table, columns)


def _change_column(statement: Statement, cursor: Cursor, table: Table) -> None:
    cursor.expect("CHANGE")
    cursor.take("COLUMN")
    old = cursor.identifier()
    new = column(cursor)
    columns = _columns(table)
    names = [entry["Name"].lower() for entry in columns]
    if old not in names:
        raise task_error(f"Invalid column reference {old}")
    index = names.index(old)
    if "Comment" not in new and columns[index].get("Comment"):
        new["Comment"] = columns[index]["Comment"]
    del columns[index], names[index]
    if cursor.take("FIRST"):
        index = 0
    elif cursor.take("AFTER"):
        after = cursor.identifier()
        if after not in names:
            raise task_error(f"Invalid column reference {after}")
        index = names.index(after) + 1
    cursor.expect_end()
    columns.insert(index, new)
    _write_columns(statement, table, columns)


def _write_columns(statement: Statement, table: Table, columns: GlueColumns) -> None:
    seen: set[str] = set()
    for name in [entry["Name"].lower() for entry in columns] + [name for name, _ in table.partition_keys]:
        if name in seen:
            raise task_error(f"Duplicate column name: {name}")
        seen.add(name)
    update_table(statement, table, StorageDescriptor=_with_storage(table, Columns=columns))


def _columns(table: Table) -> GlueColumns:
    return [dict(entry) for entry in table.raw["StorageDescriptor"]["Columns"]]


def _with_storage(table: Table, **changed: Any) -> Mapping[str, Any]:
    return {**table.raw["StorageDescriptor"], **changed}


_CHANGES: tuple[tuple[tuple[str, ...], Callable[[Statement, Cursor, Table], None]], ...] = (
    (("ADD", "COLUMNS"), _add_columns),
    (("ADD",), add_partitions),
    (("DROP",), drop_partitions),
    (("REPLACE", "COLUMNS"), _replace_columns),
    (("CHANGE",), _change_column),
    (("SET", "LOCATION"), _set_location),
    (("SET", "TBLPROPERTIES"), _set_properties),
    (("PARTITION",), alter_partition),
)
