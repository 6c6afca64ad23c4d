"""UNION, INTERSECT and EXCEPT, and ORDER BY over what is no plain SELECT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local_athena.data.types import DataType
from local_athena.duck.errors import failed, mismatch
from local_athena.duck.sql.context import Analysis
from local_athena.duck.sql.order_and_limit import Tail, bare_integer, finished
from local_athena.duck.sql.relations import Projection, Relation, SetOperation
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr, Scope
from local_athena.duck.values.snippets import ensure, text
from local_athena.duck.values.type_coercion import common_type


def sides_of(node: Any) -> tuple[list[Any], list[Any], str]:
    """Return the sides of a set operation, its operators' tokens, and what it is called.

    ``a UNION ALL b UNION ALL c`` is nested as deep as it is long; here it is one operation with many sides.
    """
    word = _word(node)
    sides, tokens = [node.right], [node.operator]
    node = node.left
    while word.startswith("UNION") and type(node).__name__ == "SetOperationContext" and _word(node) == word:
        sides.insert(0, node.right)
        tokens.insert(0, node.operator)
        node = node.left
    return [node, *sides], tokens, word


def _word(node: Any) -> str:
    everything = node.setQuantifier() is not None and node.setQuantifier().ALL() is not None
    return f"{node.operator.text.upper()}{' ALL' if everything else ''}"


def set_operation(
    analysis: Analysis, sides: Sequence[Relation], tokens: Sequence[Any], word: str
) -> Relation:
    """Make one relation of the sides of a set operation, in the types they share."""
    operator = word.removesuffix(" ALL")
    columns = [[one for one in side.fields if not one.hidden] for side in sides]
    kinds = [one.type for one in columns[0]]
    for side, token in zip(columns[1:], tokens, strict=True):
        if len(side) != len(kinds):
            message = f"{operator} query has different number of fields: {len(kinds)}, {len(side)}"
            raise mismatch(token, message)
        for at, one in enumerate(side):
            shared = common_type(kinds[at], one.type)
            if shared is None:
                types = f"{kinds[at].trino}, {one.type.trino}"
                raise mismatch(token, f"column {at + 1} in {operator} query has incompatible types: {types}")
            kinds[at] = shared
    if word != "UNION ALL":  # all columns tell rows apart
        for one in (one for side in columns for one in side):
            one.use()
    return combined(analysis, sides, kinds, word, tokens[0])


def combined(
    analysis: Analysis, sides: Sequence[Relation], kinds: Sequence[DataType], word: str, node: Any
) -> SetOperation:
    """Make one relation of several, their columns converted to shared types."""
    columns = [[one for one in side.fields if not one.hidden] for side in sides]
    values = [
        [
            convert(Expr(one.sql, one.type, frozenset({one})), kind, node)
            for one, kind in zip(side, kinds, strict=True)
        ]
        for side in columns
    ]
    fields = []
    for at, kind in enumerate(kinds):
        one = analysis.field(columns[0][at].name, kind)
        one.made_of = frozenset().union(*(side[at].fields for side in values))
        fields.append(one)
    selects = []
    for side, converted in zip(sides, values, strict=True):
        shown = ", ".join(f"{value.sql} AS {one.sql}" for value, one in zip(converted, fields, strict=True))
        selects.append(f"(SELECT {shown} FROM ({side.sql}))")
    text = f" {word} ".join(selects)
    return SetOperation(fields, f"({text})", list(zip(sides, values, strict=True)), text)


def union_of_steps(analysis: Analysis, steps: Sequence[Relation], kinds: Sequence[DataType]) -> Relation:
    """Return the rows of a recursive query's anchor and steps; the last step must be empty."""
    *kept, last = steps
    together = combined(analysis, kept, kinds, "UNION ALL", None)
    for one in (*last.fields, *together.fields):
        one.use()
    message = (
        "NOT_SUPPORTED: Recursion depth limit exceeded (10). "
        "Use 'max_recursion_depth' session property to modify the limit."
    )
    ended = ensure(f"EXISTS (SELECT 1 FROM {last.source})", text(message), "TRUE")
    shown = ", ".join(one.sql for one in together.fields)
    sql = f"SELECT {shown} FROM ({together.text}) WHERE {ended}"
    return Projection(together.fields, f"({sql})", together, [], [last], text=sql)


def ordered(analysis: Analysis, inner: Relation, tail: Tail, outer: Scope | None) -> Relation:
    """ORDER BY and LIMIT over something else than a plain SELECT: only its columns have names."""
    fields = [one for one in inner.fields if not one.hidden]
    analyzer = analysis.expressions(Scope(fields, outer), clause="ORDER BY clause")
    keys = []
    for node in tail.items:
        position = bare_integer(node.expression())
        if position is not None and not 1 <= position <= len(fields):
            raise failed(
                "INVALID_COLUMN_REFERENCE", node, f"ORDER BY position {position} is not in select list"
            )
        value = (
            Expr(fields[position - 1].sql, fields[position - 1].type, frozenset({fields[position - 1]}))
            if position
            else analyzer.analyze(node.expression())
        )
        if tail.sorts:
            value.use()
        keys.append(analyzer.sort_key(node, value))
    values = [Expr(one.sql, one.type, frozenset({one}), name=one.name) for one in fields]
    shown = ", ".join(one.sql for one in fields)
    text = finished(inner.sql, shown, keys if tail.sorts else [], tail)
    found = analysis.project(Relation(fields, f"({text})"), values, [one.name for one in fields])
    found.text = text
    found.source = f"({text})"
    found.fields = fields
    found.inner = inner
    found.subqueries = analyzer.subqueries
    found.sinking = {} if tail.cuts else dict(zip(fields, values, strict=True))
    return found
