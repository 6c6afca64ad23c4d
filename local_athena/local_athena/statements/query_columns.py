"""What a query's columns must be before Glue may keep them: named, once each, of types Hive has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from local_athena.data.session import Column
from local_athena.data.type_parser import parse_trino
from local_athena.data.types import DataType, UnknownTypeError, varchar
from local_athena.errors import QueryFailed

_MILLIS = (3,)
_EMPTY_TEXT = varchar(0)


def check_named(columns: Sequence[Column]) -> None:
    """Refuse a column without a name or with the name of another."""
    for position, column in enumerate(columns, 1):
        if not column.named:
            raise QueryFailed(
                f"MISSING_COLUMN_NAME: line 1:1: Column name not specified at position {position}"
            )
    check_distinct(columns)


def check_distinct(columns: Sequence[Column]) -> None:
    """Refuse a column with the name of another."""
    seen: set[str] = set()
    for name in (column.name.lower() for column in columns):
        if name in seen:
            raise QueryFailed(
                f"DUPLICATE_COLUMN_NAME: line 1:1: Column name '{name}' specified more than once"
            )
        seen.add(name)


def hive_types(columns: Sequence[Column]) -> tuple[DataType, ...]:
    """Return the columns' types. Refuses NULL without a type, and what Glue has no word for."""
    found = []
    for position, column in enumerate(columns, 1):
        kind = parse_trino(column.type)
        if kind.name == "unknown":
            raise QueryFailed(f"COLUMN_TYPE_UNKNOWN: line 1:1: Column type is unknown at position {position}")
        try:
            _ = kind.hive
        except UnknownTypeError as error:
            raise QueryFailed(f"NOT_SUPPORTED: {error}") from error
        found.append(kind)
    return tuple(found)


def written_types(columns: Sequence[Column]) -> tuple[DataType, ...]:
    """Return the columns' types, as hive_types; files keep timestamps of milliseconds and no others."""
    kinds = hive_types(columns)
    for column, kind in zip(columns, kinds, strict=True):
        _refuse_name(column.name)
        for part in _parts(kind):
            if part == _EMPTY_TEXT and part is not kind:
                raise QueryFailed("GENERIC_INTERNAL_ERROR: invalid varchar length: 0")
            if None in part.field_names:
                raise QueryFailed(
                    "NOT_SUPPORTED: Anonymous row type is not supported in Hive. Please give each field "
                    f"a name: {part.trino}"
                )
            if part.name == "timestamp" and part.parameters != _MILLIS:
                raise QueryFailed(
                    f"NOT_SUPPORTED: Incorrect timestamp precision for {part.trino}; the configured "
                    f"precision is MILLISECONDS; column name: {column.name}"
                )
    return kinds


def _refuse_name(name: str) -> None:
    # Hive keeps a table's column names in one text, separated by commas.
    if "," in name:
        raise QueryFailed(f"NOT_SUPPORTED: Hive column names must not contain commas: '{name}'")
    if name != name.strip(" "):
        raise QueryFailed(f"NOT_SUPPORTED: Hive column names must not start or end with a space: '{name}'")


def _parts(kind: DataType) -> Iterator[DataType]:
    yield kind
    for child in kind.children:
        yield from _parts(child)
