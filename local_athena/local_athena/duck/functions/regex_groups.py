"""Where the groups of a regular expression lie: RE2 gives no sign of a group that took no part in a match."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?P<\w+>|\?)?|.", re.DOTALL)
_MAY_TAKE_NO_PART = re.compile(r"[?*]|\{0")


@dataclass(slots=True)
class Group:
    """A capturing group: what stands inside, and whether a match can pass it by."""

    inside: str
    in_a_choice: bool


@dataclass(slots=True)
class _Open:
    """A parenthesis that is not closed yet; the outermost stands for the whole expression."""

    start: int
    wanted: bool = False
    holds_wanted: bool = False
    has_bar: bool = False


def find_group(pattern: str, number: int) -> Group:
    """Return the capturing group of that number; one is in a choice beside ``|`` or within ``(…)?``."""
    found = Group("", False)
    stack, seen = [_Open(0)], 0
    for piece in _PIECE.finditer(pattern):
        text = piece.group()
        if text.startswith("("):
            captures = text != "(?"
            seen += captures
            stack.append(_Open(piece.end(), captures and seen == number))
        elif text == "|":
            stack[-1].has_bar = True
        elif text == ")" and len(stack) > 1:
            closed = stack.pop()
            if closed.wanted:
                found.inside = pattern[closed.start : piece.start()]
            elif closed.holds_wanted:
                optional = _MAY_TAKE_NO_PART.match(pattern, piece.end()) is not None
                found.in_a_choice = found.in_a_choice or closed.has_bar or optional
            stack[-1].holds_wanted = stack[-1].holds_wanted or closed.wanted or closed.holds_wanted
    found.in_a_choice = found.in_a_choice or stack[0].has_bar
    return found
