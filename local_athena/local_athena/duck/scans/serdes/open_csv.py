"""Lines of CSV, as Hive's OpenCSVSerde reads them: quotes, escapes, no line breaks inside a value.

Values are text. Athena also takes numbers, booleans, dates (days since 1970) and timestamps (milliseconds
since 1970) in such a table, and fails the query where a value is none (Athena user guide, "Open CSV SerDe",
read 2026-11).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes.hive_values import EPOCH, Parse, integer, scalar_parser
from local_athena.errors import QueryFailed

_PYTHON_LIMIT = 100_000  # csv.reader refuses fields of more than 131,072 characters


class OpenCsv:
    """The fields of a table's lines, by the SerDe's parameters."""

    def __init__(self, parameters: Mapping[str, str], columns: Sequence[tuple[str, DataType]]) -> None:
        self._separator = (parameters.get("separatorChar") or ",")[0]
        self._quote = (parameters.get("quoteChar") or '"')[0]
        self._escape = (parameters.get("escapeChar") or "\\")[0]
        self._width = len(columns)
        s, q, e = map(re.escape, (self._separator, self._quote, self._escape))
        value = f"(?:{q}[^{q}{e}]*{q}|[^{s}{q}{e}]*)"
        # No quote or escape but around whole values: Python's own reader splits such a line alike.
        self._simple = re.compile(f"{value}(?:{s}{value})*")
        self._parsers = {name: (index, _parser(index, kind)) for index, (name, kind) in enumerate(columns)}

    def decode(self, lines: Sequence[str], wanted: Sequence[str]) -> list[list[Any]]:
        """Return the values of each wanted column."""
        picked = [self._parsers[name] for name in wanted]
        if not picked:
            return []
        rows = [self._split(line) for line in lines]
        return [
            [
                None if index >= len(fields) or fields[index] is None else parse(fields[index])
                for fields in rows
            ]
            for index, parse in picked
        ]

    def _split(self, line: str) -> Sequence[Any]:
        if not line:
            return ()
        if self._quote not in line and self._escape not in line:
            return line.split(self._separator)
        if len(line) < _PYTHON_LIMIT and self._simple.fullmatch(line):
            return next(csv.reader([line], delimiter=self._separator, quotechar=self._quote))
        return _QuotedLine(line, self._separator, self._quote, self._escape).fields(self._width)


class _QuotedLine:
    """One line read character by character: quotes may be doubled, escaped, and amid a value."""

    def __init__(self, line: str, separator: str, quote: str, escape: str) -> None:
        self._line = line
        self._separator = separator
        self._quote = quote
        self._escape = escape
        self._value: list[str] = []
        self._in_quotes = False
        self._in_field = False

    def fields(self, width: int) -> list[str]:
        """Return at most ``width`` values; one whose quote is not closed is not a value."""
        found: list[str] = []
        position = 0
        while position < len(self._line) and len(found) < width:
            character = self._line[position]
            if character == self._separator and not self._in_quotes:
                found.append("".join(self._value))
                self._value = []
                self._in_field = False
            else:
                position += self._take(character, position)
            position += 1
        if len(found) < width and not self._in_quotes:
            found.append("".join(self._value))
        return found

    def _take(self, character: str, position: int) -> int:
        """Read one character; returns how many more were read with it."""
        inside = self._in_quotes or self._in_field
        following = self._line[position + 1 : position + 2]
        if character == self._escape:
            if inside and following and following in (self._quote, self._escape):
                self._value.append(following)
                return 1
            return 0
        if character == self._quote:
            doubled = inside and following == self._quote
            if doubled:
                self._value.append(following)
            else:
                self._turn(position, following)
            self._in_field = not self._in_field
            return int(doubled)
        self._value.append(character)
        self._in_field = True
        return 0

    def _turn(self, position: int, following: str) -> None:
        """Open or close a quote; amid a value it is kept, unless only blanks stand before it."""
        amid = position > 2 and self._line[position - 1] != self._separator
        if amid and following and following != self._separator:
            if self._value and not "".join(self._value).strip():
                self._value = []
            else:
                self._value.append(self._quote)
        self._in_quotes = not self._in_quotes


def _parser(index: int, kind: DataType) -> Parse:
    parse: Parse | None = scalar_parser(kind)
    if kind.name in ("varchar", "char") and parse is not None:
        return parse
    if kind.name == "date":
        parse = _days
    elif kind.name == "timestamp":
        parse = _milliseconds
    if parse is None:
        raise QueryFailed(f"NOT_SUPPORTED: Column type {kind.trino} in CSV", error_type=1004)
    strict = parse

    def checked(text: str) -> Any:
        value = strict(text)
        if value is None:
            raise QueryFailed(
                f"HIVE_BAD_DATA: Error parsing field value '{text}' for field {index}: "
                f'For input string: "{text}"',
                error_type=1001,
            )
        return value

    return checked


def _days(text: str) -> Any:
    number = integer(text, 32)
    return None if number is None else (EPOCH + timedelta(days=number)).date()


def _milliseconds(text: str) -> Any:
    number = integer(text, 64)
    return None if number is None else EPOCH + timedelta(milliseconds=number)
