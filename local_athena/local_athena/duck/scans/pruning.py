"""Which partitions and files a query has to read: DuckDB is asked its filters over what is known of each.

Where a filter cannot be evaluated, everything stays and the query itself decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from local_athena.data.partition_names import HIVE_DEFAULT_PARTITION
from local_athena.data.s3_uri import S3Uri
from local_athena.data.tables import Fields, Partition
from local_athena.data.types import DataType
from local_athena.duck.scans.serdes.hive_values import scalar_parser
from local_athena.errors import QueryFailed

PATH = "$path"
_CANDIDATES = "__candidates"


@dataclass(frozen=True, slots=True)
class Place:
    """A location to read, the typed values of its partition keys, and Glue's partition if there is one."""

    location: S3Uri
    values: tuple[Any, ...] = ()
    partition: Partition | None = None


def typed_values(texts: Sequence[str], keys: Sequence[tuple[str, DataType]]) -> tuple[Any, ...]:
    """Read a partition's values by the types of its keys. Raises QueryFailed."""
    return tuple(_typed(text, name, kind) for text, (name, kind) in zip(texts, keys, strict=True))


def _typed(text: str, name: str, kind: DataType) -> Any:
    if text == HIVE_DEFAULT_PARTITION:
        return None
    parse = scalar_parser(kind)
    value = None if parse is None else parse(text)
    if value is None:
        raise QueryFailed(
            f"HIVE_INVALID_PARTITION_VALUE: Invalid partition value '{text}' for "
            f"{kind.trino.upper()} partition key: {name}",
            error_type=1001,
        )
    return value


def surviving(
    con: duckdb.DuckDBPyConnection,
    columns: Sequence[tuple[str, DataType, Sequence[Any]]],
    filters: Sequence[str],
) -> list[int]:
    """Return the positions of the candidates no filter rules out; ``columns`` are (name, type, values)."""
    import pyarrow as pa

    count = len(columns[0][2]) if columns else 0
    kept = list(range(count))
    if not filters or not count:
        return kept
    arrays = {name: pa.array(values, kind.arrow()) for name, kind, values in columns}
    with _registered(con, pa.table({**arrays, "__position": pa.array(kept, pa.int32())})):
        for condition in filters:
            kept = _apply(con, condition, kept)
    return kept


def _apply(con: duckdb.DuckDBPyConnection, condition: str, kept: list[int]) -> list[int]:
    try:
        rows = con.execute(f'SELECT "__position" FROM {_CANDIDATES} WHERE ({condition})').fetchall()
    except duckdb.Error:
        return kept  # the query will meet the same error where it matters, or not at all
    passing = {position for (position,) in rows}
    return [position for position in kept if position in passing]


@contextmanager
def _registered(con: duckdb.DuckDBPyConnection, candidates: Any) -> Iterator[None]:
    con.register(_CANDIDATES, candidates)
    try:
        yield
    finally:
        con.unregister(_CANDIDATES)


def speaks_of_path(condition: str) -> bool:
    """Whether a filter may name ``"$path"``; one that only looks so is evaluated later, not wrongly."""
    return f'"{PATH}"' in condition


def quoted(name: str) -> str:
    """Return a name as a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def typed_fields(fields: Fields, table_name: str) -> tuple[tuple[str, DataType], ...]:
    """Read the types of Glue's columns. Raises QueryFailed naming the column whose type is none."""
    from local_athena.data.type_parser import parse_hive
    from local_athena.data.types import UnknownTypeError

    found = []
    for name, hive_type in fields:
        try:
            found.append((name, parse_hive(hive_type)))
        except UnknownTypeError as error:
            raise QueryFailed(
                f"HIVE_INVALID_METADATA: Glue table '{table_name}' column '{name}' has invalid data type: "
                f"{hive_type}",
                error_type=1004,
            ) from error
    return tuple(found)
