"""A JSON document read token by token, as Jackson reads it: a defect is found only where it stands.

So a value that stands before the torn place is found, and one behind it is not. Source: JsonExtract and
JsonFunctions of Trino 476, and its answers in ``conformance/answers``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from local_athena.duck.json import json_text

# One of { } [ ], or "key", "string", "number", "word" (true, false, null); and its text. The text of a torn
# string is None, because Jackson looks into a string when its text is wanted.
Token = tuple[str, str | None]

_SPACE = re.compile(r"[ \t\n\r]*")
_COMMA = re.compile(r",[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_WORD = re.compile(r"(?:true|false|null)(?![\w$])")
_NUMBER = re.compile(r"-?(?:0(?!\d)|[1-9]\d*)(?:\.\d+|(?!\.))(?:[eE][+-]?\d+|(?![eE]))", re.ASCII)
_AFTER_NUMBER_AT_ROOT = re.compile(r"[ \t\n\r]|\Z")
_CLOSING = {"{": "}", "[": "]"}
_string = json.JSONDecoder().raw_decode


class Torn(ValueError):
    """The document is no JSON from here on."""


def tokens(document: str) -> Iterator[Token]:
    """Read the first value of a document. Raises ValueError where it is torn, and not before."""
    at, opened, first = _past(_SPACE, document, 0), "", True
    text: str | None
    while True:
        if opened and document.startswith(_CLOSING[opened[-1]], at):
            kind = text = _CLOSING[opened[-1]]
            opened, at = opened[:-1], at + 1
        else:
            if not first:
                at = _past(_COMMA, document, at)
            if opened.endswith("{"):
                key, at = _string_at(document, at)
                yield "key", key
                at = _past(_COLON, document, at)
            kind, text, at = _value(document, at, at_root=not opened)
            opened += kind if kind in _CLOSING else ""
        yield kind, text
        if not opened:
            return
        first = kind in _CLOSING
        at = _past(_SPACE, document, at)


def _past(pattern: re.Pattern[str], document: str, at: int) -> int:
    found = pattern.match(document, at)
    if found is None:
        raise Torn(f"at {at}")
    return found.end()


def _string_at(document: str, at: int) -> tuple[str, int]:
    if not document.startswith('"', at):
        raise Torn(f"at {at}")
    return _string(document, at)


def _value(document: str, at: int, at_root: bool) -> tuple[str, str | None, int]:
    mark = document[at : at + 1]
    if mark and mark in _CLOSING:
        return mark, mark, at + 1
    if mark == '"':
        try:
            return "string", *_string(document, at)
        except ValueError:
            return "string", None, len(document)  # whatever comes next is torn
    kind, pattern = ("word", _WORD) if mark and mark in "tfn" else ("number", _NUMBER)
    end = _past(pattern, document, at)
    if kind == "number" and at_root:
        _past(_AFTER_NUMBER_AT_ROOT, document, end)
    return kind, document[at:end], end


def found(stream: Iterator[Token], steps: Sequence[str]) -> Token | None:
    """Return the first token of the value at a path: the first of equal keys; a number is an index too."""
    token = next(stream)
    for step in steps:
        if token[0] == "{":
            inside = _member(stream, step)
        elif token[0] == "[":
            inside = _item(stream, int(step) if step.isdecimal() else -1)
        else:
            return None
        if inside is None:
            return None
        token = inside
    return token


def _member(stream: Iterator[Token], wanted: str) -> Token | None:
    for kind, key in stream:
        if kind == "}":
            return None
        value = next(stream)
        if key == wanted:
            return value
        skip(value, stream)
    return None


def _item(stream: Iterator[Token], wanted: int) -> Token | None:
    for position, item in enumerate(items(stream)):
        if position == wanted:
            return item
        skip(item, stream)
    return None


def items(stream: Iterator[Token]) -> Iterator[Token]:
    """Read the first token of each item of an array; the rest of it is to be read by the caller."""
    for token in stream:
        if token[0] == "]":
            return
        yield token


def skip(token: Token, stream: Iterator[Token]) -> None:
    """Read over the rest of a value."""
    depth = int(token[0] in _CLOSING)
    while depth:
        kind, _ = next(stream)
        depth += (kind in _CLOSING) - (kind in ("}", "]"))


def size(token: Token, stream: Iterator[Token]) -> int:
    """Return how many members or items a value has, none for a scalar, having read it."""
    count = 0
    if token[0] in _CLOSING:
        for inside in stream:
            if inside[0] == _CLOSING[token[0]]:
                break
            skip(next(stream) if token[0] == "{" else inside, stream)
            count += 1
    return count


def copied(token: Token, stream: Iterator[Token]) -> str:
    """Return the text of a value, written anew: keys stay in their order, and twice where they are."""
    parts, comma, depth = [], "", 0
    while True:
        kind, text = token
        if text is None:
            raise Torn("a string")
        if kind in ("}", "]"):
            depth -= 1
            parts.append(kind)
        else:
            parts.append(comma + _anew(kind, text))
            depth += kind in _CLOSING
        comma = "" if kind == "key" or kind in _CLOSING else ","
        if not depth:
            return "".join(parts)
        token = next(stream)


def _anew(kind: str, text: str) -> str:
    if kind == "number":
        return json_text.number(text)
    if kind == "string":
        return json_text.quoted(text)
    return f"{json_text.quoted(text)}:" if kind == "key" else text
