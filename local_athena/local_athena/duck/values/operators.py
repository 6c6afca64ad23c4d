"""Trino's operators on typed expressions, as DuckDB SQL."""

from __future__ import annotations

from typing import Any

from local_athena.data.types import (
    BIGINT,
    DATE,
    DAY_TO_SECOND,
    DOUBLE,
    INTERVAL_DAY,
    TIMESTAMP_TZ,
    UNKNOWN,
    VARCHAR,
    YEAR_TO_MONTH,
    DataType,
    decimal,
)
from local_athena.duck.errors import failed, mismatch
from local_athena.duck.values.casts import cast
from local_athena.duck.values.comparisons import comparison_key
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr, made_from
from local_athena.duck.values.snippets import ensure, fill, let, local, zoned
from local_athena.duck.values.text_casts import rounded
from local_athena.duck.values.type_coercion import (
    INTEGRAL,
    MAX_CHAR,
    MAX_PRECISION,
    NUMERIC,
    as_decimal,
    common_of,
    common_type,
    is_text,
)
from local_athena.errors import QueryFailed

DIVISION_BY_ZERO = "'DIVISION_BY_ZERO: Division by zero'"


def negate(value: Expr, node: Any) -> Expr:
    """``-x``."""
    if value.type.name not in NUMERIC | {DAY_TO_SECOND, YEAR_TO_MONTH}:
        raise mismatch(node, f"Cannot negate {value.type.trino}")
    return made_from(f"(-{value.sql})", value.type, value)


def arithmetic(left: Expr, operator: str, right: Expr, node: Any) -> Expr:
    """``+ - * / %`` on numbers, and on dates, times and intervals."""
    if left.type.name == "unknown" or right.type.name == "unknown":
        other = left.type if right.type.name == "unknown" else right.type
        left, right = (
            convert(side, other, node) if side.type.name == "unknown" else side for side in (left, right)
        )
    found = None
    if left.type.name in NUMERIC and right.type.name in NUMERIC:
        found = _numbers(left, operator, right, node)
    else:
        found = _moments(left, operator, right)
    if found is None:
        raise mismatch(node, f"Cannot apply operator: {left.type.trino} {operator} {right.type.trino}")
    sql, kind = found
    return made_from(sql, kind, left, right)


def _numbers(left: Expr, operator: str, right: Expr, node: Any) -> tuple[str, DataType]:
    shared = common_type(left.type, right.type)
    assert shared is not None  # numbers always share a type
    if shared.name == "decimal":
        return _decimals(left, operator, right)
    one, other = convert(left, shared, node).sql, convert(right, shared, node).sql
    if operator == "/" and shared.name in INTEGRAL:
        return fill(_unless_zero(right, "{0} // {1}"), [one, other]), shared
    if operator == "%" and shared.name in INTEGRAL:
        return fill(_unless_zero(right, "{0} % {1}"), [one, other]), shared
    return f"({one} {operator} {other})", shared


def _unless_zero(divisor: Expr, value: str) -> str:
    if divisor.is_literal and divisor.literal:
        return f"({value})"
    return "(" + ensure("{1} = 0", DIVISION_BY_ZERO, value) + ")"


def _decimals(left: Expr, operator: str, right: Expr) -> tuple[str, DataType]:
    kinds = as_decimal(left.type), as_decimal(right.type)
    (p1, s1), (p2, s2) = kinds[0].parameters, kinds[1].parameters
    one, other = (cast(side.sql, side.type, kind) for side, kind in zip((left, right), kinds, strict=True))
    scale = max(s1, s2)
    if operator in "+-":
        kind = decimal(min(MAX_PRECISION, max(p1 - s1, p2 - s2) + scale + 1), scale)
        sides = [f"CAST({side} AS {kind.duckdb})" for side in (one, other)]
        return f"CAST({sides[0]} {operator} {sides[1]} AS {kind.duckdb})", kind
    if operator == "*":
        kind = decimal(min(MAX_PRECISION, p1 + p2), min(MAX_PRECISION, s1 + s2))
        return f"CAST({one} * {other} AS {kind.duckdb})", kind
    if operator == "/":
        kind = decimal(min(MAX_PRECISION, p1 + s2 + max(0, s2 - s1)), scale)
        value = divide(unscaled(one, s1), unscaled(other, s2), scale + s2 - s1, scale)
        return f"CAST({value} AS {kind.duckdb})", kind
    kind = decimal(max(1, min(p2 - s2, p1 - s1) + scale), scale)
    wide = decimal(min(MAX_PRECISION, max(p1 - s1, p2 - s2) + scale), scale).duckdb
    value = _unless_zero(right, f"CAST(CAST({{0}} AS {wide}) % CAST({{1}} AS {wide}) AS {kind.duckdb})")
    return fill(value, [one, other]), kind


