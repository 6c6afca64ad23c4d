"""Lines of JSON, as the OpenX JSON SerDe reads them on Athena.

What is no JSON object is a row of NULLs; what starts like one and is torn is, too, with
``ignore.malformed.json``, and fails the query without. An object or array in a text column is its JSON text.
``case.insensitive``, on by default, makes *every* key lower case, nested ones in such a text included: that
is Athena's SerDe; Trino's own reader keeps them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes import hive_values
from local_athena.duck.scans.serdes.hive_values import EPOCH, INTEGER_BITS, Parse, characters
from local_athena.duck.scans.serdes.lenient_json import (
    InvalidJsonError,
    LenientReader,
    Unquoted,
    long_of,
    number_of,
    text_of,
)
from local_athena.duck.scans.serdes.timestamp_patterns import timestamp_reader
from local_athena.errors import QueryFailed

_TRIMMED = "".join(map(chr, range(33)))  # what Java's String.trim takes off
_ZONED = re.compile(r"(.+?)(?:[zZ]|([+-])([0-9]{2}):?([0-9]{2}))")
_EPOCH_TEXT = re.compile(r"[-+.0-9]+")
_MILLISECONDS_FROM_DIGITS = 13


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
        self._moment = timestamp_reader(parameters, _moment)
        self.has_formats = self._moment is not _moment
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
        text = line.strip(_TRIMMED)
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
            return lambda value: self._moment(_scalar_text(value, kind))
        return _scalar(kind)

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
                return None if _is_blank(value) else _refuse(value, kind)
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
            elif _is_blank(value):
                values = [None] * len(fields)
            else:
                _refuse(value, kind)
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


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip(_TRIMMED)


def _refuse(value: Any, kind: DataType) -> NoReturn:
    found = "Map" if isinstance(value, dict) else "List" if isinstance(value, list) else "Primitive"
    raise QueryFailed(
        f"HIVE_CURSOR_ERROR: {found} can not be coerced to a {kind.trino.upper()}", error_type=1001
    )


def _scalar(kind: DataType) -> Parse:
    """Values are read from their text; an object or array is none."""
    readers: dict[str, Parse] = {
        "real": hive_values.double,
        "double": hive_values.double,
        "date": _day,
    }
    if kind.name == "boolean":
        # An object or array is false, too.
        return lambda value: _literal(value).lower() == "true"
    if kind.name == "varbinary":
        return lambda value: _binary(value, kind)
    if kind.name in INTEGER_BITS:
        return _integer_reader(kind)
    if kind.name == "decimal":
        return lambda value: _decimal(_scalar_text(value, kind), kind)
    reader = readers.get(kind.name)
    if reader is None:
        raise QueryFailed(f"NOT_SUPPORTED: Column type {kind.trino} in JSON", error_type=1004)
    return lambda value: reader(_scalar_text(value, kind))


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _scalar_text(value: Any, kind: DataType) -> str:
    if isinstance(value, (dict, list)):
        _refuse(value, kind)
    return _literal(value)


def _integer_reader(kind: DataType) -> Parse:
    bits = INTEGER_BITS[kind.name]

    def read(value: Any) -> int | None:
        if type(value) is int:
            return hive_values.in_range(value, bits)
        text = _scalar_text(value, kind)
        number = long_of(text)
        if number is None:
            exact = number_of(text)
            if exact is None or exact.adjusted() > 30:
                return None
            number = int(exact)
        return hive_values.in_range(number, bits)

    return read


def _decimal(text: str, kind: DataType) -> Decimal | None:
    number = number_of(text)
    return None if number is None else hive_values.fit_decimal(number, *kind.parameters)


def _binary(value: Any, kind: DataType) -> bytes | None:
    if type(value) is not str:  # also an Unquoted
        _refuse(value, kind)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return None


def _day(text: str) -> date | None:
    found = hive_values.day(text)
    if found is not None:
        return found
    days = long_of(text)
    try:
        return None if days is None else (EPOCH + timedelta(days=days)).date()
    except OverflowError:
        return None


def _moment(text: str) -> datetime | None:
    if ":" in text[1:]:
        zoned = _ZONED.fullmatch(text)
        if zoned is None or "T" not in zoned[1].upper():
            return hive_values.timestamp(text)
        local = hive_values.timestamp(zoned[1].upper())
        if local is None or not zoned[2]:
            return local
        offset = timedelta(hours=int(zoned[3]), minutes=int(zoned[4]))
        return local - offset if zoned[2] == "+" else local + offset
    if not _EPOCH_TEXT.fullmatch(text):
        return None
    number = number_of(text)
    if number is None or abs(number) > 10**17:
        return None
    in_milliseconds = "." not in text and len(text) >= _MILLISECONDS_FROM_DIGITS
    milliseconds = int(number if in_milliseconds else number * 1000)
    try:
        return EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
