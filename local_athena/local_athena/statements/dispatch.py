"""Tells Athena's statements apart and hands each to the module that runs it; what nobody claims fails.

Athena reads some statements as Hive DDL and the rest as Trino SQL; the first words decide. Nothing is passed
to an engine that was not recognised here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from local_athena.data.catalog import Catalog
from local_athena.data.session import Outcome, Session
from local_athena.engine import Engine
from local_athena.errors import ApiError, QueryFailed
from local_athena.sql_text import Dialect, SqlTextError, count_statements
from local_athena.statements import hive_alter, hive_partitions, hive_show, views
from local_athena.statements.ctas import create_table_as
from local_athena.statements.hive_create import create_external_table, refuse_managed_table
from local_athena.statements.insert import insert_into
from local_athena.statements.select import explain, select
from local_athena.statements.statement import Statement
from local_athena.statements.token_cursor import Cursor
from local_athena.statements.unload import unload

Run = Callable[[Statement], Outcome]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of statement: how it begins, what Athena calls it, and what runs it."""

    words: tuple[str, ...]
    dialect: Dialect
    statement_type: str
    substatement_type: str
    run: Run
    takes_parameters: bool = False


def _refuse_iceberg_only(statement: Statement) -> NoReturn:
    word = statement.trino().token.text.upper()
    raise QueryFailed(
        f"NOT_SUPPORTED: {word} is only supported for Iceberg tables, and the local Athena keeps Hive tables"
    )


def _hive(words: str, statement_type: str, substatement: str, run: Run) -> Kind:
    return Kind(tuple(words.split()), Dialect.HIVE, statement_type, substatement, run)


def _trino(words: str, statement_type: str, substatement: str, run: Run) -> Kind:
    return Kind(tuple(words.split()), Dialect.TRINO, statement_type, substatement, run)


def _query(words: str, statement_type: str, substatement: str, run: Run) -> Kind:
    return Kind(tuple(words.split()), Dialect.TRINO, statement_type, substatement, run, takes_parameters=True)


_KINDS = (
    _query("SELECT", "DML", "SELECT", select),
    _query("WITH", "DML", "SELECT", select),
    _query("VALUES", "DML", "SELECT", select),
    _query("TABLE", "DML", "SELECT", select),
    _query("(", "DML", "SELECT", select),
    _query("INSERT", "DML", "INSERT", insert_into),
    _query("UNLOAD", "DML", "UNLOAD", unload),
    _query("EXPLAIN", "UTILITY", "EXPLAIN", explain),
    _hive("CREATE EXTERNAL TABLE", "DDL", "CREATE_TABLE", create_external_table),
    _trino("CREATE OR REPLACE VIEW", "DDL", "CREATE_VIEW", views.create_view),
    _trino("CREATE VIEW", "DDL", "CREATE_VIEW", views.create_view),
    _hive("CREATE DATABASE", "DDL", "CREATE_DATABASE", hive_alter.create_database),
    _hive("CREATE SCHEMA", "DDL", "CREATE_DATABASE", hive_alter.create_database),
    _hive("DROP DATABASE", "DDL", "DROP_DATABASE", hive_alter.drop_database),
    _hive("DROP SCHEMA", "DDL", "DROP_DATABASE", hive_alter.drop_database),
    _hive("DROP TABLE", "DDL", "DROP_TABLE", hive_alter.drop_table),
    _trino("DROP VIEW", "DDL", "DROP_VIEW", views.drop_view),
    _hive("ALTER DATABASE", "DDL", "ALTER_DATABASE", hive_alter.alter_database),
    _hive("ALTER SCHEMA", "DDL", "ALTER_DATABASE", hive_alter.alter_database),
    _hive("ALTER TABLE", "DDL", "ALTER_TABLE", hive_alter.alter_table),
    _hive("MSCK REPAIR TABLE", "DDL", "MSCK_REPAIR_TABLE", hive_partitions.repair_table),
    _hive("SHOW DATABASES", "UTILITY", "SHOW_DATABASES", hive_show.show_databases),
    _hive("SHOW SCHEMAS", "UTILITY", "SHOW_DATABASES", hive_show.show_databases),
    _hive("SHOW TABLES", "UTILITY", "SHOW_TABLES", hive_show.show_tables),
    _hive("SHOW VIEWS", "UTILITY", "SHOW_VIEWS", hive_show.show_views),
    _hive("SHOW PARTITIONS", "UTILITY", "SHOW_PARTITIONS", hive_show.show_partitions),
    _hive("SHOW COLUMNS", "UTILITY", "SHOW_COLUMNS", hive_show.show_columns),
    _hive("SHOW TBLPROPERTIES", "UTILITY", "SHOW_TBLPROPERTIES", hive_show.show_table_properties),
    _hive("SHOW CREATE TABLE", "UTILITY", "SHOW_CREATE_TABLE", hive_show.show_create_table),
    _trino("SHOW CREATE VIEW", "UTILITY", "SHOW_CREATE_VIEW", hive_show.show_create_view),
    _hive("DESCRIBE", "UTILITY", "DESCRIBE_TABLE", hive_show.describe),
    _hive("DESC", "UTILITY", "DESCRIBE_TABLE", hive_show.describe),
    _trino("MERGE", "DML", "MERGE", _refuse_iceberg_only),
    _trino("DELETE", "DML", "DELETE", _refuse_iceberg_only),
    _trino("UPDATE", "DML", "UPDATE", _refuse_iceberg_only),
    _trino("OPTIMIZE", "DDL", "OPTIMIZE", _refuse_iceberg_only),
    _trino("VACUUM", "DDL", "VACUUM", _refuse_iceberg_only),
)
_CTAS = _query("CREATE TABLE", "DDL", "CREATE_TABLE_AS_SELECT", create_table_as)
_MANAGED_TABLE = _hive("CREATE TABLE", "DDL", "CREATE_TABLE", refuse_managed_table)
_MOST_WORDS = max(len(kind.words) for kind in _KINDS)
_WORD = re.compile(r"(?:\s++|--[^\r\n]*+|(?>/\*.*?\*/))*+(\w+|\()", re.DOTALL)
_EXPECTED = ", ".join(f"'{word}'" for word in sorted({kind.words[0] for kind in _KINDS}))
# Words Athena knows and refuses by one sentence, so that a typo is told apart from them.
_REFUSED_WORDS = frozenset(
    {
        "ALTER", "ANALYZE", "CALL", "COMMENT", "COMMIT", "CREATE", "DEALLOCATE", "DENY", "DROP", "EXECUTE",
        "EXPORT", "GRANT", "IMPORT", "LOAD", "LOCK", "MSCK", "PREPARE", "RELOAD", "REFRESH", "RESET",
        "REVOKE", "ROLLBACK", "SET", "SHOW", "START", "TRUNCATE", "UNLOCK", "USE",
    }
)  # fmt: skip


