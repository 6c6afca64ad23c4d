r"""Lines of delimited text, as Hive's LazySimpleSerDe reads them.

A line that is too short has NULLs at its end, what is too much is left out, an empty line is a row. ``\N``
is NULL. Nested types use the separators in their order: collection items, map keys, then Hive's own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes.hive_values import Parse, scalar_parser, timestamp
from local_athena.duck.scans.serdes.timestamp_patterns import timestamp_reader
from local_athena.errors import QueryFailed

# Hive's separators by depth; those that mean something else in text (tab, line feed, …) are left out.
_DEFAULT_SEPARATORS = [chr(c) for c in (1, 2, 3, 4, 5, 6, 7, 8, 11, *range(14, 27), *range(28, 32))]
_DEFAULT_NULL = "\\N"


class DelimitedText:
    """The fields of a table's lines, by the SerDe's parameters."""

    def __init__(self, parameters: Mapping[str, str], columns: Sequence[tuple[str, DataType]]) -> None:
        self._null = parameters.get("serialization.null.format", _DEFAULT_NULL)
        self._separators = _separators(parameters)
        escape = parameters.get("escape.delim")
        self._escape = _character(escape, "\\") if escape else None
        takes_rest = parameters.get("serialization.last.column.takes.rest", "").lower() == "true"
        self._limit = len(columns) - 1 if takes_rest else -1
        self._moment = timestamp_reader(parameters, timestamp)
        self._parsers = [self._or_null(self._parser(kind, 1)) for _, kind in columns]
        self._names = {name: index for index, (name, _) in enumerate(columns)}

    def decode(self, lines: Sequence[str], wanted: Sequence[str]) -> list[list[Any]]:
        """Return the values of each wanted column."""
        picked = [(self._names[name], self._parsers[self._names[name]]) for name in wanted]
        if not picked:
            return []
        rows = [self._split(line, self._separators[0], self._limit) for line in lines]
        return [
            [parse(fields[index]) if index < len(fields) else None for fields in rows]
            for index, parse in picked
        ]

    def _split(self, text: str, separator: str, limit: int = -1) -> list[str]:
        if self._escape is None or self._escape not in text:
            return text.split(separator, limit)
        fields: list[str] = []
        start = position = 0
        while position < len(text) and len(fields) != limit:
            if text[position] == separator:
                fields.append(text[start:position])
                start = position + 1
            elif text[position] == self._escape:
                position += 1  # whatever comes next is no separator
            position += 1
        return [*fields, text[start:]]

    def _or_null(self, parse: Parse) -> Parse:
        null = self._null
        return lambda text: None if text == null else parse(text)

    def _parser(self, kind: DataType, depth: int) -> Parse:
        if kind.name == "array":
            return self._array(kind, depth)
        if kind.name == "map":
            return self._map(kind, depth)
        if kind.name == "row":
            return self._row(kind, depth)
        if kind.name == "varbinary":
            return _binary
        parse = self._moment if kind.name == "timestamp" else scalar_parser(kind)
        if parse is None:
            raise QueryFailed(f"NOT_SUPPORTED: Column type {kind.trino} in delimited text", error_type=1004)
        if kind.name in ("varchar", "char") and self._escape is not None:
            return self._unescaped(parse)
        if kind.name == "boolean":
            return parse
        # An empty field is NULL for every type but text.
        return parse if kind.name in ("varchar", "char") else lambda text: parse(text) if text else None

    def _unescaped(self, parse: Parse) -> Parse:
        escape = self._escape or ""

        def unescape(text: str) -> Any:
            if escape not in text:
                return parse(text)
            parts: list[str] = []
            characters = iter(text)
            for character in characters:
                if character == escape:
                    character = next(characters, escape)
                    # Hive's writer escapes line ends so; its reader turns them back.
                    character = {"r": "\r", "n": "\n"}.get(character, character)
                parts.append(character)
            return parse("".join(parts))

        return unescape

    def _array(self, kind: DataType, depth: int) -> Parse:
        element = self._or_null(self._parser(kind.children[0], depth + 1))
        separator = self._separators[depth]
        return lambda text: [element(part) for part in self._split(text, separator)] if text else []

    def _map(self, kind: DataType, depth: int) -> Parse:
        key = self._or_null(self._parser(kind.children[0], depth + 2))
        value = self._or_null(self._parser(kind.children[1], depth + 2))
        between, inside = self._separators[depth], self._separators[depth + 1]

        def parse(text: str) -> list[tuple[Any, Any]]:
            entries: dict[Any, Any] = {}
            for entry in self._split(text, between) if text else ():
                name, *rest = self._split(entry, inside, 1)
                found = key(name)
                if found is not None and found not in entries:  # the first of equal keys counts
                    entries[found] = value(rest[0]) if rest else None
            return list(entries.items())

        return parse

    def _row(self, kind: DataType, depth: int) -> Parse:
        names = [name for name, _ in kind.fields]
        parsers = [self._or_null(self._parser(child, depth + 1)) for child in kind.children]
        separator = self._separators[depth]

        def parse(text: str) -> dict[str, Any]:
            parts = self._split(text, separator)
            found = [field(part) for field, part in zip(parsers, parts, strict=False)]
            return dict(zip(names, found + [None] * (len(names) - len(found)), strict=True))

        return parse


def _separators(parameters: Mapping[str, str]) -> list[str]:
    separators = list(_DEFAULT_SEPARATORS)
    field = parameters.get("field.delim") or parameters.get("serialization.format")
    # "colelction" is how Hive 1 to 3 spell it.
    collection = parameters.get("collection.delim") or parameters.get("colelction.delim")
    for index, text in enumerate((field, collection, parameters.get("mapkey.delim"))):
        separators[index] = _character(text, separators[index])
    return separators


def _character(text: str | None, default: str) -> str:
    """Read a separator given as a number or as the character itself."""
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        return text[0]
    return chr(number % 256) if -128 <= number < 128 else text[0]


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        # What is no base64 was written by something else than Hive, as it was.
        return text.encode()
