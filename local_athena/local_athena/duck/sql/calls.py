"""Function calls: which signature is meant, its SQL, and what DISTINCT, FILTER, ORDER BY and OVER add."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from local_athena.data.types import UNKNOWN, VARCHAR, DataType
from local_athena.duck.errors import failed, mismatch, unsupported
from local_athena.duck.functions.registry import KNOWN_BUT_MISSING, registry
from local_athena.duck.functions.signatures import (
    Bindings,
    Call,
    Pattern,
    Signature,
    bind,
    candidates,
    patterns_for,
    substitute,
    unify_arguments,
)
from local_athena.duck.sql.context import Expressions
from local_athena.duck.sql.special_forms import SPECIALS
from local_athena.duck.values import literals
from local_athena.duck.values.operators import convert
from local_athena.duck.values.scope import NOT_LITERAL, Expr, made_from
from local_athena.duck.values.snippets import Lambda, fill, text

_MARK = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|@[DOFN]""")


def function_call(it: Expressions, node: Any) -> Expr:
    """Analyse a call as the user wrote it."""
    parts = literals.qualified(node.qualifiedName())
    name = parts[-1]
    if len(parts) > 1:
        raise failed("FUNCTION_NOT_FOUND", node, f"Function '{'.'.join(parts)}' not registered")
    if node.processingMode():
        raise unsupported(node, "Row pattern recognition")
    nodes = list(node.expression())
    if name in SPECIALS:
        found = _special(it, name, nodes, node)
        if found is not None:
            return found
    signatures = _known(name, node)
    if any(one.aggregate or one.window for one in signatures):
        return _aggregate_or_window(it, name, signatures, nodes, node)
    _refuse_extras(node, name)
    return _scalar(it, name, signatures, nodes, node)


def call_named(it: Expressions, name: str, arguments: Sequence[Expr], node: Any) -> Expr:
    """Call a scalar function of ours with analysed arguments."""
    return _resolve(it, name, registry()[name], arguments, [None] * len(arguments), node)


def _special(it: Expressions, name: str, nodes: list[Any], node: Any) -> Expr | None:
    fewest, most, form = SPECIALS[name]
    if not fewest <= len(nodes) <= most:
        raise failed(
            "INVALID_PARAMETER_USAGE" if name == "try" else "FUNCTION_NOT_FOUND",
            node,
            f"Invalid number of arguments for '{name}' function",
        )
    if node.over() or node.filter_():
        raise failed(
            "FUNCTION_NOT_AGGREGATE", node, f"FILTER and OVER are only valid for aggregations: {name}"
        )
    return form(it, nodes, node)


def _known(name: str, node: Any) -> list[Signature]:
    found = registry().get(name)
    if found is None and name in KNOWN_BUT_MISSING:
        raise unsupported(node, f"Function '{name}'")
    if found is None:
        raise failed("FUNCTION_NOT_FOUND", node, f"Function '{name}' not registered")
    return found


def _refuse_extras(node: Any, name: str) -> None:
    if node.over():
        raise failed("FUNCTION_NOT_WINDOW", node, f"Not a window function: {name}")
    if node.filter_():
        raise failed(
            "FUNCTION_NOT_AGGREGATE", node, f"Filter is only valid for aggregation functions: {name}"
        )
    if node.setQuantifier() and node.setQuantifier().DISTINCT():
        raise failed(
            "FUNCTION_NOT_AGGREGATE", node, f"DISTINCT is only valid for aggregation functions: {name}"
        )
    if node.sortItem():
        raise failed(
            "FUNCTION_NOT_AGGREGATE", node, f"ORDER BY is only valid for aggregation functions: {name}"
        )


def _is_lambda(node: Any) -> Any:
    while type(node).__name__ in ("ExpressionContext", "PredicatedContext", "ValueExpressionDefaultContext"):
        if node.getChildCount() != 1:
            return None
        node = node.getChild(0)
    return node if type(node).__name__ == "LambdaContext" else None


def _scalar(it: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any) -> Expr:
    lambdas = [_is_lambda(one) for one in nodes]
    arguments = [
        Expr("", UNKNOWN) if function is not None else it.analyze(one)
        for one, function in zip(nodes, lambdas, strict=True)
    ]
    return _resolve(it, name, signatures, arguments, lambdas, node)


