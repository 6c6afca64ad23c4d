"""Comparisons of typed values, as Trino makes them: NULLs inside arrays and rows, NaN, instants."""

from __future__ import annotations

from typing import Any

from local_athena.data.types import (
    BOOLEAN,
    TIMESTAMP_TZ,
    DataType,
)
from local_athena.duck.errors import mismatch
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr, made_from
from local_athena.duck.values.snippets import ensure, fill, name
from local_athena.duck.values.type_coercion import (
    common_type,
    comparable,
    orderable,
)


def comparison_key(value: Expr) -> str:
    """Return the SQL by which a value is compared: an instant for timestamps with a time zone."""
    return f"({value.sql}).t" if value.type.name == TIMESTAMP_TZ else value.sql


def compare(left: Expr, operator: str, right: Expr, node: Any) -> Expr:
    """``=``, ``<>``, ``<`` and their kin, and IS [NOT] DISTINCT FROM."""
    shared = common_type(left.type, right.type)
    shown = f"{left.type.trino} {operator} {right.type.trino}"
    ordering = operator in ("<", "<=", ">", ">=")
    if shared is None or not (orderable(shared) if ordering else comparable(shared)):
        raise mismatch(node, f"Cannot apply operator: {shown}")
    one, other = (convert(side, shared, node) for side in (left, right))
    if operator in ("=", "<>") and shared.children:
        sql = equal(one.sql, other.sql, shared)
        return made_from(sql if operator == "=" else f"(NOT {sql})", BOOLEAN, left, right)
    sql = f"({comparison_key(one)} {operator} {comparison_key(other)})"
    if ordering and shared.name in ("array", "row"):
        sql = fill(_unless_nulls(shared, f"({{0}} {operator} {{1}})"), [one.sql, other.sql])
    if shared.name in ("double", "real") and operator in _NAN_GUARDS:
        sql = _beside_nan(one, operator, other, sql)
    return made_from(sql, BOOLEAN, left, right)


# To DuckDB a NaN equals itself and is above every number; to Trino it is unequal to all, and above none.
# Which side's NaN would make DuckDB's answer a wrong one:
_NAN_GUARDS = {"=": 0, "<>": 0, "<": 1, "<=": 1, ">": 0, ">=": 0}


def _beside_nan(left: Expr, operator: str, right: Expr, sql: str) -> str:
    sides = (left, right)
    guarded, other = sides[_NAN_GUARDS[operator]], sides[1 - _NAN_GUARDS[operator]]
    if guarded.is_literal or (operator in ("=", "<>") and other.is_literal):
        return sql
    wrong = f"isnan({guarded.sql}) AND {other.sql} IS NOT NULL"
    return f"({sql} OR ({wrong}))" if operator == "<>" else f"({sql} AND NOT ({wrong}))"


def _unless_nulls(kind: DataType, compared: str) -> str:
    """Trino orders no arrays and rows with NULL inside."""
    if kind.name == "array":
        bad = [f"list_count({side}) < len({side})" for side in ("{0}", "{1}")]
        what = "ARRAY comparison not supported for arrays with null elements"
    else:
        bad = [f"({side}).{name(label)} IS NULL" for side in ("{0}", "{1}") for label, _ in kind.fields]
        what = "ROW comparison not supported for fields with null elements"
    both = "{0} IS NOT NULL AND {1} IS NOT NULL"
    return ensure(f"{both} AND ({' OR '.join(bad)})", f"'NOT_SUPPORTED: {what}'", compared)


def equal(left: str, right: str, kind: DataType) -> str:
    """Return SQL for ``left = right`` of nested values: NULL where only a NULL keeps it from an answer."""
    if kind.name == "array":
        return fill(_EQUAL_ARRAYS.replace("EQUAL", equal("e[1]", "e[2]", kind.children[0])), [left, right])
    if kind.name == "map":
        entry = DataType("row", (), kind.children, ("key", "value"))
        entries = [f"list_sort(map_entries({side}))" for side in (left, right)]
        return equal(entries[0], entries[1], DataType("array", (), (entry,)))
    if kind.name == "row":
        fields = (
            equal(f"({{0}}).{name(label)}", f"({{1}}).{name(label)}", one) for label, one in kind.fields
        )
        template = "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN (FIELDS) END"
        return fill(template.replace("FIELDS", " AND ".join(fields)), [left, right])
    if kind.name in ("double", "real"):
        return f"({left} = {right} AND NOT isnan({left}))"
    return f"(({left}).t = ({right}).t)" if kind.name == TIMESTAMP_TZ else f"({left} = {right})"


_EQUAL_ARRAYS = (
    "CASE WHEN len({0}) <> len({1}) THEN FALSE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN list_transform("
    "[list_transform(list_zip({0}, {1}), lambda e: EQUAL)], lambda found: CASE "
    "WHEN list_contains(found, FALSE) THEN FALSE WHEN list_count(found) = len(found) THEN TRUE END)[1] END"
)
