"""CASE, with an operand or with conditions."""

from __future__ import annotations

from typing import Any

from local_athena.duck.sql.context import Expressions
from local_athena.duck.values.comparisons import compare
from local_athena.duck.values.conversions import unify
from local_athena.duck.values.scope import Expr, made_from


def simple_case(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``CASE x WHEN y THEN …``."""
    operand = analyzer.analyze(node.operand)
    branches = node.whenClause()
    wanted = [analyzer.analyze(branch.condition) for branch in branches]
    operand, *wanted = unify(
        [operand, *wanted], node, "CASE operand type does not match WHEN clause operand types: {}"
    )
    results = _case_results(analyzer, node, branches)
    equal = [compare(operand, "=", when, node).sql for when in wanted]
    whens = "".join(
        f" WHEN {condition} THEN {result.sql}" for condition, result in zip(equal, results, strict=False)
    )
    otherwise = f" ELSE {results[-1].sql}" if node.elseExpression is not None else ""
    sql = f"CASE{whens}{otherwise} END"
    return made_from(sql, results[0].type, operand, *wanted, *results)


def searched_case(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``CASE WHEN condition THEN …``."""
    branches = node.whenClause()
    message = "CASE WHEN clause must evaluate to a boolean (actual: {})"
    conditions = [analyzer.boolean(branch.condition, message) for branch in branches]
    results = _case_results(analyzer, node, branches)
    whens = "".join(
        f" WHEN {condition.sql} THEN {result.sql}"
        for condition, result in zip(conditions, results, strict=False)
    )
    otherwise = f" ELSE {results[-1].sql}" if node.elseExpression is not None else ""
    return made_from(f"CASE{whens}{otherwise} END", results[0].type, *conditions, *results)


def _case_results(analyzer: Expressions, node: Any, branches: list[Any]) -> list[Expr]:
    results = [analyzer.analyze(branch.result) for branch in branches]
    if node.elseExpression is not None:
        results.append(analyzer.analyze(node.elseExpression))
    return unify(
        results,
        node,
        "All CASE results must be the same type or coercible to a common type. "
        "Cannot find common type between {}",
    )
