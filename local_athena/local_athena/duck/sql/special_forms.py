"""Functions that are forms of Trino's language rather than functions, and typed literals."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from local_athena.data.types import BIGINT, DATE, DOUBLE, UNKNOWN, VARCHAR, DataType, decimal
from local_athena.duck.errors import failed, mismatch, unsupported
from local_athena.duck.sql.context import Expressions
from local_athena.duck.sql.typed_literals import now
from local_athena.duck.values.casts import text_of
from local_athena.duck.values.comparisons import compare
from local_athena.duck.values.conversions import attempt, convert, unify
from local_athena.duck.values.operators import arithmetic, concatenate
from local_athena.duck.values.scope import Expr, made_from
from local_athena.duck.values.snippets import fill, text
from local_athena.duck.values.type_coercion import INTEGRAL, MAX_PRECISION, NUMERIC, coercible, orderable

EXTRACTED = {
    "year": "year", "quarter": "quarter", "month": "month", "week": "week", "day": "day",
    "day_of_month": "day", "day_of_week": "day_of_week", "dow": "day_of_week", "day_of_year":
    "day_of_year", "doy": "day_of_year", "year_of_week": "year_of_week", "yow": "year_of_week", "hour":
    "hour", "minute": "minute", "second": "second", "timezone_minute": "timezone_minute",
    "timezone_hour": "timezone_hour",
}  # fmt: skip


def fits(kind: DataType, wanted: DataType) -> bool:
    """Tell whether a value of one type may stand for another."""
    return coercible(kind, wanted)


# --- conditional functions ---


def _if(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    condition = analyzer.boolean(nodes[0], "IF condition must be a boolean (actual: {})")
    results = unify(
        [analyzer.analyze(one) for one in nodes[1:]], node, "Result types for IF must be the same: {}"
    )
    otherwise = f" ELSE {results[1].sql}" if len(results) == 2 else ""
    return made_from(
        f"CASE WHEN {condition.sql} THEN {results[0].sql}{otherwise} END",
        results[0].type,
        condition,
        *results,
    )


def _coalesce(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    values = unify(
        [analyzer.analyze(one) for one in nodes], node, "All COALESCE operands must be the same type: {}"
    )
    return made_from(f"coalesce({', '.join(value.sql for value in values)})", values[0].type, *values)


def _nullif(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    first, second = (analyzer.analyze(one) for one in nodes)
    equal = compare(first, "=", second, node)
    return made_from(f"CASE WHEN {equal.sql} THEN NULL ELSE {first.sql} END", first.type, first, second)


def _try(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    return attempt(analyzer.analyze(nodes[0]))


def _typeof(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    value = analyzer.analyze(nodes[0])
    return Expr(text(value.type.trino), VARCHAR, value.fields, value.ungrouped, literal=value.type.trino)


def _extreme(function: str) -> Callable[[Expressions, list[Any], Any], Expr]:
    def found(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
        """Greatest and least are NULL when any value is; DuckDB's pass over NULLs."""
        types = "All arguments must be of the same type: {}"
        values = unify([analyzer.analyze(one) for one in nodes], node, types)
        if not orderable(values[0].type):
            raise mismatch(node, f"{function} is not applicable to {values[0].type.trino}")
        present = " AND ".join(f"{value.sql} IS NOT NULL" for value in values)
        sides = [value.sql for value in values]
        if function == "greatest" and values[0].type.name in ("double", "real"):  # a NaN is above nothing
            numbers = ", ".join(f"CASE WHEN NOT isnan({side}) THEN {side} END" for side in sides)
            sides = [f"coalesce(greatest({numbers}), {sides[0]})"]
        chosen = f"{function}({', '.join(sides)})"
        return made_from(f"CASE WHEN {present} THEN {chosen} END", values[0].type, *values)

    return found


