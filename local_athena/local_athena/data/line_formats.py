"""Rows as lines of text, as Hive's SerDes for JSON, delimited text and CSV write them.

Columns are turned into text whole, children of nested values included: value by value takes
ten times as long.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from json.encoder import encode_basestring
from typing import Any

_NULL = "\\N"
# Hive's own separators of fields, collection items and map keys, and those of deeper levels.
_SEPARATORS = "".join(map(chr, range(1, 9)))

Texts = list[str | None]  # a column, None for NULL
BinaryText = Callable[[bytes], str]


def json_lines(rows: Any, parameters: Mapping[str, str]) -> str:
    """One JSON object a line; NULL is null, timestamps and dates are text, decimals are numbers.

    Bytes are written as if they were UTF-8, which loses those that are not: Hive's SerDe does so, and Trino
    for its sake.
    """
    return _json_lines(rows, lambda value: value.decode(errors="replace"))


def openx_json_lines(rows: Any, parameters: Mapping[str, str]) -> str:
    """As json_lines, for the OpenX SerDe: bytes are base64."""
    return _json_lines(rows, _base64)


def _json_lines(rows: Any, binary: BinaryText) -> str:
    columns = []
    for name, column in _columns(rows):
        key = encode_basestring(name)
        columns.append([f"{key}:{text}" for text in _or(_json(column, binary), "null")])
    return "".join("{" + ",".join(cells) + "}\n" for cells in zip(*columns, strict=True))


def delimited_lines(rows: Any, parameters: Mapping[str, str]) -> str:
    r"""Fields of LazySimpleSerDe: ``\001`` between them and ``\N`` for NULL unless a parameter differs."""
    separators = (
        parameters.get("field.delim", _SEPARATORS[0])
        + parameters.get("colelction.delim", parameters.get("collection.delim", _SEPARATORS[1]))
        + parameters.get("mapkey.delim", _SEPARATORS[2])
        + _SEPARATORS[3:]
    )
    style = _TextStyle(
        parameters.get("serialization.null.format", _NULL),
        _escape_table(parameters.get("escape.delim"), separators),
    )
    columns = [_or(style.texts(column, separators[1:]), style.null) for _, column in _columns(rows)]
    return "".join(separators[0].join(cells) + "\n" for cells in zip(*columns, strict=True))


def csv_lines(rows: Any, parameters: Mapping[str, str]) -> str:
    """Fields of OpenCSVSerde: every value quoted; NULL is an empty field without quotes."""
    separator = parameters.get("separatorChar", ",")
    quote = parameters.get("quoteChar", '"')
    escape = parameters.get("escapeChar", "\\")
    table = str.maketrans({quote: escape + quote, escape: escape * 2})
    columns = [
        ["" if value is None else quote + value.translate(table) + quote for value in column.to_pylist()]
        for _, column in _columns(rows)
    ]
    return "".join(separator.join(cells) + "\n" for cells in zip(*columns, strict=True))


def _base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def scalar_texts(column: Any, binary: BinaryText = _base64) -> Texts:
    """Return values of one simple type as Hive writes them: ``true``, ``1.0E10``, ``2026-01-02 03:04:05``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return list(column.to_pylist())
    if pa.types.is_floating(kind):
        return [None if value is None else double_text(value) for value in column.to_pylist()]
    if pa.types.is_decimal(kind):
        # Arrow's own cast writes 0E-10.
        return [None if value is None else format(value, "f") for value in column.to_pylist()]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [None if value is None else binary(value) for value in column.to_pylist()]
    texts: Texts = pc.cast(column, pa.string()).to_pylist()
    if pa.types.is_timestamp(kind):
        return [text if text is None or "." not in text else text.rstrip("0").rstrip(".") for text in texts]
    return texts


