"""Read data types from the text of Hive, Trino or DuckDB, and from Arrow."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from local_athena.data.types import (
    BIGINT,
    BOOLEAN,
    DATE,
    DAY_TO_SECOND,
    DOUBLE,
    INTEGER,
    INTERVAL_DAY,
    INTERVAL_MONTH,
    JSON,
    REAL,
    SMALLINT,
    TIME,
    TIMESTAMP,
    TIMESTAMP_TZ,
    TIMESTAMP_WITH_TZ,
    TINYINT,
    UNKNOWN,
    VARBINARY,
    VARCHAR,
    YEAR_TO_MONTH,
    DataType,
    UnknownTypeError,
    array,
    decimal,
    map_of,
    row,
    varchar,
)

_SIMPLE = {
    one.name: one
    for one in (
        BOOLEAN,
        TINYINT,
        SMALLINT,
        INTEGER,
        BIGINT,
        REAL,
        DOUBLE,
        VARCHAR,
        VARBINARY,
        DATE,
        JSON,
        UNKNOWN,
    )
}
_SYNONYMS = {
    "int": INTEGER,
    "float": REAL,
    "string": VARCHAR,
    "binary": VARBINARY,
    "bool": BOOLEAN,
    "long": BIGINT,
    "blob": VARBINARY,
    "double precision": DOUBLE,
    "null": UNKNOWN,
    "time": TIME,
    "timestamp": TIMESTAMP,
    TIMESTAMP_TZ: TIMESTAMP_WITH_TZ,
    DAY_TO_SECOND: INTERVAL_DAY,
    YEAR_TO_MONTH: INTERVAL_MONTH,
    "void": UNKNOWN,
    "uuid": DataType("uuid"),
    "ipaddress": DataType("ipaddress"),
}
_MAX_DECIMAL_PRECISION = 38


@lru_cache(maxsize=4096)
def parse_hive(text: str) -> DataType:
    """Read a type as Glue keeps it: ``struct<a:int,b:array<string>>``, ``decimal(10,2)``."""
    return _Reader(text, opening="<", closing=">").whole()


@lru_cache(maxsize=4096)
def parse_trino(text: str) -> DataType:
    """Read a type as Trino writes it: ``row(a integer, "b c" array(varchar))``."""
    return _Reader(text, opening="(", closing=")").whole()


@lru_cache(maxsize=4096)
def parse_duckdb(text: str) -> DataType:
    """Read a type as DuckDB writes it: ``STRUCT(a INTEGER)``, ``MAP(VARCHAR, BIGINT[])``."""
    return _Reader(text, opening="(", closing=")", timestamp_digits=6).whole()


class _Reader:
    """Reads one type text from left to right."""

    _TOKEN = re.compile(r'\s*("(?:[^"]|"")*"|`(?:[^`]|``)*`|[\w$.\-]+|[^\s\w])')

    def __init__(self, text: str, opening: str, closing: str, timestamp_digits: int = 3) -> None:
        self._text = text
        self._tokens = self._TOKEN.findall(text)
        self._position = 0
        self._opening = opening
        self._closing = closing
        self._timestamp_digits = timestamp_digits

    def whole(self) -> DataType:
        result = self._type()
        if self._position != len(self._tokens):
            raise self._error()
        return result

    def _error(self) -> UnknownTypeError:
        return UnknownTypeError(f"Unknown type: {self._text}")

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self, expected: str | None = None) -> str:
        token = self._peek()
        if not token or (expected is not None and token != expected):
            raise self._error()
        self._position += 1
        return str(token)

    def _type(self) -> DataType:
        word = self._take().lower()
        if word in ("array", "list"):
            result = array(self._bracketed()[0])
        elif word == "map":
            key, value = self._bracketed()
            result = map_of(key, value)
        elif word in ("row", "struct"):
            result = self._row()
        elif word in ("timestamp", "timestamptz", "time", "timestamp_ms", "timestamp_ns", "timestamp_s"):
            result = self._moment(word)
        elif word == "interval":
            result = self._named(
                " ".join([word, self._take().lower(), self._take().lower(), self._take().lower()])
            )
        else:
            result = self._scalar(word)
        while self._peek() == "[":
            self._take()
            self._take("]")
            result = array(result)
        return result

    def _bracketed(self) -> list[DataType]:
        self._take(self._opening)
        found = [self._type()]
        while self._peek() == ",":
            self._take()
            found.append(self._type())
        self._take(self._closing)
        return found

    def _row(self) -> DataType:
        self._take(self._opening)
        fields = [self._field()]
        while self._peek() == ",":
            self._take()
            fields.append(self._field())
        self._take(self._closing)
        return row(*fields)

    def _field(self) -> tuple[str | None, DataType]:
        if self._opening == "<":
            words = []
            while self._peek() != ":":
                words.append(_unquote(self._take()))
            self._take(":")
            return " ".join(words).lower(), self._type()
        start = self._position
        try:  # a field without a name: `row(integer, varchar)`
            kind = self._type()
            if self._peek() in (",", self._closing):
                return None, kind
        except UnknownTypeError:
            pass
        self._position = start
        token = self._take()
        return (_unquote(token) if token[0] in '"`' else token.lower()), self._type()

    def _moment(self, word: str) -> DataType:
        if word == "timestamptz":
            return DataType(TIMESTAMP_TZ, (self._timestamp_digits,))
        if word.startswith("timestamp_"):
            return DataType("timestamp", ({"s": 0, "ms": 3, "ns": 9}[word[10:]],))
        digits = self._numbers() or (self._timestamp_digits,)
        if self._peek().lower() in ("with", "without"):
            zoned = self._take().lower() == "with"
            if self._peek().lower() == "local":  # Hive's name for an instant, which Athena reads as UTC
                self._take()
            for expected in ("time", "zone"):
                if self._take().lower() != expected:
                    raise self._error()
            if zoned:
                return DataType(f"{word} with time zone", digits)
        return DataType(word, digits)

    def _scalar(self, word: str) -> DataType:
        if word == "double" and self._peek().lower() == "precision":
            self._take()
        if word in ("decimal", "numeric", "dec"):
            numbers = self._numbers() or (10 if self._opening == "<" else 38,)
            precision, scale = (*numbers, 0)[:2]
            if not (
                1 <= precision <= _MAX_DECIMAL_PRECISION and 0 <= scale <= precision and len(numbers) < 3
            ):
                raise self._error()
            return decimal(precision, scale)
        if word in ("varchar", "char", "character"):
            length = next(iter(self._numbers()), None)
            return varchar(length) if word == "varchar" else DataType("char", (length or 1,))
        return self._named(word)

    def _named(self, word: str) -> DataType:
        found = _SIMPLE.get(word, _SYNONYMS.get(word))
        if found is None:
            raise self._error()
        return found

    def _numbers(self) -> tuple[int, ...]:
        if self._peek() != "(" or not self._tokens[self._position + 1].isdigit():
            return ()
        self._take("(")
        found = [int(self._take())]
        while self._peek() == ",":
            self._take()
            found.append(int(self._take()))
        self._take(")")
        return tuple(found)


def _unquote(token: str) -> str:
    mark = token[0]
    return token[1:-1].replace(mark * 2, mark) if mark in '"`' else token


def from_arrow(arrow_type: Any) -> DataType:
    """Name the Trino type of Arrow values: unsigned integers widen, time zones stay."""
    import pyarrow as pa

    kind = pa.types
    if kind.is_dictionary(arrow_type):
        return from_arrow(arrow_type.value_type)
    if kind.is_list(arrow_type) or kind.is_large_list(arrow_type) or kind.is_fixed_size_list(arrow_type):
        return array(from_arrow(arrow_type.value_type))
    if kind.is_map(arrow_type):
        return map_of(from_arrow(arrow_type.key_type), from_arrow(arrow_type.item_type))
    if kind.is_struct(arrow_type):
        return row(*((field.name, from_arrow(field.type)) for field in arrow_type))
    if kind.is_decimal(arrow_type):
        return decimal(min(arrow_type.precision, _MAX_DECIMAL_PRECISION), arrow_type.scale)
    if kind.is_timestamp(arrow_type):
        digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[arrow_type.unit]
        return DataType("timestamp" if arrow_type.tz is None else TIMESTAMP_TZ, (digits,))
    for test, found in (
        (kind.is_boolean, BOOLEAN),
        (kind.is_int8, TINYINT),
        (lambda one: kind.is_int16(one) or kind.is_uint8(one), SMALLINT),
        (lambda one: kind.is_int32(one) or kind.is_uint16(one), INTEGER),
        (kind.is_integer, BIGINT),
        (lambda one: kind.is_float16(one) or kind.is_float32(one), REAL),
        (kind.is_float64, DOUBLE),
        (lambda one: kind.is_string(one) or kind.is_large_string(one) or kind.is_string_view(one), VARCHAR),
        (
            lambda one: kind.is_binary(one) or kind.is_large_binary(one) or kind.is_fixed_size_binary(one),
            VARBINARY,
        ),
        (kind.is_date, DATE),
        (kind.is_time, TIME),
        (kind.is_null, UNKNOWN),
    ):
        if test(arrow_type):
            return found
    raise UnknownTypeError(f"Unknown type: {arrow_type}")