def unscaled(sql: str, scale: int) -> str:
    """Return a decimal's digits as an integer."""
    if scale == 0:
        return f"CAST({sql} AS HUGEINT)"
    return f"CAST(replace(CAST({sql} AS VARCHAR), '.', '') AS HUGEINT)"


def divide(numerator: str, denominator: str, shift: int, scale: int) -> str:
    """Return a decimal of ``scale``: two integers divided after ``shift`` more digits, rounded half up."""
    power = f"CAST('1{'0' * abs(shift)}' AS HUGEINT)"
    above, below = ("{0} * " + power, "{1}") if shift >= 0 else ("{0}", "{1} * " + power)
    quotient = (
        f"(({above}) // ({below}) + CASE WHEN 2 * abs(({above}) % ({below})) >= abs({below}) "
        "THEN CASE WHEN ({0} < 0) = ({1} < 0) THEN 1 ELSE -1 END ELSE 0 END)"
    )
    smallest = "1" if scale == 0 else "0." + "0" * (scale - 1) + "1"
    scaled = f"CAST({quotient} AS DECIMAL(38,0)) * CAST('{smallest}' AS DECIMAL({scale + 1},{scale}))"
    return fill(ensure("{1} = 0", DIVISION_BY_ZERO, scaled), [numerator, denominator])


# --- dates, times, intervals ---

_INTERVALS = (DAY_TO_SECOND, YEAR_TO_MONTH)


def _moments(left: Expr, operator: str, right: Expr) -> tuple[str, DataType] | None:
    if right.type.name in _INTERVALS and operator in ("+", "-"):
        if left.type == right.type:
            return f"({left.sql} {operator} {right.sql})", left.type
        return _shifted(left.sql, left.type, operator, right)
    if left.type.name in _INTERVALS and operator == "+":
        return _shifted(right.sql, right.type, operator, left)
    if operator == "-":
        return _difference(left, right)
    if operator in ("*", "/"):
        return _scaled(left, operator, right)
    return None


def _shifted(sql: str, kind: DataType, operator: str, by: Expr) -> tuple[str, DataType] | None:
    months = by.type.name == YEAR_TO_MONTH
    amount = by.sql if operator == "+" else f"(-{by.sql})"
    if kind == DATE:
        if months:
            return f"CAST({sql} + to_months(CAST({amount} AS INTEGER)) AS DATE)", DATE
        message = "'INVALID_FUNCTION_ARGUMENT: Cannot add hour, minutes or seconds to a date'"
        days = ensure("{1} % 86400000 <> 0", message, "{0} + CAST({1} // 86400000 AS INTEGER)")
        return f"({fill(days, [sql, amount])})", DATE
    step = f"to_months(CAST({amount} AS INTEGER))" if months else f"to_milliseconds({amount})"
    if kind.name == "timestamp":
        return f"({sql} + {step})", kind
    if kind.name == TIMESTAMP_TZ:
        if months:
            return let(sql, lambda it: zoned(f"({local(it)} + {step})", f"{it}.z")), kind
        return fill(
            f"CASE WHEN {{0}} IS NOT NULL THEN struct_pack(t := {{0}}.t + {step}, z := {{0}}.z) END", [sql]
        ), kind
    if kind.name == "time" and not months:
        return f"CAST(DATE '1970-01-01' + {sql} + {step} AS TIME)", kind
    return None


def _difference(left: Expr, right: Expr) -> tuple[str, DataType] | None:
    shared = common_type(left.type, right.type)
    if shared is None:
        return None
    if shared == DATE:
        return f"(CAST({left.sql} - {right.sql} AS BIGINT) * 86400000)", INTERVAL_DAY
    if shared.name in ("timestamp", TIMESTAMP_TZ):
        one, other = (comparison_key(convert(side, shared)) for side in (left, right))
        return f"(epoch_ms({rounded(one, 6, 3)}) - epoch_ms({rounded(other, 6, 3)}))", INTERVAL_DAY
    if shared.name == "time":
        return f"((epoch_us({left.sql}) - epoch_us({right.sql})) // 1000)", INTERVAL_DAY
    return None


