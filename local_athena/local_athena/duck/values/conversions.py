"""Values brought to another type: by a cast, by the type that several share, or by TRY."""

from __future__ import annotations

from typing import Any

from local_athena.data.types import (
    DataType,
)
from local_athena.duck.errors import CastRefusedError, mismatch, unsupported
from local_athena.duck.values.casts import cast
from local_athena.duck.values.scope import NOT_LITERAL, Expr, made_from
from local_athena.duck.values.snippets import variable
from local_athena.duck.values.type_coercion import (
    common_of,
)


def convert(value: Expr, target: DataType, node: Any = None) -> Expr:
    """Return ``value`` as ``target``. Raises QueryFailed when Trino has no such cast."""
    try:
        sql = cast(value.sql, value.type, target)
    except CastRefusedError as error:
        if "ipaddress" in (value.type.name, target.name):
            raise unsupported(node, f"A cast from {value.type.trino} to {target.trino}") from error
        raise mismatch(node, f"Cannot cast {value.type.trino} to {target.trino}") from error
    literal = value.literal if value.literal is None or sql == value.sql else NOT_LITERAL
    return made_from(sql, target, value, literal=literal)


def attempt(value: Expr) -> Expr:
    """``TRY``: NULL where the value cannot be had.

    Parts that DuckDB's TRY may not hold, such as aggregates, are computed outside.
    """
    if not value.opaque:
        return made_from(f"TRY({value.sql})", value.type, value)
    inside, packed = value.sql, []
    outer = variable(value.sql)
    for number, part in enumerate(value.opaque):
        inside = inside.replace(part, f"{outer}.p{number}")
        packed.append(f"p{number} := {part}")
    sql = f"list_transform([struct_pack({', '.join(packed)})], lambda {outer}: TRY({inside}))[1]"
    return made_from(sql, value.type, value)


def unify(values: list[Expr], node: Any, message: str) -> list[Expr]:
    """Return the values in the type they share; ``message`` gets the types that do not fit."""
    shared = common_of([value.type for value in values])
    if shared is None:
        raise mismatch(node, message.format(", ".join(value.type.trino for value in values)))
    return [convert(value, shared, node) for value in values]
