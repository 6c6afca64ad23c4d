"""What an argument may be: one rule for each kind, one form for all refusals. Runs nothing.

A judge takes the name of an argument and its value, and returns the value to use; it raises InvalidCallError
when there is none. Nothing is taken for something else: no text for a number or a switch, no number for a
text, no text for a list of letters. Domain names (tables, buckets, keys, …) are judged in ``names``.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from numbers import Integral
from typing import Any, TypeVar

from airflow_quilt_athena.exceptions import InvalidCallError

Result = TypeVar("Result")
Choice = TypeVar("Choice", bound=Enum)
Judge = Callable[[str, object], Result]

NO_VALUE = frozenset({"", "None"})  # what a template that found nothing renders as
_OPENERS = ("[", "(", "{")
_TEMPLATE = re.compile(r"\{\{.*\}\}|\{%.*%\}", re.DOTALL)
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 100
_SHOWN.maxlong = 45


def show(value: object) -> str:
    """Return a value as an error shows it, shortened."""
    try:
        return _SHOWN.repr(value)
    except Exception:  # a number of too many digits, an object that cannot show itself
        return f"a value of type {type(value).__name__}"


def refusal(name: str, value: object, expected: str) -> InvalidCallError:
    """Return the error for an argument that is not as ``expected``."""
    hint = ""
    if value is None or (isinstance(value, str) and value.strip() in NO_VALUE):
        hint = " A template that found no value renders so."
    elif isinstance(value, str) and _TEMPLATE.search(value):
        hint = " It holds a template that was not rendered."
    # In words of its own the type tells '5' from 5, and b'x' from 'x', also to who does not read Python.
    kind = "" if value is None or isinstance(value, str) else f", of type {type(value).__name__}"
    return InvalidCallError(f"{name} is {show(value)}{kind}. Expected {expected}.{hint}")


# ------------------------------------------------------------------------------------------- single values


def flag(name: str, value: object) -> bool:
    """Judge a switch: True or False, and nothing that Python would take for one of them."""
    if isinstance(value, bool):
        return value
    raise refusal(name, value, "True or False")


def text(name: str, value: object, expected: str = "text") -> str:
    """Judge text that says something, and that can be sent."""
    if not isinstance(value, str) or value.strip() in NO_VALUE:
        raise refusal(name, value, expected)
    return sendable(name, value)


def any_text(name: str, value: object) -> str:
    """Judge text that may be empty: what it says is for others to judge."""
    if not isinstance(value, str) or value.strip() == "None":
        raise refusal(name, value, "text")
    return sendable(name, value)


def rendered(name: str, value: str, expected: str) -> str:
    """Return text in which no template is left, as where it was rendered twice, or never."""
    if _TEMPLATE.search(value):
        raise refusal(name, value, expected)
    return value


def sendable(name: str, value: str) -> str:
    """Return text that AWS can be sent: without NUL, and without half a character."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise refusal(name, value, "text without lone surrogates, which no encoding can send") from error
    if "\x00" in value:
        raise refusal(name, value, "text without NUL characters")
    return value


def matching(pattern: str, expected: str) -> Judge[str]:
    """Return the judge of text that fits ``pattern`` whole."""
    compiled = re.compile(pattern, re.ASCII)

    def judge(name: str, value: object) -> str:
        if not compiled.fullmatch(text(name, value, expected)):
            raise refusal(name, value, expected)
        return str(value)

    return judge


_LARGEST = 2**63 - 1  # of the whole numbers that AWS is sent


