"""SELECT: its columns, groups, order and limits; and what UNION, INTERSECT and EXCEPT make of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from airflow_quilt_athena.local.duck import literals
from airflow_quilt_athena.local.duck.failures import failed, mismatch
from airflow_quilt_athena.local.duck.from_clause import as_conditions, conjuncts, from_items, values_table
from airflow_quilt_athena.local.duck.functions import registry
from airflow_quilt_athena.local.duck.lattice import common_type, comparable
from airflow_quilt_athena.local.duck.operators import convert
from airflow_quilt_athena.local.duck.relations import Projection, Relation, SetOperation
from airflow_quilt_athena.local.duck.scope import Expr, Field, Scope
from airflow_quilt_athena.local.types import DataType

if TYPE_CHECKING:
    from airflow_quilt_athena.local.duck.analysis import Analysis
    from airflow_quilt_athena.local.duck.expressions import Expressions


@dataclass(slots=True)
class Tail:
    """ORDER BY, OFFSET and LIMIT of a query."""

    items: list[Any] = field(default_factory=list)
    offset: int | None = None
    limit: int | None = None
    with_ties: bool = False
    root: bool = False

    @property
    def cuts(self) -> bool:
        """Whether rows are left out."""
        return self.offset is not None or self.limit is not None

    @property
    def sorts(self) -> bool:
        """Whether the order matters: only at the top, or where rows are cut off."""
        return bool(self.items) and (self.root or self.cuts)

    def text(self, keys: Sequence[str]) -> str:
        """Return the clauses that follow FROM."""
        pieces = [f"ORDER BY {', '.join(keys)}"] if keys else []
        if self.limit is not None:
            pieces.append(f"LIMIT {self.limit}")
        if self.offset is not None:
            pieces.append(f"OFFSET {self.offset}")
        return " ".join(["", *pieces]) if pieces else ""


def query_no_with(analysis: Analysis, node: Any, outer: Scope | None, *, root: bool = False) -> Relation:
    """Analyse a query without its WITH."""
    tail = _tail(analysis, node, root)
    term = node.queryTerm()
    primary = term.queryPrimary() if type(term).__name__ == "QueryTermDefaultContext" else None
    if primary is not None and type(primary).__name__ == "QueryPrimaryDefaultContext":
        return _Select(analysis, primary.querySpecification(), outer, tail).relation()
    if not tail.items and not tail.cuts:
        return query_term(analysis, term, outer, root=root)
    return _ordered(analysis, query_term(analysis, term, outer), tail, outer)


def query_term(analysis: Analysis, node: Any, outer: Scope | None, *, root: bool = False) -> Relation:
    """Analyse what ORDER BY and LIMIT stand behind."""
    kind = type(node).__name__
    if kind == "SetOperationContext":
        return _set_operation(analysis, node, outer)
    if kind == "QueryTermDefaultContext":
        return query_term(analysis, node.queryPrimary(), outer, root=root)
    if kind == "QueryPrimaryDefaultContext":
        return _Select(analysis, node.querySpecification(), outer, Tail(root=root)).relation()
    if kind == "SubqueryContext":
        return query_no_with(analysis, node.queryNoWith(), outer, root=root)
    if kind == "TableContext":
        return analysis.table(literals.qualified(node.qualifiedName()), node)
    return values_table(analysis, node, outer)


def _tail(analysis: Analysis, node: Any, root: bool) -> Tail:
    tail = Tail(list(node.sortItem()), root=root)
    if node.offset is not None:
        tail.offset = _count(analysis, node.offset, "OFFSET")
    if node.limit is not None and not node.limit.ALL():
        tail.limit = _count(analysis, node.limit.rowCount(), "LIMIT")
    if node.FETCH():
        tail.limit = _count(analysis, node.fetchFirst, "FETCH FIRST") if node.fetchFirst is not None else 1
        tail.with_ties = node.TIES() is not None
        if tail.limit == 0:
            raise failed(
                "NUMERIC_VALUE_OUT_OF_RANGE", node, "FETCH FIRST row count must be positive (actual value: 0)"
            )
        if tail.with_ties and not tail.items:
            raise failed("MISSING_ORDER_BY", node, "FETCH FIRST WITH TIES clause requires ORDER BY")
    return tail


def _count(analysis: Analysis, node: Any, clause: str) -> int:
    if node.QUESTION_MARK():
        value = analysis.parameter(node).literal
        if not isinstance(value, int) or value < 0:
            raise failed("TYPE_MISMATCH", node, f"Non constant parameter value for {clause}: {value}")
        return value
    return int(node.getText().replace("_", ""))


# --- SELECT ---


@dataclass(slots=True)
class _Grouping:
    """GROUP BY: the keys as they are computed, and the sets they are grouped in."""

    keys: dict[str, Expr] = field(default_factory=dict)  # SQL of the expression -> the key
    computed: list[tuple[Expr, str]] = field(default_factory=list)  # expressions to add to FROM, with symbols
    sets: list[list[str]] | None = None  # None: the whole is one group
    sources: dict[str, Expr] = field(default_factory=dict)  # key's SQL -> the expression


class _Select:
    """One SELECT … FROM … WHERE … GROUP BY … HAVING …, with the ORDER BY behind it."""

    def __init__(self, analysis: Analysis, node: Any, outer: Scope | None, tail: Tail) -> None:
        self._analysis = analysis
        self._node = node
        self._outer = outer
        self._tail = tail
        self._items = list(node.selectItem())
        self._subqueries: list[Relation] = []
        self._windows = {
            literals.identifier(one.name): one.windowSpecification() for one in node.windowDefinition()
        }

    def relation(self) -> Relation:
        """Analyse it."""
        source = self._from()
        self._scope = Scope(source.fields, self._outer)
        where = self._where()
        grouping = self._grouping()
        it = self._expressions(keys=grouping.keys if grouping is not None else None)
        outputs = self._outputs(it, source)
        having = self._having(it, grouping)
        order = self._order(outputs, grouping)
        self._check_groups(outputs, having, order, grouping)
        self._subqueries += it.subqueries
        return self._build(source, where, grouping, outputs, having, order)

    def _from(self) -> Relation:
        nodes = self._node.relation()
        if not nodes:
            return Relation([], "(SELECT 1)")
        return from_items(self._analysis, nodes, self._outer)

    def _expressions(self, **settings: Any) -> Expressions:
        return self._analysis.expressions(self._scope, windows=self._windows, **settings)

    def _where(self) -> list[Expr]:
        if self._node.where is None:
            return []
        it = self._expressions(clause="WHERE clause")
        message = "WHERE clause must evaluate to a boolean: actual type {}"
        parts = [it.boolean(one, message) for one in conjuncts(self._node.where)]
        for part in parts:
            part.use()
        self._subqueries += it.subqueries
        return parts

    # groups

    def _grouping(self) -> _Grouping | None:
        node = self._node.groupBy()
        if node is None:
            places = [
                *self._items,
                *self._tail.items,
                *([self._node.having] if self._node.having is not None else []),
            ]
            return _Grouping() if self._node.having is not None or any(map(has_aggregate, places)) else None
        grouping = _Grouping(sets=[])
        it = self._expressions(clause="GROUP BY clause")
        elements = [self._grouping_sets(it, grouping, one) for one in node.groupingElement()]
        grouping.sets = [[key for part in parts for key in part] for parts in product(*elements)]
        grouping.sets = [list(dict.fromkeys(one)) for one in grouping.sets]
        if node.setQuantifier() is not None and node.setQuantifier().DISTINCT():
            unique = {frozenset(one): one for one in grouping.sets}
            grouping.sets = list(unique.values())
        self._subqueries += it.subqueries
        return grouping

    def _grouping_sets(self, it: Expressions, grouping: _Grouping, node: Any) -> list[list[str]]:
        kind = type(node).__name__
        nodes = node.groupingSet() if kind != "SingleGroupingSetContext" else [node.groupingSet()]
        sets = [[self._key(it, grouping, one) for one in part.expression()] for part in nodes]
        if kind == "RollupContext":
            return [[key for part in sets[:length] for key in part] for length in range(len(sets), -1, -1)]
        if kind == "CubeContext":
            chosen = product((True, False), repeat=len(sets))
            return [
                [key for part, taken in zip(sets, mask, strict=True) if taken for key in part]
                for mask in chosen
            ]
        return sets

    def _key(self, it: Expressions, grouping: _Grouping, node: Any) -> str:
        """Analyse one key; one that is no plain column is computed below the grouping."""
        value = it.analyze(self._ordinal(node, "GROUP BY") or node)
        if not comparable(value.type):
            raise mismatch(
                node, f"{value.type.trino} is not comparable, and therefore cannot be used in GROUP BY"
            )
        value.use()
        if value.sql in grouping.keys:
            return grouping.keys[value.sql].sql
        plain = len(value.fields) == 1 and next(iter(value.fields)).sql == value.sql
        sql = value.sql if plain else f'"{self._analysis.symbol("group")}"'
        if not plain:
            grouping.computed.append((value, sql))
        key = Expr(sql, value.type, value.fields, name=value.name, literal=value.literal)
        grouping.keys[value.sql] = key
        grouping.sources[sql] = value
        return sql

    def _ordinal(self, node: Any, clause: str) -> Any:
        """Return the SELECT item a bare number stands for, or None."""
        position = _bare_integer(node)
        if position is None:
            return None
        if not 1 <= position <= len(self._items) or any(
            type(one).__name__ == "SelectAllContext" for one in self._items
        ):
            if any(type(one).__name__ == "SelectAllContext" for one in self._items):
                raise failed(
                    "NOT_SUPPORTED", node, f"{clause} position with * is not supported by the local Athena"
                )
            raise failed(
                "INVALID_COLUMN_REFERENCE", node, f"{clause} position {position} is not in select list"
            )
        return self._items[position - 1].expression()

    def _check_groups(
        self,
        outputs: list[tuple[Field, Expr, Any]],
        having: Expr | None,
        order: list[tuple[Expr, Any]],
        grouping: _Grouping | None,
    ) -> None:
        if grouping is None:
            return
        own = {one.symbol for one in self._scope.fields}
        checked = [(value, node) for _, value, node in outputs]
        checked += [(having, self._node.having)] if having is not None else []
        checked += [(value, node.expression()) for value, node in order]
        for value, node in checked:
            if any(one.symbol in own for one in value.ungrouped):
                shown = literals.source_text(node)
                raise failed(
                    "EXPRESSION_NOT_AGGREGATE",
                    node,
                    f"'{shown}' must be an aggregate expression or appear in GROUP BY clause",
                )

    # columns

    def _outputs(self, it: Expressions, source: Relation) -> list[tuple[Field, Expr, Any]]:
        found: list[tuple[Field, Expr, Any]] = []
        for item in self._items:
            if type(item).__name__ == "SelectAllContext":
                values = self._all(it, item, source)
            else:
                value = it.analyze(item.expression())
                label = literals.identifier(item.identifier()) if item.identifier() else value.name
                values = [(label, value)]
            for label, value in values:
                node = item.expression() if hasattr(item, "expression") and item.expression() else item
                found.append((self._analysis.field(label, value.type, value), value, node))
        return found

    def _all(self, it: Expressions, item: Any, source: Relation) -> list[tuple[str | None, Expr]]:
        base = item.primaryExpression()
        aliases = (
            [literals.identifier(one) for one in item.columnAliases().identifier()]
            if item.columnAliases()
            else []
        )
        if base is None:
            if not self._node.relation():
                raise failed("COLUMN_NOT_FOUND", item, "SELECT * not allowed in queries without FROM clause")
            found = [(one.name, it.of_field(one, item)) for one in self._scope.visible()]
            if not found:
                raise failed(
                    "COLUMN_NOT_FOUND", item, "SELECT * not allowed from relation that has no columns"
                )
        else:
            found = self._all_of(it, base, item)
        found = [(label, it.keys.get(value.sql, value) if it.keys else value) for label, value in found]
        if aliases and len(aliases) != len(found):
            message = f"Column alias list has {len(aliases)} entries but relation has {len(found)} columns"
            raise failed("MISMATCHED_COLUMN_ALIASES", item, message)
        return (
            [(alias, value) for alias, (_, value) in zip(aliases, found, strict=True)] if aliases else found
        )

    def _all_of(self, it: Expressions, base: Any, item: Any) -> list[tuple[str | None, Expr]]:
        from airflow_quilt_athena.local.duck.expressions import dotted
        from airflow_quilt_athena.local.duck.scope import made_from
        from airflow_quilt_athena.local.duck.snippets import name

        parts = dotted(base)
        scope: Scope | None = self._scope
        while parts is not None and scope is not None:
            fields = scope.of_relation(parts)
            if fields:
                return [(one.name, it.of_field(one, item)) for one in fields]
            scope = scope.parent
        if parts is not None and it.column(parts[:1], base) is None and it.column(parts, base) is None:
            raise failed("TABLE_NOT_FOUND", item, f"Unable to resolve reference {'.'.join(parts)}")
        row = it.analyze(base)
        if row.type.name != "row":
            raise mismatch(
                base,
                f"Expected expression of type row, but got {row.type.trino}"
                if False
                else f"expected expression of type row but found {row.type.trino}",
            )
        return [
            (given, made_from(f"({row.sql}).{name(label)}", kind, row))
            for given, (label, kind) in zip(row.type.field_names, row.type.fields, strict=True)
        ]

    def _having(self, it: Expressions, grouping: _Grouping | None) -> Expr | None:
        if self._node.having is None or grouping is None:
            return None
        found = it.boolean(self._node.having, "HAVING clause must evaluate to a boolean: actual type {}")
        if found.window:
            raise failed(
                "NESTED_WINDOW",
                self._node.having,
                "HAVING clause cannot contain window functions or row pattern measures",
            )
        found.use()
        return found

    def _order(
        self, outputs: list[tuple[Field, Expr, Any]], grouping: _Grouping | None
    ) -> list[tuple[Expr, Any]]:
        labels = [one.name for one, _, _ in outputs if one.name is not None]
        aliases = {one.name: value for one, value, _ in outputs if one.name is not None}
        it = self._expressions(keys=grouping.keys if grouping is not None else None, aliases=aliases)
        found = []
        for node in self._tail.items:
            position = _bare_integer(node.expression())
            if position is not None:
                if not 1 <= position <= len(outputs):
                    raise failed(
                        "INVALID_COLUMN_REFERENCE",
                        node,
                        f"ORDER BY position {position} is not in select list",
                    )
                value = outputs[position - 1][1]
            else:
                _refuse_ambiguous(node, labels, outputs)
                value = it.analyze(node.expression())
            found.append((value, node))
        if self._tail.sorts or it.subqueries:
            for value, _ in found:
                value.use()
        self._subqueries += it.subqueries
        return found

    # SQL

    def _build(
        self,
        source: Relation,
        where: list[Expr],
        grouping: _Grouping | None,
        outputs: list[tuple[Field, Expr, Any]],
        having: Expr | None,
        order: list[tuple[Expr, Any]],
    ) -> Relation:
        distinct = (
            self._node.setQuantifier() is not None and self._node.setQuantifier().DISTINCT() is not None
        )
        if distinct:
            self._refuse_incomparable(outputs)
        columns = [f"{value.sql} AS {one.sql}" for one, value, _ in outputs]
        keys, hidden = self._sort_keys(outputs, order, distinct)
        core = f"FROM {source.source}"
        if where:
            core += f" WHERE {' AND '.join(one.sql for one in where)}"
        if grouping is not None:
            core = _grouped(core, grouping, having)
        selected = f"SELECT {'DISTINCT ' if distinct else ''}{', '.join([*columns, *hidden])} {core}"
        shown = ", ".join(one.sql for one, _, _ in outputs)
        text = _finished(selected, shown, keys, self._tail)
        found = Projection(
            [one for one, _, _ in outputs],
            f"({text})",
            source,
            as_conditions(where),
            self._subqueries,
            text=text,
        )
        if not self._tail.cuts:
            found.sinking = _sinking(outputs, grouping)
        return found

    def _refuse_incomparable(self, outputs: list[tuple[Field, Expr, Any]]) -> None:
        for _, value, node in outputs:
            value.use()
            if not comparable(value.type):
                raise mismatch(
                    node, f"DISTINCT can only be applied to comparable types (actual: {value.type.trino})"
                )

    def _sort_keys(
        self, outputs: list[tuple[Field, Expr, Any]], order: list[tuple[Expr, Any]], distinct: bool
    ) -> tuple[list[str], list[str]]:
        """ORDER BY's keys over the SELECT's columns, and the hidden columns they need."""
        if not self._tail.sorts and not distinct:
            return [], []
        it = self._expressions()
        by_text = {value.sql: one for one, value, _ in outputs}
        keys, hidden = [], []
        for value, node in order:
            one = by_text.get(value.sql)
            if one is None and distinct:
                raise failed(
                    "EXPRESSION_NOT_IN_DISTINCT",
                    node,
                    "For SELECT DISTINCT, ORDER BY expressions must appear in select list",
                )
            sql = one.sql if one is not None else f'"{self._analysis.symbol("sort")}"'
            if one is None:
                hidden.append(f"{value.sql} AS {sql}")
            keys.append(it.sort_key(node, Expr(sql, value.type)))
        return (keys, hidden) if self._tail.sorts else ([], [])


def _grouped(core: str, grouping: _Grouping, having: Expr | None) -> str:
    if grouping.computed:
        added = ", ".join(f"{value.sql} AS {sql}" for value, sql in grouping.computed)
        core = f"FROM (SELECT *, {added} {core})"
    if grouping.sets is not None:
        if len(grouping.sets) == 1 and grouping.sets[0]:
            core += f" GROUP BY {', '.join(grouping.sets[0])}"
        else:
            sets = ", ".join(f"({', '.join(one)})" for one in grouping.sets)
            core += f" GROUP BY GROUPING SETS ({sets})"
    if having is not None:
        core += f" HAVING {having.sql}"
    return core


def _finished(selected: str, shown: str, keys: Sequence[str], tail: Tail) -> str:
    """Add ORDER BY, OFFSET and LIMIT around a SELECT."""
    if tail.with_ties and tail.limit is not None:
        return _with_ties(selected, shown, keys, tail)
    if not keys and not tail.cuts:
        return selected
    return f"SELECT {shown} FROM ({selected}){tail.text(keys)}"


def _with_ties(selected: str, shown: str, keys: Sequence[str], tail: Tail) -> str:
    by = ", ".join(keys)
    kept = f"SELECT * FROM ({selected}) ORDER BY {by} OFFSET {tail.offset or 0}"
    ranked = f'SELECT *, rank() OVER (ORDER BY {by}) AS "rank#" FROM ({kept})'
    return f'SELECT {shown} FROM ({ranked}) WHERE "rank#" <= {tail.limit} ORDER BY {by}'


def _sinking(outputs: list[tuple[Field, Expr, Any]], grouping: _Grouping | None) -> dict[Field, Expr]:
    """Return the columns through which a condition may sink, and what they are made of below."""
    partitions = [value.partitioned_by for _, value, _ in outputs if value.partitioned_by is not None]
    within = frozenset.intersection(*partitions) if partitions else None
    found: dict[Field, Expr] = {}
    for one, value, _ in outputs:
        if value.aggregate or value.window or value.subquery or value.volatile:
            continue
        if within is not None and value.sql not in within:
            continue
        if grouping is None:
            found[one] = value
        elif grouping.sets is not None and len(grouping.sets) == 1 and value.sql in grouping.sets[0]:
            found[one] = grouping.sources[value.sql]
    return found


def _refuse_ambiguous(node: Any, labels: list[str], outputs: list[tuple[Field, Expr, Any]]) -> None:
    from airflow_quilt_athena.local.duck.expressions import dotted

    inner = node.expression()
    while inner.getChildCount() == 1 and type(inner).__name__ != "ColumnReferenceContext":
        inner = inner.getChild(0)
    parts = dotted(inner) if type(inner).__name__ == "ColumnReferenceContext" else None
    if parts is not None and labels.count(parts[0]) > 1:
        different = {value.sql for one, value, _ in outputs if one.name == parts[0]}
        if len(different) > 1:
            raise failed("AMBIGUOUS_NAME", inner, f"Column '{parts[0]}' is ambiguous")


def _bare_integer(node: Any) -> int | None:
    while node.getChildCount() == 1 and type(node).__name__ != "NumericLiteralContext":
        node = node.getChild(0)
    if type(node).__name__ != "NumericLiteralContext" or not node.getText().isdigit():
        return None
    return int(node.getText())


def has_aggregate(node: Any) -> bool:
    """Tell whether a part of a SELECT aggregates: a call without OVER, or GROUPING."""
    kind = type(node).__name__
    if kind == "QueryContext":
        return False
    if kind in ("ListaggContext", "GroupingOperationContext"):
        return True
    if kind == "FunctionCallContext" and node.over() is None:
        signatures = registry().get(literals.qualified(node.qualifiedName())[-1], ())
        if any(one.aggregate for one in signatures):
            return True
    return any(has_aggregate(child) for child in getattr(node, "children", None) or ())


# --- set operations and queries over them ---


def _set_operation(analysis: Analysis, node: Any, outer: Scope | None) -> Relation:
    sides = [query_term(analysis, side, outer) for side in (node.left, node.right)]
    operator = node.operator.text.upper()
    everything = node.setQuantifier() is not None and node.setQuantifier().ALL() is not None
    columns = [[one for one in side.fields if not one.hidden] for side in sides]
    if len(columns[0]) != len(columns[1]):
        message = f"{operator} query has different number of fields: {len(columns[0])}, {len(columns[1])}"
        raise mismatch(node.operator, message)
    kinds = []
    for at, (one, other) in enumerate(zip(*columns, strict=True)):
        kind = common_type(one.type, other.type)
        if kind is None:
            message = f"column {at + 1} in {operator} query has incompatible types: {one.type.trino}, {other.type.trino}"
            raise mismatch(node.operator, message)
        kinds.append(kind)
    if not (operator == "UNION" and everything):
        for one in (*columns[0], *columns[1]):
            one.use()
    word = f"{operator}{' ALL' if everything else ''}"
    return combined(analysis, sides, kinds, word, node.operator)


def combined(
    analysis: Analysis, sides: Sequence[Relation], kinds: Sequence[DataType], word: str, node: Any
) -> SetOperation:
    """Make one relation of several, their columns converted to shared types."""
    columns = [[one for one in side.fields if not one.hidden] for side in sides]
    values = [
        [
            convert(Expr(one.sql, one.type, frozenset({one})), kind, node)
            for one, kind in zip(side, kinds, strict=True)
        ]
        for side in columns
    ]
    fields = []
    for at, kind in enumerate(kinds):
        one = analysis.field(columns[0][at].name, kind)
        one.made_of = frozenset().union(*(side[at].fields for side in values))
        fields.append(one)
    selects = []
    for side, converted in zip(sides, values, strict=True):
        shown = ", ".join(f"{value.sql} AS {one.sql}" for value, one in zip(converted, fields, strict=True))
        selects.append(f"(SELECT {shown} FROM ({side.sql}))")
    text = f" {word} ".join(selects)
    return SetOperation(fields, f"({text})", list(zip(sides, values, strict=True)), text)


def union_of_steps(analysis: Analysis, steps: Sequence[Relation], kinds: Sequence[DataType]) -> Relation:
    """Return the rows of a recursive query's anchor and steps; the last step must be empty."""
    *kept, last = steps
    together = combined(analysis, kept, kinds, "UNION ALL", None)
    for one in (*last.fields, *together.fields):
        one.use()
    message = "<<NOT_SUPPORTED: Recursion depth limit exceeded (10). Use 'max_recursion_depth' session property to modify the limit.>>"
    ended = f"CASE WHEN EXISTS (SELECT 1 FROM {last.source}) THEN CAST(concat('{message.replace(chr(39), chr(39) * 2)}') AS BOOLEAN) ELSE TRUE END"
    shown = ", ".join(one.sql for one in together.fields)
    text = f"SELECT {shown} FROM ({together.text}) WHERE {ended}"
    return Projection(together.fields, f"({text})", together, [], [last], text=text)