def _resolve(
    it: Expressions,
    name: str,
    signatures: list[Signature],
    arguments: Sequence[Expr],
    lambdas: Sequence[Any],
    node: Any,
) -> Expr:
    kinds = [
        None if function is not None else one.type for one, function in zip(arguments, lambdas, strict=True)
    ]
    signature, found = choose(name, signatures, kinds, node)
    patterns = patterns_for(signature, len(arguments))
    converted: list[Expr] = []
    for pattern, argument in zip(patterns, arguments, strict=True):
        if pattern.name == "function":
            converted.append(argument)
        else:
            converted.append(convert(argument, substitute(pattern, found, argument.type), node))
    for position, function in enumerate(lambdas):
        if function is not None:
            converted[position] = _lambda(it, function, patterns[position], found)
    result = substitute(signature.result, found)
    call = Call(
        tuple(one.sql for one in converted),
        tuple(one.type for one in converted),
        tuple(before.literal if before.is_literal else NOT_LITERAL for before in arguments),
        result,
        node,
        it,
    )
    sql = signature.body(call) if callable(signature.body) else _filled(signature.body, call)
    changes: dict[str, Any] = {"volatile": True, "opaque": (sql,)} if signature.volatile else {}
    return made_from(sql, result, *converted, **changes)


def _filled(template: str, call: Call) -> str:
    return fill(template, list(call.arguments))


def choose(
    name: str, signatures: list[Signature], kinds: Sequence[DataType | None], node: Any
) -> tuple[Signature, Bindings]:
    """Return the signature meant: one that fits as it is, else the first that fits by conversion."""
    possible = candidates(signatures, len(kinds))
    for convert_types in (False, True):
        for signature in possible:
            found = unify_arguments(signature, kinds, convert_types)
            if found is not None:
                return signature, found
    given = ", ".join("<function>" if kind is None else kind.trino for kind in kinds)
    expected = ", ".join(dict.fromkeys(signature.shown for signature in signatures))
    message = f"Unexpected parameters ({given}) for function {name}. Expected: {expected}"
    raise failed("FUNCTION_NOT_FOUND", node, message)


def _lambda(it: Expressions, node: Any, pattern: Pattern, found: Bindings) -> Expr:
    """Analyse a lambda whose parameters' types are known; what it returns binds the rest."""
    names: list[str] = [literals.identifier(one) for one in node.identifier()]
    *wanted, returned = pattern.children
    if len(names) != len(wanted):
        raise failed(
            "INVALID_PARAMETER_USAGE",
            node,
            f"Expected a lambda that takes {len(wanted)} argument(s) but got {len(names)}",
        )
    symbols = it.lambda_symbols(names)
    known = {
        name: Expr(f'"{symbol}"', substitute(kind, found))
        for name, symbol, kind in zip(names, symbols, wanted, strict=True)
    }
    with it.lambda_names(known):
        body = it.analyze(node.expression())
    if body.subquery:
        raise failed("NOT_SUPPORTED", node, "Lambda expression cannot contain subqueries")
    if not returned.is_variable or returned.name in found.types:
        target = substitute(returned, found)
        body = convert(body, target, node) if body.type != target else body
    elif not bind(returned, body.type, found, convert=True):
        raise mismatch(node, f"Unexpected type of lambda: {body.type.trino}")
    return made_from(Lambda(tuple(symbols), body.sql), body.type, body)


# --- aggregates and windows ---


def _aggregate_or_window(
    it: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any
) -> Expr:
    windowed = node.over() is not None
    if it.clause is not None:
        kind = "EXPRESSION_NOT_SCALAR"
        shown = literals.source_text(node)
        raise failed(
            kind,
            node,
            f"{it.clause} cannot contain aggregations, window functions or grouping operations: [{shown}]",
        )
    if not windowed and all(one.window for one in signatures):
        raise failed("MISSING_OVER", node, f"Window function '{name}' requires an OVER clause")
    if windowed:
        return _window(it, name, signatures, nodes, node)
    if it.inside_aggregate:
        raise failed(
            "NESTED_AGGREGATION",
            node,
            f"Cannot nest aggregations inside aggregation '{name}': [{literals.source_text(node)}]",
        )
    it.inside_aggregate = True
    try:
        sql, result, parts = _marked(it, name, signatures, nodes, node, over="")
    finally:
        it.inside_aggregate = False
    if any(one.window for one in parts):
        message = f"Cannot nest window functions or row pattern measures inside aggregation '{name}'"
        raise failed("NESTED_WINDOW", node, message)
    return made_from(sql, result, *parts, aggregate=True, ungrouped=(), opaque=(sql,))


