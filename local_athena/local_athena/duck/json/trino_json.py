"""Trino's JSON functions in Python, for the documents that DuckDB reads otherwise than Trino.

In SQL: ``trino_json(function, document, argument)``. All three are texts, and so is the answer. It is NULL
where Trino's is, and where Trino refuses the document, which the SQL around it tells apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from local_athena.duck.json import json_text
from local_athena.duck.json.json_stream import copied, found, items, size, skip, tokens

NAME = "trino_json"
# In a value that DuckDB has written anew: the numbers that Java writes otherwise.
OTHER_NUMBERS = r"(?:^|[:,\[])-?(?:[0-9]{8,}\.|0\.00|[0-9]+(?:\.[0-9]+)?[eE])"
_TOO_DEEP = "<<NOT_SUPPORTED: The local Athena cannot read a JSON document nested as deeply as this>>"


def register(database: Any) -> None:
    """Make the function known to a DuckDB database and its cursors. DuckDB needs numpy for it."""
    database.create_function(NAME, _run, ["VARCHAR"] * 3, "VARCHAR", type="arrow", null_handling="special")


def _run(functions: Any, documents: Any, arguments: Any) -> Any:
    import pyarrow as pa

    rows = zip(functions.to_pylist(), documents.to_pylist(), arguments.to_pylist(), strict=True)
    return pa.array([answer(*row) for row in rows], pa.string())


def answer(function: str, document: str | None, argument: str | None) -> str | None:
    """Run a function on one document. Raises ValueError, with Trino's code, for one that nests too deeply."""
    if document is None or argument is None:
        return None
    try:
        value = _FUNCTIONS[function](document, argument)
    except ValueError:
        return None
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    # Java writes half a surrogate pair as a question mark, and so does Python here.
    return None if value is None else value.encode("utf-8", "replace").decode()


@cache
def _steps(path: str) -> tuple[str, ...]:
    return tuple(json.loads(path))


def _extract(document: str, path: str) -> str | None:
    stream = tokens(document)
    value = found(stream, _steps(path))
    return None if value is None else copied(value, stream)


def _extract_scalar(document: str, path: str) -> str | None:
    kind, text = found(tokens(document), _steps(path)) or ("word", "null")
    return None if kind in ("{", "[") or (kind, text) == ("word", "null") else text


def _size(document: str, path: str) -> str | None:
    stream = tokens(document)
    value = found(stream, _steps(path))
    return None if value is None else str(size(value, stream))


def _array_length(document: str, _: str) -> str | None:
    stream = tokens(document)
    value = next(stream)
    return str(size(value, stream)) if value[0] == "[" else None


def _array_get(document: str, index: str) -> str | None:
    wanted, stream = int(index), tokens(document)
    texts: list[str | None] = []
    if next(stream)[0] != "[":
        return None
    for position, token in enumerate(items(stream)):
        if token[0] in ("{", "["):
            texts.append(json_text.tree(copied(token, stream)))
        else:
            texts.append(None if token == ("word", "null") else token[1])
        if position == wanted:
            return texts[-1]
    return texts[wanted] if wanted < 0 and -wanted <= len(texts) else None


def _array_contains(kind: str, same: Callable[[str, str], bool]) -> Callable[[str, str], str | None]:
    def contains(document: str, wanted: str) -> str | None:
        stream = tokens(document)
        if next(stream)[0] != "[":
            return None
        for token in items(stream):
            if token[0] == kind and token[1] is not None and same(token[1], wanted):
                return "true"
            skip(token, stream)
        return "false"

    return contains


def _is_scalar(document: str, _: str) -> str:
    return "false" if json_text.kind_of(document) in (dict, list) else "true"


_FUNCTIONS: dict[str, Callable[[str, str], str | None]] = {
    "tree": lambda document, _: json_text.tree(document),
    "json_parse": lambda document, _: json_text.parsed(document),
    "json_extract": _extract,
    "json_extract_scalar": _extract_scalar,
    "json_size": _size,
    "json_array_length": _array_length,
    "json_array_get": _array_get,
    "json_array_contains boolean": _array_contains("word", str.__eq__),
    "json_array_contains bigint": _array_contains(
        "number", lambda text, wanted: json_text.is_whole(text) and json_text.number(text) == wanted
    ),
    "json_array_contains double": _array_contains(
        "number", lambda text, wanted: not json_text.is_whole(text) and float(text) == float(wanted)
    ),
    "json_array_contains varchar": _array_contains("string", str.__eq__),
    "is_json_scalar": _is_scalar,
}