def _concat(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    if len(nodes) < 2:
        raise failed("INVALID_FUNCTION_ARGUMENT", node, "There must be two or more concatenation arguments")
    result, *others = (analyzer.analyze(one) for one in nodes)
    if others[1:]:  # of two it is the operator's own choice what NULL is
        result, *others = (convert(one, VARCHAR) if one.type == UNKNOWN else one for one in (result, *others))
    for other in others:
        result = concatenate(result, other, node)
    return result


def _concat_ws(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr | None:
    values = [analyzer.analyze(one) for one in nodes]
    if len(values) == 2 and values[1].type.name == "array":
        return None
    parts = [convert(value, VARCHAR, node) for value in values if fits(value.type, VARCHAR)]
    if len(parts) != len(values):
        return None
    joined = f"array_to_string([{', '.join(part.sql for part in parts[1:])}], {parts[0].sql})"
    return made_from(joined if len(parts) > 1 else fill("substr({0}, 1, 0)", [parts[0].sql]), VARCHAR, *parts)


def _mod(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    return arithmetic(analyzer.analyze(nodes[0]), "%", analyzer.analyze(nodes[1]), node)


def _sign(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr | None:
    value = analyzer.analyze(nodes[0])
    if value.type.name != "decimal":
        return None
    kind = decimal(1, 0)
    return made_from(f"CAST(sign({value.sql}) AS {kind.duckdb})", kind, value)


def _date(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    return convert(analyzer.analyze(nodes[0]), DATE, node)


def _now(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    return now(analyzer.analysis.now, "current_timestamp", node)


def _rounding(function: str) -> Callable[[Expressions, list[Any], Any], Expr | None]:
    """Return Rounding of decimals, whose result has a type of its own; other numbers are in the tables."""

    def found(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr | None:
        value = analyzer.analyze(nodes[0])
        if value.type.name != "decimal":
            return None
        precision, scale = value.type.parameters
        if len(nodes) == 2:
            digits = convert(analyzer.analyze(nodes[1]), BIGINT, node)
            kind = value.type if function == "trunc" else decimal(min(MAX_PRECISION, precision + 1), scale)
            if not isinstance(digits.literal, int) and not isinstance(
                analyzer.analyze(nodes[1]).literal, int
            ):
                raise unsupported(node, "Rounding a decimal to a number of digits that is not a literal")
            places = int(analyzer.analyze(nodes[1]).literal)
            wide = f"CAST({value.sql} AS {kind.duckdb})"
            sql = wide if places >= scale else f"{function}({wide}, {places})"
            return made_from(f"CAST({sql} AS {kind.duckdb})", kind, value)
        whole = precision - scale + (0 if function == "trunc" else min(scale, 1))
        kind = decimal(max(1, min(MAX_PRECISION, whole)), 0)
        return made_from(f"CAST({function}({value.sql}) AS {kind.duckdb})", kind, value)

    return found


# --- format ---

_FORMAT_PIECE = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(]*)(\d+)?(\.\d+)?([a-zA-Z%])|[^%]+|%")


def _format(analyzer: Expressions, nodes: list[Any], node: Any) -> Expr:
    """Java's format, for a literal pattern of %s, %d, %f, %e, %x, %b."""
    pattern = analyzer.analyze(nodes[0])
    if not isinstance(pattern.literal, str):
        raise unsupported(node, "A format that is not a literal")
    values = [analyzer.analyze(one) for one in nodes[1:]]
    pieces, following = [], 0
    for found in _FORMAT_PIECE.finditer(pattern.literal):
        index, _, _, _, letter = found.groups()
        if letter is None or letter in "%n":
            pieces.append(text({"%": "%", "n": "\n"}.get(letter or "", found.group(0))))
            continue
        at = int(index) - 1 if index else following
        following += 0 if index else 1
        if at >= len(values):
            raise failed("INVALID_FUNCTION_ARGUMENT", node, f"Format specifier '{found.group(0)}'")
        pieces.append(_formatted(found, values[at], node))
    return made_from(f"concat({', '.join(pieces)})" if pieces else "''", VARCHAR, *values)


def _formatted(found: re.Match[str], value: Expr, node: Any) -> str:
    _, flags, width, precision, letter = found.groups()
    layout = f"%{flags}{width or ''}{precision or ''}"
    if letter == "s" or letter == "b":
        shown = text_of(value.sql, value.type)
        if value.type.name in ("double", "real"):
            shown = f"CAST({value.sql} AS VARCHAR)"
        if not flags and not width:
            return f"coalesce({shown}, 'null')"
        return f"printf({text(layout + 's')}, coalesce({shown}, 'null'))"
    if letter in "dx" and value.type.name in INTEGRAL:
        return f"printf({text(layout + letter)}, CAST({value.sql} AS BIGINT))"
    if letter in "fe" and value.type.name in NUMERIC and value.type.name not in INTEGRAL:
        layout = layout if precision else layout + ".6"
        return f"printf({text(layout + letter)}, {convert(value, DOUBLE, node).sql})"
    if letter in "dfex":
        message = f"Invalid format string: {letter} != {value.type.trino}"
        raise failed("INVALID_FUNCTION_ARGUMENT", node, message)
    raise unsupported(node, f"'{found.group(0)}' in format")


Special = Callable[["Expressions", list[Any], Any], Expr | None]
# name -> (fewest arguments, most arguments, how)
SPECIALS: dict[str, tuple[int, int, Special]] = {
    "if": (2, 3, _if),
    "coalesce": (2, 1000, _coalesce),
    "nullif": (2, 2, _nullif),
    "try": (1, 1, _try),
    "typeof": (1, 1, _typeof),
    "greatest": (1, 127, _extreme("greatest")),
    "least": (1, 127, _extreme("least")),
    "concat": (1, 254, _concat),
    "concat_ws": (1, 254, _concat_ws),
    "mod": (2, 2, _mod),
    "sign": (1, 1, _sign),
    "date": (1, 1, _date),
    "now": (0, 0, _now),
    "format": (2, 254, _format),
    "ceil": (1, 1, _rounding("ceil")),
    "ceiling": (1, 1, _rounding("ceil")),
    "floor": (1, 1, _rounding("floor")),
    "round": (1, 2, _rounding("round")),
    "truncate": (1, 2, _rounding("trunc")),
}
