"""Which bucket a row falls into: Hive's hash of its bucketing columns (version 1, the one Athena writes)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from local_athena.errors import QueryFailed

_MASK = 0xFFFFFFFF
_MAX_INT = 0x7FFFFFFF
_EPOCH = date(1970, 1, 1).toordinal()


def bucket_numbers(columns: Sequence[Any], count: int) -> list[int]:
    """Return the bucket of each row; ``columns`` are pyarrow arrays of the bucketing columns, in order."""
    hashes = [0] * len(columns[0])
    for column in columns:
        hash_value = _hasher(column.type)
        hashes = [
            (31 * total + (0 if value is None else hash_value(value))) & _MASK
            for total, value in zip(hashes, column.to_pylist(), strict=True)
        ]
    return [(value & _MAX_INT) % count for value in hashes]


def _hasher(arrow: Any) -> Callable[[Any], int]:
    import pyarrow as pa

    if pa.types.is_boolean(arrow):
        return int
    if pa.types.is_int64(arrow):
        return _long_hash
    if pa.types.is_integer(arrow):
        return lambda value: int(value) & _MASK
    if pa.types.is_float32(arrow):
        return lambda value: int(struct.unpack(">I", struct.pack(">f", value))[0])
    if pa.types.is_float64(arrow):
        return lambda value: _long_hash(struct.unpack(">q", struct.pack(">d", value))[0])
    if pa.types.is_date(arrow):
        return lambda value: (value.toordinal() - _EPOCH) & _MASK
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return _bytes_hash
    raise QueryFailed(f"NOT_SUPPORTED: Bucketing by a column of type {arrow} is not supported")


def _long_hash(value: int) -> int:
    unsigned = value & 0xFFFFFFFFFFFFFFFF
    return (unsigned ^ (unsigned >> 32)) & _MASK


def _bytes_hash(value: str) -> int:
    total = 0
    for byte in value.encode():
        # Java's bytes are signed.
        total = (total * 31 + (byte if byte < 128 else byte - 256)) & _MASK
    return total
