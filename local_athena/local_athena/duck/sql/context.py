"""What the parts of a query share while they are analysed: what is known of the query, and of a place in it.

The modules of the clauses and of the kinds of expressions import this one. Those that join them, ``analysis``
and ``expressions``, complete the two classes here, so that no part imports what imports it.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from local_athena.data.catalog import Catalog
from local_athena.data.tables import Table
from local_athena.data.types import BOOLEAN, UNKNOWN, DataType
from local_athena.duck.errors import failed, mismatch, unsupported
from local_athena.duck.sql.relations import CommonTable, Projection, Relation, TableScan
from local_athena.duck.values.comparisons import comparison_key
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr, Field, Scope, Symbols, Ungrouped, made_from
from local_athena.duck.values.type_coercion import orderable
from local_athena.errors import QueryFailed

CATALOG = "awsdatacatalog"
SystemTable = Callable[["Analysis", tuple[str, ...], Any], Relation | None]

_TRANSPARENT = frozenset(
    {
        "ExpressionContext",
        "ValueExpressionDefaultContext",
        "ParenthesizedExpressionContext",
        "StandaloneExpressionContext",
    }
)


@dataclass(slots=True)
class Shared:
    """What a query and the views it reads have in common."""

    glue: Catalog | None
    now: dt.datetime
    system_table: SystemTable
    symbols: Symbols = field(default_factory=Symbols)
    scans: list[TableScan] = field(default_factory=list)
    definitions: list[tuple[str, Callable[[], str] | CommonTable]] = field(default_factory=list)
    tables: dict[tuple[str, str], Table | None] = field(default_factory=dict)

    @property
    def catalog(self) -> Catalog:
        """Glue, as the query's caller sees it."""
        if self.glue is None:
            raise QueryFailed("GENERIC_INTERNAL_ERROR: a query without a catalog named a table", category=1)
        return self.glue


@dataclass(slots=True)
class Analysis(ABC):
    """One query or view under analysis: its default database, its parameters, the names WITH gave."""

    shared: Shared
    database: str
    parameters: Mapping[int, Expr] = field(default_factory=dict)
    views: tuple[str, ...] = ()
    named: list[dict[str, CommonTable]] = field(default_factory=list)

    @property
    def now(self) -> dt.datetime:
        """The moment the query started."""
        return self.shared.now

    def symbol(self, hint: str | None) -> str:
        """Return a name no other column or relation has."""
        return self.shared.symbols.new(hint or "c")

    def field(self, label: str | None, kind: DataType, value: Expr | None = None) -> Field:
        """Make a field of a name of its own, made of what ``value`` reads."""
        return Field(
            label, kind, self.symbol(label), made_of=value.fields if value is not None else frozenset()
        )

    def parameter(self, node: Any) -> Expr:
        """Return the value of a ``?``."""
        found = self.parameters.get(node.start.start)
        if found is None:
            raise unsupported(node, "A parameter in a view")
        return found

    def project(
        self, inner: Relation, values: Sequence[Expr], names: Sequence[str | None] = ()
    ) -> Projection:
        """Make a relation of expressions over another."""
        labels = list(names) or [None] * len(values)
        fields = [self.field(label, value.type, value) for label, value in zip(labels, values, strict=True)]
        shown = ", ".join(f"{value.sql} AS {one.sql}" for value, one in zip(values, fields, strict=True))
        text = f"SELECT {shown} FROM {inner.source}"
        return Projection(
            fields, f"({text})", inner, sinking=dict(zip(fields, values, strict=True)), text=text
        )

    def full_name(self, parts: tuple[str, ...], node: Any) -> tuple[str, str, str]:
        """Catalog, database and table of a name with one to three parts."""
        if len(parts) > 3:
            raise failed("SYNTAX_ERROR", node, f"Too many dots in table name: {'.'.join(parts)}")
        catalog, database, label = (*(CATALOG, self.database)[: 3 - len(parts)], *parts)
        return catalog, database, label

    def find(self, database: str, label: str) -> Table | None:
        """Ask Glue for a table, once for each query."""
        key = (database, label)
        if key not in self.shared.tables:
            self.shared.tables[key] = self.shared.catalog.get_table(database, label)
        return self.shared.tables[key]

    # --- what is analysed by parts ---

    @abstractmethod
    def query(self, node: Any, outer: Scope | None, *, root: bool = False) -> Relation:
        """Analyse ``[WITH …] SELECT …``."""

    @abstractmethod
    def relation(self, node: Any, outer: Scope | None, left: Relation | None = None) -> Relation:
        """Analyse one item of FROM."""

    @abstractmethod
    def table(self, parts: tuple[str, ...], node: Any) -> Relation:
        """Return the relation a name in FROM stands for. Raises QueryFailed when there is none."""

    @abstractmethod
    def expressions(self, scope: Scope, **settings: Any) -> Expressions:
        """Analyse expressions over a scope."""


