"""Arrow columns brought to a table's types: what files may hold, and what partitions may declare.

``conform`` takes a file's column to its declared type: wider numbers, other units and encodings of the same
thing. ``coerce`` takes a column of a partition's declared type to the table's, as Trino's coercions do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes.hive_values import INTEGER_BITS, scalar_parser

_INTEGERS = frozenset(INTEGER_BITS)
_MILLISECOND = 1000


class IncompatibleError(Exception):
    """A column cannot be read as the type wanted."""


def conform(column: Any, kind: DataType) -> Any:
    """Return a file's column (a ChunkedArray) as the declared type. Raises IncompatibleError."""
    try:
        if kind.children:
            return _conform_nested(column, kind)
        if pa.types.is_null(column.type):
            return pa.chunked_array([pa.nulls(len(column), kind.arrow())])
        if not _holds(column.type, kind):
            raise IncompatibleError
        return _conform_scalar(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise IncompatibleError(str(error)) from error


def _holds(found: Any, kind: DataType) -> bool:
    t = pa.types
    tests: dict[str, Callable[[Any], bool]] = {
        "boolean": t.is_boolean,
        "real": t.is_float32,
        "double": lambda a: t.is_float32(a) or t.is_float64(a),
        "decimal": lambda a: t.is_decimal(a) or t.is_integer(a),
        "varchar": _is_text,
        "char": _is_text,
        "varbinary": _is_text,
        "date": t.is_date,
        "timestamp": t.is_timestamp,
    }
    return bool(
        t.is_integer(found) if kind.name in _INTEGERS else tests.get(kind.name, lambda _: False)(found)
    )


def _is_text(found: Any) -> bool:
    t = pa.types
    if t.is_dictionary(found):
        return _is_text(found.value_type)
    return any(
        test(found)
        for test in (t.is_string, t.is_large_string, t.is_binary, t.is_large_binary, t.is_fixed_size_binary)
    )


def _conform_scalar(column: Any, kind: DataType) -> Any:
    if kind.name == "timestamp":
        return _rounded(column, kind)
    if kind.name == "decimal":
        return _rescaled(column, kind)
    if kind.name in ("varchar", "char"):
        return _cut(column.cast(pa.string()), kind)
    return column.cast(kind.arrow())


def _rounded(column: Any, kind: DataType) -> Any:
    """Round half up to milliseconds, which is what timestamps have on Athena."""
    if column.type.unit in ("us", "ns"):
        column = pc.round_temporal(column, multiple=1, unit="millisecond")
    return column.cast(kind.arrow(), safe=False)


def _rescaled(column: Any, kind: DataType) -> Any:
    if pa.types.is_decimal(column.type) and column.type.scale > kind.parameters[1]:
        column = pc.round(column, ndigits=kind.parameters[1], round_mode="half_towards_infinity")
    return column.cast(kind.arrow())


def _cut(column: Any, kind: DataType) -> Any:
    if not kind.parameters:
        return column
    column = pc.utf8_slice_codeunits(column, 0, kind.parameters[0])
    return pc.utf8_rtrim(column, " ") if kind.name == "char" else column


def _conform_nested(column: Any, kind: DataType) -> Any:
    wanted = kind.arrow()
    if column.type.equals(wanted):
        return column
    read = _reader(column.type, kind)
    # Python values are slow and always right; only nested columns whose fields differ come here.
    return pa.chunked_array([pa.array([read(value) for value in column.to_pylist()], wanted)])


def _reader(found: Any, kind: DataType) -> Callable[[Any], Any]:
    """Return what takes a Python value of an Arrow type to the nested type wanted; fields go by name."""
    t = pa.types
    if kind.name == "array" and (t.is_list(found) or t.is_large_list(found)):
        element = _reader(found.value_type, kind.children[0])
        return lambda value: None if value is None else [element(item) for item in value]
    if kind.name == "map" and t.is_map(found):
        key, item = _reader(found.key_type, kind.children[0]), _reader(found.item_type, kind.children[1])
        return lambda value: None if value is None else [(key(k), item(v)) for k, v in value]
    if kind.name == "row" and t.is_struct(found):
        return _row_reader(found, kind)
    if kind.children or not (t.is_null(found) or _holds(found, kind)):
        raise IncompatibleError
    return lambda value: value if value is None else _scalar_value(value, found, kind)


def _row_reader(found: Any, kind: DataType) -> Callable[[Any], Any]:
    spelled = {field.name.lower(): field for field in found}
    readers = [
        (name, spelled[name].name, _reader(spelled[name].type, child))
        for name, child in kind.fields
        if name in spelled
    ]
    missing = {name: None for name, _ in kind.fields}
    return lambda value: (
        None if value is None else missing | {name: read(value[key]) for name, key, read in readers}
    )


def _scalar_value(value: Any, found: Any, kind: DataType) -> Any:
    return conform(pa.chunked_array([pa.array([value], found)]), kind)[0].as_py()


def can_coerce(declared: DataType, wanted: DataType) -> bool:
    """Whether a partition's column of one type may be read as the table's other (Trino's CoercionUtils)."""
    if declared == wanted or (
        declared.name == wanted.name and declared.name in ("varchar", "char", "decimal")
    ):
        return True
    if declared.children and declared.name == wanted.name:
        return all(can_coerce(a, b) for a, b in zip(declared.children, wanted.children, strict=False))
    source, target = declared.name, wanted.name
    if source in _INTEGERS:
        wider = target in _INTEGERS and INTEGER_BITS[source] < INTEGER_BITS[target]
        return wider or target == "varchar"
    targets = {
        "varchar": _INTEGERS | {"date", "timestamp"},
        "real": {"double", "decimal"},
        "double": {"real", "decimal", "varchar"},
        "decimal": _INTEGERS | {"real", "double", "varchar"},
        "timestamp": {"varchar"},
    }
    return target in targets.get(source, frozenset())


def coerce(column: Any, declared: DataType, wanted: DataType) -> Any:
    """Return a partition's column as the table's type; a value that does not fit is NULL."""
    if declared == wanted:
        return column
    convert = _converter(declared, wanted)
    values = [None if value is None else convert(value) for value in column.to_pylist()]
    return pa.chunked_array([pa.array(values, wanted.arrow())])


def _converter(declared: DataType, wanted: DataType) -> Callable[[Any], Any]:
    if wanted.name == "row":
        return _row_converter(declared, wanted)
    if wanted.name == "array":
        item = _optional(_converter(declared.children[0], wanted.children[0]))
        return lambda value: [item(one) for one in value]
    if wanted.name == "map":
        key = _converter(declared.children[0], wanted.children[0])
        item = _optional(_converter(declared.children[1], wanted.children[1]))
        return lambda value: [(key(k), item(v)) for k, v in value]
    if wanted.name == declared.name and wanted.name in ("boolean", "date", "timestamp", "varbinary"):
        return lambda value: value
    if wanted.name in ("real", "double"):
        return float
    parse = scalar_parser(wanted)
    if parse is None:
        raise IncompatibleError
    from local_athena.data.printing import render

    return lambda value: parse(value if isinstance(value, str) else render(value, declared) or "")


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else convert(value)


def _row_converter(declared: DataType, wanted: DataType) -> Callable[[Any], Any]:
    """Fields of a partition's row are taken by position, as Trino does."""
    fields = [
        (name, source, _optional(_converter(before, after)))
        for (name, after), (source, before) in zip(wanted.fields, declared.fields, strict=False)
    ]
    missing = {name: None for name, _ in wanted.fields}
    return lambda value: missing | {name: convert(value[source]) for name, source, convert in fields}
