"""One statement on its way: its text, the query it belongs to, and what it may use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from local_athena.data.catalog import Catalog
from local_athena.data.session import Column, Outcome, Row, Session
from local_athena.data.tables import Table
from local_athena.engine import Engine
from local_athena.errors import DDL_TASK_FAILED, SCHEMA_ERROR, QueryFailed
from local_athena.sql_text import Dialect
from local_athena.statements.token_cursor import Cursor, QualifiedName


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and what it is run with."""

    sql: str
    session: Session
    catalog: Catalog
    engine: Engine

    def hive(self) -> Cursor:
        """Return the statement's tokens, read as Hive DDL."""
        return Cursor(self.sql, Dialect.HIVE)

    def trino(self) -> Cursor:
        """Return the statement's tokens, read as Trino SQL."""
        return Cursor(self.sql, Dialect.TRINO)

    def resolve(self, name: QualifiedName) -> tuple[str, str]:
        """Database and name, with the session's database for a name that brought none."""
        return name.within(self.session.database)

    def find(self, name: QualifiedName) -> Table:
        """Return the table or view of that name. Fails in Hive's words when there is none."""
        database, table_name = self.resolve(name)
        table = self.catalog.get_table(database, table_name)
        if table is None:
            raise table_not_found(database, table_name)
        return table


def table_not_found(database: str, name: str) -> QueryFailed:
    """Return what Hive says of a table that is not there."""
    return QueryFailed(
        f"FAILED: SemanticException [Error 10001]: Table not found {database}.{name}", error_type=SCHEMA_ERROR
    )


def task_error(message: str) -> QueryFailed:
    """Return what Hive says when the metastore refuses a step of a statement that was understood."""
    return QueryFailed(
        f"FAILED: Execution Error, return code 1 from org.apache.hadoop.hive.ql.exec.DDLTask. {message}",
        error_type=DDL_TASK_FAILED,
    )


def utility(substatement: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Outcome:
    """Return the outcome of SHOW and DESCRIBE: rows of one cell, its values joined by tabs."""
    cells: list[Row] = [("\t".join(row),) for row in rows]
    return Outcome("UTILITY", substatement, tuple(Column(name, "string") for name in columns), cells)
