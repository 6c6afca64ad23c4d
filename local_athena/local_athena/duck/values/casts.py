"""Trino's casts, as DuckDB SQL: what fails in Trino fails here, in Trino's words."""

from __future__ import annotations

from local_athena.data.types import DAY_TO_SECOND, TIMESTAMP_TZ, VARCHAR, YEAR_TO_MONTH, DataType
from local_athena.duck.errors import CastRefusedError
from local_athena.duck.values import json_casts
from local_athena.duck.values.snippets import ensure, fill, let, local, name
from local_athena.duck.values.text_casts import from_text, rounded
from local_athena.duck.values.type_coercion import INTEGRAL, NUMERIC, common_type, is_text

_OTHER_YEAR = "'NOT_SUPPORTED: The local Athena writes no years before 1 or after 9999'"


def cast(sql: str, source: DataType, target: DataType) -> str:
    """Return SQL for ``CAST(sql AS target)``. Raises CastRefusedError when Trino has no such cast."""
    if source == target or (source.name == target.name == "varchar" and not target.parameters):
        return sql
    if source.name == "unknown":
        return f"CAST({sql} AS {target.duckdb})"
    if target.name == "json":
        return json_casts.to_json(sql, source, cast)
    if source.name == "json":
        return json_casts.from_json(sql, target, cast)
    if source.children or target.children:
        return _nested(sql, source, target)
    if is_text(target):
        return _fitted(_to_text(sql, source), source, target)
    if is_text(source):
        return from_text(sql, target)
    if source.name in NUMERIC | {"boolean"} and target.name in NUMERIC | {"boolean"}:
        return _number(sql, source, target)
    return _moment(sql, source, target)


def _nested(sql: str, source: DataType, target: DataType) -> str:
    if source.name != target.name or len(source.children) != len(target.children):
        raise CastRefusedError
    if source.duckdb == target.duckdb and _same_meaning(source, target):
        return sql
    if source.name == "array":
        item = cast('"e"', source.children[0], target.children[0])
        return f'list_transform({sql}, lambda "e": {item})'
    if source.name == "map":
        key = cast('"e"."key"', source.children[0], target.children[0])
        value = cast('"e"."value"', source.children[1], target.children[1])
        entry = f"{{'key': {key}, 'value': {value}}}"
        return f'map_from_entries(list_transform(map_entries({sql}), lambda "e": {entry}))'

    def packed(row: str) -> str:
        cells = (
            f"{name(label)} := {cast(f'{row}.{name(old)}', kind, wanted)}"
            for (old, kind), (label, wanted) in zip(source.fields, target.fields, strict=True)
        )
        return f"CASE WHEN {row} IS NOT NULL THEN struct_pack({', '.join(cells)}) END"

    return let(sql, packed)


def _same_meaning(source: DataType, target: DataType) -> bool:
    """Tell whether two types that DuckDB holds alike also convert without a change of value."""
    if source.children:
        return all(
            _same_meaning(one, other) for one, other in zip(source.children, target.children, strict=True)
        )
    return source == target or (source.name == target.name == "varchar" and not target.parameters)


# --- text ---


def _to_text(sql: str, source: DataType) -> str:
    if source.name in ("double", "real"):
        return _exponential(sql)
    if source.name == "char":
        return f"rpad({sql}, {source.parameters[0]}, ' ')"
    if source.name == "timestamp":
        digits = source.parameters[0]
        return fill(
            ensure("year({0}) NOT BETWEEN 1 AND 9999", _OTHER_YEAR, moment_text("{0}", digits)), [sql]
        )
    if source.name == "date":
        return fill(ensure("year({0}) < 1", _OTHER_YEAR, "CAST({0} AS VARCHAR)"), [sql])
    if source.name == TIMESTAMP_TZ:
        digits = source.parameters[0]
        return let(sql, lambda it: f"{moment_text(local(it), digits)} || ' ' || {it}.z")
    if source.name == "time":
        return f"strftime(DATE '1970-01-01' + {sql}, '%H:%M:%S.%g')"
    if source.name == "varbinary":
        raise CastRefusedError
    if source.name == DAY_TO_SECOND:
        return fill(
            "CASE WHEN {0} < 0 THEN '-' ELSE '' END || (abs({0}) // 86400000) || "
            "strftime(make_timestamp(abs(CAST({0} AS BIGINT)) * 1000), ' %H:%M:%S.%g')",
            [sql],
        )
    if source.name == YEAR_TO_MONTH:
        return fill(
            "CASE WHEN {0} < 0 THEN '-' ELSE '' END || (abs({0}) // 12) || '-' || (abs({0}) % 12)", [sql]
        )
    return sql if source.name == "varchar" else f"CAST({sql} AS VARCHAR)"


def moment_text(sql: str, digits: int) -> str:
    """Return a timestamp's text with that many digits of a second."""
    if digits == 0:
        return f"strftime({sql}, '%Y-%m-%d %H:%M:%S')"
    if digits > 6:
        return f"strftime({sql}, '%Y-%m-%d %H:%M:%S.%n')[1:{20 + digits}]"
    return f"strftime({sql}, '%Y-%m-%d %H:%M:%S.%f')[1:{20 + digits}]"


