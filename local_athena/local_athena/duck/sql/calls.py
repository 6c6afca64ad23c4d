"""Function calls: which signature is meant, its SQL, and what DISTINCT, FILTER, ORDER BY and OVER add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local_athena.data.types import UNKNOWN
from local_athena.duck.errors import failed, mismatch, unsupported
from local_athena.duck.functions.overloads import choose
from local_athena.duck.functions.registry import KNOWN_BUT_MISSING, registry
from local_athena.duck.functions.signatures import (
    Bindings,
    FunctionCall,
    Pattern,
    Signature,
    bind,
    patterns_for,
    substitute,
)
from local_athena.duck.sql.aggregate_calls import aggregate_or_window
from local_athena.duck.sql.context import Expressions
from local_athena.duck.sql.special_forms import SPECIALS
from local_athena.duck.values import literals
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import NOT_LITERAL, Expr, made_from
from local_athena.duck.values.snippets import Lambda, fill


def function_call(analyzer: Expressions, node: Any) -> Expr:
    """Analyse a call as the user wrote it."""
    parts = literals.qualified(node.qualifiedName())
    name = parts[-1]
    if len(parts) > 1:
        raise failed("FUNCTION_NOT_FOUND", node, f"Function '{'.'.join(parts)}' not registered")
    if node.processingMode():
        raise unsupported(node, "Row pattern recognition")
    nodes = list(node.expression())
    if name in SPECIALS:
        found = _special(analyzer, name, nodes, node)
        if found is not None:
            return found
    signatures = _known(name, node)
    if any(one.aggregate or one.window for one in signatures):
        return aggregate_or_window(analyzer, name, signatures, nodes, node)
    _refuse_extras(node, name)
    return _scalar(analyzer, name, signatures, nodes, node)


def call_named(analyzer: Expressions, name: str, arguments: Sequence[Expr], node: Any) -> Expr:
    """Call a scalar function of ours with analysed arguments."""
    return _resolve(analyzer, name, registry()[name], arguments, [None] * len(arguments), node)


def _special(analyzer: Expressions, name: str, nodes: list[Any], node: Any) -> Expr | None:
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
    return form(analyzer, nodes, node)


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


def _scalar(
    analyzer: Expressions, name: str, signatures: list[Signature], nodes: list[Any], node: Any
) -> Expr:
    lambdas = [_is_lambda(one) for one in nodes]
    arguments = [
        Expr("", UNKNOWN) if function is not None else analyzer.analyze(one)
        for one, function in zip(nodes, lambdas, strict=True)
    ]
    return _resolve(analyzer, name, signatures, arguments, lambdas, node)


def _resolve(
    analyzer: Expressions,
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
            converted[position] = _lambda(analyzer, function, patterns[position], found)
    result = substitute(signature.result, found)
    call = FunctionCall(
        tuple(one.sql for one in converted),
        tuple(one.type for one in converted),
        tuple(before.literal if before.is_literal else NOT_LITERAL for before in arguments),
        result,
        node,
        analyzer,
    )
    sql = signature.body(call) if callable(signature.body) else _filled(signature.body, call)
    changes: dict[str, Any] = {"volatile": True, "opaque": (sql,)} if signature.volatile else {}
    return made_from(sql, result, *converted, **changes)


def _filled(template: str, call: FunctionCall) -> str:
    return fill(template, list(call.arguments))


def _lambda(analyzer: Expressions, node: Any, pattern: Pattern, found: Bindings) -> Expr:
    """Analyse a lambda whose parameters' types are known; what it returns binds the rest."""
    names: list[str] = [literals.identifier(one) for one in node.identifier()]
    *wanted, returned = pattern.children
    if len(names) != len(wanted):
        raise failed(
            "INVALID_PARAMETER_USAGE",
            node,
            f"Expected a lambda that takes {len(wanted)} argument(s) but got {len(names)}",
        )
    symbols = analyzer.lambda_symbols(names)
    known = {
        name: Expr(f'"{symbol}"', substitute(kind, found))
        for name, symbol, kind in zip(names, symbols, wanted, strict=True)
    }
    with analyzer.lambda_names(known):
        body = analyzer.analyze(node.expression())
    if body.subquery:
        raise failed("NOT_SUPPORTED", node, "Lambda expression cannot contain subqueries")
    if not returned.is_variable or returned.name in found.types:
        target = substitute(returned, found)
        body = convert(body, target, node) if body.type != target else body
    elif not bind(returned, body.type, found, convert=True):
        raise mismatch(node, f"Unexpected type of lambda: {body.type.trino}")
    return made_from(Lambda(tuple(symbols), body.sql), body.type, body)
