"""Trino's JSON functions, as DuckDB SQL. A path must be a literal, so that it can be said in DuckDB's words."""

from __future__ import annotations

import re
from typing import Any

from airflow_quilt_athena.local.duck.failures import failed, unsupported
from airflow_quilt_athena.local.duck.signatures import Call, Signature, parse_signature, parse_table
from airflow_quilt_athena.local.duck.snippets import ensure, fill, text

_ITEMS = "CAST(from_json({0}, '[\"JSON\"]') AS VARCHAR[])"
PARSED = ensure(
    "NOT json_valid({0})",
    "concat('INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON: ''', {0}, '''')",
    "CAST(json({0}) AS VARCHAR)",
)


def _holds(kinds: str, value: str) -> str:
    """Whether a JSON array holds ``{1}`` among its elements of some kinds."""
    return (
        "CASE WHEN json_valid({0}) AND json_type({0}) = 'ARRAY' THEN list_contains(list_transform(list_filter("
        f"{_ITEMS}, lambda j: json_type(j) IN ({kinds})), lambda j: {value}), {{1}}) END"
    )


_TABLE = f"""
json_parse(varchar) -> json := {PARSED}
json_format(json) -> varchar := {{0}}
json_array_length(varchar) -> bigint := CASE WHEN json_valid({{0}}) AND json_type({{0}}) = 'ARRAY' THEN
  CAST(json_array_length({{0}}) AS BIGINT) END
json_array_contains(varchar, boolean) -> boolean := {_holds("'BOOLEAN'", "CAST(j AS BOOLEAN)")}
json_array_contains(varchar, bigint) -> boolean := {_holds("'BIGINT', 'UBIGINT'", "CAST(j AS HUGEINT)")}
json_array_contains(varchar, double) -> boolean := {_holds("'DOUBLE'", "CAST(j AS DOUBLE)")}
json_array_contains(varchar, varchar) -> boolean := {_holds("'VARCHAR'", "json_extract_string(j, '$')")}
json_array_get(varchar, bigint) -> json := CASE WHEN json_valid({{0}}) AND json_type({{0}}) = 'ARRAY' THEN
  list_extract({_ITEMS}, CASE WHEN {{1}} < 0 THEN {{1}} ELSE {{1}} + 1 END) END
is_json_scalar(varchar) -> boolean := CASE WHEN json_valid({{0}}) THEN json_type({{0}}) NOT IN ('ARRAY', 'OBJECT')
  ELSE CAST(concat('<<INVALID_FUNCTION_ARGUMENT: Invalid JSON value: ', {{0}}, '>>') AS BOOLEAN) END
"""

_STEP = re.compile(
    r"""\.([A-Za-z_][\w$]*|\d+[\w$]*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\['((?:[^'\\]|\\.)*)'\]|\.([\w\-:$]+)"""
)


def duck_path(path: str, node: Any) -> str:
    """Trino's JSON path (``$.a[0]["b c"]``) in DuckDB's words. Raises QueryFailed for another path."""
    if not path.startswith("$"):
        path = "$." + path if path and path[0] not in ".[" else "$" + path
    steps, at = "$", 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise _bad_path(path, node)
        plain, index, quoted, single, odd = found.groups()
        if index is not None:
            steps += f"[{index}]"
        else:
            raw = next(one for one in (plain, quoted, single, odd) if one is not None)
            key = re.sub(r"\\(.)", r"\1", raw)
            if '"' in key:
                raise unsupported(node, f"A double quote in the JSON path '{path}'")
            steps += f'."{key}"'
        at = found.end()
    return steps


def _bad_path(path: str, node: Any) -> Exception:
    if "*" in path or ".." in path:
        return unsupported(node, f"A wildcard in the JSON path '{path}'")
    return failed("INVALID_FUNCTION_ARGUMENT", node, f"Invalid JSON path: '{path}'")


def _path(call: Call) -> str:
    literal = call.literals[1]
    if not isinstance(literal, str):
        raise unsupported(call.node, "A JSON path that is not a literal")
    return text(duck_path(literal, call.node))


def _when_valid(call: Call, value: str) -> str:
    if call.types[0].name == "json":
        return fill(value, [call.arguments[0], _path(call)])
    return fill(f"CASE WHEN json_valid({{0}}) THEN {value} END", [call.arguments[0], _path(call)])


def _extract_scalar(call: Call) -> str:
    return _when_valid(
        call,
        "CASE WHEN json_type({0}, {1}) IN ('OBJECT', 'ARRAY') THEN NULL ELSE json_extract_string({0}, {1}) END",
    )


def _extract(call: Call) -> str:
    return _when_valid(call, "CAST(json_extract({0}, {1}) AS VARCHAR)")


def _size(call: Call) -> str:
    return _when_valid(
        call,
        "CASE json_type({0}, {1}) WHEN 'OBJECT' THEN CAST(len(json_keys({0}, {1})) AS BIGINT) "
        "WHEN 'ARRAY' THEN CAST(json_array_length({0}, {1}) AS BIGINT) WHEN NULL THEN NULL "
        "ELSE CASE WHEN json_type({0}, {1}) IS NOT NULL THEN 0 END END",
    )


def signatures() -> list[Signature]:
    """All of them; each that reads JSON takes it as text too."""
    found = parse_table(_TABLE)
    for head, body in (
        ("json_extract_scalar(varchar, varchar) -> varchar", _extract_scalar),
        ("json_extract(varchar, varchar) -> json", _extract),
        ("json_size(varchar, varchar) -> bigint", _size),
    ):
        found.append(parse_signature(head, body))
    twins = []
    for one in found:
        if one.name not in ("json_parse", "json_format"):
            head = one.shown.replace("(varchar", "(json", 1) + " -> " + one.result.name
            twins.append(parse_signature(head, one.body))
    return found + twins