def _window(it: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any) -> Expr:
    from local_athena.duck.sql.windows import window

    over, parts, partition = window(it, node.over())
    sql, result, inner = _marked(it, name, signatures, nodes, node, over=f" OVER ({over})")
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
    it: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any, over: str
) -> tuple[str, DataType, list[Expr]]:
    """Return the call's SQL with DISTINCT, ORDER BY, FILTER and OVER put where the template marks them."""
    values = [it.analyze(one) for one in nodes]
    signature, found = choose(name, signatures, [one.type for one in values], node)
    arguments = [
        convert(value, substitute(pattern, found, value.type), node)
        for pattern, value in zip(patterns_for(signature, len(values)), values, strict=True)
    ]
    result = substitute(signature.result, found)
    call = Call(
        tuple(one.sql for one in arguments),
        tuple(one.type for one in arguments),
        tuple(one.literal for one in arguments),
        result,
        node,
        it,
    )
    template = signature.body(call) if callable(signature.body) else _plain(signature.body, call)
    extras, parts = _extras(it, name, template, node)
    marks = {
        "@D": extras["distinct"],
        "@O": extras["order"],
        "@N": extras["nulls"],
        "@F": extras["filter"] + over,
    }
    sql = _MARK.sub(lambda one: marks.get(one.group(0), one.group(0)), template)
    return sql.replace("RESULT", result.duckdb) if name == "histogram" else sql, result, [*arguments, *parts]


def _plain(template: str, call: Call) -> str:
    """Fill a template without ``let``: DISTINCT and FILTER must stay inside the aggregate."""
    by_instant = [
        f"({sql}).t"
        if kind.name == "timestamp with time zone" and template.startswith("arg_") and at == 1
        else sql
        for at, (sql, kind) in enumerate(zip(call.arguments, call.types, strict=True))
    ]
    return re.sub(r"\{(\d)\}", lambda slot: by_instant[int(slot.group(1))], template)


def _extras(it: Expressions, name: str, template: str, node: Any) -> tuple[dict[str, str], list[Expr]]:
    distinct = node.setQuantifier() is not None and node.setQuantifier().DISTINCT() is not None
    parts: list[Expr] = []
    extras = {"distinct": "DISTINCT " if distinct else "", "order": "", "nulls": "", "filter": ""}
    if distinct and "@D" not in template and "DISTINCT" not in template:
        raise unsupported(node, f"DISTINCT in {name}")
    if node.sortItem():
        keys = [it.analyze(item.expression()) for item in node.sortItem()]
        order = ", ".join(it.sort_key(item, key) for item, key in zip(node.sortItem(), keys, strict=True))
        extras["order"] = f" ORDER BY {order}"
        parts += keys
        if "@O" not in template:
            extras["order"] = ""  # the order of the rows does not change such a result
    if node.filter_():
        condition = it.boolean(
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


def listagg(it: Expressions, node: Any) -> Expr:
    """``LISTAGG(value, separator) WITHIN GROUP (ORDER BY …)``."""
    if it.inside_aggregate or it.clause is not None:
        raise failed("EXPRESSION_NOT_SCALAR", node, "LISTAGG is not allowed here")
    if node.listAggOverflowBehavior() is not None and not node.listAggOverflowBehavior().ERROR():
        raise unsupported(node, "LISTAGG ON OVERFLOW TRUNCATE")
    it.inside_aggregate = True
    try:
        value = convert(it.analyze(node.expression()), VARCHAR, node)
        keys = [it.analyze(item.expression()) for item in node.sortItem()]
    finally:
        it.inside_aggregate = False
    separator = text(literals.string(node.string())) if node.string() else "''"
    order = ", ".join(it.sort_key(item, key) for item, key in zip(node.sortItem(), keys, strict=True))
    distinct = "DISTINCT " if node.setQuantifier() and node.setQuantifier().DISTINCT() else ""
    sql = f"string_agg({distinct}{value.sql}, {separator} ORDER BY {order})"
    return made_from(sql, VARCHAR, value, *keys, aggregate=True, ungrouped=(), opaque=(sql,))