# DuckDB's and Arrow's own words for a tree that is too deep for their stack.
_TOO_DEEP = re.compile(r"[Mm]ax(?:imum)? expression depth|Recursion level in Arrow|recursion depth exceeded")


class Statements:
    """All statements of the local Athena, over one engine for Trino's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def classify(self, sql: str) -> tuple[str, str]:
        """Athena's statement type and substatement type.

        Raises ApiError for text Athena refuses in the call itself, and QueryFailed for a statement that is
        one but is not supported.
        """
        found = _recognise(sql)
        return found.statement_type, found.substatement_type

    def execute(self, sql: str, session: Session) -> Outcome:
        """Run one statement as the session's caller."""
        kind = _recognise(sql)
        if session.parameters and not kind.takes_parameters:
            raise QueryFailed(
                "INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected 0 but found "
                f"{len(session.parameters)}"
            )
        try:
            return kind.run(Statement(sql, session, Catalog(session.clients), self._engine))
        except Exception as error:  # engines have many words for it
            if not isinstance(error, RecursionError) and _TOO_DEEP.search(str(error)) is None:
                raise
            raise QueryFailed(
                "STACK_OVERFLOW: The statement is nested too deeply, or chains too many operators, for the "
                "local Athena. Take parts of it into subqueries, or shorten it"
            ) from error


def _recognise(sql: str) -> Kind:
    words = _opening_words(sql)
    kind = _MANAGED_TABLE if words[:2] == ("CREATE", "TABLE") else None
    kind = kind or next((kind for kind in _KINDS if words[: len(kind.words)] == kind.words), None)
    if kind is None:
        _refuse_many(sql, Dialect.TRINO)
        raise _unknown(words)
    if kind is _MANAGED_TABLE and _is_ctas(sql):
        kind = _CTAS
    _refuse_many(sql, kind.dialect)
    if kind.dialect is Dialect.TRINO:
        Cursor(sql, Dialect.TRINO).refuse_backticks()
    return kind


def _opening_words(sql: str) -> tuple[str, ...]:
    """Return the first words, upper case; a bracket stands for itself. Comments are passed over."""
    words: list[str] = []
    position = 0
    while len(words) < _MOST_WORDS and (match := _WORD.match(sql, position)):
        words.append(match.group(1).upper())
        position = match.end()
    return tuple(words)


def _unknown(words: tuple[str, ...]) -> QueryFailed | ApiError:
    if not words:
        return ApiError("InvalidRequestException", "Query string holds no statement")
    if words[0] in _REFUSED_WORDS:
        return QueryFailed(f"NOT_SUPPORTED: Queries of this type are not supported: {' '.join(words[:3])}")
    return ApiError(
        "InvalidRequestException", f"line 1:1: mismatched input '{words[0]}'. Expecting: {_EXPECTED}"
    )


def _is_ctas(sql: str) -> bool:
    """Whether CREATE TABLE goes on as Trino's, with WITH or AS where Hive has columns."""
    try:
        cursor = Cursor(sql, Dialect.TRINO)
    except QueryFailed:
        return False  # a quote that only Hive closes
    cursor.expect("CREATE", "TABLE")
    cursor.take("IF", "NOT", "EXISTS")
    cursor.step()
    while cursor.take("."):
        cursor.step()
    if cursor.at("("):
        cursor.bracketed()
    return cursor.at("AS") or cursor.at("WITH", "(")


def _refuse_many(sql: str, dialect: Dialect) -> None:
    try:
        count = count_statements(sql, dialect)
    except SqlTextError as error:
        raise ApiError("InvalidRequestException", str(error)) from error
    if count > 1:
        raise ApiError("InvalidRequestException", f"Only one sql statement is allowed. Got: {sql}")
