"""Constants of a named type, such as DATE '2026-01-02', and the clock."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from local_athena.data.type_parser import parse_trino
from local_athena.data.types import (
    DATE,
    JSON,
    TIME,
    TIMESTAMP_TZ,
    TIMESTAMP_WITH_TZ,
    VARCHAR,
    DataType,
    UnknownTypeError,
)
from local_athena.duck.errors import failed, unsupported
from local_athena.duck.json import json_text
from local_athena.duck.values import literals
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr
from local_athena.duck.values.snippets import text
from local_athena.duck.values.text_casts import UUID_TEXT

_MOMENT = re.compile(
    r"(\d{1,6})-(\d{1,2})-(\d{1,2})(?: (\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,12}))?)?)?"
    r"(?: ?([A-Za-z+-].*))?\s*"
)


def typed_literal(kind: str, value: str, node: Any) -> Expr:
    """``DATE '2026-01-02'``, ``DECIMAL '1.5'``, ``JSON '{}'``: a constant of a named type."""
    if kind in ("date", "timestamp"):
        return _moment_literal(kind, value, node)
    if kind == "decimal":
        if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", value) is None:
            raise failed("INVALID_LITERAL", node, f"'{value}' is not a valid DECIMAL literal")
        return literals.decimal_literal(value, node)
    if kind == "json":
        try:
            return Expr(text(json_text.parsed(value)), JSON)
        except (ValueError, RecursionError) as error:
            raise failed("INVALID_LITERAL", node, f"'{value}' is not a valid JSON literal") from error
    if kind in ("varchar", "char"):
        return literals.string_literal(value)
    if kind == "uuid" and re.fullmatch(UUID_TEXT, value) is None:
        raise failed("INVALID_LITERAL", node, f"'{value}' is not a valid UUID literal")
    try:
        wanted = parse_trino(kind)
    except UnknownTypeError as error:
        raise failed("TYPE_NOT_FOUND", node, f"Unknown type: {kind}") from error
    return convert(Expr(text(value), VARCHAR, literal=value), wanted, node)


def _moment_literal(kind: str, value: str, node: Any) -> Expr:
    found = _MOMENT.fullmatch(value)
    bad = failed("INVALID_LITERAL", node, f"'{value}' is not a valid {kind.upper()} literal")
    if found is None and _MOMENT.fullmatch(value[1:]) and value[0] in "+-":
        raise unsupported(node, "A year with a sign")
    if found is None or (kind == "date" and (found.group(4) or found.group(8))):
        raise bad
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    fraction, zone = found.group(7) or "", found.group(8)
    if year > dt.MAXYEAR:
        raise unsupported(node, f"A year after {dt.MAXYEAR}")
    try:
        moment = dt.datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        raise bad from error
    if kind == "date":
        return Expr(f"CAST('{moment:%Y-%m-%d}' AS DATE)", DATE, literal=moment.date())
    digits = min(len(fraction), 6)
    clock = f"CAST('{moment:%Y-%m-%d %H:%M:%S}{'.' + fraction[:6] if fraction else ''}' AS TIMESTAMP)"
    if zone is None:
        return Expr(clock, DataType("timestamp", (digits,)), literal=value)
    source = Expr(text(value), VARCHAR)
    return convert(source, DataType(TIMESTAMP_TZ, (digits,)), node)


def now(moment: dt.datetime, word: str, node: Any) -> Expr:
    """``current_date`` and its kin: one moment for the whole query, in UTC."""
    instant = f"CAST('{moment:%Y-%m-%d %H:%M:%S.%f}' AS TIMESTAMP)"
    if word == "current_date":
        return Expr(f"CAST('{moment:%Y-%m-%d}' AS DATE)", DATE, literal=moment.date())
    if word == "current_timestamp":
        return Expr(f"struct_pack(t := {instant}, z := 'UTC')", TIMESTAMP_WITH_TZ)
    if word == "localtimestamp":
        return Expr(instant, DataType("timestamp", (3,)))
    if word == "localtime":
        return Expr(f"CAST('{moment:%H:%M:%S.%f}' AS TIME)", TIME)
    raise unsupported(node, word)
