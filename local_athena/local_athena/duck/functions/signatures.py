"""Trino's function signatures, read from text, and the choice between those that share a name.

A line of a table is ``name(argument, …) -> result := DuckDB SQL``. Capital letters stand for any type,
``N`` for a number, ``I`` for an integer. ``varchar(x)``, ``decimal(p,s)`` and ``timestamp(p)`` carry their
numbers to the result; ``T...`` repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_athena.data.type_parser import parse_trino
from local_athena.data.types import (
    INTERVAL_DAY,
    INTERVAL_MONTH,
    TIMESTAMP,
    TIMESTAMP_TZ,
    TIMESTAMP_WITH_TZ,
    UNKNOWN,
    DataType,
)
from local_athena.duck.values.type_coercion import INTEGRAL, MAX_PRECISION, NUMERIC, coercible, common_type

_SPECIAL = {"timestamptz": TIMESTAMP_WITH_TZ, "interval_day": INTERVAL_DAY, "interval_month": INTERVAL_MONTH}
_CARRIED = {"varchar": "varchar", "char": "char", "decimal": "decimal", "timestamp": "timestamp"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A type in a signature: a DataType, a variable, or either with patterns inside."""

    name: str
    children: tuple[Pattern, ...] = ()
    numbers: tuple[str, ...] = ()
    exact: DataType | None = None

    @property
    def is_variable(self) -> bool:
        """Whether it stands for any type."""
        return len(self.name) == 1 and self.name.isupper()


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call to write SQL for: arguments in SQL (converted), their types, and the values of literal ones."""

    arguments: tuple[str, ...]
    types: tuple[DataType, ...]
    literals: tuple[Any, ...]
    result: DataType
    node: Any
    context: Any


Body = str | Callable[[FunctionCall], str]


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a function."""

    name: str
    arguments: tuple[Pattern, ...]
    variadic: bool
    result: Pattern
    body: Body
    shown: str
    aggregate: bool = False
    window: bool = False
    volatile: bool = False


@dataclass(slots=True)
class Bindings:
    """What a signature's variables stand for in one call."""

    types: dict[str, DataType] = field(default_factory=dict)
    numbers: dict[str, int | None] = field(default_factory=dict)


_TOKEN = re.compile(r"\s*(\w+|[(),])")


def parse_pattern(text: str) -> Pattern:
    """Read a pattern such as ``map(K, array(V))`` or ``function(T, boolean)``."""
    tokens = _TOKEN.findall(text)
    pattern, rest = _pattern(tokens)
    if rest:
        raise ValueError(text)
    return pattern


def _pattern(tokens: list[str]) -> tuple[Pattern, list[str]]:
    name, *rest = tokens
    inside: list[Pattern] = []
    if rest and rest[0] == "(":
        rest = rest[1:]
        while True:
            one, rest = _pattern(rest)
            inside.append(one)
            separator, *rest = rest
            if separator == ")":
                break
    if name in _CARRIED and inside:
        return Pattern(name, numbers=tuple(one.name for one in inside)), rest
    if inside:
        return Pattern(name, tuple(inside)), rest
    if len(name) == 1:
        return Pattern(name), rest
    exact = _SPECIAL.get(name) or (parse_trino(name) if name not in ("decimal", "char") else DataType(name))
    return Pattern(exact.name, exact=exact), rest


_LINE = re.compile(r"(\w+)\((.*?)\)\s*->\s*(.+)")


def parse_table(table: str, **marks: bool) -> list[Signature]:
    """Read the lines of a table; one that starts with white space goes on with the line above."""
    joined = re.sub(r"\n[ \t]+", " ", table.strip("\n"))
    signatures = []
    for line in joined.splitlines():
        if line.strip() and not line.startswith("--"):
            head, body = line.split(" := ", 1)
            signatures.append(parse_signature(head.strip(), body.strip(), **marks))
    return signatures


def parse_signature(head: str, body: Body, **marks: bool) -> Signature:
    """Read ``name(argument, …) -> result``."""
    found = _LINE.fullmatch(head)
    if found is None:
        raise ValueError(head)
    name, inside, result = found.group(1), _balanced(head), head.rsplit("->", 1)[1]
    texts = _split(inside)
    variadic = bool(texts) and texts[-1].endswith("...")
    arguments = tuple(parse_pattern(one.removesuffix("...")) for one in texts)
    return Signature(
        name, arguments, variadic, parse_pattern(result), body, head.split("->")[0].strip(), **marks
    )


def _balanced(head: str) -> str:
    return head[head.index("(") + 1 : head.rindex(")", 0, head.rindex("->"))]


