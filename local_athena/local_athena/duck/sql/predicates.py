"""Conditions on a value: comparisons, BETWEEN, IN, LIKE, IS NULL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_athena.data.types import BOOLEAN, UNKNOWN, VARCHAR
from local_athena.duck.errors import failed, mismatch
from local_athena.duck.sql.context import Expressions
from local_athena.duck.sql.relations import Relation
from local_athena.duck.values.comparisons import compare, comparison_key
from local_athena.duck.values.conversions import convert, unify
from local_athena.duck.values.scope import Expr, Field, made_from
from local_athena.duck.values.type_coercion import is_text


def predicate(analyzer: Expressions, value: Expr, node: Any) -> Expr:
    """Analyse a condition on a value."""
    return _PREDICATES[type(node).__name__](analyzer, value, node)


def _comparison(analyzer: Expressions, left: Expr, node: Any) -> Expr:
    operator = node.comparisonOperator()
    sign = operator.getText()
    return compare(left, "<>" if sign == "!=" else sign, analyzer.analyze(node.right), operator)


def _quantified(analyzer: Expressions, left: Expr, node: Any) -> Expr:
    operator = node.comparisonOperator().getText()
    operator = "<>" if operator == "!=" else operator
    quantifier = node.comparisonQuantifier().getText().upper().replace("SOME", "ANY")
    relation, inner = analyzer.subquery(node.query())
    value, selected = _against_subquery(left, relation, node)
    sql = f"({value} {operator} {quantifier} ({selected}))"
    return made_from(sql, BOOLEAN, left, inner, subquery=True, opaque=(sql,))


def _in_subquery(analyzer: Expressions, left: Expr, node: Any) -> Expr:
    relation, inner = analyzer.subquery(node.query())
    value, selected = _against_subquery(left, relation, node)
    word = "NOT IN" if node.NOT() else "IN"
    sql = f"({value} {word} ({selected}))"
    return made_from(sql, BOOLEAN, left, inner, subquery=True, opaque=(sql,))


def _against_subquery(left: Expr, relation: Relation, node: Any) -> tuple[str, str]:
    field = only_column(relation, node)
    right = Expr(field.sql, field.type)
    message = "value and result of subquery must be of the same type for IN expression: {}"
    one, other = unify([left, right], node, message)
    return comparison_key(one), f"SELECT {comparison_key(other)} FROM ({relation.sql})"


def _between(analyzer: Expressions, value: Expr, node: Any) -> Expr:
    message = "Cannot check if {} is BETWEEN"
    parts = unify([value, analyzer.analyze(node.lower), analyzer.analyze(node.upper)], node, message)
    if parts[0].type.name in ("double", "real", "array", "row"):  # whose comparisons are no plain ones
        bounds = compare(parts[0], ">=", parts[1], node).sql, compare(parts[0], "<=", parts[2], node).sql
        sql = f"({'NOT ' if node.NOT() else ''}({' AND '.join(bounds)}))"
        return made_from(sql, BOOLEAN, *parts)
    one, low, high = (comparison_key(part) for part in parts)
    word = "NOT BETWEEN" if node.NOT() else "BETWEEN"
    return made_from(f"({one} {word} {low} AND {high})", BOOLEAN, *parts)


def _in_list(analyzer: Expressions, value: Expr, node: Any) -> Expr:
    items = [analyzer.analyze(item) for item in node.expression()]
    parts = unify([value, *items], node, "IN value and list items must be the same type: {}")
    if parts[0].type.children or parts[0].type.name in ("double", "real"):
        found = " OR ".join(compare(parts[0], "=", item, node).sql for item in parts[1:])
        return made_from(f"({'NOT ' if node.NOT() else ''}({found}))", BOOLEAN, *parts)
    one, *others = (comparison_key(part) for part in parts)
    word = "NOT IN" if node.NOT() else "IN"
    return made_from(f"({one} {word} ({', '.join(others)}))", BOOLEAN, *parts)


def _like(analyzer: Expressions, value: Expr, node: Any) -> Expr:
    pattern = analyzer.analyze(node.pattern)
    escape = analyzer.analyze(node.escape) if node.escape is not None else None
    for what, part in (("Left side of LIKE expression", value), ("Pattern for LIKE expression", pattern)):
        if not is_text(part.type) and part.type != UNKNOWN:
            raise mismatch(node, f"{what} must evaluate to a varchar (actual: {part.type.trino})")
    tail = "" if escape is None else f" ESCAPE {escape.sql}"
    if escape is not None and escape.is_literal and len(str(escape.literal)) != 1:
        raise failed("INVALID_FUNCTION_ARGUMENT", node, "Escape string must be a single character")
    parts = [convert(part, VARCHAR, node) for part in (value, pattern)]
    word = "NOT LIKE" if node.NOT() else "LIKE"
    return made_from(f"({parts[0].sql} {word} {parts[1].sql}{tail})", BOOLEAN, value, pattern)


def _null_predicate(analyzer: Expressions, value: Expr, node: Any) -> Expr:
    return made_from(f"({value.sql} IS {'NOT ' if node.NOT() else ''}NULL)", BOOLEAN, value)


def _distinct_from(analyzer: Expressions, value: Expr, node: Any) -> Expr:
    word = "IS NOT DISTINCT FROM" if node.NOT() else "IS DISTINCT FROM"
    return compare(value, word, analyzer.analyze(node.right), node)


def only_column(relation: Relation, node: Any) -> Field:
    """Return the one column a subquery may have. Raises QueryFailed when it has more."""
    visible = [one for one in relation.fields if not one.hidden]
    if len(visible) != 1:
        raise failed(
            "NOT_SUPPORTED",
            node,
            f"Multiple columns returned by subquery are not yet supported. Found {len(visible)}",
        )
    return visible[0]


_PREDICATES: dict[str, Callable[[Expressions, Expr, Any], Expr]] = {
    "ComparisonContext": _comparison,
    "QuantifiedComparisonContext": _quantified,
    "BetweenContext": _between,
    "InListContext": _in_list,
    "InSubqueryContext": _in_subquery,
    "LikeContext": _like,
    "NullPredicateContext": _null_predicate,
    "DistinctFromContext": _distinct_from,
}
