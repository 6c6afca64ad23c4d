"""Casts between JSON and Trino's other types. JSON values are held as text.

What is inside a document is cast by Trino's other casts, which are handed in: they know this module.
"""

from __future__ import annotations

from collections.abc import Callable

from local_athena.data.types import BOOLEAN, DOUBLE, VARCHAR, DataType
from local_athena.duck.json.trino_json import NAME, OTHER_NUMBERS
from local_athena.duck.values.snippets import ensure, fill, let, name, text
from local_athena.duck.values.type_coercion import INTEGRAL, is_text

Cast = Callable[[str, DataType, DataType], str]


def quoted(sql: str) -> str:
    """Return a text as a JSON string."""
    return f"CAST(to_json({sql}) AS VARCHAR)"


def to_json(sql: str, source: DataType, cast: Cast) -> str:
    """Return SQL for ``CAST(sql AS json)``: rows become objects, maps objects with sorted keys."""
    if source.name == "json":
        return sql
    if source.name == "array":
        item = to_json('"j"', source.children[0], cast)
        items = f"""list_transform({{0}}, lambda "j": coalesce({item}, 'null'))"""
        return fill(
            f"CASE WHEN {{0}} IS NOT NULL THEN concat('[', array_to_string({items}, ','), ']') END", [sql]
        )
    if source.name == "map":
        return _map_to_json(sql, source, cast)
    if source.name == "row":
        return _row_to_json(sql, source, cast)
    if source.name in INTEGRAL | {"boolean", "decimal"}:
        return f"CAST({sql} AS VARCHAR)"
    if source.name in ("double", "real"):
        return f"replace(CAST({sql} AS VARCHAR), 'e', 'E')"
    return quoted(cast(sql, source, VARCHAR))


def _map_to_json(sql: str, source: DataType, cast: Cast) -> str:
    key = quoted(cast('"j"."key"', source.children[0], VARCHAR))
    value = to_json('"j"."value"', source.children[1], cast)
    member = f"concat({key}, ':', coalesce({value}, 'null'))"
    members = f'list_transform(list_sort(map_entries({{0}})), lambda "j": {member})'
    return fill(
        f"CASE WHEN {{0}} IS NOT NULL THEN concat('{{', array_to_string({members}, ','), '}}') END", [sql]
    )


def _row_to_json(sql: str, source: DataType, cast: Cast) -> str:
    def members(row: str) -> str:
        shown = []
        for given, (label, kind) in zip(source.field_names, source.fields, strict=True):
            value = to_json(f"{row}.{name(label)}", kind, cast)
            key = text('"' + (given or "").replace("\\", "\\\\").replace('"', '\\"') + '":')
            shown.append(f"{key}, coalesce({value}, 'null')")
        inside = ", ',', ".join(shown)
        return f"CASE WHEN {row} IS NOT NULL THEN concat('{{', {inside}, '}}') END"

    return let(sql, members)


def scalar_text(sql: str) -> str:
    """Return a JSON scalar as text: strings without quotes, null as NULL."""
    return fill("CASE WHEN {0} = 'null' THEN NULL ELSE json_extract_string({0}, '$') END", [sql])


def from_json(sql: str, target: DataType, cast: Cast) -> str:
    """Return SQL for ``CAST(sql AS target)`` where ``sql`` is JSON."""
    if target.name == "array":
        item = _inner('"j"', target.children[0], cast)
        items = "CAST(from_json({0}, '[\"JSON\"]') AS VARCHAR[])"
        return _shaped(sql, "ARRAY", f'list_transform({items}, lambda "j": {item})', target)
    if target.name == "map":
        key = cast('"j"."key"', VARCHAR, target.children[0])
        value = _inner('"j"."value"', target.children[1], cast)
        entries = """map_entries(CAST(from_json({0}, '"MAP(VARCHAR, JSON)"') AS MAP(VARCHAR, VARCHAR)))"""
        entry = f"""struct_pack("key" := {key}, "value" := {value})"""
        return _shaped(
            sql, "OBJECT", f'map_from_entries(list_transform({entries}, lambda "j": {entry}))', target
        )
    if target.name == "row":
        return _row_from_json(sql, target, cast)
    return let(sql, lambda it: _scalar(it, target, cast))


def _inner(sql: str, target: DataType, cast: Cast) -> str:
    """Cast what DuckDB took out of a document, and wrote anew for that."""
    if target.name != "json":
        return from_json(sql, target, cast)
    template = "CASE WHEN regexp_matches({0}, '{pattern}') THEN {function}('tree', {0}, '') ELSE {0} END"
    template = template.replace("{pattern}", OTHER_NUMBERS).replace("{function}", NAME)
    return fill(template, [sql])


def _shaped(sql: str, shape: str, value: str, target: DataType) -> str:
    bad = f"{{0}} <> 'null' AND json_type({{0}}) <> '{shape}'"
    message = (
        f"concat('INVALID_CAST_ARGUMENT: Cannot cast to {target.trino}. Expected a json "
        f"{shape.lower()}, but got ', lower(json_type({{0}})), '\n', {{0}})"
    )
    return fill(f"CASE WHEN {{0}} <> 'null' THEN {ensure(bad, message, value)} END", [sql])


def _row_from_json(sql: str, target: DataType, cast: Cast) -> str:
    def packed(it: str) -> str:
        cells = []
        for position, (label, kind) in enumerate(target.fields):
            path = text('$."' + label + '"')
            member = (
                f"CAST(CASE json_type({it}) WHEN 'ARRAY' THEN json_extract({it}, '$[{position}]') "
                f"ELSE json_extract({it}, {path}) END AS VARCHAR)"
            )
            cells.append(f"{name(label)} := {_inner(member, kind, cast)}")
        value = f"struct_pack({', '.join(cells)})"
        bad = f"json_type({it}) NOT IN ('OBJECT', 'ARRAY')"
        expected = "Expected a json array or object, but got "
        message = f"concat('INVALID_CAST_ARGUMENT: Cannot cast to {target.trino}. {expected}', {it})"
        return f"CASE WHEN {it} <> 'null' THEN {ensure(bad, message, value)} END"

    return let(sql, packed)


def _scalar(it: str, target: DataType, cast: Cast) -> str:
    plain = scalar_text(it)
    if is_text(target):
        number = cast(f"CAST({plain} AS DOUBLE)", DOUBLE, target)
        is_double = f"json_type({it}) = 'DOUBLE' AND regexp_matches({it}, '[.eE]')"  # also a long integer's
        value = f"CASE WHEN {is_double} THEN {number} ELSE {cast(plain, VARCHAR, target)} END"
    elif target.name in INTEGRAL:
        number = f"TRY_CAST({plain} AS DOUBLE)"
        value = (
            f"CASE json_type({it}) WHEN 'DOUBLE' THEN {cast(number, DOUBLE, target)} "
            f"WHEN 'BOOLEAN' THEN CAST({it} = 'true' AS {target.duckdb}) "
            f"ELSE {cast(plain, VARCHAR, target)} END"
        )
    elif target == BOOLEAN:
        value = (
            f"CASE WHEN json_type({it}) IN ('BIGINT', 'UBIGINT', 'DOUBLE') THEN CAST({plain} AS DOUBLE) <> 0 "
            f"ELSE {cast(plain, VARCHAR, target)} END"
        )
    else:
        value = cast(plain, VARCHAR, target)
    bad = f"json_type({it}) IN ('ARRAY', 'OBJECT')"
    message = f"concat('INVALID_CAST_ARGUMENT: Cannot cast ''', {it}, ''' to {target.trino.upper()}')"
    return ensure(bad, message, value)