def _split(inside: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for char in inside:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += char
    return [*parts, current.strip()] if current.strip() else parts


def candidates(signatures: Iterable[Signature], count: int) -> list[Signature]:
    """Return the signatures that take ``count`` arguments."""
    return [
        one
        for one in signatures
        if len(one.arguments) == count or (one.variadic and count >= len(one.arguments) - 1)
    ]


def patterns_for(signature: Signature, count: int) -> tuple[Pattern, ...]:
    """Return a pattern for each of ``count`` arguments."""
    if not signature.variadic:
        return signature.arguments
    repeated = count - len(signature.arguments) + 1
    return (*signature.arguments[:-1], *([signature.arguments[-1]] * repeated))


def bind(pattern: Pattern, kind: DataType, found: Bindings, convert: bool) -> bool:
    """Fit a type to a pattern, as it is or by implicit conversion; variables take their types from it."""
    if pattern.is_variable:
        return _bind_variable(pattern.name, kind, found, convert)
    if kind == UNKNOWN:
        return convert
    if pattern.children:
        if pattern.name != kind.name or len(pattern.children) != len(kind.children):
            return False
        pairs = zip(pattern.children, kind.children, strict=True)
        return all(bind(child, inner, found, convert) for child, inner in pairs)
    if pattern.numbers:
        return _bind_numbers(pattern, kind, found, convert)
    return _fits(pattern.exact, kind, convert)


def _fits(wanted: DataType | None, kind: DataType, convert: bool) -> bool:
    assert wanted is not None  # neither variable, nor nested, nor numbered
    if wanted.name == kind.name and wanted.name in (
        "varchar",
        "char",
        "decimal",
        "timestamp",
        TIMESTAMP_TZ,
        "time",
    ):
        return True
    return wanted == kind or (convert and coercible(kind, wanted))


def _bind_variable(name: str, kind: DataType, found: Bindings, convert: bool) -> bool:
    known = found.types.get(name)
    if name == "N" and kind.name not in NUMERIC and kind != UNKNOWN:
        return False
    if name == "I" and kind.name not in INTEGRAL and kind != UNKNOWN:
        return False
    if known is None or known == kind:
        found.types[name] = kind
        return True
    shared = common_type(known, kind) if convert else None
    if shared is None:
        return False
    found.types[name] = shared
    return True


def _bind_numbers(pattern: Pattern, kind: DataType, found: Bindings, convert: bool) -> bool:
    if pattern.name != kind.name:
        if pattern.name == "varchar" and kind.name == "char" and convert:
            found.numbers[pattern.numbers[0]] = kind.parameters[0]
            return True
        if pattern.name == "decimal" and kind.name in INTEGRAL and convert:
            shared = common_type(kind, DataType("decimal", (1, 0)))
            found.numbers.update(zip(pattern.numbers, shared.parameters if shared else (), strict=True))
            return True
        if pattern.name == "timestamp" and kind.name == "date" and convert:
            found.numbers[pattern.numbers[0]] = 3
            return True
        return False
    for at, label in enumerate(pattern.numbers):
        value = kind.parameters[at] if kind.parameters else None
        if label in found.numbers and found.numbers[label] != value:
            longest = found.numbers[label]
            value = None if longest is None or value is None else max(longest, value)
        found.numbers[label] = value
    return True


def substitute(pattern: Pattern, found: Bindings, kind: DataType | None = None) -> DataType:
    """Return the type a pattern stands for; ``kind`` is the argument's own, whose numbers are kept."""
    if pattern.is_variable:
        return found.types.get(pattern.name, UNKNOWN)
    if pattern.children:
        inner = (
            kind.children
            if kind and len(kind.children) == len(pattern.children)
            else (None,) * len(pattern.children)
        )
        children = tuple(
            substitute(child, found, one) for child, one in zip(pattern.children, inner, strict=True)
        )
        names = kind.field_names if kind and pattern.name == "row" else (None,) * len(children)
        return DataType(pattern.name, (), children, names if pattern.name == "row" else ())
    if pattern.numbers:
        unbound = MAX_PRECISION if pattern.name == "decimal" else None
        values = [found.numbers.get(label, unbound) for label in pattern.numbers]
        numbers = tuple(value for value in values if value is not None)
        return DataType(pattern.name, numbers)
    wanted = pattern.exact or TIMESTAMP
    if kind is not None and kind.name == wanted.name:
        return kind
    return wanted


def unify_arguments(signature: Signature, kinds: Sequence[DataType | None], convert: bool) -> Bindings | None:
    """Fit the arguments' types (None for a lambda, not yet known) to a signature."""
    found = Bindings()
    for pattern, kind in zip(patterns_for(signature, len(kinds)), kinds, strict=True):
        if (pattern.name == "function") != (kind is None):
            return None
        if kind is not None and not bind(pattern, kind, found, convert):
            return None
    return found
