"""Formats of dates: MySQL's (date_format, date_parse) and Joda's (format_datetime), in DuckDB's words."""

from __future__ import annotations

import re

_MYSQL = {
    "a": "%a", "b": "%b", "c": "%-m", "d": "%d", "e": "%-d", "f": "%f", "H": "%H", "h": "%I", "I": "%I",
    "i": "%M", "j": "%j", "k": "%-H", "l": "%-I", "M": "%B", "m": "%m", "p": "%p", "r": "%I:%M:%S %p",
    "S": "%S", "s": "%S", "T": "%H:%M:%S", "v": "%V", "W": "%A", "x": "%G", "Y": "%Y", "y": "%y", "%":
    "%%",
}  # fmt: skip
_MYSQL_REFUSED = frozenset("DUuVwX")
# DuckDB's parser takes one digit or two wherever it takes two.
_PARSED_ALIKE = {"%-m": "%m", "%-d": "%d", "%-H": "%H", "%-I": "%I"}

_JODA = {
    "yyyy": "%Y", "y": "%Y", "yy": "%y", "YYYY": "%Y", "xxxx": "%G", "x": "%G", "MMMM": "%B", "MMM":
    "%b", "MM": "%m", "M": "%-m", "dd": "%d", "d": "%-d", "EEEE": "%A", "EEE": "%a", "EE": "%a", "E":
    "%a", "HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S", "s":
    "%-S", "SSS": "%g", "SSSSSS": "%f", "a": "%p", "ww": "%V", "DDD": "%j", "e": "%u",
}  # fmt: skip


class FormatRefusedError(ValueError):
    """A format that cannot be said in DuckDB's words; the text says why."""


def from_mysql(pattern: str) -> str:
    """``%Y-%m-%d %H:%i:%s`` and its kin."""
    return "".join(_mysql_piece(found) for found in re.finditer(r"%(.)|[^%]+|%", pattern, re.DOTALL))


def _mysql_piece(found: re.Match[str]) -> str:
    letter = found.group(1)
    if letter is None:
        return found.group(0) if found.group(0) != "%" else "%%"
    if letter in _MYSQL_REFUSED:
        raise FormatRefusedError(f"%{letter} not supported in date format string")
    return _MYSQL.get(letter, letter)


def from_joda(pattern: str) -> str:
    """``yyyy-MM-dd'T'HH:mm:ss.SSS`` and its kin."""
    result = ""
    for found in re.finditer(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+|'", pattern):
        quoted, letter = found.group(1), found.group(2)
        if quoted is not None:
            result += (quoted.replace("''", "'") or "'").replace("%", "%%")
        elif letter is None:
            result += found.group(0).replace("%", "%%")
        elif found.group(0) in _JODA:
            result += _JODA[found.group(0)]
        else:
            raise FormatRefusedError(f"'{found.group(0)}' of the date format '{pattern}'")
    return result


def for_parsing(pattern: str) -> str:
    """Return the same format for DuckDB's strptime."""
    for printed, parsed in _PARSED_ALIKE.items():
        pattern = pattern.replace(printed, parsed)
    return pattern.replace("%-M", "%M").replace("%-S", "%S")