def _ordered(analysis: Analysis, inner: Relation, tail: Tail, outer: Scope | None) -> Relation:
    """ORDER BY and LIMIT over something else than a plain SELECT: only its columns have names."""
    fields = [one for one in inner.fields if not one.hidden]
    it = analysis.expressions(Scope(fields, outer), clause="ORDER BY clause")
    keys = []
    for node in tail.items:
        position = _bare_integer(node.expression())
        if position is not None and not 1 <= position <= len(fields):
            raise failed(
                "INVALID_COLUMN_REFERENCE", node, f"ORDER BY position {position} is not in select list"
            )
        value = (
            Expr(fields[position - 1].sql, fields[position - 1].type, frozenset({fields[position - 1]}))
            if position
            else it.analyze(node.expression())
        )
        if tail.sorts:
            value.use()
        keys.append(it.sort_key(node, value))
    values = [Expr(one.sql, one.type, frozenset({one}), name=one.name) for one in fields]
    shown = ", ".join(one.sql for one in fields)
    text = _finished(inner.sql, shown, keys if tail.sorts else [], tail)
    found = analysis.project(Relation(fields, f"({text})"), values, [one.name for one in fields])
    found.text = text
    found.source = f"({text})"
    found.fields = fields
    found.inner = inner
    found.subqueries = it.subqueries
    found.sinking = {} if tail.cuts else {one: value for one, value in zip(fields, values, strict=True)}
    return found
