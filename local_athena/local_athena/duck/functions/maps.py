"""Trino's functions that make maps, as DuckDB SQL."""

from __future__ import annotations

from local_athena.duck.functions.arrays import HAS_NULL, distinct
from local_athena.duck.functions.lambdas import inlined
from local_athena.duck.functions.signatures import FunctionCall, Signature, parse_signature, parse_table
from local_athena.duck.values.snippets import ensure, let, name, variable

_DUPLICATE_KEYS = (
    "'INVALID_FUNCTION_ARGUMENT: Duplicate map keys (' || CAST(list_filter({0}, lambda e, i: "
    "list_position({0}, e) <> i)[1] AS VARCHAR) || ') are not allowed'"
)

_MAP = ensure(
    "len({0}) <> len({1})",
    "'INVALID_FUNCTION_ARGUMENT: Key and value arrays must be the same length'",
    ensure(
        HAS_NULL,
        "'INVALID_FUNCTION_ARGUMENT: map key cannot be null'",
        ensure("list_unique({0}) <> len({0})", _DUPLICATE_KEYS, "map({0}, {1})"),
    ),
)


def _over_entries(function: str) -> tuple[str, str]:
    """Return a name for a map's entry, and a lambda's body over its key and value."""
    entry = variable(function)
    return entry, inlined(function, [f'{entry}."key"', f'{entry}."value"'])


def _map_filter(call: FunctionCall) -> str:
    entry, condition = _over_entries(call.arguments[1])
    kept = f"list_filter(map_entries({call.arguments[0]}), lambda {entry}: {condition})"
    return f"map_from_entries({kept})"


def _transform_values(call: FunctionCall) -> str:
    entry, value = _over_entries(call.arguments[1])
    made = f'struct_pack("key" := {entry}."key", "value" := {value})'
    return f"map_from_entries(list_transform(map_entries({call.arguments[0]}), lambda {entry}: {made}))"


def _transform_keys(call: FunctionCall) -> str:
    entry, key = _over_entries(call.arguments[1])
    made = f'struct_pack("key" := {key}, "value" := {entry}."value")'
    return f"map_from_entries(list_transform(map_entries({call.arguments[0]}), lambda {entry}: {made}))"


def _map_zip_with(call: FunctionCall) -> str:
    key = variable(call.arguments[2])

    def zipped(one: str, other: str) -> str:
        value = inlined(call.arguments[2], [key, f"{one}[{key}]", f"{other}[{key}]"])
        keys = distinct(f"list_concat(map_keys({one}), map_keys({other}))")
        entry = f'struct_pack("key" := {key}, "value" := {value})'
        return (
            f"CASE WHEN {one} IS NOT NULL AND {other} IS NOT NULL THEN "
            f"map_from_entries(list_transform({keys}, lambda {key}: {entry})) END"
        )

    return let(call.arguments[0], lambda one: let(call.arguments[1], lambda other: zipped(one, other)))


def _map_from_entries(call: FunctionCall) -> str:
    key, value = (name(label) for label, _ in call.types[0].children[0].fields)

    def made(it: str) -> str:
        keys = f"list_transform({it}, lambda e: e.{key})"
        entries = f'list_transform({it}, lambda e: struct_pack("key" := e.{key}, "value" := e.{value}))'
        return ensure(
            f"list_unique({keys}) <> len({it})",
            "'INVALID_FUNCTION_ARGUMENT: Duplicate map keys are not allowed'",
            f"map_from_entries({entries})",
        )

    return let(call.arguments[0], made)


def _multimap_from_entries(call: FunctionCall) -> str:
    key, value = (name(label) for label, _ in call.types[0].children[0].fields)

    def made(it: str) -> str:
        keys = distinct(f"list_transform({it}, lambda e: e.{key})")
        values = f"list_transform(list_filter({it}, lambda e: e.{key} = k), lambda e: e.{value})"
        entry = f'struct_pack("key" := k, "value" := {values})'
        return f"map_from_entries(list_transform({keys}, lambda k: {entry}))"

    return let(call.arguments[0], made)


def _map_entries(call: FunctionCall) -> str:
    entry = 'struct_pack(field0 := e."key", field1 := e."value")'
    return f"list_transform(map_entries({call.arguments[0]}), lambda e: {entry})"


def _map_concat(call: FunctionCall) -> str:
    return f"map_concat({', '.join(call.arguments)})"


def _histogram(call: FunctionCall) -> str:
    def made(it: str) -> str:
        keys = distinct(f"list_filter({it}, lambda e: e IS NOT NULL)")
        entry = f'struct_pack("key" := k, "value" := len(list_filter({it}, lambda e: e = k)))'
        return f"map_from_entries(list_transform({keys}, lambda k: {entry}))"

    return let(call.arguments[0], made)


_TABLE = f"""
map() -> map(unknown, unknown) := MAP {{}}
map(array(K), array(V)) -> map(K,V) := {_MAP}
map_keys(map(K,V)) -> array(K) := map_keys({{0}})
map_values(map(K,V)) -> array(V) := map_values({{0}})
"""


def signatures() -> list[Signature]:
    """All of them."""
    found = parse_table(_TABLE)
    for head, body in (
        ("array_histogram(array(T)) -> map(T, bigint)", _histogram),
        ("map_filter(map(K,V), function(K,V,boolean)) -> map(K,V)", _map_filter),
        ("transform_values(map(K,V), function(K,V,W)) -> map(K,W)", _transform_values),
        ("transform_keys(map(K,V), function(K,V,J)) -> map(J,V)", _transform_keys),
        ("map_zip_with(map(K,V), map(K,W), function(K,V,W,X)) -> map(K,X)", _map_zip_with),
        ("map_from_entries(array(row(K,V))) -> map(K,V)", _map_from_entries),
        ("multimap_from_entries(array(row(K,V))) -> map(K, array(V))", _multimap_from_entries),
        ("map_entries(map(K,V)) -> array(row(K,V))", _map_entries),
        ("map_concat(map(K,V), map(K,V)...) -> map(K,V)", _map_concat),
    ):
        found.append(parse_signature(head, body))
    return found
