"""Reads the WITH clauses of CTAS and UNLOAD; refuses what Athena does not know or cannot combine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from local_athena.data.data_files import Layout
from local_athena.data.file_formats import Encoding, FileFormat, choose_encoding, parse_format
from local_athena.data.s3_uri import InvalidUri, S3Uri
from local_athena.errors import QueryFailed
from local_athena.sql_text import TokenKind
from local_athena.statements.hive_create import iceberg_refused
from local_athena.statements.token_cursor import GLUE_CATALOG, Cursor

Value = str | int | bool | tuple[str, ...]

_CTAS_NAMES = frozenset(
    {
        "table_type", "external_location", "is_external", "format", "partitioned_by", "bucketed_by",
        "bucket_count", "write_compression", "parquet_compression", "orc_compression", "compression_level",
        "field_delimiter",
    }
)  # fmt: skip
_UNLOAD_NAMES = frozenset({"format", "compression", "compression_level", "field_delimiter", "partitioned_by"})


@dataclass(frozen=True, slots=True)
class WriteProperties:
    """Where and how a statement's files are to be written."""

    location: str | None
    layout: Layout
    encoding: Encoding


def ctas_properties(cursor: Cursor) -> WriteProperties:
    """Read ``WITH (…)`` of CREATE TABLE AS, if there is one."""
    found = _Properties(cursor, _CTAS_NAMES, "table property")
    if (found.text("table_type") or "hive").lower() == "iceberg":
        raise iceberg_refused()
    if found.flag("is_external") is False:
        found.refuse("is_external", "Hive tables are external; leave it out or set it to true")
    file_format = parse_format(found.text("format") or "PARQUET")
    own = {FileFormat.PARQUET: "parquet_compression", FileFormat.ORC: "orc_compression"}
    for other, name in own.items():
        if name in found and other is not file_format:
            found.refuse(name, f"the format is {file_format.value}")
    compression = found.text("write_compression")
    if file_format in own and own[file_format] in found:
        if compression is not None:
            found.refuse("write_compression", f"{own[file_format]} is set, too")
        compression = found.text(own[file_format])
    location = found.text("external_location")
    return WriteProperties(
        None if location is None else checked_uri(location),
        _layout(found),
        _encoding(found, file_format, compression),
    )


def unload_properties(cursor: Cursor, location: str) -> WriteProperties:
    """Read ``WITH (…)`` of UNLOAD, which must name a format."""
    found = _Properties(cursor, _UNLOAD_NAMES, "UNLOAD property")
    name = found.text("format")
    if name is None:
        raise QueryFailed("INVALID_TABLE_PROPERTY: UNLOAD needs the property 'format'")
    encoding = _encoding(found, parse_format(name), found.text("compression"))
    return WriteProperties(checked_uri(location), Layout(found.names("partitioned_by")), encoding)


def checked_uri(text: str) -> str:
    """Return a location, if it is a place in S3."""
    try:
        S3Uri.parse(text)
    except InvalidUri as error:
        raise QueryFailed(
            f"INVALID_TABLE_PROPERTY: External location is not a valid file system URI: {text}"
        ) from error
    return text


def _layout(found: _Properties) -> Layout:
    buckets, count = found.names("bucketed_by"), found.number("bucket_count")
    if bool(buckets) != (count is not None):
        found.refuse("bucketed_by", "bucketed_by and bucket_count go together")
    if count is not None and count <= 0:
        found.refuse("bucket_count", "it must be greater than zero")
    return Layout(found.names("partitioned_by"), buckets, count or 0)


def _encoding(found: _Properties, file_format: FileFormat, compression: str | None) -> Encoding:
    delimiter = found.text("field_delimiter")
    serde: Mapping[str, str] = {}
    if delimiter is not None:
        if file_format is not FileFormat.TEXTFILE:
            found.refuse("field_delimiter", f"only TEXTFILE has one, the format is {file_format.value}")
        if len(delimiter) != 1:
            found.refuse("field_delimiter", "it must be a single character")
        serde = {"field.delim": delimiter, "serialization.format": delimiter}
    return choose_encoding(file_format, compression, found.number("compression_level"), serde)


class _Properties:
    """The names and values of one WITH clause."""

    def __init__(self, cursor: Cursor, known: frozenset[str], what: str) -> None:
        self._values: dict[str, Value] = {}
        if not cursor.take("WITH"):
            return
        cursor.expect("(")
        while True:
            name = cursor.identifier()
            cursor.expect("=")
            if name not in known:
                raise QueryFailed(
                    f"INVALID_TABLE_PROPERTY: line 1:1: Catalog '{GLUE_CATALOG}' {what} '{name}' "
                    "does not exist"
                )
            if name in self._values:
                raise QueryFailed(f"DUPLICATE_PROPERTY: line 1:1: Duplicate property: {name}")
            self._values[name] = _value(cursor)
            if not cursor.take(","):
                break
        cursor.expect(")")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            self.refuse(name, f"expected text, found {value!r}")
        return value

    def number(self, name: str) -> int | None:
        value = self._values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            self.refuse(name, f"expected a number, found {value!r}")
        return value

    def flag(self, name: str) -> bool | None:
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, f"expected true or false, found {value!r}")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        value = self._values.get(name, ())
        if not isinstance(value, tuple):
            self.refuse(name, f"expected an array of names, found {value!r}")
        return tuple(entry.lower() for entry in value)

    def refuse(self, name: str, why: str) -> NoReturn:
        raise QueryFailed(f"INVALID_TABLE_PROPERTY: line 1:1: Invalid value for property '{name}': {why}")


def _value(cursor: Cursor) -> Value:
    if cursor.take("TRUE"):
        return True
    if cursor.take("FALSE"):
        return False
    if cursor.token.kind is TokenKind.NUMBER:
        return cursor.integer()
    if not cursor.take("ARRAY"):
        return cursor.string()
    cursor.expect("[")
    names: list[str] = []
    while not cursor.take("]"):
        names.append(cursor.string())
        if not cursor.at("]"):
            cursor.expect(",")
    return tuple(names)
