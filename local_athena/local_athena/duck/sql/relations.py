"""Relations of a query: their fields, their SQL, and how conditions sink through them to the scans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from local_athena.data.tables import Table
from local_athena.data.types import VARCHAR
from local_athena.duck.values.scope import Conjunct, Expr, Field
from local_athena.duck.values.snippets import is_simple, name

PATH = "$path"


@dataclass(eq=False)
class Relation:
    """Rows with fields. ``source`` stands in FROM; its columns are the fields' symbols."""

    fields: list[Field]
    source: str

    @property
    def sql(self) -> str:
        """A whole SELECT of the visible fields."""
        shown = ", ".join(one.sql for one in self.fields if not one.hidden)
        return f"SELECT {shown or '1'} FROM {self.source}"

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Take conditions that rows have to meet further up. One that cannot be used is dropped."""

    def renamed(self, alias: str, columns: Sequence[str] = ()) -> None:
        """Give the relation a name, and its columns too."""
        visible = [one for one in self.fields if not one.hidden]
        for one in self.fields:
            one.qualifier = (alias,)
        for one, label in zip(visible, columns, strict=False):
            one.name = label


@dataclass(eq=False)
class TableScan(Relation):
    """A table of Glue. Which columns are read is known only when the whole query is."""

    table: Table
    alias: str
    keys: frozenset[str] = frozenset()
    filters: list[str] = field(default_factory=list)
    reached: bool = False

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Keep what speaks only of partition keys and ``"$path"``."""
        self.reached = True
        columns = {one.symbol: one for one in self.fields}
        plain = {symbol: name(one.name or "") for symbol, one in columns.items()}
        for condition in conditions:
            speaks_of = {one.name for one in condition.fields}
            if condition.fields and condition.fields <= set(self.fields) and speaks_of <= self.keys | {PATH}:
                self.filters.append(condition.rewritten(plain, condition.fields).sql)

    def definition(self) -> str:
        """Return the scan's SELECT: columns nobody reads are NULL, so that they need not be fetched."""
        shown = []
        for one in self.fields:
            column = name(one.name or "")
            if not one.used:
                column = f"CAST(NULL AS {one.type.duckdb})"
            elif one.type.name == "char":
                column = f"rtrim({column}, ' ')"
            shown.append(f"{column} AS {one.sql}")
        return f"SELECT {', '.join(shown)} FROM {name(self.alias)}"

    @property
    def columns(self) -> frozenset[str]:
        """The names of the columns read."""
        return frozenset(one.name for one in self.fields if one.used and one.name and one.name != PATH)

    @property
    def wants_path(self) -> bool:
        """Whether ``"$path"`` is read."""
        return any(one.used for one in self.fields if one.name == PATH) or any(
            f'"{PATH}"' in condition for condition in self.filters
        )


