"""Casts from text: what Trino reads as a number, a date or a moment, and its words for what it does not."""

from __future__ import annotations

from local_athena.data.types import TIMESTAMP_TZ, DataType
from local_athena.duck.errors import CastRefusedError
from local_athena.duck.values.snippets import ensure, fill, let, text, zoned
from local_athena.duck.values.type_coercion import INTEGRAL

_SHORT_NAMES = {"integer": "INT"}  # as Trino's messages have it

_NUMBER_TEXT = r"\s*[+-]?(NaN|Infinity|([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?)\s*"

_DATE_TEXT = r"\s*[+-]?[0-9]{1,6}-[0-9]{1,2}-[0-9]{1,2}\s*"

_CLOCK_TEXT = r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\.[0-9]{1,12})?)?"

_TIMESTAMP_TEXT = rf"\s*[+-]?[0-9]{{1,6}}-[0-9]{{1,2}}-[0-9]{{1,2}}( {_CLOCK_TEXT})?\s*"

_ZONE_TEXT = r"[+-][0-9]{1,2}:?[0-9]{2}|[A-Za-z][A-Za-z0-9_/+\-]*"

_HEX = "[0-9a-fA-F]"  # repeated by hand: braces are slots in a template

UUID_TEXT = "-".join(_HEX * digits for digits in (8, 4, 4, 4, 12))


def from_text(sql: str, target: DataType) -> str:
    """Return SQL for a cast of text. Raises CastRefusedError when Trino has no such cast."""
    kind = target.name
    if kind in INTEGRAL:
        wanted = _SHORT_NAMES.get(kind, kind.upper())
        message = f"concat('Cannot cast ''', {{0}}, ''' to {wanted}')"
        return _parsed(sql, r"\s*[+-]?[0-9]+\s*", target, message)
    if kind in ("double", "real"):
        message = f"concat('Cannot cast ''', {{0}}, ''' to {kind.upper()}')"
        return _parsed(sql, _NUMBER_TEXT, target, message, "rtrim(trim({0}), 'dDfF')")
    if kind == "decimal":
        precision, scale = target.parameters
        tail = f"to DECIMAL({precision}, {scale}). Value is not a number."
        message = f"concat('Cannot cast VARCHAR ''', {{0}}, ''' {tail}')"
        return _parsed(sql, r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", target, message)
    if kind == "boolean":
        message = "concat('INVALID_CAST_ARGUMENT: Cannot cast ''', {0}, ''' to BOOLEAN')"
        known = "lower({0}) IN ('t', 'true', '1', 'f', 'false', '0')"
        return fill(ensure(f"NOT {known}", message, "lower({0}) IN ('t', 'true', '1')"), [sql])
    if kind == "date":
        return _parsed(sql, _DATE_TEXT, target, "concat('Value cannot be cast to date: ', {0})", "trim({0})")
    if kind == "timestamp":
        message = "concat('Value cannot be cast to timestamp: ', {0})"
        return rounded(_parsed(sql, _TIMESTAMP_TEXT, target, message, "trim({0})"), 9, target.parameters[0])
    if kind == TIMESTAMP_TZ:
        return _zoned_text(sql, target)
    if kind == "time":
        return _parsed(
            sql, rf"\s*{_CLOCK_TEXT}\s*", target, "concat('Value cannot be cast to time: ', {0})", "trim({0})"
        )
    return _other_from_text(sql, target)


def _other_from_text(sql: str, target: DataType) -> str:
    if target.name == "varbinary":
        return f"encode({sql})"
    if target.name == "uuid":
        message = "concat('Cannot cast value to UUID: ', {0})"
        return f"lower({_parsed(sql, UUID_TEXT, target, message)})"
    raise CastRefusedError


def _parsed(sql: str, pattern: str, target: DataType, message: str, cleaned: str = "{0}") -> str:
    unread = f"TRY_CAST({cleaned} AS {target.duckdb}) IS NULL"
    bad = f"{{0}} IS NOT NULL AND (NOT regexp_full_match({{0}}, {text(pattern)}) OR {unread})"
    template = ensure(
        bad, f"concat('INVALID_CAST_ARGUMENT: ', {message})", f"CAST({cleaned} AS {target.duckdb})"
    )
    return fill(template, [sql])


def _zoned_text(sql: str, target: DataType) -> str:
    pattern = rf"(\s*[0-9]{{1,6}}-[0-9]{{1,2}}-[0-9]{{1,2}}(?: {_CLOCK_TEXT})?) ?({_ZONE_TEXT})?\s*"

    def parsed(it: str) -> str:
        # DuckDB numbers the groups of the clock too: the zone is the last.
        clock = f"regexp_extract({it}, {text(pattern)}, 1)"
        zone = f"regexp_extract({it}, {text(pattern)}, 4)"
        value = zoned_value(f"TRY_CAST({clock} AS TIMESTAMP)", f"coalesce(nullif({zone}, ''), 'UTC')")
        unread = f"TRY_CAST({clock} AS TIMESTAMP) IS NULL"
        bad = f"{it} IS NOT NULL AND (NOT regexp_full_match({it}, {text(pattern)}) OR {unread})"
        message = f"concat('INVALID_CAST_ARGUMENT: Value cannot be cast to timestamp: ', {it})"
        return ensure(bad, message, value)

    return let(sql, parsed)


def zoned_value(clock: str, zone: str) -> str:
    """Return a timestamp with time zone, whatever way the zone is written."""
    return zoned(clock, zone)


def rounded(sql: str, digits: int, wanted: int) -> str:
    """Return a timestamp of ``digits`` digits of a second, rounded to ``wanted``."""
    if wanted >= min(digits, 6):
        return sql
    unit = 10 ** (6 - wanted)
    return fill(
        f"make_timestamp(CAST(floor((epoch_us({{0}}) + {unit // 2}) / {unit}.0) AS BIGINT) * {unit})", [sql]
    )
