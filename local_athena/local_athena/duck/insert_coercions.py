"""What INSERT may do to a value on its way into a column: Trino's own casts, guarded, and no others.

Trino inserts a value of one type into a column of another when the two have a common super type; a number
out of range and text that would lose more than spaces fail the query (release 329, "allow inserting values
of a larger type into a smaller type when the values fit").
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from local_athena.data.printing import local_time
from local_athena.data.types import TIMESTAMP_TZ, DataType
from local_athena.duck.values.type_coercion import INTEGRAL, coercible, common_type
from local_athena.errors import QueryFailed

_TEXTS = frozenset({"varchar", "char"})
_HALF_A_MILLISECOND = timedelta(microseconds=500)


def can_insert(source: DataType, target: DataType) -> bool:
    """Tell whether Trino inserts values of ``source`` into a column of ``target``."""
    if common_type(source, target) is None:
        return False
    # Trino guards text of a limited length only where it is not inside another value.
    return not target.children or all(
        _fits_inside(s, t) for s, t in zip(source.children, target.children, strict=False)
    )


def _fits_inside(source: DataType, target: DataType) -> bool:
    if target.name in _TEXTS:
        return coercible(source, target)
    return all(_fits_inside(s, t) for s, t in zip(source.children, target.children, strict=False))


def coerce(column: Any, source: DataType, target: DataType) -> Any:
    """Return ``column``, a pyarrow array of ``source`` values, as ``target`` values."""
    import pyarrow as pa

    if source == target:
        return column
    if source.name == "unknown":
        return pa.nulls(len(column), target.arrow())
    if target.children:
        return _NESTED[target.name](column, source, target)
    if target.name in _TEXTS:
        return _text(column, source, target)
    try:
        if target.name in ("timestamp", "date"):
            return _moment(column, source, target)
        return _number(column, source, target)
    except pa.ArrowInvalid as error:
        raise QueryFailed(
            f"INVALID_CAST_ARGUMENT: Cannot cast {source.trino} to {target.trino} on INSERT: {error}"
        ) from error


def _number(column: Any, source: DataType, target: DataType) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if target.name in INTEGRAL and source.name in ("real", "double", "decimal"):
        column = pc.round(column, round_mode="half_towards_infinity")
    elif target.name == "decimal":
        scale = target.parameters[1]
        if source.name in INTEGRAL:
            # Arrow wants room for every value of the integer type before it looks at those there are.
            column = column.cast(pa.decimal128(19, 0))
        elif source.name != "decimal" or source.parameters[1] > scale:
            column = pc.round(column, ndigits=scale, round_mode="half_towards_infinity")
    elif source.name == "decimal":
        column = column.cast(pa.string())  # to a double; Arrow's own way there is off by a last digit
    return column.cast(target.arrow(), safe=target.name not in ("real", "double"))


def _moment(column: Any, source: DataType, target: DataType) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if source.name == TIMESTAMP_TZ:  # an instant in UTC beside the zone it is told in
        told = [None if one is None else local_time(one["t"], one["z"]) for one in column.to_pylist()]
        column = pa.array(told, pa.timestamp("us"))
    if target.name == "date":
        return column.cast(pa.date32(), safe=False)
    column = column.cast(target.arrow(), safe=False)
    if source.parameters > target.parameters:
        column = pc.floor_temporal(pc.add(column, pa.scalar(_HALF_A_MILLISECOND)), unit="millisecond")
    return column


def _text(column: Any, source: DataType, target: DataType) -> Any:
    import pyarrow.compute as pc

    if not target.parameters or (source.parameters and source.parameters <= target.parameters):
        return column
    (length,) = target.parameters
    longest = pc.max(pc.utf8_length(pc.utf8_rtrim(column, characters=" "))).as_py()
    if longest is not None and longest > length:
        raise QueryFailed(
            "INVALID_CAST_ARGUMENT: Cannot truncate non-space characters when casting from "
            f"{source.trino} to {target.trino} on INSERT"
        )
    return pc.utf8_slice_codeunits(column, 0, length)


def _array(column: Any, source: DataType, target: DataType) -> Any:
    import pyarrow as pa

    values = coerce(column.values, source.children[0], target.children[0])
    return pa.ListArray.from_arrays(column.offsets, values, mask=column.is_null())


def _map(column: Any, source: DataType, target: DataType) -> Any:
    import pyarrow as pa

    keys = coerce(column.keys, source.children[0], target.children[0])
    items = coerce(column.items, source.children[1], target.children[1])
    return pa.MapArray.from_arrays(column.offsets, keys, items, mask=column.is_null())


def _row(column: Any, source: DataType, target: DataType) -> Any:
    import pyarrow as pa

    children = [
        coerce(child, s, t)
        for child, s, t in zip(column.flatten(), source.children, target.children, strict=True)
    ]
    fields = [pa.field(name, kind.arrow()) for name, kind in target.fields]
    return pa.StructArray.from_arrays(children, fields=fields, mask=column.is_null())


_NESTED: dict[str, Callable[[Any, DataType, DataType], Any]] = {"array": _array, "map": _map, "row": _row}