def _scaled(left: Expr, operator: str, right: Expr) -> tuple[str, DataType] | None:
    if left.type.name in _INTERVALS and right.type.name in NUMERIC:
        span, number = left, right
    elif right.type.name in _INTERVALS and left.type.name in NUMERIC and operator == "*":
        span, number = right, left
    else:
        return None
    if number.type.name not in INTEGRAL:
        factor = convert(number, DOUBLE).sql
        return _interval(f"trunc({span.sql} {operator} {factor})", span.type), span.type
    factor = convert(number, BIGINT).sql
    if operator == "*":
        return _interval(f"CAST({span.sql} AS HUGEINT) * {factor}", span.type), span.type
    return fill(_unless_zero(number, "{0} // {1}"), [span.sql, factor]), span.type


def _interval(sql: str, kind: DataType) -> str:
    """Return a number as an interval. What is too great turns over in Trino, or becomes the greatest."""
    greatest = 2**31 - 1 if kind.name == YEAR_TO_MONTH else 2**63 - 1
    bad = f"{{0}} > {greatest} OR {{0}} < {-greatest - 1}"
    message = f"'NOT_SUPPORTED: The local Athena has no {kind.trino} that is so long'"
    return f"({fill(ensure(bad, message, 'CAST({0} AS BIGINT)'), [sql])})"


def concatenate(left: Expr, right: Expr, node: Any) -> Expr:
    """``||`` on texts, binaries and arrays."""
    if left.type == UNKNOWN or right.type == UNKNOWN:
        return _concatenate_null(left, right, node)
    if left.type.name == "array" or right.type.name == "array":
        return _concatenate_arrays(left, right, node)
    shared = common_type(left.type, right.type)
    if shared is not None and shared.name == "varbinary":
        return made_from(f"({left.sql} || {right.sql})", shared, left, right)
    if is_text(left.type) and is_text(right.type):
        kind = VARCHAR
        if "char" in (left.type.name, right.type.name):
            length = sum((*side.type.parameters, MAX_CHAR)[0] for side in (left, right))
            if length > MAX_CHAR:
                raise failed("TYPE_NOT_FOUND", node, f"Unknown type: char({length})")
            kind = DataType("char", (length,))
        one, other = (convert(side, VARCHAR, node).sql for side in (left, right))
        return made_from(f"({one} || {other})", kind, left, right)
    raise _no_concat(left, right, node)


def _no_concat(left: Expr, right: Expr, node: Any) -> QueryFailed:
    types = f"({left.type.trino}, {right.type.trino})"
    return failed("FUNCTION_NOT_FOUND", node, f"Unexpected parameters {types} for function concat")


def _concatenate_null(left: Expr, right: Expr, node: Any) -> Expr:
    """NULL is an array of what it is joined to where that has a length; Trino finds no best type else."""
    other = right if left.type == UNKNOWN else left
    if not (is_text(other.type) and other.type.parameters):
        message = (
            "Could not choose a best candidate operator. Explicit type casts must be added.\n"
            f"Candidates are ({left.type.trino}, {right.type.trino})"
        )
        raise failed("AMBIGUOUS_FUNCTION_CALL", node, message)
    kind = DataType("array", (), (other.type,))
    return made_from(f"CAST(NULL AS {kind.duckdb})", kind, left, right)


def _concatenate_arrays(left: Expr, right: Expr, node: Any) -> Expr:
    inner = [side.type.children[0] if side.type.name == "array" else side.type for side in (left, right)]
    shared = common_of(inner)
    if shared is None:
        raise _no_concat(left, right, node)
    kind = DataType("array", (), (shared,))
    sides = [
        convert(side, kind, node).sql if side.type.name == "array" else f"[{convert(side, shared, node).sql}]"
        for side in (left, right)
    ]
    # DuckDB's || takes a NULL array for an empty one.
    return made_from(
        fill("CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN list_concat({0}, {1}) END", sides),
        kind,
        left,
        right,
    )
