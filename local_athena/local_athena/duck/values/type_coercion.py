"""Trino's implicit conversions: the type two types share, and which may stand where another is asked."""

from __future__ import annotations

from local_athena.data.types import DOUBLE, REAL, TIMESTAMP_TZ, UNKNOWN, VARCHAR, DataType, decimal, varchar

INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
_INTEGERS = tuple(INTEGER_DIGITS)
_INEXACT = {"real": REAL, "double": DOUBLE}
MAX_PRECISION = 38
MAX_CHAR = 65536
NUMERIC = frozenset({*_INTEGERS, "decimal", "real", "double"})
INTEGRAL = frozenset(_INTEGERS)
_MOMENTS = ("date", "timestamp", TIMESTAMP_TZ)


def common_type(left: DataType, right: DataType) -> DataType | None:
    """Return the type both convert to by themselves, or None."""
    if left == right or right == UNKNOWN:
        return left
    if left == UNKNOWN:
        return right
    if left.name in NUMERIC and right.name in NUMERIC:
        return _common_number(left, right)
    if left.name in ("varchar", "char") and right.name in ("varchar", "char"):
        return _common_text(left, right)
    if left.name in _MOMENTS and right.name in _MOMENTS:
        name = max(left.name, right.name, key=_MOMENTS.index)
        digits = max((one.parameters[0] for one in (left, right) if one.parameters), default=3)
        return DataType(name, (digits,)) if name != "date" else left
    if left.name == right.name == "time":
        return max(left, right, key=lambda one: one.parameters)
    if left.name == right.name and left.children and len(left.children) == len(right.children):
        return _common_nested(left, right)
    return None


def common_of(types: list[DataType]) -> DataType | None:
    """Return the type all convert to, or None."""
    result: DataType | None = UNKNOWN
    for one in types:
        result = common_type(result, one) if result is not None else None
    return result


def coercible(source: DataType, target: DataType) -> bool:
    """Tell whether a value of ``source`` may stand where ``target`` is asked."""
    return common_type(source, target) == target


def as_decimal(kind: DataType) -> DataType:
    """Return the decimal that holds all values of an integer type."""
    return kind if kind.name == "decimal" else decimal(INTEGER_DIGITS[kind.name], 0)


def _common_number(left: DataType, right: DataType) -> DataType:
    for name in ("double", "real"):
        if name in (left.name, right.name):
            return _INEXACT[name]
    if left.name in INTEGRAL and right.name in INTEGRAL:
        return max(left, right, key=lambda one: _INTEGERS.index(one.name))
    (precision, scale), (other_precision, other_scale) = (
        as_decimal(left).parameters,
        as_decimal(right).parameters,
    )
    widest = max(scale, other_scale)
    whole = max(precision - scale, other_precision - other_scale)
    return decimal(min(MAX_PRECISION, whole + widest), widest)


def _common_text(left: DataType, right: DataType) -> DataType:
    lengths = [one.parameters[0] if one.parameters else None for one in (left, right)]
    longest = None if None in lengths else max(length for length in lengths if length is not None)
    if "char" in (left.name, right.name):
        return DataType("char", (min(longest or MAX_CHAR, MAX_CHAR),))
    return varchar(longest)


def _common_nested(left: DataType, right: DataType) -> DataType | None:
    children = []
    for one, other in zip(left.children, right.children, strict=True):
        shared = common_type(one, other)
        if shared is None:
            return None
        children.append(shared)
    names = tuple(
        one if one == other else None for one, other in zip(left.field_names, right.field_names, strict=True)
    )
    return DataType(left.name, left.parameters, tuple(children), names)


def comparable(kind: DataType) -> bool:
    """Tell whether values can be compared for equality."""
    return kind.name not in ("json_path", "function") and all(comparable(child) for child in kind.children)


def orderable(kind: DataType) -> bool:
    """Tell whether values can be sorted."""
    return kind.name not in ("map", "json", "function") and all(orderable(child) for child in kind.children)


def is_text(kind: DataType) -> bool:
    """Tell whether the type is varchar or char."""
    return kind.name in (VARCHAR.name, "char")
