"""Trino's functions of dates, times and intervals, as DuckDB SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_athena.data.types import TIMESTAMP_TZ
from local_athena.duck.errors import failed, unsupported
from local_athena.duck.functions.iso_time import from_iso_date, from_iso_timestamp, to_iso
from local_athena.duck.functions.signatures import FunctionCall, Signature, parse_signature, parse_table
from local_athena.duck.functions.time_formats import FormatRefusedError, for_parsing, from_joda, from_mysql
from local_athena.duck.values.snippets import ensure, fill, let, local, text, zoned
from local_athena.duck.values.text_casts import rounded

_FIELDS = {
    "year": "CAST(year({0}) AS BIGINT)",
    "quarter": "CAST(quarter({0}) AS BIGINT)",
    "month": "CAST(month({0}) AS BIGINT)",
    "week": "CAST(weekofyear({0}) AS BIGINT)",
    "week_of_year": "CAST(weekofyear({0}) AS BIGINT)",
    "day": "CAST(day({0}) AS BIGINT)",
    "day_of_month": "CAST(day({0}) AS BIGINT)",
    "day_of_week": "CAST(isodow({0}) AS BIGINT)",
    "dow": "CAST(isodow({0}) AS BIGINT)",
    "day_of_year": "CAST(dayofyear({0}) AS BIGINT)",
    "doy": "CAST(dayofyear({0}) AS BIGINT)",
    "year_of_week": "CAST(isoyear({0}) AS BIGINT)",
    "yow": "CAST(isoyear({0}) AS BIGINT)",
}
_CLOCK_FIELDS = {
    "hour": "CAST(hour({0}) AS BIGINT)",
    "minute": "CAST(minute({0}) AS BIGINT)",
    "second": "CAST(second({0}) AS BIGINT)",
    "millisecond": "CAST(millisecond({0}) % 1000 AS BIGINT)",
}
_INTERVAL_FIELDS = {
    "day": "({0} // 86400000)",
    "hour": "({0} % 86400000 // 3600000)",
    "minute": "({0} % 3600000 // 60000)",
    "second": "({0} % 60000 // 1000)",
    "millisecond": "({0} % 1000)",
}
_DATE_UNITS = ("day", "week", "month", "quarter", "year")
_CLOCK_UNITS = ("millisecond", "second", "minute", "hour")
_FROM_SECONDS = "make_timestamp(CAST(round({0} * 1000) AS BIGINT) * 1000)"
_TABLE = f"""
to_unixtime(timestamp) -> double := (epoch_us({{0}}) / CAST(1000000 AS DOUBLE))
to_unixtime(timestamptz) -> double := (epoch_us(({{0}}).t) / CAST(1000000 AS DOUBLE))
to_milliseconds(interval_day) -> bigint := {{0}}
from_unixtime(double) -> timestamptz := CASE WHEN {{0}} IS NOT NULL THEN
  struct_pack(t := {_FROM_SECONDS}, z := 'UTC') END
from_unixtime(double, varchar) -> timestamptz := CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN
  struct_pack(t := {_FROM_SECONDS}, z := {{1}}) END
at_timezone(timestamptz, varchar) -> timestamptz := CASE WHEN {{0}} IS NOT NULL AND {{1}} IS NOT NULL THEN
  struct_pack(t := ({{0}}).t, z := {{1}}) END
