"""Single values of OpenX JSON lines: what the SerDe reads where a column is no array, map or struct."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes import hive_values
from local_athena.duck.scans.serdes.hive_values import EPOCH, INTEGER_BITS, Parse
from local_athena.duck.scans.serdes.lenient_json import (
    long_of,
    number_of,
)
from local_athena.errors import QueryFailed

TRIMMED = "".join(map(chr, range(33)))  # what Java's String.trim takes off
_ZONED = re.compile(r"(.+?)(?:[zZ]|([+-])([0-9]{2}):?([0-9]{2}))")

_EPOCH_TEXT = re.compile(r"[-+.0-9]+")

_MILLISECONDS_FROM_DIGITS = 13


def is_blank(value: Any) -> bool:
    """Tell whether a value is text of nothing but what Java trims."""
    return isinstance(value, str) and not value.strip(TRIMMED)


def refuse(value: Any, kind: DataType) -> NoReturn:
    """Fail the query: the value cannot be read as the column's type."""
    found = "Map" if isinstance(value, dict) else "List" if isinstance(value, list) else "Primitive"
    raise QueryFailed(
        f"HIVE_CURSOR_ERROR: {found} can not be coerced to a {kind.trino.upper()}", error_type=1001
    )


def scalar(kind: DataType) -> Parse:
    """Values are read from their text; an object or array is none."""
    readers: dict[str, Parse] = {
        "real": hive_values.double,
        "double": hive_values.double,
        "date": _day,
    }
    if kind.name == "boolean":
        # An object or array is false, too.
        return lambda value: _literal(value).lower() == "true"
    if kind.name == "varbinary":
        return lambda value: _binary(value, kind)
    if kind.name in INTEGER_BITS:
        return _integer_reader(kind)
    if kind.name == "decimal":
        return lambda value: _decimal(scalar_text(value, kind), kind)
    reader = readers.get(kind.name)
    if reader is None:
        raise QueryFailed(f"NOT_SUPPORTED: Column type {kind.trino} in JSON", error_type=1004)
    return lambda value: reader(scalar_text(value, kind))


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def scalar_text(value: Any, kind: DataType) -> str:
    """Return a value as the text that a string column has of it."""
    if isinstance(value, (dict, list)):
        refuse(value, kind)
    return _literal(value)


def _integer_reader(kind: DataType) -> Parse:
    bits = INTEGER_BITS[kind.name]

    def read(value: Any) -> int | None:
        if type(value) is int:
            return hive_values.in_range(value, bits)
        text = scalar_text(value, kind)
        number = long_of(text)
        if number is None:
            exact = number_of(text)
            if exact is None or exact.adjusted() > 30:
                return None
            number = int(exact)
        return hive_values.in_range(number, bits)

    return read


def _decimal(text: str, kind: DataType) -> Decimal | None:
    number = number_of(text)
    return None if number is None else hive_values.fit_decimal(number, *kind.parameters)


def _binary(value: Any, kind: DataType) -> bytes | None:
    if type(value) is not str:  # also an Unquoted
        refuse(value, kind)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return None


def _day(text: str) -> date | None:
    found = hive_values.day(text)
    if found is not None:
        return found
    days = long_of(text)
    try:
        return None if days is None else (EPOCH + timedelta(days=days)).date()
    except OverflowError:
        return None


def moment(text: str) -> datetime | None:
    """Return the timestamp of a text, in UTC; None when it is none."""
    if ":" in text[1:]:
        zoned = _ZONED.fullmatch(text)
        if zoned is None or "T" not in zoned[1].upper():
            return hive_values.timestamp(text)
        local = hive_values.timestamp(zoned[1].upper())
        if local is None or not zoned[2]:
            return local
        offset = timedelta(hours=int(zoned[3]), minutes=int(zoned[4]))
        return local - offset if zoned[2] == "+" else local + offset
    if not _EPOCH_TEXT.fullmatch(text):
        return None
    number = number_of(text)
    if number is None or abs(number) > 10**17:
        return None
    in_milliseconds = "." not in text and len(text) >= _MILLISECONDS_FROM_DIGITS
    milliseconds = int(number if in_milliseconds else number * 1000)
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
