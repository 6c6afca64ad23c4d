"""CREATE VIEW and DROP VIEW: Trino's statements, kept in Glue as Trino keeps them."""

from __future__ import annotations

from local_athena.data.catalog import EntityExists, EntityMissing
from local_athena.data.session import Outcome
from local_athena.data.views import encode_view
from local_athena.errors import QueryFailed
from local_athena.statements.query_columns import check_named, hive_types
from local_athena.statements.statement import Statement
from local_athena.statements.token_cursor import GLUE_CATALOG


def create_view(statement: Statement) -> Outcome:
    """``CREATE [OR REPLACE] VIEW name AS query``; the query is checked first."""
    cursor = statement.trino()
    cursor.expect("CREATE")
    replace = cursor.take("OR", "REPLACE")
    cursor.expect("VIEW")
    database, name = statement.resolve(cursor.qualified_name())
    cursor.expect("AS")
    columns = statement.engine.describe(cursor.padded_rest(), statement.session)
    check_named(columns)
    hive_types(columns)
    view = {"Name": name, "Owner": statement.session.clients.account_id} | encode_view(
        cursor.rest(), columns, GLUE_CATALOG, statement.session.database
    )
    _write(statement, database, view, replace=replace)
    return Outcome("DDL", "CREATE_VIEW")


def _write(statement: Statement, database: str, view: dict[str, object], *, replace: bool) -> None:
    name = str(view["Name"])
    existing = statement.catalog.get_table(database, name)
    if existing is not None and not existing.is_view:
        raise QueryFailed(f"TABLE_ALREADY_EXISTS: line 1:1: Table already exists: '{database}.{name}'")
    if existing is not None and replace:
        statement.catalog.update_table(database, view)
        return
    try:
        statement.catalog.create_table(database, view)
    except EntityExists as error:
        raise QueryFailed(f"ALREADY_EXISTS: line 1:1: View already exists: '{database}.{name}'") from error
    except EntityMissing as error:
        raise QueryFailed(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist") from error


def drop_view(statement: Statement) -> Outcome:
    """``DROP VIEW [IF EXISTS] name``. Tables are not dropped by it."""
    cursor = statement.trino()
    cursor.expect("DROP", "VIEW")
    if_exists = cursor.take("IF", "EXISTS")
    database, name = statement.resolve(cursor.qualified_name())
    cursor.expect_end()
    table = statement.catalog.get_table(database, name)
    if table is not None and not table.is_view:
        raise QueryFailed(
            f"TABLE_NOT_FOUND: line 1:1: View '{GLUE_CATALOG}.{database}.{name}' does not exist, but a table "
            "with that name exists. Did you mean DROP TABLE?"
        )
    if table is not None:
        statement.catalog.delete_table(database, name)
    elif not if_exists:
        raise QueryFailed(
            f"TABLE_NOT_FOUND: line 1:1: View '{GLUE_CATALOG}.{database}.{name}' does not exist"
        )
    return Outcome("DDL", "DROP_VIEW")
