"""Values as Hive's text formats write them. What does not fit its type is None, as Hive and Trino read it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any

from local_athena.data.types import DataType

Parse = Callable[[str], Any]

INTEGER_BITS = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}

_INTEGER = re.compile(r"([+-]?)([0-9]*)(?:\.[0-9]*)?")
# What Java's Double.parseDouble takes, but for its hexadecimal form.
_DOUBLE = re.compile(r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?)")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE = re.compile(r"(-?[0-9]{1,10})-([0-9]{1,2})-([0-9]{1,2})")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(\.[0-9]{0,9})?")
_ISO_TIME = re.compile(r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(\.[0-9]{0,9})?)?")
_USUAL_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?")
_EXACT = Context(prec=100)
EPOCH = datetime(1970, 1, 1)


def integer(text: str, bits: int) -> int | None:
    """Read an integer; a decimal part must be digits and is dropped."""
    match = _INTEGER.fullmatch(text)
    if match is None or text in ("", "+", "-"):
        return None
    return in_range(int(match[1] + (match[2] or "0")), bits)


def in_range(number: int, bits: int) -> int | None:
    """Return the number, or None when a signed integer of ``bits`` cannot hold it."""
    limit = 1 << (bits - 1)
    return number if -limit <= number < limit else None


def double(text: str) -> float | None:
    """Read a number by Java's rules: blanks around it and a ``d`` or ``f`` after it do no harm."""
    text = text.strip(" \t\r\n")
    if not _DOUBLE.fullmatch(text):
        return None
    if text.endswith(("NaN", "Infinity")):
        return math.nan if text.endswith("NaN") else (-math.inf if text[0] == "-" else math.inf)
    return float(text.rstrip("fFdD"))


def decimal(text: str, precision: int, scale: int) -> Decimal | None:
    """Read a decimal, rounded half up to its scale; None when it is too large."""
    return fit_decimal(Decimal(text), precision, scale) if _DECIMAL.fullmatch(text) else None


def fit_decimal(number: Decimal, precision: int, scale: int) -> Decimal | None:
    """Round a decimal to its scale; None when it is too large."""
    try:
        rounded = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _EXACT)
    except InvalidOperation:
        return None
    return rounded if len(rounded.as_tuple().digits) <= precision or not rounded else None


def day(text: str) -> date | None:
    """Read ``2026-01-31``, whatever follows a space; days and months past their end run over, as in Java."""
    if len(text) == 10 and text[4] == text[7] == "-":
        try:
            return date.fromisoformat(text)  # the usual form, in a tenth of the time
        except ValueError:
            pass
    match = _DATE.fullmatch(text.strip().partition(" ")[0])
    if match is None:
        return None
    year, month = int(match[1]), int(match[2]) - 1
    try:
        first = date(year + month // 12, month % 12 + 1, 1)
        return first + timedelta(days=int(match[3]) - 1)
    except (ValueError, OverflowError):
        return None


def timestamp(text: str) -> datetime | None:
    """Read ``2026-01-31 10:30:00.123`` or ISO's ``T`` form; rounded to milliseconds, as Athena keeps them."""
    if _USUAL_TIMESTAMP.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    text = text.strip()
    separator = " " if " " in text else "T"
    day_text, found, time_text = text.partition(separator)
    on = day(day_text)
    if on is None:
        return None
    midnight = datetime(on.year, on.month, on.day)
    if not found:
        return midnight
    match = (_TIME if separator == " " else _ISO_TIME).fullmatch(time_text)
    if match is None:
        return None
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0)
    return later(midnight, Decimal(seconds) + Decimal("0" + (match[4] or ".0").ljust(2, "0")))


def later(start: datetime, seconds: Decimal) -> datetime | None:
    """Return the moment ``seconds`` after ``start``, rounded half up to milliseconds."""
    milliseconds = int((seconds * 1000).quantize(Decimal(1), ROUND_HALF_UP))
    try:
        return start + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def boolean(text: str) -> bool | None:
    """Read ``true`` or ``false`` in any case."""
    return {"true": True, "false": False}.get(text.lower())


def characters(kind: DataType) -> Parse:
    """Return what cuts text to a ``varchar(n)``, and takes the blanks off a ``char(n)``."""
    if not kind.parameters:
        return str
    length = kind.parameters[0]
    if kind.name == "char":
        return lambda text: text[:length].rstrip(" ")
    return lambda text: text[:length]


def scalar_parser(kind: DataType) -> Parse | None:
    """Return what reads a value of a type that has no parts and is not binary; None for other types."""
    if kind.name in INTEGER_BITS:
        bits = INTEGER_BITS[kind.name]
        return lambda text: integer(text, bits)
    if kind.name == "decimal":
        precision, scale = kind.parameters
        return lambda text: decimal(text, precision, scale)
    if kind.name in ("varchar", "char"):
        return characters(kind)
    return {"boolean": boolean, "real": double, "double": double, "date": day, "timestamp": timestamp}.get(
        kind.name
    )