current_timezone() -> varchar := 'UTC'
"""


def _on_moments(template: str) -> list[tuple[str, Callable[[FunctionCall], str]]]:
    """Spread a template over date, timestamp and timestamp with time zone (whose own clock it reads)."""

    def body(call: FunctionCall) -> str:
        zone = call.types[0].name == TIMESTAMP_TZ
        return fill(template, [local(call.arguments[0]) if zone else call.arguments[0]])

    return [(kind, body) for kind in ("date", "timestamp", "timestamptz")]


def _fields() -> list[Signature]:
    found = []
    for name, template in _FIELDS.items():
        for kind, body in _on_moments(template):
            found.append(parse_signature(f"{name}({kind}) -> bigint", body))
    for name, template in _CLOCK_FIELDS.items():
        for kind, body in _on_moments(template)[1:]:
            found.append(parse_signature(f"{name}({kind}) -> bigint", body))
        found.append(parse_signature(f"{name}(time) -> bigint", template))
    for name, template in _INTERVAL_FIELDS.items():
        found.append(parse_signature(f"{name}(interval_day) -> bigint", template))
    found.append(parse_signature("year(interval_month) -> bigint", "({0} // 12)"))
    found.append(parse_signature("month(interval_month) -> bigint", "({0} % 12)"))
    for kind, body in _on_moments("last_day(CAST({0} AS DATE))"):
        found.append(parse_signature(f"last_day_of_month({kind}) -> date", body))
    return found


def _unit(call: FunctionCall, *, clock: bool, day: bool = True) -> str:
    literal = call.literals[0]
    if not isinstance(literal, str):
        raise unsupported(call.node, "A unit of time that is not a literal")
    unit = literal.lower()
    allowed = (_DATE_UNITS if day else ()) + (_CLOCK_UNITS if clock else ())
    if unit not in allowed:
        kind = call.types[-1].name.split()[0].upper() if not clock else "Timestamp"
        message = f"'{literal}' is not a valid {'DATE' if kind == 'DATE' else kind} field"
        raise failed("INVALID_FUNCTION_ARGUMENT", call.node, message)
    return unit


def _date_trunc(call: FunctionCall) -> str:
    kind, value = call.result.name, call.arguments[1]
    unit = _unit(call, clock=kind != "date", day=kind != "time")
    if kind == "date":
        return f"CAST(date_trunc('{unit}', {value}) AS DATE)"
    if kind == "time":
        return f"CAST(date_trunc('{unit}', DATE '1970-01-01' + {value}) AS TIME)"
    if kind == TIMESTAMP_TZ:
        return let(
            value, lambda it: zoned(f"CAST(date_trunc('{unit}', {local(it)}) AS TIMESTAMP)", f"{it}.z")
        )
    return f"CAST(date_trunc('{unit}', {value}) AS TIMESTAMP)"


_STEPS = {
    "millisecond": "to_milliseconds({})",
    "second": "to_seconds({})",
    "minute": "to_minutes({})",
    "hour": "to_hours({})",
    "day": "to_days(CAST({} AS INTEGER))",
    "week": "to_days(CAST({} * 7 AS INTEGER))",
    "month": "to_months(CAST({} AS INTEGER))",
    "quarter": "to_months(CAST({} * 3 AS INTEGER))",
    "year": "to_months(CAST({} * 12 AS INTEGER))",
}


_OF_A_DAY = {"millisecond": 86_400_000, "second": 86_400, "minute": 1440, "hour": 24}
_DAYS_OR_MONTHS = {"week": 7, "quarter": 3, "year": 12}


def _count(call: FunctionCall, unit: str) -> str:
    """Return date_add's count, which Trino takes as 32 bits; of a time it takes what is left of a day."""
    kind, (_, count, _) = call.result.name, call.arguments
    if kind == "time":
        return f"({count} % {_OF_A_DAY[unit]})"
    error = "GENERIC_INTERNAL_ERROR" if kind == "date" else "INVALID_FUNCTION_ARGUMENT"
    limit = 2**31 // (_DAYS_OR_MONTHS.get(unit, 1) if kind == "date" else 1)
    literal = call.literals[1]
    if isinstance(literal, int) and -limit <= literal < limit:
        return count
    return fill(
        ensure(f"{{0}} NOT BETWEEN {-limit} AND {limit - 1}", f"'{error}: integer overflow'", "{0}"), [count]
    )


def _date_add(call: FunctionCall) -> str:
    kind, value = call.result.name, call.arguments[2]
    unit = _unit(call, clock=kind != "date", day=kind != "time")
    step = _STEPS[unit].format(_count(call, unit))
    if kind == "date":
        return f"CAST({value} + {step} AS DATE)"
    if kind == "time":
        return f"CAST(DATE '1970-01-01' + {value} + {step} AS TIME)"
    if kind == TIMESTAMP_TZ:
        return let(value, lambda it: zoned(f"({local(it)} + {step})", f"{it}.z"))
    return f"({value} + {step})"


def _date_diff(call: FunctionCall) -> str:
    kind = call.types[1].name
    unit = _unit(call, clock=kind != "date", day=kind != "time")
    one, other = call.arguments[1:]
    if kind == TIMESTAMP_TZ:
        one, other = (
            local(one),
            let(call.arguments[1], lambda it: local(_in_zone(call.arguments[2], f"{it}.z"))),
        )
    if kind == "time":
        one, other = f"(DATE '1970-01-01' + {one})", f"(DATE '1970-01-01' + {other})"
    return f"date_sub('{unit}', {one}, {other})"


def _in_zone(moment: str, zone: str) -> str:
    return f"struct_pack(t := ({moment}).t, z := {zone})"


def _format(call: FunctionCall, index: int, translate: Callable[[str], str]) -> str:
    literal = call.literals[index]
    if not isinstance(literal, str):
        raise unsupported(call.node, "A date format that is not a literal")
    try:
        return translate(literal)
    except FormatRefusedError as error:
        if translate is from_mysql:
            raise failed("INVALID_FUNCTION_ARGUMENT", call.node, str(error)) from error
        raise unsupported(call.node, str(error)) from error


