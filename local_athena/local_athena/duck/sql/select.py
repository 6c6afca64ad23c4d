"""SELECT: its columns, groups, order and limits."""

from __future__ import annotations

from typing import Any

from local_athena.duck.errors import failed, mismatch
from local_athena.duck.sql.context import Analysis, Expressions
from local_athena.duck.sql.from_clause import as_conditions, conjuncts, from_items
from local_athena.duck.sql.grouping import Grouping, grouped, has_aggregate, read_grouping
from local_athena.duck.sql.order_and_limit import Tail, bare_integer, finished
from local_athena.duck.sql.relations import Projection, Relation
from local_athena.duck.sql.sinking import sinking
from local_athena.duck.values import literals
from local_athena.duck.values.scope import Expr, Field, Scope
from local_athena.duck.values.type_coercion import comparable


class Select:
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
        analyzer = self._expressions(keys=grouping.keys if grouping is not None else None)
        outputs = self._outputs(analyzer, source)
        having = self._having(analyzer, grouping)
        order = self._order(outputs, grouping)
        self._check_groups(outputs, having, order, grouping)
        self._subqueries += analyzer.subqueries
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
        analyzer = self._expressions(clause="WHERE clause")
        message = "WHERE clause must evaluate to a boolean: actual type {}"
        parts = [analyzer.boolean(one, message) for one in conjuncts(self._node.where)]
        for part in parts:
            part.use()
        self._subqueries += analyzer.subqueries
        return parts

    # groups

    def _grouping(self) -> Grouping | None:
        node = self._node.groupBy()
        if node is None:
            having = [self._node.having] if self._node.having is not None else []
            places = [*self._items, *self._tail.items, *having]
            return Grouping() if having or any(map(has_aggregate, places)) else None
        analyzer = self._expressions(clause="GROUP BY clause")
        grouping = read_grouping(self._analysis, analyzer, node, self._items)
        self._subqueries += analyzer.subqueries
        return grouping

    def _check_groups(
        self,
        outputs: list[tuple[Field, Expr, Any]],
        having: Expr | None,
        order: list[tuple[Expr, Any]],
        grouping: Grouping | None,
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

    def _outputs(self, analyzer: Expressions, source: Relation) -> list[tuple[Field, Expr, Any]]:
        found: list[tuple[Field, Expr, Any]] = []
        for item in self._items:
            if type(item).__name__ == "SelectAllContext":
                values = self._all(analyzer, item, source)
            else:
                value = analyzer.analyze(item.expression())
                label = literals.identifier(item.identifier()) if item.identifier() else value.name
                values = [(label, value)]
            for label, value in values:
                node = item.expression() if hasattr(item, "expression") and item.expression() else item
                found.append((self._analysis.field(label, value.type, value), value, node))
        return found

    def _all(self, analyzer: Expressions, item: Any, source: Relation) -> list[tuple[str | None, Expr]]:
        base = item.primaryExpression()
        aliases = (
            [literals.identifier(one) for one in item.columnAliases().identifier()]
            if item.columnAliases()
            else []
        )
        if base is None:
            if not self._node.relation():
                raise failed("COLUMN_NOT_FOUND", item, "SELECT * not allowed in queries without FROM clause")
            found = [(one.name, analyzer.of_field(one, item)) for one in self._scope.visible()]
            if not found:
                raise failed(
                    "COLUMN_NOT_FOUND", item, "SELECT * not allowed from relation that has no columns"
                )
        else:
            found = self._all_of(analyzer, base, item)
        found = [
            (label, analyzer.keys.get(value.sql, value) if analyzer.keys else value) for label, value in found
        ]
        if aliases and len(aliases) != len(found):
            message = f"Column alias list has {len(aliases)} entries but relation has {len(found)} columns"
            raise failed("MISMATCHED_COLUMN_ALIASES", item, message)
        return (
            [(alias, value) for alias, (_, value) in zip(aliases, found, strict=True)] if aliases else found
        )

    def _all_of(self, analyzer: Expressions, base: Any, item: Any) -> list[tuple[str | None, Expr]]:
        from local_athena.duck.sql.tree_shapes import dotted
        from local_athena.duck.values.scope import made_from
        from local_athena.duck.values.snippets import name

        parts = dotted(base)
        scope: Scope | None = self._scope
        while parts is not None and scope is not None:
            fields = scope.of_relation(parts)
            if fields:
                return [(one.name, analyzer.of_field(one, item)) for one in fields]
            scope = scope.parent
        if (
            parts is not None
            and analyzer.column(parts[:1], base) is None
            and analyzer.column(parts, base) is None
        ):
            raise failed("TABLE_NOT_FOUND", item, f"Unable to resolve reference {'.'.join(parts)}")
        row = analyzer.analyze(base)
        if row.type.name != "row":
            raise mismatch(base, f"expected expression of type row but found {row.type.trino}")
        return [
            (given, made_from(f"({row.sql}).{name(label)}", kind, row))
            for given, (label, kind) in zip(row.type.field_names, row.type.fields, strict=True)
        ]

    def _having(self, analyzer: Expressions, grouping: Grouping | None) -> Expr | None:
        if self._node.having is None or grouping is None:
            return None
        found = analyzer.boolean(
            self._node.having, "HAVING clause must evaluate to a boolean: actual type {}"
        )
        if found.window:
            raise failed(
                "NESTED_WINDOW",
                self._node.having,
                "HAVING clause cannot contain window functions or row pattern measures",
            )
        found.use()
        return found

    def _order(
        self, outputs: list[tuple[Field, Expr, Any]], grouping: Grouping | None
    ) -> list[tuple[Expr, Any]]:
        labels = [one.name for one, _, _ in outputs if one.name is not None]
        aliases = {one.name: value for one, value, _ in outputs if one.name is not None}
        analyzer = self._expressions(keys=grouping.keys if grouping is not None else None, aliases=aliases)
        found = []
        for node in self._tail.items:
            position = bare_integer(node.expression())
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
                value = analyzer.analyze(node.expression())
            found.append((value, node))
        if self._tail.sorts or analyzer.subqueries:
            for value, _ in found:
                value.use()
        self._subqueries += analyzer.subqueries
        return found

    # SQL

    def _build(
        self,
        source: Relation,
        where: list[Expr],
        grouping: Grouping | None,
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
            core = grouped(core, grouping, having)
        selected = f"SELECT {'DISTINCT ' if distinct else ''}{', '.join([*columns, *hidden])} {core}"
        shown = ", ".join(one.sql for one, _, _ in outputs)
        text = finished(selected, shown, keys, self._tail)
        found = Projection(
            [one for one, _, _ in outputs],
            f"({text})",
            source,
            as_conditions(where),
            self._subqueries,
            text=text,
        )
        if not self._tail.cuts:
            found.sinking = sinking(outputs, grouping)
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
        analyzer = self._expressions()
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
            keys.append(analyzer.sort_key(node, Expr(sql, value.type)))
        return (keys, hidden) if self._tail.sorts else ([], [])


def _refuse_ambiguous(node: Any, labels: list[str], outputs: list[tuple[Field, Expr, Any]]) -> None:
    from local_athena.duck.sql.tree_shapes import dotted

    inner = node.expression()
    while inner.getChildCount() == 1 and type(inner).__name__ != "ColumnReferenceContext":
        inner = inner.getChild(0)
    parts = dotted(inner) if type(inner).__name__ == "ColumnReferenceContext" else None
    if parts is not None and labels.count(parts[0]) > 1:
        different = {value.sql for one, value, _ in outputs if one.name == parts[0]}
        if len(different) > 1:
            raise failed("AMBIGUOUS_NAME", inner, f"Column '{parts[0]}' is ambiguous")
