"""Trino's JSON functions, as DuckDB SQL. A path must be a literal: it is said in DuckDB's words.

JSON is held as text. Functions that read it take any text. DuckDB reads a document as a whole, and writes
anew what it finds; a document for which Trino's answer would be another is read in Python (trino_json).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from local_athena.duck.errors import failed, unsupported
from local_athena.duck.functions.signatures import FunctionCall, Signature, parse_signature
from local_athena.duck.json import trino_json
from local_athena.duck.values.snippets import ensure, fill, is_name, let_always, text

_ITEMS = "CAST(from_json({0}, '[\"JSON\"]') AS VARCHAR[])"
_BAD_TEXT = "concat('INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON: ''', {0}, '''')"

# DuckDB reads a comma before a bracket, NaN and Infinity, which are no JSON.
_NO_JSON = r"(?i:nan|inf)|,[ \t\r\n]*[\]}]"
_PLAIN = f"json_valid({{0}}) AND NOT regexp_matches({{0}}, '{_NO_JSON}')"
# What json_parse may change: two keys, a number that is no plain integer, what is escaped or is to be.
_CHANGED = r":(?s:.*):|(?:^|[:,\[ \t\r\n])(?:-?[0-9]+[.eE]|-0)|\\|[\x{10000}-\x{10FFFF}]"
# Half a surrogate pair is no JSON to DuckDB.
_MAY_BE_JSON = r"json_valid({0}) OR regexp_matches({0}, '\\u[dD]')"


def _in_python(function: str, argument: str = "''") -> str:
    return f"{trino_json.NAME}('{function}', {{0}}, {argument})"


def _parsed(call: FunctionCall) -> str:
    by_duckdb = f"{_PLAIN} AND NOT regexp_matches({{0}}, '{_CHANGED}')"
    in_python = f"WHEN {_MAY_BE_JSON} THEN {_in_python('json_parse')}"
    value = f"CASE WHEN {by_duckdb} THEN CAST(json({{0}}) AS VARCHAR) {in_python} END"
    checked = ensure("{0} IS NOT NULL AND {1} IS NULL", _BAD_TEXT, "{1}")
    return let_always(call.arguments[0], lambda it: fill(checked, [it, fill(value, [it])]))


def _holds(kinds: str, value: str) -> str:
    """Tell whether a JSON array holds ``{1}`` among its elements of some kinds."""
    return (
        "CASE WHEN json_type({0}) = 'ARRAY' THEN list_contains(list_transform(list_filter("
        f"{_ITEMS}, lambda j: json_type(j) IN ({kinds})), lambda j: {value}), {{1}}) END"
    )


# By function: a template that reads {0}, which is JSON, and one that reads any document, in Python.
_READERS = {
    "json_array_length(varchar) -> bigint": (
        "CASE WHEN json_type({0}) = 'ARRAY' THEN CAST(json_array_length({0}) AS BIGINT) END",
        f"CAST({_in_python('json_array_length')} AS BIGINT)",
    ),
    **{
        f"json_array_contains(varchar, {kind}) -> boolean": (
            _holds(kinds, value),
            f"CAST({_in_python(f'json_array_contains {kind}', 'CAST({1} AS VARCHAR)')} AS BOOLEAN)",
        )
        for kind, kinds, value in (
            ("boolean", "'BOOLEAN'", "CAST(j AS BOOLEAN)"),
            ("bigint", "'BIGINT', 'UBIGINT'", "CAST(j AS HUGEINT)"),
            ("double", "'DOUBLE'", "CAST(j AS DOUBLE)"),
            ("varchar", "'VARCHAR'", "json_extract_string(j, '$')"),
        )
    },
}
_ARRAY_GET = _in_python("json_array_get", "CAST({1} AS VARCHAR)")
# DuckDB writes a number anew (19.90 becomes 19.9) where Trino gives its text: for one with a fraction or an
# exponent, all numbers of the document are put in quotes first. Valid JSON holds no raw control character.
_STRING_OR_NUMBER = r'("(?:[^"\\]|\\.)*")|(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)'
_MARKED = f"regexp_replace({{0}}, '{_STRING_OR_NUMBER}', '\\1' || chr(1) || '\\2' || chr(1), 'g')"
_NUMBERS_QUOTED = f"replace(replace({_MARKED}, chr(1) || chr(1), ''), chr(1), '\"')"
_ANEW = rf"{trino_json.OTHER_NUMBERS}|[\x{{10000}}-\x{{10FFFF}}]"
# The same; {1} is the path in DuckDB's words, {2} its steps.
_PATH_READERS = {
    "json_extract_scalar(varchar, varchar) -> varchar": (
        "CASE json_type({0}, {1}) WHEN 'OBJECT' THEN NULL WHEN 'ARRAY' THEN NULL WHEN 'DOUBLE' "
        f"THEN json_extract_string({_NUMBERS_QUOTED}, {{1}}) "
        # -0 is the one number of this type of which DuckDB makes 0.
        "WHEN 'BIGINT' THEN coalesce(nullif(json_extract_string({0}, {1}), '0'), '-0') "
        "ELSE json_extract_string({0}, {1}) END",
        _in_python("json_extract_scalar", "{2}"),
    ),
    "json_extract(varchar, varchar) -> json": (
        f"CASE WHEN regexp_matches(CAST(json_extract({{0}}, {{1}}) AS VARCHAR), '{_ANEW}') "
        f"THEN {_in_python('json_extract', '{2}')} ELSE CAST(json_extract({{0}}, {{1}}) AS VARCHAR) END",
        _in_python("json_extract", "{2}"),
    ),
    "json_size(varchar, varchar) -> bigint": (
        "CASE json_type({0}, {1}) WHEN 'OBJECT' THEN CAST(len(json_keys({0}, {1})) AS BIGINT) "
        "WHEN 'ARRAY' THEN CAST(json_array_length({0}, {1}) AS BIGINT) "
        "ELSE CASE WHEN json_type({0}, {1}) IS NOT NULL THEN 0 END END",
        f"CAST({_in_python('json_size', '{2}')} AS BIGINT)",
    ),
}

_STEP = re.compile(
    r"""\.([A-Za-z_][\w$]*|\d+[\w$]*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|\['((?:[^'\\]|\\.)*)'\]|\.([\w\-:$]+)"""
)