def _printed(call: FunctionCall, translate: Callable[[str], str]) -> str:
    value = call.arguments[0]
    value = local(value) if call.types[0].name == TIMESTAMP_TZ else value
    return f"strftime({value}, {text(_format(call, 1, translate))})"


def _parsed(call: FunctionCall, translate: Callable[[str], str]) -> str:
    pattern = text(for_parsing(_format(call, 1, translate)))
    message = "concat('INVALID_FUNCTION_ARGUMENT: Invalid format: \"', {0}, '\"')"
    bad = "{0} IS NOT NULL AND try_strptime({0}, {1}) IS NULL"
    return fill(ensure(bad, message, "try_strptime({0}, {1})"), [call.arguments[0], pattern])


def _date_parse(call: FunctionCall) -> str:
    return rounded(_parsed(call, from_mysql), 6, 3)


def _parse_datetime(call: FunctionCall) -> str:
    value = _parsed(call, from_joda)
    return fill("CASE WHEN {0} IS NOT NULL THEN struct_pack(t := {0}, z := 'UTC') END", [value])


def _with_timezone(call: FunctionCall) -> str:
    return zoned(call.arguments[0], call.arguments[1])


def _zone_part(expression: str) -> Callable[[FunctionCall], str]:
    def body(call: FunctionCall) -> str:
        return let(
            call.arguments[0], lambda it: fill(expression, [f"date_diff('minute', {it}.t, {local(it)})"])
        )

    return body


_DURATION_UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4, "h": 3.6e6, "d": 8.64e7}


def _parse_duration(call: FunctionCall) -> str:
    cases = " ".join(f"WHEN '{unit}' THEN {factor}" for unit, factor in _DURATION_UNITS.items())
    pattern = text(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*")
    value = (
        f"CAST(round(CAST(regexp_extract({{0}}, {pattern}, 1) AS DOUBLE) * "
        f"CASE regexp_extract({{0}}, {pattern}, 2) {cases} END) AS BIGINT)"
    )
    message = "concat('INVALID_FUNCTION_ARGUMENT: duration is not a valid data duration string: ', {0})"
    return fill(ensure(f"NOT regexp_full_match({{0}}, {pattern})", message, value), list(call.arguments))


def _human_readable(call: FunctionCall) -> str:
    units = (("week", 604800), ("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    pieces = []
    for at, (unit, size) in enumerate(units):
        amount = f"({{0}} % {units[at - 1][1]} // {size})" if at else f"({{0}} // {size})"
        pieces.append(
            f"CASE WHEN {amount} = 1 THEN '1 {unit}' WHEN {amount} > 1 THEN {amount} || ' {unit}s' END"
        )
    joined = f"coalesce(nullif(concat_ws(', ', {', '.join(pieces)}), ''), '0 seconds')"
    return fill(joined, [f"CAST(round({call.arguments[0]}) AS BIGINT)"])


def signatures() -> list[Signature]:
    """All of them."""
    found = parse_table(_TABLE) + _fields()
    moments = ("date", "time", "timestamp(p)", "timestamptz")
    for kind in moments:
        found.append(parse_signature(f"date_trunc(varchar, {kind}) -> {kind}", _date_trunc))
        found.append(parse_signature(f"date_add(varchar, bigint, {kind}) -> {kind}", _date_add))
        found.append(parse_signature(f"date_diff(varchar, {kind}, {kind}) -> bigint", _date_diff))
    for kind in ("timestamp", "timestamptz"):
        found.append(
            parse_signature(
                f"date_format({kind}, varchar) -> varchar", lambda call: _printed(call, from_mysql)
            )
        )
        found.append(
            parse_signature(
                f"format_datetime({kind}, varchar) -> varchar", lambda call: _printed(call, from_joda)
            )
        )
    found += [
        parse_signature(f"to_iso8601({kind}) -> varchar", to_iso)
        for kind in ("date", "timestamp", "timestamptz")
    ]
    more: list[tuple[str, Any]] = [
        ("date_parse(varchar, varchar) -> timestamp", _date_parse),
        ("parse_datetime(varchar, varchar) -> timestamptz", _parse_datetime),
        ("from_iso8601_date(varchar) -> date", from_iso_date),
        ("from_iso8601_timestamp(varchar) -> timestamptz", from_iso_timestamp),
        ("with_timezone(timestamp, varchar) -> timestamptz", _with_timezone),
        ("timezone_hour(timestamptz) -> bigint", _zone_part("({0} // 60)")),
        ("timezone_minute(timestamptz) -> bigint", _zone_part("({0} % 60)")),
        ("parse_duration(varchar) -> interval_day", _parse_duration),
        ("human_readable_seconds(double) -> varchar", _human_readable),
    ]
    return found + [parse_signature(head, body) for head, body in more]
