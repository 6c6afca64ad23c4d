"""Cuts rows into partitions and buckets and writes a file for each; knows no table and no statement."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local_athena.data.bucketing import bucket_numbers
from local_athena.data.file_formats import Encoding, encode
from local_athena.data.line_formats import scalar_texts
from local_athena.data.partition_names import HIVE_DEFAULT_PARTITION
from local_athena.data.printing import render_column
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Session
from local_athena.data.types import DataType
from local_athena.errors import USER_ERROR, QueryFailed

# Athena user guide, "Considerations and limitations for CTAS", read 2026-11.
MAX_OPEN_WRITERS = 100


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows are spread over files."""

    keys: tuple[str, ...] = ()
    bucket_columns: tuple[str, ...] = ()
    bucket_count: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one file. ``values`` are the partition's, as Glue keeps them."""

    values: tuple[str, ...]
    bucket: int | None
    rows: Any


def cut(rows: Any, layout: Layout) -> tuple[Piece, ...]:
    """Cut a pyarrow.Table into pieces of one partition and bucket each, in order of first appearance.

    The partition columns are not among a piece's columns. Row order within a piece is kept.
    """
    import pyarrow as pa

    if not rows.num_rows:
        return ()
    parts = [_PartitionKey(rows[name]) for name in layout.keys]
    if layout.bucket_count:
        columns = [rows[name].combine_chunks() for name in layout.bucket_columns]
        parts.append(_PartitionKey(pa.array(bucket_numbers(columns, layout.bucket_count), pa.int32())))
    body = rows.drop_columns(list(layout.keys)) if layout.keys else rows
    if not parts:
        return (Piece((), None, body),)
    return tuple(
        Piece(values[: len(layout.keys)], int(values[-1]) if layout.bucket_count else None, part)
        for values, part in _grouped(body, parts)
    )


class _PartitionKey:
    """A key's distinct values as text, and for each row which of them it has."""

    def __init__(self, column: Any) -> None:
        import pyarrow as pa

        whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        encoded = whole.dictionary_encode(null_encoding="encode")
        self.indices = encoded.indices.cast(pa.int64())
        # An empty text names no folder: Hive writes it as NULL.
        self.texts = [text or HIVE_DEFAULT_PARTITION for text in _value_texts(encoded.dictionary)]
        for text in self.texts:
            _refuse_unprintable(text)


def _value_texts(column: Any) -> list[str | None]:
    """Return values as Trino names partitions by them: ``1.5`` of 1.50, ``1.0E10``, ``0.1`` of a real.

    As its ``HiveWriteUtils.toPartitionValue`` does, except that ``char`` values are not padded.
    """
    import pyarrow as pa

    if pa.types.is_decimal(column.type):
        return [None if value is None else f"{value.normalize():f}" for value in column.to_pylist()]
    if pa.types.is_floating(column.type):
        kind = DataType("real" if pa.types.is_float32(column.type) else "double")
        return render_column(column, kind)
    return scalar_texts(column)


def _refuse_unprintable(text: str) -> None:
    if not all(" " <= character <= "~" for character in text):
        shown = " ".join(f"{byte:02X}" for byte in text.encode())
        raise QueryFailed(
            "HIVE_INVALID_PARTITION_VALUE: Hive partition keys can only contain printable ASCII characters "
            f"(0x20 - 0x7E). Invalid value: {shown}"
        )


def _grouped(body: Any, parts: Sequence[_PartitionKey]) -> list[tuple[tuple[str, ...], Any]]:
    import pyarrow.compute as pc

    combined = parts[0].indices
    for part in parts[1:]:
        combined = pc.add(pc.multiply(combined, len(part.texts)), part.indices)
    groups = combined.dictionary_encode()
    numbers = groups.dictionary.to_pylist()
    if len(numbers) > MAX_OPEN_WRITERS:
        raise QueryFailed(
            f"HIVE_TOO_MANY_OPEN_PARTITIONS: Exceeded limit of {MAX_OPEN_WRITERS} open writers for "
            "partitions/buckets",
            error_type=USER_ERROR,
        )
    order = pc.sort_indices(groups.indices)
    counts = {entry["values"]: entry["counts"] for entry in groups.indices.value_counts().to_pylist()}
    ordered = body.take(order)
    found, start = [], 0
    for index, number in enumerate(numbers):
        found.append((_values(number, parts), ordered.slice(start, counts[index])))
        start += counts[index]
    return found


def _values(number: int, parts: Sequence[_PartitionKey]) -> tuple[str, ...]:
    values: list[str] = []
    for part in reversed(parts):
        number, index = divmod(number, len(part.texts))
        values.insert(0, part.texts[index])
    return tuple(values)


def write_pieces(
    pieces: Sequence[Piece],
    locate: Callable[[tuple[str, ...]], S3Uri],
    encoding: Encoding,
    session: Session,
    now: datetime,
) -> tuple[S3Uri, ...]:
    """Write a file for each piece into the folder ``locate`` gives for its partition.

    A failure leaves the files already written where they are, as Athena does.
    """
    written: list[S3Uri] = []
    query = f"{now:%Y%m%d_%H%M%S}_00000_{session.query_execution_id.replace('-', '')[:5]}"
    for piece in pieces:
        session.check()
        uri = locate(piece.values).folder / (_file_name(query, piece.bucket) + encoding.suffix)
        session.write_file(uri.bucket, uri.key, encode(_stored(piece.rows), encoding))
        written.append(uri)
    return tuple(written)


def _file_name(query: str, bucket: int | None) -> str:
    """Trino's names; readers of bucketed tables find the bucket by the digits in front."""
    if bucket is None:
        return f"{query}_{uuid.uuid4()}"
    return f"{bucket:06d}_0_{uuid.uuid4()}_{query}"


def _stored(rows: Any) -> Any:
    """Return the rows with timestamps of milliseconds, the only precision Athena writes into Hive tables."""
    import pyarrow as pa

    schema = pa.schema([pa.field(f.name, _with_millis(f.type)) for f in rows.schema])
    return rows if schema.equals(rows.schema) else rows.cast(schema)


def _with_millis(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms")
    if pa.types.is_map(kind):
        return pa.map_(_with_millis(kind.key_type), _with_millis(kind.item_type))
    if pa.types.is_list(kind):
        return pa.list_(_with_millis(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _with_millis(f.type)) for f in kind])
    return kind
