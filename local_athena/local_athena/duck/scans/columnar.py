"""Parquet and ORC files: only the columns a query uses are read, and only their bytes counted.

Parquet columns are found by name, ORC's by position, as Athena does by default (Athena user guide, "Handle
schema updates", read 2026-11). A column that a file does not have is NULL.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from local_athena.data.session import Session
from local_athena.data.types import DataType
from local_athena.duck.scans.column_coercion import IncompatibleError, conform
from local_athena.errors import QueryFailed

Wanted = Sequence[tuple[int, str, DataType]]  # (position in the schema, name, declared type)

_PHYSICAL = {
    "bool": "BOOLEAN",
    "int8": "INT32",
    "int16": "INT32",
    "int32": "INT32",
    "uint8": "INT32",
    "uint16": "INT32",
    "uint32": "INT64",
    "int64": "INT64",
    "uint64": "INT64",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "BINARY",
    "binary": "BINARY",
    "date32[day]": "INT32",
}


def read_parquet(body: bytes, uri: str, wanted: Wanted, session: Session) -> tuple[int, list[Any]]:
    """Return the number of rows and the columns wanted, as ChunkedArrays of their declared types."""
    try:
        # Timestamps of Hive and Impala (INT96) reach further than nanoseconds do.
        file = pq.ParquetFile(pa.BufferReader(body), coerce_int96_timestamp_unit="us")
    except (pa.ArrowInvalid, OSError) as error:
        raise QueryFailed(
            f"HIVE_BAD_DATA: Not valid Parquet file: {uri}: {error}", error_type=1001
        ) from error
    rows = file.metadata.num_rows
    spelled = {name.lower(): name for name in reversed(file.schema_arrow.names)}
    names = [spelled[name] for _, name, _ in wanted if name in spelled]
    session.add_scanned(_chunk_bytes(file.metadata, names))
    found = _read(lambda: file.read(columns=names, use_threads=False), uri) if names else None

    def incompatible(name: str, kind: DataType, column: Any) -> str:
        physical = _PHYSICAL.get(str(column.type), str(column.type).upper())
        return (
            f"HIVE_BAD_DATA: Field {name}'s type {physical} in parquet file {uri} is incompatible "
            f"with type {kind.trino} defined in table schema"
        )

    columns = [found.column(spelled[name]) if found and name in spelled else None for _, name, _ in wanted]
    return rows, _conformed(columns, rows, wanted, incompatible)


def read_orc(body: bytes, uri: str, wanted: Wanted, session: Session) -> tuple[int, list[Any]]:
    """Return the number of rows and the columns wanted, as ChunkedArrays of their declared types."""
    source = _CountingFile(body)
    try:
        file = orc.ORCFile(pa.PythonFile(source, mode="r"))
    except (pa.ArrowInvalid, OSError) as error:
        raise QueryFailed(f"HIVE_BAD_DATA: Not a valid ORC file: {uri}: {error}", error_type=1001) from error
    rows, names = file.nrows, file.schema.names
    present = [names[position] for position, _, _ in wanted if position < len(names)]
    source.count = 0
    found = _read(lambda: file.read(columns=present), uri) if present else None
    session.add_scanned(source.count)

    def incompatible(name: str, kind: DataType, column: Any) -> str:
        return (
            f"HIVE_BAD_DATA: Malformed ORC file. Cannot read SQL type '{kind.trino}' from ORC stream "
            f"'.{name}' of type {str(column.type).upper()} [{uri}]"
        )

    columns = [
        found.column(names[position]) if found and position < len(names) else None
        for position, _, _ in wanted
    ]
    return rows, _conformed(columns, rows, wanted, incompatible)


def _read(read: Any, uri: str) -> Any:
    try:
        return read()
    except (pa.ArrowInvalid, OSError) as error:
        raise QueryFailed(
            f"HIVE_CURSOR_ERROR: Failed to read file: {uri}: {error}", error_type=1001
        ) from error


def _conformed(columns: Sequence[Any], rows: int, wanted: Wanted, incompatible: Any) -> list[Any]:
    found = []
    for column, (_, name, kind) in zip(columns, wanted, strict=True):
        if column is None:
            found.append(pa.chunked_array([pa.nulls(rows, kind.arrow())]))
            continue
        try:
            found.append(conform(column, kind))
        except IncompatibleError as error:
            raise QueryFailed(incompatible(name, kind, column), error_type=1001) from error
    return found


def _chunk_bytes(metadata: Any, names: Sequence[str]) -> int:
    """Compressed size of the column chunks that hold the columns named, with their nested parts."""
    wanted = set(names)
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            path = chunk.path_in_schema
            if path in wanted or path.partition(".")[0] in wanted:
                total += chunk.total_compressed_size
    return total


class _CountingFile(io.BytesIO):
    """A file that counts the bytes read from it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data