_NOT_A_NUMBER = (
    "WHEN isnan({0}) THEN 'NaN' WHEN isinf({0}) THEN CASE WHEN {0} > 0 THEN '' ELSE '-' END || 'Infinity'"
)
_DIGITS = "ltrim(replace({1}, '.', ''), '0')"
_WRITTEN_EXPONENT = "coalesce(CAST(nullif(split_part(CAST({0} AS VARCHAR), 'e', 2), '') AS INTEGER), 0)"
_POINT = "length(split_part({1}, '.', 1)) - 1"
_LEADING_ZEROS = f"length(replace({{1}}, '.', '')) - length({_DIGITS})"
_MANTISSA = f"{_DIGITS}[1] || '.' || coalesce(nullif(rtrim({_DIGITS}[2:], '0'), ''), '0')"
_EXPONENTIAL = (
    f"CASE {_NOT_A_NUMBER} ELSE CASE WHEN signbit({{0}}) THEN '-' ELSE '' END "
    f"|| CASE WHEN {{0}} = 0 THEN '0.0E0' ELSE {_MANTISSA} "
    f"|| 'E' || ({_WRITTEN_EXPONENT} + {_POINT} - ({_LEADING_ZEROS})) END END"
)


def _exponential(sql: str) -> str:
    """Write a double as Java's ``0.0###E0`` does: 1.5 is ``1.5E0``."""

    def written(it: str) -> str:
        return fill(_EXPONENTIAL, [it, f"split_part(CAST(abs({it}) AS VARCHAR), 'e', 1)"])

    return let(sql, written)


def _fitted(sql: str, source: DataType, target: DataType) -> str:
    length = target.parameters[0] if target.parameters else None
    if target.name == "char":
        return f"rtrim(substr({sql}, 1, {length}), ' ')"
    if length is None or (is_text(source) and source.parameters and source.parameters[0] <= length):
        return sql
    if is_text(source):
        return f"substr({sql}, 1, {length})"
    message = f"concat('INVALID_CAST_ARGUMENT: Value ', {{0}}, ' cannot be represented as varchar({length})')"
    return fill(ensure(f"length({{0}}) > {length}", message, "{0}"), [sql])


# --- numbers ---


def _number(sql: str, source: DataType, target: DataType) -> str:
    if target.name == "boolean":
        return f"({sql} <> 0)"
    if source.name in ("double", "real") and target.name in INTEGRAL:
        low, high = _LIMITS[target.name]
        bad = f"isnan({{0}}) OR isinf({{0}}) OR {{0}} >= {high}.5 OR {{0}} <= {low}.5"
        message = f"concat('INVALID_CAST_ARGUMENT: Unable to cast ', {{0}}, ' to {target.name}')"
        return fill(ensure(bad, message, f"CAST(round({{0}}) AS {target.duckdb})"), [sql])
    if source.name in INTEGRAL and target.name in INTEGRAL and _wider(target, source):
        return f"CAST({sql} AS {target.duckdb})"
    if target.name in INTEGRAL:
        message = f"concat('NUMERIC_VALUE_OUT_OF_RANGE: Out of range for {target.name}: ', {{0}})"
        bad = f"{{0}} IS NOT NULL AND TRY_CAST({{0}} AS {target.duckdb}) IS NULL"
        return fill(ensure(bad, message, f"CAST({{0}} AS {target.duckdb})"), [sql])
    if target.name == "decimal" and not _holds(source, target):
        precision, scale = target.parameters
        shown = source.trino.upper()
        wanted = f"DECIMAL({precision}, {scale})"
        message = f"concat('INVALID_CAST_ARGUMENT: Cannot cast {shown} ''', {{0}}, ''' to {wanted}')"
        bad = f"{{0}} IS NOT NULL AND TRY_CAST({{0}} AS {target.duckdb}) IS NULL"
        return fill(ensure(bad, message, f"CAST({{0}} AS {target.duckdb})"), [sql])
    return f"CAST({sql} AS {target.duckdb})"


_LIMITS = {
    "tinyint": (-128, 127),
    "smallint": (-32768, 32767),
    "integer": (-2147483648, 2147483647),
    "bigint": (-9223372036854775808, 9223372036854775807),
}


def _wider(target: DataType, source: DataType) -> bool:
    return _LIMITS[target.name][1] >= _LIMITS[source.name][1]


def _holds(source: DataType, target: DataType) -> bool:
    """Tell whether every value of ``source`` fits a decimal."""
    return common_type(source, target) == target


# --- dates and times ---


def _moment(sql: str, source: DataType, target: DataType) -> str:
    pair = (source.name, target.name)
    if pair == ("date", "timestamp"):
        return f"CAST({sql} AS TIMESTAMP)"
    if pair == ("timestamp", "timestamp"):
        narrowed = f"CAST({sql} AS {target.duckdb})" if source.duckdb != target.duckdb else sql
        return rounded(narrowed, source.parameters[0], target.parameters[0])
    if pair == ("timestamp", "date"):
        return f"CAST({sql} AS DATE)"
    if pair in (("timestamp", "time"), ("time", "time")):
        return f"CAST({sql} AS TIME)"
    if target.name == TIMESTAMP_TZ and source.name in ("date", "timestamp"):
        return fill(
            "CASE WHEN {0} IS NOT NULL THEN struct_pack(t := CAST({0} AS TIMESTAMP), z := 'UTC') END", [sql]
        )
    if pair == (TIMESTAMP_TZ, TIMESTAMP_TZ):
        return sql
    if source.name == TIMESTAMP_TZ and target.name in ("date", "timestamp", "time"):
        return f"CAST({local(sql)} AS {target.duckdb})"
    raise CastRefusedError


def text_of(sql: str, source: DataType) -> str:
    """Return SQL for ``CAST(sql AS varchar)``."""
    return cast(sql, source, VARCHAR)
