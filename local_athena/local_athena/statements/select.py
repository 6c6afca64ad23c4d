"""SELECT and EXPLAIN: the engine answers, the rows are printed as Athena prints them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from local_athena.data.printing import render_column
from local_athena.data.session import Column, Outcome, QueryResult, Row
from local_athena.data.type_parser import parse_trino
from local_athena.statements.statement import Statement

_QUERY_STARTS = ("SELECT", "WITH", "VALUES", "TABLE", "(")


def select(statement: Statement) -> Outcome:
    """Run a query."""
    cursor = statement.trino()
    result = statement.engine.query(cursor.padded_rest(), statement.session)
    return Outcome("DML", "SELECT", result.columns, _rows(result))


def _rows(result: QueryResult) -> Sequence[Row]:
    kinds = [parse_trino(column.type) for column in result.columns]
    if not result.table.num_columns:
        return [()] * result.table.num_rows
    cells = [render_column(column, kind) for column, kind in zip(result.table.columns, kinds, strict=True)]
    return list(zip(*cells, strict=True))


def explain(statement: Statement) -> Outcome:
    """``EXPLAIN [ANALYZE [VERBOSE]] [(option, …)] query``: lines of a plan."""
    cursor = statement.trino()
    whole = cursor.padded_rest()
    cursor.expect("EXPLAIN")
    if cursor.take("ANALYZE"):
        cursor.take("VERBOSE")
    elif cursor.at("(", "FORMAT") or cursor.at("(", "TYPE"):
        cursor.bracketed()
    if not any(cursor.at(word) for word in _QUERY_STARTS):
        cursor.fail(", ".join(f"'{word}'" for word in _QUERY_STARTS))
    lines = statement.engine.explain(whole, statement.session)
    rows: list[Row] = [(line,) for line in chain.from_iterable(text.splitlines() for text in lines)]
    return Outcome("UTILITY", "EXPLAIN", (Column("Query Plan", "varchar"),), rows)
