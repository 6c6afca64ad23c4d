"""What a query's analysis holds: fields with names of their own, typed expressions, scopes of names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from local_athena.data.types import DataType
from local_athena.duck.errors import failed


class _NotLiteral:
    """Stands for "no literal"; None is SQL's NULL."""


NOT_LITERAL = _NotLiteral()


@dataclass(eq=False, slots=True)
class Field:
    """A column of a relation. ``symbol`` is its name in DuckDB, unlike any other of the query."""

    name: str | None
    type: DataType
    symbol: str
    qualifier: tuple[str, ...] = ()
    hidden: bool = False
    made_of: frozenset[Field] = frozenset()
    used: bool = False

    @property
    def sql(self) -> str:
        """The field in DuckDB's SQL."""
        return f'"{self.symbol}"'

    def use(self) -> None:
        """Note that the field is read, and what it is made of."""
        if not self.used:
            self.used = True
            for source in self.made_of:
                source.use()

    def matches(self, parts: tuple[str, ...]) -> bool:
        """Tell whether ``a.b.column`` names this field."""
        *prefix, last = parts
        return last == self.name and (not prefix or self.qualifier[-len(prefix) :] == tuple(prefix))


@dataclass(frozen=True, slots=True)
class Ungrouped:
    """A column outside an aggregate that no grouping key covers."""

    symbol: str
    node: Any


@dataclass(frozen=True, slots=True)
class Expr:
    """A typed expression in DuckDB's SQL."""

    sql: str
    type: DataType
    fields: frozenset[Field] = frozenset()
    ungrouped: tuple[Ungrouped, ...] = ()
    literal: Any = NOT_LITERAL
    name: str | None = None  # what it is called when nobody names it
    aggregate: bool = False
    window: bool = False
    subquery: bool = False
    volatile: bool = False
    partitioned_by: frozenset[str] | None = None  # of all its windows
    opaque: tuple[str, ...] = ()  # its parts that DuckDB's TRY may not hold: aggregates, windows, subqueries

    @property
    def is_literal(self) -> bool:
        """Whether the value is known."""
        return self.literal is not NOT_LITERAL

    def use(self) -> None:
        """Note that the expression is evaluated."""
        for one in self.fields:
            one.use()


def made_from(sql: str, data_type: DataType, *parts: Expr, **marks: Any) -> Expr:
    """Return an expression built from parts; what holds of a part holds of it."""
    partitions = [part.partitioned_by for part in parts if part.partitioned_by is not None]
    merged: dict[str, Any] = {
        "fields": frozenset().union(*(part.fields for part in parts)),
        "ungrouped": tuple(one for part in parts for one in part.ungrouped),
        "aggregate": any(part.aggregate for part in parts),
        "window": any(part.window for part in parts),
        "subquery": any(part.subquery for part in parts),
        "volatile": any(part.volatile for part in parts),
        "partitioned_by": frozenset.intersection(*partitions) if partitions else None,
        "opaque": tuple(dict.fromkeys(one for part in parts for one in part.opaque)),
    }
    return Expr(sql, data_type, **(merged | marks))


@dataclass(slots=True)
class Scope:
    """The fields a name may mean, and the scope around it."""

    fields: list[Field]
    parent: Scope | None = None
    escaped: set[Field] = field(default_factory=set)  # found further out than here

    def find(self, parts: tuple[str, ...], node: Any) -> Field | None:
        """Return the field of that name, here or further out. Raises QueryFailed when two have it."""
        passed: list[Scope] = []
        for scope in self._outwards():
            found = [one for one in scope.fields if one.matches(parts)]
            if len(found) > 1:
                raise failed("AMBIGUOUS_NAME", node, f"Column '{'.'.join(parts)}' is ambiguous")
            if found:
                for inner in passed:
                    inner.escaped.add(found[0])
                return found[0]
            passed.append(scope)
        return None

    def of_relation(self, prefix: tuple[str, ...]) -> list[Field]:
        """Return the visible fields of the relation called ``prefix``."""
        return [
            one
            for one in self.fields
            if not one.hidden and prefix and one.qualifier[-len(prefix) :] == prefix
        ]

    def visible(self) -> list[Field]:
        """Return the fields ``*`` stands for."""
        return [one for one in self.fields if not one.hidden]

    def _outwards(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


@dataclass(slots=True)
class Conjunct:
    """A condition that rows must meet, as DuckDB SQL over fields."""

    sql: str
    fields: frozenset[Field]

    def rewritten(self, replacements: dict[str, str], fields: Iterable[Field]) -> Conjunct:
        """Put other text in place of symbols."""
        from local_athena.duck.values.symbols import replace_symbols

        return Conjunct(replace_symbols(self.sql, replacements), frozenset(fields))


@dataclass(slots=True)
class Symbols:
    """Makes names that no other column or relation of the query has."""

    _count: int = field(default=0)

    def new(self, hint: str) -> str:
        """Return a new name; ``#`` cannot come from a name of the user's without quotes of its own."""
        self._count += 1
        return f"{hint.replace(chr(34), '')}#{self._count}"
