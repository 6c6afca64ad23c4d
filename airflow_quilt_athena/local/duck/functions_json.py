"""Trino's JSON functions, as DuckDB SQL. A path must be a literal: it is said in DuckDB's words.

JSON is held as text. Functions that read it take any text, and are NULL for one that is not JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from airflow_quilt_athena.local.duck.failures import failed, unsupported
from airflow_quilt_athena.local.duck.signatures import Call, Signature, parse_signature
from airflow_quilt_athena.local.duck.snippets import ensure, fill, is_name, let_always, text

_ITEMS = "CAST(from_json({0}, '[\"JSON\"]') AS VARCHAR[])"
_BAD_TEXT = "concat('INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON: ''', {0}, '''')"


def parsed(sql: str) -> str:
    """Return SQL for json_parse: the text without spaces, or an error."""
    template = ensure("{0} IS NOT NULL AND NOT json_valid({0})", _BAD_TEXT, "CAST(json({0}) AS VARCHAR)")
    return let_always(sql, lambda it: fill(template, [it]))


def _holds(kinds: str, value: str) -> str:
    """Tell whether a JSON array holds ``{1}`` among its elements of some kinds."""
    return (
        "CASE WHEN json_type({0}) = 'ARRAY' THEN list_contains(list_transform(list_filter("
        f"{_ITEMS}, lambda j: json_type(j) IN ({kinds})), lambda j: {value}), {{1}}) END"
    )


_AT = f"list_extract({_ITEMS}, CASE WHEN {{1}} < 0 THEN {{1}} ELSE {{1}} + 1 END)"

# Each template reads {0}, which is JSON.
_READERS = {
    "json_array_length(varchar) -> bigint": (
        "CASE WHEN json_type({0}) = 'ARRAY' THEN CAST(json_array_length({0}) AS BIGINT) END"
    ),
    "json_array_contains(varchar, boolean) -> boolean": _holds("'BOOLEAN'", "CAST(j AS BOOLEAN)"),
    "json_array_contains(varchar, bigint) -> boolean": _holds("'BIGINT', 'UBIGINT'", "CAST(j AS HUGEINT)"),
    "json_array_contains(varchar, double) -> boolean": _holds("'DOUBLE'", "CAST(j AS DOUBLE)"),
    "json_array_contains(varchar, varchar) -> boolean": _holds("'VARCHAR'", "json_extract_string(j, '$')"),
    "json_array_get(varchar, bigint) -> json": (
        # A string comes without its quotes and is no JSON then; Trino's does the same.
        f"CASE WHEN json_type({{0}}) = 'ARRAY' THEN CASE WHEN json_type({_AT}) = 'VARCHAR' "
        f"THEN json_extract_string({_AT}, '$') ELSE nullif({_AT}, 'null') END END"
    ),
}
# DuckDB writes a number anew (19.90 becomes 19.9) where Trino gives its text: for one with a fraction or an
# exponent, all numbers of the document are put in quotes first. Valid JSON holds no raw control character.
_STRING_OR_NUMBER = r'("(?:[^"\\]|\\.)*")|(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)'
_MARKED = f"regexp_replace({{0}}, '{_STRING_OR_NUMBER}', '\\1' || chr(1) || '\\2' || chr(1), 'g')"
_NUMBERS_QUOTED = f"replace(replace({_MARKED}, chr(1) || chr(1), ''), chr(1), '\"')"
_PATH_READERS = {
    "json_extract_scalar(varchar, varchar) -> varchar": (
        "CASE json_type({0}, {1}) WHEN 'OBJECT' THEN NULL WHEN 'ARRAY' THEN NULL WHEN 'DOUBLE' "
        f"THEN json_extract_string({_NUMBERS_QUOTED}, {{1}}) ELSE json_extract_string({{0}}, {{1}}) END"
    ),
    "json_extract(varchar, varchar) -> json": "CAST(json_extract({0}, {1}) AS VARCHAR)",
    "json_size(varchar, varchar) -> bigint": (
        "CASE json_type({0}, {1}) WHEN 'OBJECT' THEN CAST(len(json_keys({0}, {1})) AS BIGINT) "
        "WHEN 'ARRAY' THEN CAST(json_array_length({0}, {1}) AS BIGINT) "
        "ELSE CASE WHEN json_type({0}, {1}) IS NOT NULL THEN 0 END END"
    ),
}

_STEP = re.compile(
    r"""\.([A-Za-z_][\w$]*|\d+[\w$]*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\['((?:[^'\\]|\\.)*)'\]|\.([\w\-:$]+)"""
)


def duck_path(path: str, node: Any) -> str:
    """Say Trino's JSON path (``$.a[0]["b c"]``) in DuckDB's words. Raises QueryFailed for another path."""
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
            raw = next(one for one in (odd, plain, quoted, single) if one is not None)
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


def _read(call: Call, template: str, others: list[str]) -> str:
    """Fill a template that reads JSON; text that is none gives NULL.

    Over a plain column TRY is the quickest guard. It would hide an error inside a computed argument, so
    those are checked one by one; a constant is put behind a lambda, because DuckDB parses it while it plans.
    """
    first = call.arguments[0]
    if is_name(first) and all(map(_is_plain, others)):
        return f"TRY({fill(template, [first, *others])})"
    guard = "CASE WHEN json_valid({0}) THEN " + template + " END"
    return let_always(first, lambda it: fill(guard, [it, *others]))


def _is_plain(sql: str) -> bool:
    return is_name(sql) or sql.startswith("'")


def _reader(template: str) -> Callable[[Call], str]:
    return lambda call: _read(call, template, list(call.arguments[1:]))


def _path_reader(template: str) -> Callable[[Call], str]:
    return lambda call: _read(call, template, [_path(call)])


def _is_scalar(call: Call) -> str:
    message = "concat('INVALID_FUNCTION_ARGUMENT: Invalid JSON value: ', {0})"
    value = "json_type({0}) NOT IN ('ARRAY', 'OBJECT')"
    template = ensure("{0} IS NOT NULL AND NOT json_valid({0})", message, value)
    return let_always(call.arguments[0], lambda it: fill(template, [it]))


def signatures() -> list[Signature]:
    """Return all of them; each that reads JSON takes it as text too."""
    readers: list[tuple[str, Callable[[Call], str]]] = [
        *((head, _reader(template)) for head, template in _READERS.items()),
        *((head, _path_reader(template)) for head, template in _PATH_READERS.items()),
        ("is_json_scalar(varchar) -> boolean", _is_scalar),
    ]
    readers += [(head.replace("(varchar", "(json", 1), body) for head, body in readers]
    return [
        parse_signature("json_parse(varchar) -> json", lambda call: parsed(call.arguments[0])),
        parse_signature("json_format(json) -> varchar", "{0}"),
        *(parse_signature(head, body) for head, body in readers),
    ]