@dataclass(eq=False)
class Projection(Relation):
    """Rows of ``inner`` that meet ``conditions``, with fields made of expressions over it.

    ``sinking`` holds the fields through which a condition from above may pass, and what they are made of:
    not past LIMIT, not through aggregates or windows except by their keys.
    """

    inner: Relation
    conditions: list[Conjunct] = field(default_factory=list)
    subqueries: list[Relation] = field(default_factory=list)
    sinking: dict[Field, Expr] = field(default_factory=dict)
    text: str = ""

    @property
    def sql(self) -> str:
        """The SELECT as it was written."""
        return self.text or super().sql

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Send conditions on, said in the words of the relation below."""
        self.inner.sink([*self.conditions, *_translated(conditions, self.sinking)])
        for one in self.subqueries:
            one.sink([])


def _operand(sql: str) -> str:
    return sql if is_simple(sql) else f"({sql})"


def _translated(conditions: Iterable[Conjunct], meanings: dict[Field, Expr]) -> list[Conjunct]:
    found = []
    for condition in conditions:
        if condition.fields and all(one in meanings for one in condition.fields):
            replacements = {one.symbol: _operand(meanings[one].sql) for one in condition.fields}
            below = frozenset().union(*(meanings[one].fields for one in condition.fields))
            found.append(condition.rewritten(replacements, below))
    return found


@dataclass(eq=False)
class Join(Relation):
    """Two relations; a condition sinks into a side whose rows it decides."""

    left: Relation
    right: Relation
    keeps_left: bool = False  # unmatched rows of the left stay: LEFT, FULL
    keeps_right: bool = False
    on: list[Conjunct] = field(default_factory=list)
    subqueries: list[Relation] = field(default_factory=list)
    meanings: dict[Field, Expr] = field(default_factory=dict)  # of USING's columns

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Sink conditions from above, and those of ON."""
        above = [*_plain(conditions, self.meanings), *_translated(conditions, self.meanings)]
        into_left = [] if self.keeps_right else _of(above, self.left)
        into_right = [] if self.keeps_left else _of(above, self.right)
        if not self.keeps_left:
            into_left += _of(self.on, self.left)
        if not self.keeps_right:
            into_right += _of(self.on, self.right)
        self.left.sink(into_left)
        self.right.sink(into_right)
        for one in self.subqueries:
            one.sink([])


def _plain(conditions: Iterable[Conjunct], meanings: dict[Field, Expr]) -> list[Conjunct]:
    return [one for one in conditions if not any(part in meanings for part in one.fields)]


def _of(conditions: Iterable[Conjunct], relation: Relation) -> list[Conjunct]:
    own = set(relation.fields)
    return [one for one in conditions if one.fields and one.fields <= own]


@dataclass(eq=False)
class Through(Relation):
    """Rows of ``inner`` with something added: conditions on its fields pass."""

    inner: Relation
    subqueries: list[Relation] = field(default_factory=list)

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Send on what speaks of the relation below."""
        self.inner.sink(_of(conditions, self.inner))
        for one in self.subqueries:
            one.sink([])


@dataclass(eq=False)
class SetOperation(Relation):
    """UNION, INTERSECT or EXCEPT: what decides a row of the result decides it in each branch."""

    branches: list[tuple[Relation, list[Expr]]] = field(default_factory=list)
    text: str = ""
    limited: bool = False

    @property
    def sql(self) -> str:
        """The set operation as it was written."""
        return self.text

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Send conditions into every branch."""
        for branch, values in self.branches:
            meanings = {} if self.limited else dict(zip(self.fields, values, strict=True))
            branch.sink(_translated(conditions, meanings))


@dataclass(eq=False)
class CommonTable:
    """A query named by WITH; it is read once however often it is named."""

    name: str
    symbol: str
    body: Relation
    columns: tuple[str | None, ...]
    asked: list[list[Conjunct]] = field(default_factory=list)

    def sink(self) -> None:
        """Sink what all references ask for: a row none of them wants need not be read."""
        if all(self.asked):
            each = [" AND ".join(one.sql for one in conditions) for conditions in self.asked]
            wanted = each[0] if len(each) == 1 else "(" + " OR ".join(f"({one})" for one in each) + ")"
            below = frozenset().union(*(one.fields for conditions in self.asked for one in conditions))
            self.body.sink([Conjunct(wanted, below)])
        else:
            self.body.sink([])


@dataclass(eq=False)
class CommonTableReference(Relation):
    """One mention of a query named by WITH."""

    table: CommonTable
    bodies: dict[Field, Field] = field(default_factory=dict)

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Leave the conditions with the query itself, which sinks them when all references are known."""
        meanings = {one: Expr(body.sql, body.type, frozenset({body})) for one, body in self.bodies.items()}
        self.table.asked.append(_translated(conditions, meanings))


def path_field(symbol: str, qualifier: tuple[str, ...]) -> Field:
    """Return the hidden column that names each row's object."""
    return Field(PATH, VARCHAR, symbol, qualifier, hidden=True)
