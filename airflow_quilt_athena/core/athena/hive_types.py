"""Column types as Glue keeps them (Hive's text), and the same types in Trino's words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_quilt_athena.core.athena.sql import Dialect, quote_identifier
from airflow_quilt_athena.exceptions import InvalidCallError

_ALIASES = {"integer": "int", "dec": "decimal", "numeric": "decimal"}
_SIMPLE = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "int": "integer",
    "bigint": "bigint",
    "float": "real",
    "double": "double",
    "string": "varchar",
    "binary": "varbinary",
    "date": "date",
    # Athena's Hive tables keep milliseconds, and refuse to write finer ones.
    "timestamp": "timestamp(3)",
}
_SIZED = frozenset({"varchar", "char", "decimal"})
_NESTED = frozenset({"array", "map", "struct"})
_WORD = re.compile(r"\s*([A-Za-z_]+)\s*")
_SIZES = re.compile(r"\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)\s*")
_FIELD = re.compile(r"\s*([^:<>,]+?)\s*:")
_BOUNDED_VARCHAR = re.compile(r"varchar\(\d+\)")


@dataclass(frozen=True, slots=True)
class HiveType:
    """A parsed type. ``fields`` are a struct's names; ``inner`` are the types inside it, in order."""

    name: str
    sizes: tuple[int, ...] = ()
    inner: tuple[HiveType, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def hive(self) -> str:
        """The type as Glue keeps it, in one spelling: equal types have equal texts."""
        if self.sizes:
            return f"{self.name}({','.join(map(str, self.sizes))})"
        if self.fields:
            members = (f"{field}:{inner.hive}" for field, inner in zip(self.fields, self.inner, strict=True))
            return f"struct<{','.join(members)}>"
        if self.inner:
            return f"{self.name}<{','.join(inner.hive for inner in self.inner)}>"
        return self.name

    @property
    def trino(self) -> str:
        """The type as Trino SQL names it in a CAST."""
        if self.sizes:
            return self.hive
        if self.fields:
            members = (
                f"{quote_identifier(field, Dialect.TRINO)} {inner.trino}"
                for field, inner in zip(self.fields, self.inner, strict=True)
            )
            return f"row({', '.join(members)})"
        if self.inner:
            return f"{self.name}({', '.join(inner.trino for inner in self.inner)})"
        return _SIMPLE[self.name]

    @property
    def has_floats(self) -> bool:
        """Whether it is, or holds, a floating-point type, into which other numbers are rounded."""
        return self.name in {"float", "double"} or any(inner.has_floats for inner in self.inner)

    @property
    def is_nested(self) -> bool:
        """Whether it is an array, a map or a struct."""
        return bool(self.inner)


def parse_hive_type(text: str) -> HiveType:
    """Read a type as Glue keeps it. Raises InvalidCallError on what Athena cannot write.

    >>> parse_hive_type("struct<a:int,b:array<varchar(5)>>").trino
    'row("a" integer, "b" array(varchar(5)))'
    """
    parsed, end = _parse(text, 0)
    if text[end:].strip():
        raise _unreadable(text)
    return parsed


def without_lengths(hive_type: str) -> str:
    """Return the type with each ``varchar(n)`` a ``string``: a later, longer value must not be cut.

    >>> without_lengths("array<varchar(3)>")
    'array<string>'
    """
    return _BOUNDED_VARCHAR.sub("string", hive_type)


def _parse(text: str, start: int) -> tuple[HiveType, int]:
    word = _WORD.match(text, start)
    if word is None:
        raise _unreadable(text)
    name = word.group(1).lower()
    name = _ALIASES.get(name, name)
    if name in _NESTED:
        return _parse_nested(name, text, word.end())
    if name in _SIZED:
        return _parse_sized(name, text, word.end())
    if name not in _SIMPLE:
        raise _unreadable(text)
    return HiveType(name), word.end()


def _parse_sized(name: str, text: str, start: int) -> tuple[HiveType, int]:
    sizes = _SIZES.match(text, start)
    if sizes is None:
        if name == "decimal":
            return HiveType(name, (10, 0)), start  # Hive's default
        raise _unreadable(text)
    first, second = sizes.groups()
    if name == "decimal":
        return HiveType(name, (int(first), int(second or 0))), sizes.end()
    return HiveType(name, (int(first),)), sizes.end()


def _parse_nested(name: str, text: str, start: int) -> tuple[HiveType, int]:
    if text[start : start + 1] != "<":
        raise _unreadable(text)
    fields: list[str] = []
    inner: list[HiveType] = []
    end = start
    while text[end : end + 1] in {"<", ","}:
        end += 1
        if name == "struct":
            field = _FIELD.match(text, end)
            if field is None:
                raise _unreadable(text)
            fields.append(field.group(1).lower())
            end = field.end()
        member, end = _parse(text, end)
        inner.append(member)
    wanted = {"array": 1, "map": 2}.get(name, len(inner))
    if text[end : end + 1] != ">" or len(inner) != wanted:
        raise _unreadable(text)
    after = re.compile(r"\s*").match(text, end + 1)
    return HiveType(name, (), tuple(inner), tuple(fields)), after.end() if after else end + 1


def _unreadable(text: str) -> InvalidCallError:
    return InvalidCallError(f"A column of type {text!r} cannot be written by Athena.")
