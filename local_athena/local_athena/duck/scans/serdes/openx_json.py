"""Lines of JSON, as the OpenX JSON SerDe reads them on Athena.

What is no JSON object is a row of NULLs; what starts like one and is torn is, too, with
``ignore.malformed.json``, and fails the query without. An object or array in a text column is its JSON text.
``case.insensitive``, on by default, makes *every* key lower case, nested ones in such a text included: that
is Athena's SerDe; Trino's own reader keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes.hive_values import Parse, characters
from local_athena.duck.scans.serdes.lenient_json import (
    InvalidJsonError,
    LenientReader,
    Unquoted,
    text_of,
)
from local_athena.duck.scans.serdes.openx_scalars import (
    TRIMMED,
    is_blank,
    moment,
    refuse,
    scalar,
    scalar_text,
)
from local_athena.duck.scans.serdes.timestamp_patterns import timestamp_reader
from local_athena.errors import QueryFailed


class OpenXJson:
    """The columns of a table's lines, by the SerDe's parameters."""

    def __init__(self, parameters: Mapping[str, str], columns: Sequence[tuple[str, DataType]]) -> None:
        self.lowers = parameters.get("case.insensitive", "true").lower() != "false"
        self.ignores_malformed = parameters.get("ignore.malformed.json", "").lower() == "true"
        self.dots = parameters.get("dots.in.keys", "").lower() == "true"
        self._keys = {
            name.removeprefix("mapping.").lower(): key.lower() if self.lowers else key
            for name, key in parameters.items()
            if name.startswith("mapping.")
        }
        self._moment = timestamp_reader(parameters, moment)
        self.has_formats = self._moment is not moment
        self._saw_unquoted = False
        self._plain = self._decoder(None)
        self._lowering = self._decoder(_lower_pairs)
        self._columns = [name for name, _ in columns]
        self._decoders = {name: (self.key(name), self._value(kind)) for name, kind in columns}

    def decode(self, lines: Sequence[str], wanted: Sequence[str]) -> list[list[Any]]:
        """Return the values of each wanted column."""
        found: list[list[Any]] = [[] for _ in wanted]
        picked = [
            (column.append, name, *self._decoders[name], self._columns.index(name))
            for column, name in zip(found, wanted, strict=True)
        ]
        for line in lines:
            row = self._parse(line)
            for append, name, key, decode, ordinal in picked:
                if isinstance(row, dict):
                    value = self._get(row, key, name) if self.dots else row.get(key)
                else:
                    value = row[ordinal] if row is not None and ordinal < len(row) else None
                append(None if value is None else decode(value))
        return found

    def _decoder(self, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None) -> json.JSONDecoder:
        return json.JSONDecoder(
            strict=False,
            parse_float=self._unquoted,
            parse_constant=self._unquoted,
            object_pairs_hook=pairs_hook,
        )

    def _unquoted(self, text: str) -> Unquoted:
        self._saw_unquoted = True
        return Unquoted(text)

    def _parse(self, line: str) -> Any:
        text = line.strip(TRIMMED)
        if not text.startswith(("{", "[")):
            return None
        self._saw_unquoted = False
        decoder = self._lowering if self.lowers and not text.islower() else self._plain
        try:
            try:
                return decoder.raw_decode(text)[0]
            except (ValueError, RecursionError):
                self._saw_unquoted = True
                return LenientReader(text, str.lower if self.lowers else str).value()
        except (InvalidJsonError, RecursionError) as error:
            if self.ignores_malformed:
                return None
            raise QueryFailed(
                f"HIVE_CURSOR_ERROR: Row is not a valid JSON Object - JSONException: {error}", error_type=1001
            ) from error

    def key(self, name: str) -> str:
        """Return the key a column or field is found under."""
        return self._keys.get(name, name)

    def folded(self, key: str) -> str:
        """Return a key as it is compared."""
        return key.lower() if self.lowers else key

    def renames(self, names: Sequence[str]) -> bool:
        """Whether one of these may be found under another key than its own."""
        return self.dots or any(name in self._keys for name in names)

    def _get(self, found: Mapping[str, Any], key: str, name: str) -> Any:
        if key in found or not self.dots:
            return found.get(key)
        matching = (
            value
            for dotted, value in found.items()
            if "." in dotted and (dotted.lower() if self.lowers else dotted).replace(".", "_") == name
        )
        return next(matching, None)

    def _value(self, kind: DataType) -> Parse:
        if kind.name in ("varchar", "char"):
            cut = characters(kind)
            return lambda value: cut(text_of(value, only_quoted=not self._saw_unquoted))
        nested = {"array": self._array, "map": self._map, "row": self._row}.get(kind.name)
        if nested is not None:
            return nested(kind)
        if kind.name == "timestamp":
            return lambda value: self._moment(scalar_text(value, kind))
        return scalar(kind)

    def _array(self, kind: DataType) -> Parse:
        decode = self._value(kind.children[0])

        def parse(value: Any) -> Any:
            if value == "":
                return None
            items = value if isinstance(value, list) else [value]
            return [None if item is None else decode(item) for item in items]

        return parse

    def _map(self, kind: DataType) -> Parse:
        decode_key, decode = self._value(kind.children[0]), self._value(kind.children[1])

        def parse(value: Any) -> Any:
            if not isinstance(value, dict):
                return None if is_blank(value) else refuse(value, kind)
            pairs = ((decode_key(key), item) for key, item in value.items())
            entries = {key: None if item is None else decode(item) for key, item in pairs if key is not None}
            return list(entries.items())

        return parse

    def _row(self, kind: DataType) -> Parse:
        fields = [(name, self.key(name), self._value(child)) for name, child in kind.fields]

        def parse(value: Any) -> dict[str, Any]:
            if isinstance(value, dict):
                values = [self._get(value, key, name) for name, key, _ in fields]
            elif isinstance(value, list):
                values = [value[i] if i < len(value) else None for i in range(len(fields))]
            elif is_blank(value):
                values = [None] * len(fields)
            else:
                refuse(value, kind)
            return {
                name: None if item is None else decode(item)
                for (name, _, decode), item in zip(fields, values, strict=True)
            }

        return parse


def _lower_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {key.lower(): value for key, value in pairs}
    if len(found) < len(pairs) and len(found) < len({key for key, _ in pairs}):
        # Keys that differ only in case are one key twice to the SerDe, which it does not take.
        raise InvalidJsonError(f"Duplicate key in {[key for key, _ in pairs]}")
    return found


def lowered_text(text: str) -> str:
    """Make every key of a valid JSON text lower case. Raises InvalidJsonError where keys collide."""
    return text_of(json.loads(text, object_pairs_hook=_lower_pairs), only_quoted=True)