def double_text(value: float) -> str:
    """Return a double as Java prints it, near enough to be read back as the same double."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, exponent_mark, exponent = repr(value).partition("e")
    if not exponent_mark:
        return mantissa
    return f"{mantissa}{'' if '.' in mantissa else '.0'}E{int(exponent)}"


def _columns(rows: Any) -> Iterator[tuple[str, Any]]:
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        yield name, _whole(column)


def _whole(column: Any) -> Any:
    import pyarrow as pa

    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _or(texts: Texts, null: str) -> list[str]:
    return [null if text is None else text for text in texts]


def _nested(column: Any, join: Callable[[Sequence[str]], str], items: Sequence[str]) -> Texts:
    """Return the text of each list or map, out of the texts of all their items."""
    offsets = column.offsets.to_pylist()
    return [
        join(items[start:end]) if valid else None
        for (start, end), valid in zip(pairwise(offsets), column.is_valid().to_pylist(), strict=True)
    ]


def _structs(column: Any, join: Callable[[Sequence[str]], str], children: Sequence[list[str]]) -> Texts:
    """Return the text of each struct, out of the texts of its fields."""
    valid = column.is_valid().to_pylist()
    return [
        join(cells) if here else None for here, cells in zip(valid, zip(*children, strict=True), strict=True)
    ]


def _json(column: Any, binary: BinaryText) -> Texts:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_struct(kind):
        children = [
            [f"{encode_basestring(f.name)}:{text}" for text in _or(_json(child, binary), "null")]
            for f, child in zip(kind, _fields(column), strict=True)
        ]
        return _structs(column, lambda cells: "{" + ",".join(cells) + "}", children)
    if pa.types.is_map(kind):
        # A key is text in JSON, whatever its type.
        keys = [encode_basestring(text or "") for text in scalar_texts(column.keys, binary)]
        entries = [
            f"{key}:{item}" for key, item in zip(keys, _or(_json(column.items, binary), "null"), strict=True)
        ]
        return _nested(column, lambda cells: "{" + ",".join(cells) + "}", entries)
    if pa.types.is_list(kind):
        return _nested(
            column, lambda cells: "[" + ",".join(cells) + "]", _or(_json(column.values, binary), "null")
        )
    texts = scalar_texts(column, binary)
    if pa.types.is_floating(kind):
        return [f'"{text}"' if text and text[-1] in "Ny" else text for text in texts]  # NaN, Infinity
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        return texts
    return [None if text is None else encode_basestring(text) for text in texts]


class _TextStyle:
    """How one table's delimited text marks NULL and escapes its separators."""

    def __init__(self, null: str, escapes: dict[int, str]) -> None:
        self.null = null
        self._escapes = escapes

    def texts(self, column: Any, separators: str) -> Texts:
        """Return a column's texts, whose items are set apart by the first of ``separators``."""
        import pyarrow as pa

        kind = column.type
        join, below = separators[:1].join, separators[1:]
        if pa.types.is_struct(kind):
            return _structs(column, join, [_or(self.texts(f, below), self.null) for f in _fields(column)])
        if pa.types.is_map(kind):
            keys = _or(self.texts(column.keys, below[1:]), self.null)
            items = _or(self.texts(column.items, below[1:]), self.null)
            return _nested(column, join, [f"{k}{below[:1]}{v}" for k, v in zip(keys, items, strict=True)])
        if pa.types.is_list(kind):
            return _nested(column, join, _or(self.texts(column.values, below), self.null))
        texts = scalar_texts(column)
        if not self._escapes or not pa.types.is_string(kind):
            return texts
        return [None if text is None else text.translate(self._escapes) for text in texts]


def _fields(column: Any) -> list[Any]:
    # Struct.flatten() also drops what lies below a NULL struct, and minds a slice's offset.
    return list(column.flatten())


def _escape_table(escape: str | None, separators: str) -> dict[int, str]:
    if not escape:
        return {}
    return {ord(c): escape + c for c in {*separators, escape, "\n", "\r"}}
