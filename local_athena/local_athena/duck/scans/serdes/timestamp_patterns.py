"""Timestamps in formats of the table's own: SerDe parameter ``timestamp.formats``, patterns of Java's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from local_athena.duck.scans.serdes.hive_values import EPOCH, Parse, later
from local_athena.errors import QueryFailed

_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|.", re.DOTALL)
_SPLIT = re.compile(r"(?:\\.|[^,\\])+")
_MILLISECONDS = re.compile(r"(-?[0-9]+)(?:\.[0-9]+)?")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_GROUPS = {
    "yyyy": r"(?P<year>-?[0-9]{1,10})",
    "uuuu": r"(?P<year>-?[0-9]{1,10})",
    "yy": r"(?P<short_year>[0-9]{2})",
    "MMM": rf"(?P<month_name>{'|'.join(_MONTHS)})",
    "MM": r"(?P<month>[0-9]{1,2})",
    "dd": r"(?P<day>[0-9]{1,2})",
    "HH": r"(?P<hour>[0-9]{1,2})",
    "hh": r"(?P<half_hour>[0-9]{1,2})",
    "mm": r"(?P<minute>[0-9]{1,2})",
    "ss": r"(?P<second>[0-9]{1,2})",
    "a": r"(?P<half>am|pm)",
}
_ALIKE = {"y": "yyyy", "M": "MM", "d": "dd", "H": "HH", "h": "hh", "m": "mm", "s": "ss", "u": "uuuu"}
_ZONE = r"(?P<zone>z|[+-][0-9]{2}(?::?[0-9]{2})?)"


def timestamp_reader(parameters: Mapping[str, str], default: Parse) -> Parse:
    """Return what tries the table's formats in their order, then ``default``."""
    formats = [_unescaped(text) for text in _SPLIT.findall(parameters.get("timestamp.formats", ""))]
    if not formats:
        return default
    readers = [_reader(text) for text in formats]

    def read(text: str) -> datetime | None:
        found = (reader(text.strip()) for reader in readers)
        matched: datetime | None = next((moment for moment in found if moment is not None), None)
        return matched if matched is not None else default(text)

    return read


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _reader(pattern: str) -> Parse:
    if pattern.lower() == "millis":
        return _from_milliseconds
    parts = []
    for match in _PIECE.finditer(pattern):
        letters = match.group()
        if match[1] is not None:
            parts.append(re.escape(match[1].replace("''", "'") or "'"))
        elif not match[2]:
            parts.append(re.escape(letters))
        else:
            parts.append(_group(letters, pattern))
    compiled = re.compile("".join(parts), re.IGNORECASE)

    def read(text: str) -> datetime | None:
        match = compiled.fullmatch(text)
        return None if match is None else _moment(match.groupdict())

    return read


def _group(letters: str, pattern: str) -> str:
    if set(letters) == {"S"}:
        return r"(?P<fraction>[0-9]{1,9})"
    if letters[0] in "ZXx":
        return _ZONE
    group = _GROUPS.get(_ALIKE.get(letters, letters))
    if group is None:
        raise QueryFailed(
            f"NOT_SUPPORTED: '{letters}' of the timestamp format '{pattern}' is not read by the local Athena",
            error_type=1004,
        )
    return group


def _from_milliseconds(text: str) -> datetime | None:
    match = _MILLISECONDS.fullmatch(text)
    try:
        return None if match is None else EPOCH + timedelta(milliseconds=int(match[1]))
    except OverflowError:
        return None


def _moment(found: Mapping[str, str | None]) -> datetime | None:
    def number(name: str, default: int = 0) -> int:
        return int(found.get(name) or default)

    year = 2000 + number("short_year") if found.get("short_year") else number("year", 1970)
    name = found.get("month_name")
    month = _MONTHS.index(name.lower()) + 1 if name else number("month", 1)
    hour = number("hour")
    if found.get("half_hour"):
        hour = number("half_hour") % 12 + (12 if (found.get("half") or "").lower() == "pm" else 0)
    fraction = Decimal("0." + (found.get("fraction") or "0"))
    try:
        moment = datetime(year, month, number("day", 1), hour, number("minute"), number("second"))
    except ValueError:
        return None
    return later(moment - _offset(found.get("zone")), fraction)


def _offset(zone: str | None) -> timedelta:
    if not zone or zone.lower() == "z":
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -offset if zone[0] == "-" else offset