def _steps(path: str, node: Any) -> list[str | int]:
    """Take Trino's JSON path (``$.a[0]["b c"]``) apart. Raises QueryFailed for another path."""
    if not path.startswith("$"):
        path = "$." + path if path and path[0] not in ".[" else "$" + path
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise _bad_path(path, node)
        plain, index, quoted, single, odd = found.groups()
        if index is not None:
            steps.append(int(index))
        else:
            raw = next(one for one in (odd, plain, quoted, single) if one is not None)
            key = re.sub(r"\\(.)", r"\1", raw)
            if '"' in key:
                raise unsupported(node, f"A double quote in the JSON path '{path}'")
            steps.append(key)
        at = found.end()
    return steps


def _bad_path(path: str, node: Any) -> Exception:
    if "*" in path or ".." in path:
        return unsupported(node, f"A wildcard in the JSON path '{path}'")
    return failed("INVALID_FUNCTION_ARGUMENT", node, f"Invalid JSON path: '{path}'")


def _read(first: str, native: str, in_python: str, others: list[str]) -> str:
    """Fill the template for a document that DuckDB reads as Trino does, and the one for any other.

    A constant is put behind a lambda, because DuckDB parses it while it plans.
    """
    template = f"CASE WHEN {_PLAIN} THEN {native} WHEN {{0}} IS NOT NULL THEN {in_python} END"
    if is_name(first):
        return fill(template, [first, *others])
    return let_always(first, lambda it: fill(template, [it, *others]))


def _reader(native: str, in_python: str) -> Callable[[FunctionCall], str]:
    return lambda call: _read(call.arguments[0], native, in_python, list(call.arguments[1:]))


def _path_reader(native: str, in_python: str) -> Callable[[FunctionCall], str]:
    # To Trino a number is an index and a key alike.
    either = f"CASE WHEN json_type({{0}}, {{1}}) IS NULL THEN {in_python} ELSE {native} END"

    def read(call: FunctionCall) -> str:
        path = call.literals[1]
        if not isinstance(path, str):
            raise unsupported(call.node, "A JSON path that is not a literal")
        steps = _steps(path, call.node)
        in_duckdb = "$" + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in steps)
        paths = [text(in_duckdb), text(json.dumps([str(step) for step in steps]))]
        numbered = any(str(step).isdecimal() for step in steps)
        return _read(call.arguments[0], either if numbered else native, in_python, paths)

    return read


def _is_scalar(call: FunctionCall) -> str:
    native = "json_type({0}) NOT IN ('ARRAY', 'OBJECT')"
    in_python = f"CAST({_in_python('is_json_scalar')} AS BOOLEAN)"
    message = "concat('INVALID_FUNCTION_ARGUMENT: Invalid JSON value: ', {0})"
    checked = ensure("{0} IS NOT NULL AND {1} IS NULL", message, "{1}")
    first = call.arguments[0]
    return let_always(first, lambda it: fill(checked, [it, _read(it, native, in_python, [])]))


def signatures() -> list[Signature]:
    """Return all of them; each that reads JSON takes it as text too."""
    readers: list[tuple[str, str | Callable[[FunctionCall], str]]] = [
        *((head, _reader(*templates)) for head, templates in _READERS.items()),
        *((head, _path_reader(*templates)) for head, templates in _PATH_READERS.items()),
        ("json_array_get(varchar, bigint) -> json", _ARRAY_GET),
        ("is_json_scalar(varchar) -> boolean", _is_scalar),
    ]
    readers += [(head.replace("(varchar", "(json", 1), body) for head, body in readers]
    return [
        parse_signature("json_parse(varchar) -> json", _parsed),
        # The cast tells it from its argument, for GROUP BY compares texts.
        parse_signature("json_format(json) -> varchar", "CAST({0} AS VARCHAR)"),
        *(parse_signature(head, body) for head, body in readers),
    ]
