"""UNNEST and VALUES: relations made of expressions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local_athena.data.types import BIGINT, DataType
from local_athena.duck.errors import mismatch
from local_athena.duck.sql.context import Analysis, Expressions
from local_athena.duck.sql.relations import Relation, Through
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr, Field, Scope
from local_athena.duck.values.snippets import name
from local_athena.duck.values.type_coercion import common_of


@dataclass(slots=True)
class _Unnesting:
    """What UNNEST is made of: lists of the row, columns that unnest them, and the fields those become."""

    lists: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    outputs: list[tuple[Field, str]] = field(default_factory=list)


def unnest(
    analysis: Analysis, node: Any, outer: Scope | None, left: Relation | None, *, keep: bool
) -> Relation:
    """Put arrays and maps side by side, the shorter filled with NULL; ``keep`` rows that have none."""
    scope = Scope(list(left.fields) if left is not None else [], outer)
    analyzer = analysis.expressions(scope, clause="UNNEST")
    values = [analyzer.analyze(one) for one in node.expression()]
    for value in values:
        value.use()
    own = set(scope.fields)
    correlated = left is not None and (keep or any(one in own for value in values for one in value.fields))
    made = _unnesting(analysis, values, node, keep)
    base = left.source if correlated and left is not None else "(SELECT 1)"
    lists = f"(SELECT *, {', '.join(made.lists)} FROM {base})"
    renamed = ", ".join(f"{sql} AS {one.sql}" for one, sql in made.outputs)
    source = f"(SELECT *, {renamed} FROM (SELECT *, {', '.join(made.columns)} FROM {lists}))"
    fields = [one for one, _ in made.outputs]
    if left is None:
        return Through(fields, source, Relation([], source), analyzer.subqueries)
    if not correlated:
        source = f"({left.source} CROSS JOIN {source})"
    return Through([*left.fields, *fields], source, left, analyzer.subqueries)


def _unnesting(analysis: Analysis, values: list[Expr], node: Any, keep: bool) -> _Unnesting:
    made = _Unnesting()
    symbols = [analysis.symbol("list") for _ in values]
    longest = "greatest(" + ", ".join(f"coalesce(len({name(one)}), 0)" for one in symbols) + ")"

    def rows(sql: str) -> str:
        return f"unnest(CASE WHEN {longest} = 0 THEN [NULL] ELSE {sql} END)" if keep else f"unnest({sql})"

    for symbol, value in zip(symbols, values, strict=True):
        item = analysis.symbol("item")
        made.lists.append(f"{_as_list(value, node)} AS {name(symbol)}")
        made.columns.append(f"{rows(name(symbol))} AS {name(item)}")
        made.outputs += _outputs(analysis, value, name(item))
    if node.ORDINALITY():
        item = analysis.symbol("ordinality")
        made.columns.append(f"{rows(f'range(1, {longest} + 1)')} AS {name(item)}")
        made.outputs.append((analysis.field(None, BIGINT), name(item)))
    return made


def _as_list(value: Expr, node: Any) -> str:
    if value.type.name == "array":
        return value.sql
    if value.type.name == "map":
        return f"map_entries({value.sql})"
    raise mismatch(node, f"Cannot unnest type: {value.type.trino}")


def _outputs(analysis: Analysis, value: Expr, item: str) -> list[tuple[Field, str]]:
    """Return the columns one argument becomes: a map's key and value, each field of an array's rows."""
    if value.type.name == "map":
        key, mapped = value.type.children
        parts: list[tuple[str | None, DataType, str]] = [
            (None, key, f'{item}."key"'),
            (None, mapped, f'{item}."value"'),
        ]
    elif value.type.children[0].name == "row":
        inner = value.type.children[0]
        parts = [
            (given, kind, f"{item}.{name(label)}")
            for given, (label, kind) in zip(inner.field_names, inner.fields, strict=True)
        ]
    else:
        parts = [(None, value.type.children[0], item)]
    found = []
    for label, kind, sql in parts:
        one = analysis.field(label, kind, value)
        found.append((one, sql))
    return found


def values_table(analysis: Analysis, node: Any, outer: Scope | None) -> Relation:
    """``VALUES (1, 'a'), …``."""
    analyzer = analysis.expressions(Scope([], outer), clause="VALUES")
    rows = [_cells(analyzer, one) for one in node.expression()]
    sizes = list(dict.fromkeys(len(row) for row in rows))
    if len(sizes) > 1:
        raise mismatch(node, f"Values rows have mismatched types: {sizes[0]} vs {sizes[1]} columns")
    kinds = []
    for column in zip(*rows, strict=True):
        kind = common_of([cell.type for cell in column])
        if kind is None:
            shown = " vs ".join(dict.fromkeys(cell.type.trino for cell in column))
            raise mismatch(node, f"Values rows have mismatched types: {shown}")
        kinds.append(kind)
    fields = [analysis.field(None, kind) for kind in kinds]
    lines = ", ".join(
        "(" + ", ".join(convert(cell, kind, node).sql for cell, kind in zip(row, kinds, strict=True)) + ")"
        for row in rows
    )
    columns = ", ".join(one.sql for one in fields)
    return Through(
        fields,
        f"(VALUES {lines}) AS {name(analysis.symbol('values'))}({columns})",
        Relation([], ""),
        analyzer.subqueries,
    )


def _cells(analyzer: Expressions, node: Any) -> list[Expr]:
    """Return the cells of one row: a row constructor's, or one value."""
    inner = node
    while type(inner).__name__ in ("ExpressionContext", "PredicatedContext", "ValueExpressionDefaultContext"):
        if inner.getChildCount() != 1:
            break
        inner = inner.getChild(0)
    if type(inner).__name__ == "RowConstructorContext":
        return [analyzer.analyze(one) for one in inner.expression()]
    return [analyzer.analyze(node)]
