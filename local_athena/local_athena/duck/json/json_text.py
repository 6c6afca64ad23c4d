"""JSON written as Trino writes it: sorted where it was parsed, numbers as Java's, escapes as Jackson's.

Source: JsonFunctions of Trino 476, and its answers in ``conformance/answers``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any


class _Number(str):
    """A number, as it is to be written."""


def parsed(document: str) -> str:
    """Return json_parse's text: keys sorted, the last of equal ones. Raises ValueError for no JSON."""
    return _written(_loaded(document), lambda keys: sorted(keys, key=_utf_16), quoted)


def tree(document: str) -> str:
    """Return a document with the last of equal keys, in their order. Raises ValueError for no JSON."""
    return _written(_loaded(document), list, _quoted_as_text)


def kind_of(document: str) -> type:
    """Return what a document is: dict, list, or a scalar's. Raises ValueError for what is no JSON."""
    return type(_loaded(document))


def _loaded(document: str) -> Any:
    return json.loads(document, parse_int=_whole, parse_float=_fractional, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _whole(text: str) -> _Number:
    return _Number("0" if text == "-0" else text)


def _fractional(text: str) -> _Number:
    return _Number(double(text))


def is_whole(number: str) -> bool:
    """Tell whether a JSON number has neither a fraction nor an exponent."""
    return number.lstrip("-").isdigit()


def number(text: str) -> str:
    """Write a JSON number anew."""
    return _whole(text) if is_whole(text) else double(text)


def double(text: str) -> str:
    """Write a number with a fraction or an exponent as Java's ``Double.toString`` does since JDK 19."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    # The fewest digits that give the number back; where one would do, the nearest two (4.9E-324).
    two = f"{value:.1e}"
    sign, digits, exponent = Decimal(two if float(two) == value else repr(value)).as_tuple()
    first, *others = map(str, digits)
    fraction = "".join(others).rstrip("0") or "0"
    return f"{'-' if sign else ''}{first}.{fraction}E{len(others) + int(exponent)}"


_ESCAPED = re.compile('["\\\\\x00-\x1f\ud800-\udfff\U00010000-\U0010ffff]')
_ESCAPED_AS_TEXT = re.compile('["\\\\\x00-\x1f]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(found: re.Match[str]) -> str:
    units = _utf_16(found[0]).hex().upper()
    return _SHORT.get(found[0]) or "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def quoted(text: str) -> str:
    """Write a string: a character above U+FFFF becomes two escapes, as Jackson does in UTF-8."""
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _quoted_as_text(text: str) -> str:
    return f'"{_ESCAPED_AS_TEXT.sub(_escape, text)}"'


def _utf_16(key: str) -> bytes:
    """Return the code units by which Java compares strings."""
    return key.encode("utf-16-be", "surrogatepass")


def _written(value: Any, order: Callable[[Iterable[str]], list[str]], quote: Callable[[str], str]) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        members = [f"{quote(key)}:{_written(value[key], order, quote)}" for key in order(value)]
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_written(item, order, quote) for item in value]) + "]"
    return {None: "null", True: "true", False: "false"}[value]
