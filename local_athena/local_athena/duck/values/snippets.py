"""Pieces of DuckDB SQL: names, literals, values used twice, and errors that Trino raises.

All text that reaches DuckDB is built here or in a template of ours; nothing of the user's passes through.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

_SIMPLE = re.compile(
    r'"(?:[^"]|"")*"(?:\."(?:[^"]|"")*"|\.\w+)?|-?[0-9.]+|\'(?:[^\']|\'\')*\'|NULL|TRUE|FALSE'
)


def name(identifier: str) -> str:
    """Quote a DuckDB identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a DuckDB string literal. A NUL cannot be written in one, so it is joined in."""
    quoted = "'" + value.replace("'", "''") + "'"
    return quoted if "\0" not in value else "(" + quoted.replace("\0", "' || chr(0) || '") + ")"


def is_simple(sql: str) -> bool:
    """Tell whether an expression may be written twice: a name or a literal."""
    return _SIMPLE.fullmatch(sql) is not None


def is_name(sql: str) -> bool:
    """Tell whether an expression is a column or a lambda's parameter."""
    return sql.startswith('"') and is_simple(sql)


def let(value: str, body: Callable[[str], str]) -> str:
    """Use a value several times, computing it once."""
    return body(value) if is_simple(value) else let_always(value, body)


def let_always(value: str, body: Callable[[str], str]) -> str:
    """Compute a value before what uses it is looked at.

    A lambda over a list of one is DuckDB's only ``let``; its parameter is named after the value, so that
    equal expressions have equal text (GROUP BY and DISTINCT compare texts).
    """
    label = "v_" + hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()[:12]
    return f'list_transform([{value}], lambda "{label}": {body(name(label))})[1]'


_SLOT = re.compile(r"\{(\d)\}")


def fill(template: str, arguments: list[str]) -> str:
    """Put arguments into ``{0}``, ``{1}``, …; one that is used more than once is computed once."""
    used = [int(slot) for slot in _SLOT.findall(template)]
    placed = list(arguments)

    def place(index: int) -> str:
        if index == len(placed):
            return _SLOT.sub(lambda slot: placed[int(slot.group(1))], template)
        if used.count(index) < 2:
            return place(index + 1)

        def bound(label: str) -> str:
            placed[index] = label
            return place(index + 1)

        return let(arguments[index], bound)

    return place(0)


def ensure(bad: str, message: str, value: str) -> str:
    """Return ``value``, or for bad rows the error ``message``: SQL for a text that starts with Trino's code.

    A failing cast raises it, because DuckDB's own error() counts as volatile and TRY refuses that.
    """
    raising = f"CAST(concat('<<', {message}, '>>') AS BOOLEAN)"
    return f"CASE WHEN CASE WHEN {bad} THEN {raising} ELSE TRUE END THEN {value} END"


_RAISED = re.compile(r"<<([A-Z_]+: .*?)>>", re.DOTALL)


def raised(message: str) -> str | None:
    """Return the text that ``ensure`` put into one of DuckDB's errors."""
    found = _RAISED.search(message)
    return found.group(1) if found else None


def local(value: str) -> str:
    """Return the clock's reading of a timestamp with time zone, in its own zone."""
    offset = (
        "to_minutes((CASE WHEN {0}.z[1] = '-' THEN -1 ELSE 1 END)"
        " * (CAST({0}.z[2:3] AS INTEGER) * 60 + CAST({0}.z[5:6] AS INTEGER)))"
    )
    return fill(
        "CASE WHEN {0}.z = 'UTC' THEN {0}.t WHEN {0}.z[1] IN ('+', '-') THEN {0}.t + " + offset + " "
        "ELSE timezone({0}.z, timezone('UTC', {0}.t)) END",
        [value],
    )


def zoned(clock: str, zone: str) -> str:
    """Return the timestamp with time zone at which the clock in ``zone`` reads ``clock``."""
    offset = (
        "to_minutes((CASE WHEN {1}[1] = '-' THEN -1 ELSE 1 END)"
        " * (CAST({1}[2:3] AS INTEGER) * 60 + CAST({1}[5:6] AS INTEGER)))"
    )
    return fill(
        "CASE WHEN {0} IS NOT NULL THEN struct_pack(t := CASE WHEN {1} = 'UTC' THEN {0} "
        "WHEN {1}[1] IN ('+', '-') THEN {0} - "
        + offset
        + " ELSE timezone('UTC', timezone({1}, {0})) END, z := {1}) END",
        [clock, zone],
    )


def variable(body: str) -> str:
    """Name a lambda's parameter after what its body will hold, so that no lambda inside takes its place."""
    return name("i_" + hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()[:12])


class Lambda(str):
    """A lambda in DuckDB's SQL that also knows its parts."""

    parameters: tuple[str, ...]
    body: str

    def __new__(cls, parameters: tuple[str, ...], body: str) -> Lambda:
        """Write ``lambda x, y: body``."""
        made = super().__new__(cls, f"lambda {', '.join(map(name, parameters))}: {body}")
        made.parameters = parameters
        made.body = body
        return made
