"""From a user's Trino SQL to DuckDB's: the text, the columns, and the scans it needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local_athena.data.catalog import Catalog
from local_athena.data.session import Column
from local_athena.data.types import DataType
from local_athena.duck.sql import gate
from local_athena.duck.sql.analysis import QueryAnalysis, query_of
from local_athena.duck.sql.context import Shared
from local_athena.duck.sql.information_schema import system_table
from local_athena.duck.sql.relations import CommonTable, Relation, TableScan
from local_athena.duck.values.literals import Identifier
from local_athena.duck.values.scope import Expr, Scope
from local_athena.duck.values.snippets import name
from local_athena.errors import QueryFailed


@dataclass(frozen=True, slots=True)
class Translated:
    """A query ready for DuckDB."""

    sql: str
    columns: tuple[Column, ...]
    types: tuple[DataType, ...]
    scans: tuple[TableScan, ...]


def translate(
    tree: Any, *, catalog: Catalog | None, database: str, parameters: Sequence[str], now: dt.datetime
) -> Translated:
    """Analyse a parsed query. Raises QueryFailed in Athena's words.

    ``catalog`` may be None for a query that names no table.
    """
    shared = Shared(catalog, now, system_table)
    analysis = QueryAnalysis(shared, database, _parameters(shared, tree, parameters, database))
    root = analysis.query(query_of(tree), None, root=True)
    fields = [one for one in root.fields if not one.hidden]
    for one in fields:
        one.use()
    _sink(shared, root)
    shown = ", ".join(f'CAST({one.sql} AS {one.type.duckdb}) AS "{at}"' for at, one in enumerate(fields))
    sql = f"{_definitions(shared)}SELECT {shown} FROM ({root.sql})"
    columns = tuple(
        Column(_shown(one.name) or f"_col{at}", one.type.trino, named=bool(one.name))
        for at, one in enumerate(fields)
    )
    reached = tuple(scan for scan in shared.scans if scan.reached)
    return Translated(sql, columns, tuple(one.type for one in fields), reached)


def _shown(name: str | None) -> str | None:
    return name.written if isinstance(name, Identifier) else name


def _sink(shared: Shared, root: Relation) -> None:
    """Sink conditions to the scans: the query first, then what WITH named, from the last to the first."""
    root.sink([])
    for _, definition in reversed(shared.definitions):
        if isinstance(definition, CommonTable) and definition.asked:
            definition.sink()


def _definitions(shared: Shared) -> str:
    reached = {scan.source for scan in shared.scans if scan.reached}
    pieces = []
    for symbol, definition in shared.definitions:
        if isinstance(definition, CommonTable):
            if definition.asked:
                pieces.append(f"{name(symbol)} AS ({definition.body.sql})")
        elif symbol in reached or not symbol.startswith('"scan#'):
            pieces.append(f"{symbol} AS ({definition()})")
    return f"WITH {', '.join(pieces)} " if pieces else ""


def _parameters(shared: Shared, tree: Any, texts: Sequence[str], database: str) -> dict[int, Expr]:
    """Return the values of the ``?`` of a query, by their places in its text."""
    places = sorted(_places(tree))
    if len(places) != len(texts):
        message = f"line 1:1: Incorrect number of parameters: expected {len(places)} but found {len(texts)}"
        raise QueryFailed(f"INVALID_PARAMETER_USAGE: {message}")
    empty = QueryAnalysis(shared, database)
    values = [
        empty.expressions(Scope([]), clause="Parameter").analyze(gate.parse_expression(text))
        for text in texts
    ]
    return dict(zip(places, values, strict=True))


def _places(node: Any) -> list[int]:
    if (
        getattr(node, "QUESTION_MARK", None) is not None
        and node.getChildCount() == 1
        and node.getText() == "?"
    ):
        return [node.start.start]
    return [place for child in getattr(node, "children", None) or () for place in _places(child)]