def count(least: int = 0, most: int = _LARGEST) -> Judge[int]:
    """Return the judge of whole numbers; a switch is none, and neither is a number with a fraction."""
    bounds = f"of {least:,} or more" if most == _LARGEST else f"from {least:,} to {most:,}"
    expected = f"a whole number {bounds}"

    def judge(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise refusal(name, value, expected)
        number = int(value)
        if not least <= number <= most:
            raise refusal(name, value, expected)
        return number

    return judge


def whole(unit: timedelta, units: str, least: int, most: int = _LARGEST) -> Judge[int]:
    """Return the judge of a duration counted in whole units: a number of them, or a timedelta."""
    judge_count = count(least, most)

    def judge(name: str, value: object) -> int:
        if not isinstance(value, timedelta):
            return judge_count(name, value)
        if value % unit:
            raise refusal(name, value, f"whole {units}")
        return judge_count(name, value // unit)

    return judge


# Beyond it a moment is no datetime any more; nothing at Athena lasts a year.
_LONGEST = timedelta(days=366)


def seconds(*, zero: bool = False) -> Judge[float]:
    """Return the judge of a duration: a number of seconds, or a timedelta."""
    expected = f"a number of seconds {'of 0 or more' if zero else 'above 0'}, or a timedelta, up to a year"

    def judge(name: str, value: object) -> float:
        if isinstance(value, timedelta):
            duration = value.total_seconds()
        elif isinstance(value, int | float) and not isinstance(value, bool):
            duration = float(value) if abs(value) <= _LONGEST.total_seconds() else math.inf
        else:
            raise refusal(name, value, expected)
        # Not a number compares false with everything, and is refused so.
        if not (0 <= duration <= _LONGEST.total_seconds()) or (duration == 0 and not zero):
            raise refusal(name, value, expected)
        return duration

    return judge


def choice(choices: type[Choice]) -> Judge[Choice]:
    """Return the judge of a parameter with a few values, told by their text or as the enum's member."""
    expected = f"one of {', '.join(str(member.value) for member in choices)}"

    def judge(name: str, value: object) -> Choice:
        if isinstance(value, choices):
            return value
        for member in choices:
            if isinstance(value, str) and value == member.value:
                return member
        raise refusal(name, value, expected)

    return judge


def one_of(*values: str) -> Judge[str]:
    """Return the judge of a parameter with a few values, told by their text."""

    def judge(name: str, value: object) -> str:
        if isinstance(value, str) and value in values:
            return value
        raise refusal(name, value, f"one of {', '.join(values)}")

    return judge


def upper(judge: Judge[Result]) -> Judge[Result]:
    """Return the judge of names that are written in any case. The text None is none of them, as ever."""

    def judge_any_case(name: str, value: object) -> Result:
        try:
            return judge(name, value.upper() if isinstance(value, str) and value != "None" else value)
        except InvalidCallError:
            return judge(name, value)  # which refuses it as it was written

    return judge_any_case


def optional(judge: Judge[Result]) -> Judge[Result | None]:
    """Return the judge of an argument that may be None."""
    return lambda name, value: None if value is None else judge(name, value)


# --------------------------------------------------------------------------------------- lists and mappings


def read_printed(value: str) -> object:
    """Return the list or mapping whose text ``value`` is, as JSON or as Python prints it; else ``value``.

    A template renders to text, also where what it found is a list.

    >>> read_printed("['a', 'b']"), read_printed('{"dt": "00"}'), read_printed("[a]")
    (['a', 'b'], {'dt': '00'}, '[a]')
    """
    stripped = value.strip()
    if not stripped.startswith(_OPENERS):
        return value
    for parse in (json.loads, literal_eval):
        try:
            found = parse(stripped)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list | tuple | dict | set):
            return found
    return value


def is_list(value: object) -> bool:
    """Whether ``value`` is a list of things; text and bytes are single ones."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview | range)


def several(judge: Judge[Result], *, lone: bool = True) -> Judge[tuple[Result, ...]]:
    """Return the judge of a list, or of one thing alone where ``lone`` says so."""

    def judge_all(name: str, value: object) -> tuple[Result, ...]:
        found = read_printed(value) if isinstance(value, str) else value
        if isinstance(found, str) and lone:
            return (judge(name, found),)
        if not is_list(found):
            raise refusal(name, value, "text, or a list of texts" if lone else "a list")
        return tuple(judge(f"{name}[{number}]", item) for number, item in enumerate(found))  # type: ignore[arg-type, var-annotated]

    return judge_all


def mapping(key: Judge[str], value: Judge[Result], expected: str) -> Judge[dict[str, Result]]:
    """Return the judge of a mapping, key by key and value by value.

    :param expected: what it maps to what, for the error: ``a mapping from column to comment``.
    """

    def judge(name: str, given: object) -> dict[str, Result]:
        found = read_printed(given) if isinstance(given, str) else given
        if not isinstance(found, Mapping):
            raise refusal(name, given, expected)
        judged = {
            key(f"a name in {name}", one): value(f"{name}[{show(one)}]", other)
            for one, other in found.items()
        }
        if len(judged) < len(found):
            raise InvalidCallError(f"{name} has one of its names twice: {', '.join(map(str, found))}.")
        return judged

    return judge


def read_arguments(judges: Mapping[str, Judge[Any]], given: Mapping[str, object]) -> dict[str, Any]:
    """Return what each argument ``given`` means, by name. Raises InvalidCallError for the first wrong one."""
    return {name: judges[name](name, value) for name, value in given.items()}