class Expressions(ABC):
    """Analyses the expressions of one place in a query: its SELECT list, its WHERE and so on."""

    def __init__(
        self,
        analysis: Analysis,
        scope: Scope,
        *,
        clause: str | None = None,
        keys: dict[str, Expr] | None = None,
        aliases: dict[str, Expr] | None = None,
        windows: dict[str, Any] | None = None,
    ) -> None:
        self.analysis = analysis
        self.scope = scope
        self.clause = clause  # names the clause that may hold neither aggregates nor windows
        self.keys = keys  # grouping keys by their SQL; None when the query does not group
        self.aliases = aliases or {}
        self.windows = windows or {}
        self.subqueries: list[Relation] = []
        self.inside_aggregate = False
        self._lambdas: list[dict[str, Expr]] = []

    def analyze(self, node: Any) -> Expr:
        """Return the typed expression of a parse tree node. Raises QueryFailed."""
        while type(node).__name__ in _TRANSPARENT:
            node = node.getChild(1 if type(node).__name__ == "ParenthesizedExpressionContext" else 0)
        found = self.handle(node)
        if self.keys is not None and not self.inside_aggregate:
            key = self.keys.get(found.sql)
            return found if key is None else replace(key, name=found.name)
        return found

    @abstractmethod
    def handle(self, node: Any) -> Expr:
        """Return the typed expression of a node that is more than a wrapping. Raises QueryFailed."""

    def boolean(self, node: Any, message: str) -> Expr:
        """Analyse a condition; ``message`` gets the type of what is none."""
        found = self.analyze(node)
        if found.type == UNKNOWN:
            return convert(found, BOOLEAN, node)
        if found.type != BOOLEAN:
            raise mismatch(node, message.format(found.type.trino))
        return found

    def sort_key(self, node: Any, value: Expr) -> str:
        """Return SQL of one item of ORDER BY. Nulls come last whichever way, as in Trino."""
        if not orderable(value.type):
            raise mismatch(
                node, f"Type {value.type.trino} is not orderable, and therefore cannot be used in ORDER BY"
            )
        direction = "DESC" if node.ordering is not None and node.ordering.text.upper() == "DESC" else "ASC"
        nulls = (
            "FIRST" if node.nullOrdering is not None and node.nullOrdering.text.upper() == "FIRST" else "LAST"
        )
        return f"{comparison_key(value)} {direction} NULLS {nulls}"

    def lambda_symbols(self, names: list[str]) -> list[str]:
        """Name a lambda's parameters after how deep it lies, so that equal lambdas have equal text."""
        return [f"{label.replace(chr(34), '')}#l{len(self._lambdas)}" for label in names]

    @contextmanager
    def lambda_names(self, names: dict[str, Expr]) -> Iterator[None]:
        """Let names mean a lambda's parameters."""
        self._lambdas.append(names)
        try:
            yield
        finally:
            self._lambdas.pop()

    # --- names ---

    def column(self, parts: tuple[str, ...], node: Any) -> Expr | None:
        """Return what a name stands for: a lambda's parameter, an alias of SELECT's, or a column."""
        if len(parts) == 1:
            for names in reversed(self._lambdas):
                if parts[0] in names:
                    return names[parts[0]]
            if parts[0] in self.aliases and not self.inside_aggregate:
                return self.aliases[parts[0]]
        found = self.scope.find(parts, node)
        return None if found is None else self.of_field(found, node)

    def of_field(self, found: Field, node: Any) -> Expr:
        """Return a column as an expression."""
        if found not in self.scope.fields:
            found.use()
        grouped = self.keys is None or self.inside_aggregate or found not in self.scope.fields
        ungrouped = () if grouped else (Ungrouped(found.symbol, node),)
        return Expr(found.sql, found.type, frozenset({found}), ungrouped, name=found.name)

    # --- subqueries ---

    def subquery(self, node: Any) -> tuple[Relation, Expr]:
        """Analyse a subquery; the expression carries what it reads of this query's columns."""
        boundary = Scope([], self.scope)
        relation = self.analysis.query(node, boundary)
        for one in relation.fields:
            one.use()
        self.subqueries.append(relation)
        outer = [self.of_field(one, node) for one in boundary.escaped]
        return relation, made_from("", UNKNOWN, *outer, subquery=True)
