"""Lines of JSON, as Hive's own JsonSerDe reads them: strict; a value that does not fit fails the query."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes import hive_values
from local_athena.duck.scans.serdes.hive_values import INTEGER_BITS, Parse, scalar_parser
from local_athena.duck.scans.serdes.lenient_json import Unquoted, number_of
from local_athena.duck.scans.serdes.timestamp_patterns import timestamp_reader
from local_athena.errors import QueryFailed

_PARSER = json.JSONDecoder(parse_float=Unquoted)


class HiveJson:
    """The columns of a table's lines."""

    def __init__(self, parameters: Mapping[str, str], columns: Sequence[tuple[str, DataType]]) -> None:
        self._fields = _Values(parameters).fields(columns)

    def decode(self, lines: Sequence[str], wanted: Sequence[str]) -> list[list[Any]]:
        """Return the values of each wanted column."""
        rows = [_by_name(_parse(line)) for line in lines]
        found = []
        for name in wanted:
            ordinal, _, decode = next(field for field in self._fields if field[1] == name)
            values = (_get(row, ordinal, name) for row in rows)
            found.append([None if value is None else decode(value) for value in values])
        return found


def _parse(line: str) -> Mapping[str, Any]:
    try:
        row = _PARSER.raw_decode(line.lstrip())[0]
    except (ValueError, RecursionError) as error:
        raise _failed(f"Invalid JSON: {error}") from error
    if not isinstance(row, dict):
        raise _failed("Invalid JSON: start of object expected")
    return row


def _failed(problem: str) -> QueryFailed:
    return QueryFailed(f"HIVE_CURSOR_ERROR: Row is not a valid JSON Object - {problem}", error_type=1001)


def _refuse(kind: DataType, expected: str) -> NoReturn:
    raise _failed(f"Invalid JSON: {kind.trino} value must be {expected}")


def _by_name(found: Mapping[str, Any]) -> dict[str, Any]:
    """Make names lower case: case does not matter, and the last of equal names counts."""
    return {key.lower(): value for key, value in found.items()}


def _get(found: Mapping[str, Any], ordinal: int, name: str) -> Any:
    """Find a field by its name or, as Hive's own writer may call it, ``_col<n>``."""
    return found[name] if name in found else found.get(f"_col{ordinal}")


class _Values:
    """Makes what reads a value by its type."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._moment = timestamp_reader(parameters, hive_values.timestamp)

    def fields(self, columns: Sequence[tuple[str, DataType]]) -> list[tuple[int, str, Parse]]:
        """Return (ordinal, name, reader) of each column or field."""
        return [(ordinal, name, self._value(kind)) for ordinal, (name, kind) in enumerate(columns)]

    def _value(self, kind: DataType) -> Parse:
        nested = {"array": self._array, "map": self._map, "row": self._row}.get(kind.name)
        return nested(kind) if nested is not None else self._scalar(kind)

    def _array(self, kind: DataType) -> Parse:
        decode = self._value(kind.children[0])

        def parse(value: Any) -> list[Any]:
            if not isinstance(value, list):
                _refuse(kind, "a JSON array")
            return [None if item is None else decode(item) for item in value]

        return parse

    def _map(self, kind: DataType) -> Parse:
        decode = self._value(kind.children[1])
        decode_key = self._key_reader(kind.children[0])

        def parse(value: Any) -> list[tuple[Any, Any]]:
            if not isinstance(value, dict):
                _refuse(kind, "a JSON object")
            entries = {decode_key(k): None if item is None else decode(item) for k, item in value.items()}
            return list(entries.items())

        return parse

    def _key_reader(self, kind: DataType) -> Parse:
        parse = self._moment if kind.name == "timestamp" else scalar_parser(kind)
        if parse is None:
            raise QueryFailed(f"NOT_SUPPORTED: Map key type {kind.trino} in JSON", error_type=1004)

        def read(text: str) -> Any:
            value = parse(text)
            return value if value is not None else _refuse(kind, "a valid map key")

        return read

    def _row(self, kind: DataType) -> Parse:
        fields = self.fields(kind.fields)

        def parse(value: Any) -> dict[str, Any]:
            if not isinstance(value, dict):
                _refuse(kind, "a JSON object")
            named = _by_name(value)
            found = {name: (_get(named, ordinal, name), decode) for ordinal, name, decode in fields}
            return {name: None if item is None else decode(item) for name, (item, decode) in found.items()}

        return parse

    def _scalar(self, kind: DataType) -> Parse:
        if kind.name in INTEGER_BITS or kind.name in ("real", "double"):
            return _number_reader(kind)
        others: dict[str, Parse] = {"varbinary": str.encode, "boolean": _is_true, "timestamp": self._moment}
        read = others.get(kind.name) or scalar_parser(kind)
        if read is None:
            raise QueryFailed(f"NOT_SUPPORTED: Column type {kind.trino} in JSON", error_type=1004)

        def parse(value: Any) -> Any:
            if isinstance(value, (dict, list)):
                _refuse(kind, "a scalar JSON value")
            found = read(_text(value))
            if found is None and kind.name != "decimal":
                _refuse(kind, "a valid one")
            return found

        return parse


def _is_true(text: str) -> bool:
    return text.lower() == "true"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _number_reader(kind: DataType) -> Parse:
    def parse(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, Unquoted)):
            _refuse(kind, "a JSON number")
        if kind.name in ("real", "double"):
            return float(value)
        number = value if isinstance(value, int) else int(number_of(value) or 0)
        found = hive_values.in_range(number, INTEGER_BITS[kind.name])
        return found if found is not None else _refuse(kind, "in range")

    return parse
