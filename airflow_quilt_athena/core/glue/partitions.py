"""Partition values and the folders named after them, by Hive's rules.

Escaping follows Hive's ``FileUtils.escapePathName`` as Trino implements it (``HiveUtil.makePartName``):
control characters and the characters of ``_ESCAPED`` become ``%XX``; everything else is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Context, Decimal, InvalidOperation
from numbers import Integral

from airflow_quilt_athena.core.arguments import show
from airflow_quilt_athena.exceptions import InvalidCallError

HIVE_DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"

_ESCAPED = frozenset("\"#%'*/:=?\\{[]^\x7f") | frozenset(map(chr, range(1, 32)))
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_INTEGER_BITS = {"tinyint": 8, "smallint": 16, "int": 32, "integer": 32, "bigint": 64}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"decimal\((\d+)(?:,\s*(\d+))?\)")
_CHARACTERS = re.compile(r"(?:var)?char\((\d+)\)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?", re.ASCII)
_PLAIN_TYPES = frozenset({*_INTEGER_BITS, "boolean", "date", "string", "timestamp"})
MAX_VALUE_LENGTH = 1024  # AWS Glue API reference, "Partition" (ValueString), read 2026-11
_EXACT = Context(prec=100)  # a decimal has up to 38 digits; Python's own context rounds to 28


def escape_value(value: str) -> str:
    """Return a partition key's name or value as it stands in a folder's name.

    >>> escape_value("a=b/c d:e")
    'a%3Db%2Fc d%3Ae'
    """
    return "".join(f"%{ord(c):02X}" if c in _ESCAPED else c for c in value)


def unescape_value(text: str) -> str:
    """Undo escape_value."""
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), text)


def partition_path(names: Sequence[str], values: Sequence[str | None]) -> str:
    """Return ``a=1/b=x``, without a slash at its end; None is Hive's default partition.

    >>> partition_path(["dt", "note"], ["2026-01-01", "10:30"])
    'dt=2026-01-01/note=10%3A30'
    """
    if len(names) != len(values):
        raise InvalidCallError(f"Partition keys {list(names)} do not fit the values {list(values)}.")
    parts = (
        f"{escape_value(name)}={HIVE_DEFAULT_PARTITION if value is None else escape_value(value)}"
        for name, value in zip(names, values, strict=True)
    )
    return "/".join(parts)


def value_text(value: object) -> str:
    """Return a partition value as text, as Athena prints it. Raises InvalidCallError for what is no value.

    >>> [value_text(value) for value in ("00", 7, True, Decimal("1E+3"), date(2026, 1, 31))]
    ['00', '7', 'true', '1000', '2026-01-31']
    """
    match value:
        case str():
            text = str.__str__(value)  # of an enum the value, not its name in Python
        case bool():
            text = "true" if value else "false"
        case Integral() if abs(int(value)) < 10**MAX_VALUE_LENGTH:  # Python prints no longer ones
            text = str(int(value))
        case Decimal() if value.is_finite():
            text = f"{value:f}"
        case datetime():
            text = value.isoformat(" ")
        case date():
            text = value.isoformat()
        case _:
            raise InvalidCallError(
                f"A partition value is {show(value)}, of type {type(value).__name__}. Expected text, a whole "
                "number, a boolean, a Decimal, a date or a datetime."
            )
    if len(text) > MAX_VALUE_LENGTH:
        raise InvalidCallError(
            f"A partition value has {len(text):,} characters, {text[:40]!r}…; Glue keeps {MAX_VALUE_LENGTH}."
        )
    return text


def canonical_value(value: object, hive_type: str) -> str:
    """Return the one text Glue keeps for ``value`` in a partition key of ``hive_type``.

    Two values of one type are equal exactly when their canonical texts are. Raises InvalidCallError when
    the value does not fit the type, and for None, "" and "None", which are never a partition by intent.
    """
    if value is None or str(value).strip() in {"", "None"}:
        raise InvalidCallError(
            f"A partition value is {value!r}. Expected a {hive_type}. "
            "A template that found no value renders so."
        )
    type_name = check_key_type(hive_type)
    text = value_text(value)
    try:
        return _canonical(value if isinstance(value, date) else text, type_name)
    except (ValueError, InvalidOperation) as error:
        raise InvalidCallError(f"Partition value {value!r} is not a {type_name}.") from error


def check_key_type(hive_type: str) -> str:
    """Return a partition key's type in lower case; raise InvalidCallError when it cannot be written."""
    type_name = hive_type.strip().lower()
    if type_name in _PLAIN_TYPES or _DECIMAL.fullmatch(type_name) or _CHARACTERS.fullmatch(type_name):
        return type_name
    raise InvalidCallError(f"A partition key of type {type_name} cannot be written.")


def _canonical(value: object, type_name: str) -> str:
    text = str(value).strip()
    if type_name in _INTEGER_BITS:
        return _canonical_integer(text, type_name)
    if type_name == "date":
        return _canonical_date(value)
    if type_name == "timestamp":
        return _canonical_timestamp(value)
    if type_name == "boolean":
        if text.lower() not in {"true", "false"}:
            raise ValueError(text)
        return text.lower()
    decimal = _DECIMAL.fullmatch(type_name)
    if decimal:
        return _canonical_decimal(text, int(decimal.group(1)), int(decimal.group(2) or 0))
    characters = _CHARACTERS.fullmatch(type_name)
    whole = str(value)
    if characters and len(whole) > int(characters.group(1)):
        raise ValueError(whole)
    return whole


def _canonical_integer(text: str, type_name: str) -> str:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    number = int(text)
    limit = 1 << (_INTEGER_BITS[type_name] - 1)
    if not -limit <= number < limit:
        raise ValueError(text)
    return str(number)


def _canonical_date(value: object) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    text = str(value).strip()
    # date.fromisoformat also reads 20260131 and 2026-W05-6, which Hive does not.
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text).isoformat()


def _canonical_timestamp(value: object) -> str:
    text = value.isoformat(" ") if isinstance(value, datetime) else str(value).strip()
    if not _TIMESTAMP.fullmatch(text):
        raise ValueError(text)
    datetime.fromisoformat(text[:19])  # refuses what is no moment, such as the 31st of February
    seconds, _, fraction = text.replace("T", " ").partition(".")
    return f"{seconds}.{fraction.rstrip('0')}".rstrip(".")


def _canonical_decimal(text: str, precision: int, scale: int) -> str:
    number = Decimal(text)
    shortened = number.quantize(Decimal(1).scaleb(-scale), context=_EXACT)
    if shortened != number or len(shortened.as_tuple().digits) > precision:
        raise ValueError(text)
    # As Hive's decimals print themselves, and so Athena writes and looks for them: 1.50 is 1.5.
    return "0" if shortened.is_zero() else f"{shortened.normalize(_EXACT):f}"
