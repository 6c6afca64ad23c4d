"""Dates and timestamps as ISO 8601 writes them: from_iso8601_date, from_iso8601_timestamp, to_iso8601."""

from __future__ import annotations

from local_athena.data.types import DataType
from local_athena.duck.functions.signatures import FunctionCall
from local_athena.duck.values.casts import moment_text
from local_athena.duck.values.snippets import ensure, fill, let, local, text, zoned
from local_athena.duck.values.text_casts import rounded

_ISO_DATES = (
    ("\\d{4}", "%Y"),
    ("\\d{4}-\\d\\d", "%Y-%m"),
    ("\\d{4}-\\d\\d-\\d\\d", "%Y-%m-%d"),
    ("\\d{4}-\\d{3}", "%Y-%j"),
)


def from_iso_date(call: FunctionCall) -> str:
    """Return a calendar date, a year and a day of it, or a week and a day of it (``2020-W10-1``)."""

    def parsed(it: str) -> str:
        cases = "".join(
            f" WHEN regexp_full_match({it}, {text(pattern)}) THEN try_strptime({it}, '{form}')"
            for pattern, form in _ISO_DATES
        )
        week = text(r"\d{4}-W\d\d(-[1-7])?")
        cases += f" WHEN regexp_full_match({it}, {week}) THEN try_strptime(({it} || '-1')[1:10], '%G-W%V-%u')"
        value = f"CASE{cases} END"
        message = f"concat('INVALID_FUNCTION_ARGUMENT: Invalid format: \"', {it}, '\"')"
        return ensure(f"{it} IS NOT NULL AND {value} IS NULL", message, f"CAST({value} AS DATE)")

    return let(call.arguments[0], parsed)


_ISO_TIMESTAMP = (
    r"([0-9]{4,6}-[0-9][0-9]-[0-9][0-9])"
    r"(?:[T ]([0-9][0-9](?::?[0-9][0-9](?::?[0-9][0-9](?:[.,][0-9]{1,9})?)?)?))?"
    r"(Z|[+-][0-9][0-9](?::?[0-9][0-9])?)?"
)


def from_iso_timestamp(call: FunctionCall) -> str:
    """Return a timestamp with time zone; what is not written of it is zero, or UTC."""
    pattern = text(_ISO_TIMESTAMP)

    def parsed(it: str) -> str:
        day, clock, zone = (f"regexp_extract({it}, {pattern}, {group})" for group in (1, 2, 3))
        full = f"({clock} || '00:00:00'[length({clock}) + 1:])"
        value = f"TRY_CAST({day} || ' ' || {full} AS TIMESTAMP)"
        hours = f"({zone} || ':00'[1 : 6 - length({zone})])"
        place = (
            f"CASE WHEN {zone} IN ('', 'Z') THEN 'UTC' WHEN length({zone}) = 3 THEN {hours} ELSE {zone} END"
        )
        bad = f"{it} IS NOT NULL AND (NOT regexp_full_match({it}, {pattern}) OR {value} IS NULL)"
        message = f"concat('INVALID_FUNCTION_ARGUMENT: Invalid format: \"', {it}, '\"')"
        return ensure(bad, message, zoned(rounded(value, 6, 3), place))

    return let(call.arguments[0], parsed)


def _iso_moment(sql: str, kind: DataType) -> str:
    return f"replace({moment_text(sql, kind.parameters[0])}, ' ', 'T')"


def to_iso(call: FunctionCall) -> str:
    """Write a date or timestamp, with its offset where it has a zone."""
    value, kind = call.arguments[0], call.types[0]
    if kind.name == "date":
        return f"strftime({value}, '%Y-%m-%d')"
    if kind.name == "timestamp":
        return _iso_moment(value, kind)
    zone = "CASE WHEN {0}.z = 'UTC' THEN 'Z' WHEN {0}.z[1] IN ('+', '-') THEN {0}.z ELSE {1} END"

    def printed(it: str) -> str:
        minutes = f"date_diff('minute', {it}.t, {local(it)})"
        offset = fill(
            "CASE WHEN {0} < 0 THEN '-' ELSE '+' END || lpad(CAST(abs({0}) // 60 AS VARCHAR), 2, '0') "
            "|| ':' || lpad(CAST(abs({0}) % 60 AS VARCHAR), 2, '0')",
            [minutes],
        )
        return f"{_iso_moment(local(it), kind)} || {fill(zone, [it, offset])}"

    return let(value, printed)
