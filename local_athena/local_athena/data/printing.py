"""Print values as Athena does in its results."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from local_athena.data.types import DAY_TO_SECOND, TIMESTAMP_TZ, YEAR_TO_MONTH, DataType, field_labels
from local_athena.errors import QueryFailed

_MICROSECONDS, _NANOSECONDS = 6, 9  # digits
Renderer = Callable[[Any], str | None]


def render(value: Any, data_type: DataType) -> str | None:
    """Print ``value`` as Athena does; None stays None (inside arrays, maps and rows it reads ``null``)."""
    return renderer(data_type)(value)


def render_column(values: Any, data_type: DataType) -> list[str | None]:
    """Print a pyarrow column as Athena does: ``render`` for many values, quicker."""
    if data_type.name in ("varchar", "json"):
        return list(values.to_pylist())
    if data_type.name in ("bigint", "integer", "smallint", "tinyint", "boolean"):
        return list(values.cast("string").to_pylist())
    if data_type.name == "timestamp" and data_type.parameters[0] > _MICROSECONDS:
        # Python has no nanoseconds.
        unused = _NANOSECONDS - data_type.parameters[0]
        texts = values.cast("string").to_pylist()
        return [text if text is None or unused <= 0 else text[:-unused] for text in texts]
    one = renderer(data_type)
    try:
        return [one(value) for value in values.to_pylist()]
    except OverflowError as error:
        raise QueryFailed("NOT_SUPPORTED: The local Athena prints no years before 1 or after 9999") from error


@lru_cache(maxsize=4096)
def renderer(data_type: DataType) -> Renderer:
    """Make the function that prints values of one type."""
    plain = _plain_renderer(data_type)

    def print_value(value: Any) -> str | None:
        return None if value is None else plain(value)

    return print_value


def _plain_renderer(kind: DataType) -> Callable[[Any], str]:
    if kind.name == "array":
        inside = renderer(kind.children[0])
        return lambda value: "[" + ", ".join(_inner(inside, one) for one in value) + "]"
    if kind.name == "map":
        key, item = renderer(kind.children[0]), renderer(kind.children[1])
        return lambda value: "{" + ", ".join(f"{key(k)}={_inner(item, v)}" for k, v in _pairs(value)) + "}"
    if kind.name == "row":
        return _row_renderer(kind)
    if kind.name == "decimal":
        scale = kind.parameters[1]
        return lambda value: f"{Decimal(value):.{scale}f}"
    if kind.name == "char":
        width = kind.parameters[0]
        return lambda value: str(value).ljust(width)
    if kind.name in ("timestamp", TIMESTAMP_TZ, "time"):
        return _moment_renderer(kind)
    return _SCALAR_RENDERERS.get(kind.name, str)


def _inner(one: Renderer, value: Any) -> str:
    text = one(value)
    return "null" if text is None else text


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else value


def _row_renderer(kind: DataType) -> Callable[[Any], str]:
    labels = field_labels(kind)
    inside = [renderer(child) for child in kind.children]

    def print_row(value: Any) -> str:
        cells = value.values() if isinstance(value, Mapping) else value
        shown = (
            f"{label}={_inner(one, cell)}" for label, one, cell in zip(labels, inside, cells, strict=True)
        )
        return "{" + ", ".join(shown) + "}"

    return print_row


_FEWEST_DIGITS = 3  # Athena shows milliseconds even where Trino's type has none


def _moment_renderer(kind: DataType) -> Callable[[Any], str]:
    digits = max(kind.parameters[0] if kind.parameters else 3, _FEWEST_DIGITS)

    def print_moment(value: Any) -> str:
        if kind.name == "time":
            return _fraction(value.strftime("%H:%M:%S"), value, digits)
        return _fraction(f"{value:%Y-%m-%d %H:%M:%S}".rjust(19, "0"), value, digits)

    if kind.name != TIMESTAMP_TZ:
        return print_moment
    return lambda value: _print_zoned(value, print_moment)


def _print_zoned(value: Any, print_moment: Callable[[Any], str]) -> str:
    if isinstance(value, dt.datetime):
        zone = value.tzname() or "UTC"
        return f"{print_moment(value)} {getattr(value.tzinfo, 'key', None) or zone}"
    zone = value["z"]
    return f"{print_moment(local_time(value['t'], zone))} {zone}"


def local_time(instant: dt.datetime, zone: str) -> dt.datetime:
    """Read the clock in ``zone`` (a name, or ``+hh:mm``) at an instant given in UTC."""
    if zone[0] in "+-":
        sign = -1 if zone[0] == "-" else 1
        return instant + sign * dt.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    from zoneinfo import ZoneInfo

    return instant.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def _fraction(text: str, value: Any, digits: int) -> str:
    nanos = getattr(value, "nanosecond", 0)
    return f"{text}.{f'{value.microsecond:06d}{nanos:03d}000'[:digits]}"


def _print_double(value: float) -> str:
    return _java_number(value, repr(float(value)))


def _print_real(value: float) -> str:
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("f", float(text)) == struct.pack("f", value):
            break
    return _java_number(value, text)


def _java_number(value: float, shortest: str) -> str:
    """Java's Double.toString: plain between a thousandth and ten million, otherwise ``1.5E10``."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(shortest).as_tuple()
    minus = "-" if sign else ""
    shown = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) + int(exponent) - 1
    if not any(digits):
        return f"{minus}0.0"
    if -3 <= power < 7:
        if power < 0:
            return f"{minus}0.{'0' * (-power - 1)}{shown}"
        return f"{minus}{shown[: power + 1].ljust(power + 1, '0')}.{shown[power + 1 :] or '0'}"
    return f"{minus}{shown[0]}.{shown[1:] or '0'}E{power}"


def _print_day_to_second(milliseconds: int) -> str:
    minus = "-" if milliseconds < 0 else ""
    seconds, millis = divmod(abs(milliseconds), 1000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{minus}{days} {hour:02d}:{minute:02d}:{second:02d}.{millis:03d}"


def _print_year_to_month(months: int) -> str:
    minus = "-" if months < 0 else ""
    return f"{minus}{abs(months) // 12}-{abs(months) % 12}"


_SCALAR_RENDERERS: dict[str, Callable[[Any], str]] = {
    "boolean": lambda value: "true" if value else "false",
    "real": _print_real,
    "double": _print_double,
    "varbinary": lambda value: bytes(value).hex(" "),
    "date": lambda value: f"{value:%Y-%m-%d}".rjust(10, "0"),
    DAY_TO_SECOND: _print_day_to_second,
    YEAR_TO_MONTH: _print_year_to_month,
}
