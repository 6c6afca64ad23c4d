"""Calls of aggregate and window functions: what DISTINCT, FILTER, ORDER BY and OVER add."""

from __future__ import annotations

import re
from typing import Any

from local_athena.data.types import VARCHAR, DataType
from local_athena.duck.errors import failed, unsupported
from local_athena.duck.functions.overloads import choose
from local_athena.duck.functions.signatures import FunctionCall, Signature, patterns_for, substitute
from local_athena.duck.sql.context import Expressions
from local_athena.duck.values import literals
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr, made_from
from local_athena.duck.values.snippets import text

_MARK = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|@[DOFN]""")


def aggregate_or_window(
    analyzer: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any
) -> Expr:
    """Analyse a call of a function that aggregates, or that needs OVER."""
    windowed = node.over() is not None
    if analyzer.clause is not None:
        kind = "EXPRESSION_NOT_SCALAR"
        shown = literals.source_text(node)
        raise failed(
            kind,
            node,
            f"{analyzer.clause} cannot contain aggregations, window functions or grouping operations: "
            f"[{shown}]",
        )
    if not windowed and all(one.window for one in signatures):
        raise failed("MISSING_OVER", node, f"Window function '{name}' requires an OVER clause")
    if windowed:
        return _window(analyzer, name, signatures, nodes, node)
    if analyzer.inside_aggregate:
        raise failed(
            "NESTED_AGGREGATION",
            node,
            f"Cannot nest aggregations inside aggregation '{name}': [{literals.source_text(node)}]",
        )
    analyzer.inside_aggregate = True
    try:
        sql, result, parts = _marked(analyzer, name, signatures, nodes, node, over="")
    finally:
        analyzer.inside_aggregate = False
    if any(one.window for one in parts):
        message = f"Cannot nest window functions or row pattern measures inside aggregation '{name}'"
        raise failed("NESTED_WINDOW", node, message)
    return made_from(sql, result, *parts, aggregate=True, ungrouped=(), opaque=(sql,))


def _window(
    analyzer: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any
) -> Expr:
    from local_athena.duck.sql.windows import window

    over, parts, partition = window(analyzer, node.over())
    sql, result, inner = _marked(analyzer, name, signatures, nodes, node, over=f" OVER ({over})")
    nested = [one.partitioned_by for one in (*inner, *parts) if one.partitioned_by is not None]
    if any(one.window for one in (*inner, *parts)):
        raise failed(
            "NESTED_WINDOW",
            node,
            "Cannot nest window functions or row pattern measures inside window function arguments",
        )
    keys = frozenset(partition).intersection(*nested)
    return made_from(sql, result, *inner, *parts, window=True, partitioned_by=keys, opaque=(sql,))


def _marked(
    analyzer: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any, over: str
) -> tuple[str, DataType, list[Expr]]:
    """Return the call's SQL with DISTINCT, ORDER BY, FILTER and OVER put where the template marks them."""
    values = [analyzer.analyze(one) for one in nodes]
    signature, found = choose(name, signatures, [one.type for one in values], node)
    arguments = [
        convert(value, substitute(pattern, found, value.type), node)
        for pattern, value in zip(patterns_for(signature, len(values)), values, strict=True)
    ]
    result = substitute(signature.result, found)
    call = FunctionCall(
        tuple(one.sql for one in arguments),
        tuple(one.type for one in arguments),
        tuple(one.literal for one in arguments),
        result,
        node,
        analyzer,
    )
    template = signature.body(call) if callable(signature.body) else _plain(signature.body, call)
    extras, parts = _extras(analyzer, name, template, node)
    marks = {
        "@D": extras["distinct"],
        "@O": extras["order"],
        "@N": extras["nulls"],
        "@F": extras["filter"] + over,
    }
    sql = _MARK.sub(lambda one: marks.get(one.group(0), one.group(0)), template)
    return sql.replace("RESULT", result.duckdb) if name == "histogram" else sql, result, [*arguments, *parts]


def _plain(template: str, call: FunctionCall) -> str:
    """Fill a template without ``let``: DISTINCT and FILTER must stay inside the aggregate."""
    by_instant = [
        f"({sql}).t"
        if kind.name == "timestamp with time zone" and template.startswith("arg_") and at == 1
        else sql
        for at, (sql, kind) in enumerate(zip(call.arguments, call.types, strict=True))
    ]
    return re.sub(r"\{(\d)\}", lambda slot: by_instant[int(slot.group(1))], template)


def _extras(analyzer: Expressions, name: str, template: str, node: Any) -> tuple[dict[str, str], list[Expr]]:
    distinct = node.setQuantifier() is not None and node.setQuantifier().DISTINCT() is not None
    parts: list[Expr] = []
    extras = {"distinct": "DISTINCT " if distinct else "", "order": "", "nulls": "", "filter": ""}
    if distinct and "@D" not in template and "DISTINCT" not in template:
        raise unsupported(node, f"DISTINCT in {name}")
    if node.sortItem():
        keys = [analyzer.analyze(item.expression()) for item in node.sortItem()]
        order = ", ".join(
            analyzer.sort_key(item, key) for item, key in zip(node.sortItem(), keys, strict=True)
        )
        extras["order"] = f" ORDER BY {order}"
        parts += keys
        if "@O" not in template:
            extras["order"] = ""  # the order of the rows does not change such a result
    if node.filter_():
        condition = analyzer.boolean(
            node.filter_().booleanExpression(), "Filter expression must evaluate to a boolean (actual: {})"
        )
        extras["filter"] = f" FILTER (WHERE {condition.sql})"
        parts.append(condition)
    treatment = node.nullTreatment()
    if treatment is not None and treatment.IGNORE():
        if "@N" not in template:
            raise failed(
                "NULL_TREATMENT_NOT_ALLOWED", node, "Cannot specify null treatment clause for this function"
            )
        extras["nulls"] = " IGNORE NULLS"
    return extras, parts


def listagg(analyzer: Expressions, node: Any) -> Expr:
    """``LISTAGG(value, separator) WITHIN GROUP (ORDER BY …)``."""
    if analyzer.inside_aggregate or analyzer.clause is not None:
        raise failed("EXPRESSION_NOT_SCALAR", node, "LISTAGG is not allowed here")
    if node.listAggOverflowBehavior() is not None and not node.listAggOverflowBehavior().ERROR():
        raise unsupported(node, "LISTAGG ON OVERFLOW TRUNCATE")
    analyzer.inside_aggregate = True
    try:
        value = convert(analyzer.analyze(node.expression()), VARCHAR, node)
        keys = [analyzer.analyze(item.expression()) for item in node.sortItem()]
    finally:
        analyzer.inside_aggregate = False
    separator = text(literals.string(node.string())) if node.string() else "''"
    order = ", ".join(analyzer.sort_key(item, key) for item, key in zip(node.sortItem(), keys, strict=True))
    distinct = "DISTINCT " if node.setQuantifier() and node.setQuantifier().DISTINCT() else ""
    sql = f"string_agg({distinct}{value.sql}, {separator} ORDER BY {order})"
    return made_from(sql, VARCHAR, value, *keys, aggregate=True, ungrouped=(), opaque=(sql,))
