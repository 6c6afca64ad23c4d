"""Trino's JSON values as Arrow columns of the types they were computed in."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from local_athena.data.types import DAY_TO_SECOND, TIMESTAMP_TZ, YEAR_TO_MONTH, DataType, UnknownTypeError
from local_athena.errors import QueryFailed

Read = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)
_INTEGERS = frozenset({"tinyint", "smallint", "integer", "bigint"})
_PLAIN = _INTEGERS | {"boolean", "varchar", "char", "json", "uuid", "ipaddress", "unknown"}
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})\Z")


def build_column(cells: Sequence[Any], kind: DataType) -> Any:
    """Return a pyarrow array of one column's cells."""
    import pyarrow as pa

    try:
        read, arrow = reader(kind), kind.arrow()
        return pa.array([read(cell) for cell in cells], arrow)
    except UnknownTypeError as error:
        raise QueryFailed(f"NOT_SUPPORTED: The local Athena does not print {kind.trino}") from error
    except (pa.ArrowInvalid, OverflowError, ValueError) as error:
        raise QueryFailed(f"NOT_SUPPORTED: The local Athena cannot hold a {kind.trino}: {error}") from error


@lru_cache(maxsize=4096)
def reader(kind: DataType) -> Read:
    """Make the function that reads values of one type; None stays None."""
    read = _reader(kind)
    return lambda value: None if value is None else read(value)


def _reader(kind: DataType) -> Read:
    if kind.name in _PLAIN:
        return lambda value: value
    if kind.name == "array":
        element = reader(kind.children[0])
        return lambda value: [element(one) for one in value]
    if kind.name == "map":
        key, item = _key_reader(kind.children[0]), reader(kind.children[1])
        return lambda value: [(key(name), item(one)) for name, one in value.items()]
    if kind.name == "row":
        return _row_reader(kind)
    if kind.name == "timestamp":
        nanoseconds = kind.parameters[0] > 6
        return lambda value: _timestamp(value, nanoseconds)
    found = _SCALARS.get(kind.name)
    if found is None:
        raise UnknownTypeError(kind.trino)
    return found


def _row_reader(kind: DataType) -> Read:
    labels = [label for label, _ in kind.fields]
    cells = [reader(child) for child in kind.children]
    return lambda value: {label: cell(one) for label, cell, one in zip(labels, cells, value, strict=True)}


def _key_reader(kind: DataType) -> Read:
    """Read a map's key, which JSON keeps as text."""
    if kind.children:
        raise QueryFailed(f"NOT_SUPPORTED: The local Athena does not print maps with keys of {kind.trino}")
    if kind.name in _INTEGERS:
        return int
    if kind.name == "boolean":
        return lambda text: text == "true"
    return reader(kind)


def _timestamp(text: str, nanoseconds: bool) -> int:
    """Count micro- or nanoseconds since the epoch."""
    whole, _, fraction = text.partition(".")
    seconds = (datetime.fromisoformat(whole) - _EPOCH) // timedelta(seconds=1)
    digits = 9 if nanoseconds else 6
    return int(seconds * 10**digits + int(fraction.ljust(digits, "0")[:digits] or "0"))


def _zoned(text: str) -> dict[str, Any]:
    """Split ``2026-01-01 10:00:00.000 Europe/Vienna`` into the instant in UTC and the zone."""
    clock, _, zone = text.rpartition(" ")
    local = datetime.fromisoformat(clock)
    found = _OFFSET.match(zone)
    if found is None:
        instant = local.replace(tzinfo=ZoneInfo(zone))
    else:
        sign = -1 if found.group(1) == "-" else 1
        offset = timedelta(hours=int(found.group(2)), minutes=int(found.group(3)))
        instant = local.replace(tzinfo=timezone(sign * offset))
    return {"t": instant.astimezone(UTC).replace(tzinfo=None), "z": zone}


def _time(text: str) -> int:
    clock, _, fraction = text.partition(".")
    hours, minutes, seconds = map(int, clock.split(":"))
    return (hours * 3600 + minutes * 60 + seconds) * 1_000_000 + int(fraction.ljust(6, "0")[:6])


def _day_to_second(text: str) -> int:
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    days, _, clock = text.partition(" ")
    return sign * (int(days) * 86_400_000 + _time(clock) // 1000)


def _year_to_month(text: str) -> int:
    sign, text = (-1, text[1:]) if text.startswith("-") else (1, text)
    years, _, months = text.partition("-")
    return sign * (int(years) * 12 + int(months))


_SCALARS: dict[str, Read] = {
    "real": float,
    "double": float,
    "decimal": Decimal,
    "varbinary": base64.b64decode,
    "date": date.fromisoformat,
    TIMESTAMP_TZ: _zoned,
    "time": _time,
    DAY_TO_SECOND: _day_to_second,
    YEAR_TO_MONTH: _year_to_month,
}
