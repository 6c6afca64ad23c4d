"""JSON as the OpenX SerDe takes and writes it: lenient in, canonical out.

Parsed values are dict, list, str (quoted), Unquoted (any other literal), bool, int and None. Python's own
parser does what is valid JSON; LenientReader does the rest: single quotes or none, ``=`` or ``=>`` for
``:``, ``;`` for ``,``, comments, and separators too many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from local_athena.duck.scans.serdes.hive_values import in_range

_LONG_BITS = 64
_BLANKS = " \t\r\n"
_LITERAL = re.compile(r"[^ \r\n\t\f{}\[\]/\\:,=;#]*")
_ESCAPES = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "v": "\t"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

KeyMap = Callable[[str], str]


class InvalidJsonError(Exception):
    """A text that even a lenient reader does not take."""


class Unquoted(str):
    """A literal without quotes: a number as it was written, or a bare word."""

    __slots__ = ()


def long_of(text: str) -> int | None:
    """Read a 64-bit integer written decimal, hexadecimal (``0x1F``) or octal (``017``)."""
    try:
        if re.match(r"0[xX][0-9a-fA-F]", text):
            return in_range(int(text[2:], 16), _LONG_BITS)
        if re.match(r"0[0-8]", text):
            return in_range(int(text[1:], 8), _LONG_BITS)
    except ValueError:
        return None
    return in_range(int(text), _LONG_BITS) if re.fullmatch(r"[+-]?[0-9]+", text) else None


def number_of(text: str) -> Decimal | None:
    """Read a decimal number, whatever its size."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def text_of(value: Any, *, only_quoted: bool = False) -> str:
    """Return a value as a text column shows it: text as it is, numbers canonical, the rest as JSON.

    ``only_quoted`` says that no Unquoted is inside, so that Python's own writer will do.
    """
    if isinstance(value, str):
        return _canonical(value) if isinstance(value, Unquoted) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = _dumps(value) if only_quoted else _write(value)
    # A closing tag inside a script element: the SerDe's writer keeps HTML whole.
    return text.replace("</", "<\\/") if "</" in text else text


_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _write(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_dumps(str(key))}:{_write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, Unquoted):
        text = _canonical(value)
        return text if text in ("true", "false") or number_of(text) is not None else _dumps(str(text))
    return _dumps(value)


def _canonical(literal: str) -> str:
    if literal.lower() in ("true", "false"):
        return literal.lower()
    whole = long_of(literal)
    if whole is not None:
        return str(whole)
    number = number_of(literal)
    if number is None:
        return str(literal)
    return str(abs(number) if number.is_zero() else number)


class LenientReader:
    """One text read by the lenient rules. What follows the value is ignored."""

    def __init__(self, text: str, key_map: KeyMap) -> None:
        self._text = text
        self._key_map = key_map
        self._position = 0

    def value(self) -> Any:
        """Read the next value. Raises InvalidJsonError."""
        character = self._next_token()
        if not character:
            raise self._error("End of input")
        if character == "{":
            return self._object()
        if character == "[":
            return self._array()
        if character in "'\"":
            return self._quoted(character)
        self._position -= 1
        return self._literal()

    def _error(self, problem: str) -> InvalidJsonError:
        return InvalidJsonError(f"{problem} at {self._position} [character {self._position + 1} line 1]")

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        spelled: dict[str, str] = {}
        if self._next_token() == "}":
            return found
        self._position -= 1
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise self._error(f"Names must be strings, but {name} is none")
            separator = self._next_token()
            if separator not in (":", "="):
                raise self._error(f"Expected ':' after {name}")
            if separator == "=" and self._text.startswith(">", self._position):
                self._position += 1
            key = self._key_map(str(name))
            if spelled.setdefault(key, name) != name:
                raise self._error(f"Duplicate key {key}")
            found.pop(key, None)  # the last of equal keys counts, at its own place
            found[key] = self.value()
            end = self._next_token()
            if end == "}":
                return found
            if end not in (",", ";"):
                raise self._error("Unterminated object")

    def _array(self) -> list[Any]:
        found: list[Any] = []
        open_end = False
        while True:
            character = self._next_token()
            if not character:
                raise self._error("Unterminated array")
            if character == "]":
                return [*found, None] if open_end else found
            if character in ",;":  # nothing stands before this separator
                found.append(None)
                open_end = True
                continue
            self._position -= 1
            found.append(self.value())
            end = self._next_token()
            if end == "]":
                return found
            if end not in (",", ";"):
                raise self._error("Unterminated array")
            open_end = True

    def _quoted(self, quote: str) -> str:
        parts: list[str] = []
        start = self._position
        while self._position < len(self._text):
            character = self._text[self._position]
            self._position += 1
            if character == quote:
                return "".join([*parts, self._text[start : self._position - 1]])
            if character == "\\":
                parts.append(self._text[start : self._position - 1])
                parts.append(self._escape())
                start = self._position
        raise self._error("Unterminated string")

    def _escape(self) -> str:
        character = self._text[self._position : self._position + 1]
        self._position += 1
        if character != "u":
            if not character:
                raise self._error("Unterminated escape sequence")
            return _ESCAPES.get(character, character)
        digits = self._text[self._position : self._position + 4]
        self._position += 4
        if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise self._error(f"Invalid escape sequence: {digits}")
        return chr(int(digits, 16))

    def _literal(self) -> Unquoted | None:
        match = _LITERAL.match(self._text, self._position)
        text = match.group() if match else ""
        if not text:
            raise self._error("Expected literal value")
        self._position += len(text)
        return None if text.lower() == "null" else Unquoted(text)

    def _next_token(self) -> str:
        while self._position < len(self._text):
            character = self._text[self._position]
            self._position += 1
            if character in _BLANKS:
                continue
            if character == "#" or self._text.startswith("//", self._position - 1):
                self._position = len(
                    self._text
                )  # a comment to the end of the line, and a line is all there is
            elif self._text.startswith("/*", self._position - 1):
                end = self._text.find("*/", self._position + 1)
                if end < 0:
                    raise self._error("Unterminated comment")
                self._position = end + 2
            else:
                return character
        return ""
