"""The analysis of a query with its WITH, its tables and views; joins the modules that analyse its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from local_athena.data.tables import Table
from local_athena.data.type_parser import parse_hive, parse_trino
from local_athena.data.types import DataType, UnknownTypeError
from local_athena.duck.errors import failed, unsupported
from local_athena.duck.sql import from_clause, gate, query_terms, set_operations
from local_athena.duck.sql.context import CATALOG, Analysis, Expressions
from local_athena.duck.sql.expressions import ExpressionAnalyzer
from local_athena.duck.sql.relations import (
    CommonTable,
    CommonTableReference,
    Relation,
    TableScan,
    path_field,
)
from local_athena.duck.values import literals
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Expr, Field, Scope
from local_athena.duck.values.snippets import name
from local_athena.duck.values.type_coercion import coercible
from local_athena.errors import QueryFailed

_MAX_RECURSION = 10  # Trino's max_recursion_depth


class QueryAnalysis(Analysis):
    """The analysis that knows every part of a query."""

    # --- queries ---

    def query(self, node: Any, outer: Scope | None, *, root: bool = False) -> Relation:
        """Analyse ``[WITH …] SELECT …``."""
        with_node = node.with_()
        if with_node is None:
            return query_terms.query_no_with(self, node.queryNoWith(), outer, root=root)
        names: dict[str, CommonTable] = {}
        self.named.append(names)
        try:
            for one in with_node.namedQuery():
                self._name_query(one, names, recursive=with_node.RECURSIVE() is not None)
            return query_terms.query_no_with(self, node.queryNoWith(), outer, root=root)
        finally:
            self.named.pop()

    def _name_query(self, node: Any, names: dict[str, CommonTable], *, recursive: bool) -> None:
        label = literals.identifier(node.name)
        if label in names:
            raise failed("DUPLICATE_NAMED_QUERY", node, f"WITH query name '{label}' specified more than once")
        aliases: list[str] = (
            [literals.identifier(one) for one in node.columnAliases().identifier()]
            if node.columnAliases()
            else []
        )
        if recursive and _mentions(node.query(), label):
            names[label] = self._recursion(node, label, aliases)
            return
        body = self.query(node.query(), None)
        names[label] = self._define(label, body, aliases, node)

    def _define(self, label: str, body: Relation, aliases: Sequence[str], node: Any) -> CommonTable:
        fields = [one for one in body.fields if not one.hidden]
        if aliases and len(aliases) != len(fields):
            shown = f"WITH query({label}) has {len(fields)} columns"
            message = f"Column alias list has {len(aliases)} entries but {shown}"
            raise failed("MISMATCHED_COLUMN_ALIASES", node, message)
        columns = tuple(aliases) if aliases else tuple(one.name for one in fields)
        table = CommonTable(label, self.symbol(label), body, columns)
        self.shared.definitions.append((table.symbol, table))
        return table

    def _recursion(self, node: Any, label: str, aliases: list[str]) -> CommonTable:
        """Unroll a recursive query as Trino does: ten steps, the last of which must find nothing."""
        if not aliases:
            raise failed("MISSING_COLUMN_ALIASES", node, "missing column aliases in recursive WITH query")
        term = node.query().queryNoWith().queryTerm()
        operator = getattr(term, "operator", None)
        if (
            operator is None
            or operator.text.upper() != "UNION"
            or (term.setQuantifier() and term.setQuantifier().DISTINCT())
            or not term.setQuantifier()
        ):
            raise unsupported(node, "A recursive query other than 'anchor UNION ALL step'")
        anchor = self._define(label, query_terms.query_term(self, term.left, None), aliases, node)
        kinds = [one.type for one in anchor.body.fields if not one.hidden]
        steps = [anchor]
        for _ in range(_MAX_RECURSION):
            self.named.append({label: steps[-1]})
            try:
                step = query_terms.query_term(self, term.right, None)
            finally:
                self.named.pop()
            steps.append(self._define(label, self._as_types(step, kinds, node), aliases, node))
        return self._define(
            label,
            set_operations.union_of_steps(self, [self.reference(one) for one in steps], kinds),
            aliases,
            node,
        )

    def _as_types(self, relation: Relation, kinds: Sequence[DataType], node: Any) -> Relation:
        fields = [one for one in relation.fields if not one.hidden]
        if len(fields) != len(kinds) or not all(
            coercible(one.type, kind) for one, kind in zip(fields, kinds, strict=True)
        ):
            message = (
                "recursion step relation output type ({}) is not coercible to "
                "recursion base relation output type ({})"
            )
            shown = [", ".join(kind.trino for kind in side) for side in ([one.type for one in fields], kinds)]
            raise failed("TYPE_MISMATCH", node, message.format(*shown))
        return self.project(
            relation, [convert(_value(one), kind, node) for one, kind in zip(fields, kinds, strict=True)]
        )

    # --- tables ---

    def reference(self, table: CommonTable) -> CommonTableReference:
        """Make one mention of a query named by WITH."""
        bodies = [one for one in table.body.fields if not one.hidden]
        fields = [
            self.field(label, body.type, _value(body))
            for label, body in zip(table.columns, bodies, strict=True)
        ]
        shown = ", ".join(f"{body.sql} AS {one.sql}" for one, body in zip(fields, bodies, strict=True))
        source = f"(SELECT {shown} FROM {name(table.symbol)})"
        found = CommonTableReference(fields, source, table, dict(zip(fields, bodies, strict=True)))
        found.renamed(table.name)
        return found

    def table(self, parts: tuple[str, ...], node: Any) -> Relation:
        """Return the relation a name in FROM stands for. Raises QueryFailed when there is none."""
        if len(parts) == 1:
            for names in reversed(self.named):
                if parts[0] in names:
                    return self.reference(names[parts[0]])
        catalog, database, label = self.full_name(parts, node)
        if catalog != CATALOG:
            raise failed("CATALOG_NOT_FOUND", node, f"Catalog '{catalog}' does not exist")
        system = self.shared.system_table(self, (database, label), node)
        if system is not None:
            system_fields = system.fields
            for one in system_fields:
                one.qualifier = (catalog, database, label)
            return system
        found = self.find(database, label)
        if found is None:
            if database not in self.shared.catalog.databases():
                raise failed("SCHEMA_NOT_FOUND", node, f"Schema '{database}' does not exist")
            raise failed("TABLE_NOT_FOUND", node, f"Table '{catalog}.{database}.{label}' does not exist")
        if found.is_view and found.view is not None:
            return self._view(found, node)
        return self._scan(found)

    def _scan(self, table: Table) -> TableScan:
        qualifier = (CATALOG, table.database, table.name)
        fields = []
        for label, hive in (*table.columns, *table.partition_keys):
            try:
                kind = parse_hive(hive)
            except UnknownTypeError as error:
                raise QueryFailed(
                    f"HIVE_INVALID_METADATA: {error} of column '{label}' of {table.database}.{table.name}"
                ) from error
            fields.append(Field(label, kind, self.symbol(label), qualifier))
        fields.append(path_field(self.symbol("path"), qualifier))
        keys = frozenset(label for label, _ in table.partition_keys)
        alias = f"{table.name}!{len(self.shared.scans)}"
        scan = TableScan(fields, name(self.symbol("scan")), table, alias, keys)
        self.shared.scans.append(scan)
        self.shared.definitions.append((scan.source, scan.definition))
        return scan

    def _view(self, table: Table, node: Any) -> Relation:
        full_name = f"{CATALOG}.{table.database}.{table.name}"
        assert table.view is not None  # told by the caller
        if full_name in self.views:
            raise failed("VIEW_IS_RECURSIVE", node, "View is recursive")
        inside = QueryAnalysis(self.shared, table.view.schema.lower(), views=(*self.views, full_name))
        try:
            relation = inside.query(query_of(gate.parse(table.view.sql)), None)
        except QueryFailed as error:
            if error.reason.startswith(("VIEW_IS", "INVALID_VIEW", "Insufficient")):
                raise
            reason = error.reason.partition(": ")[2] or error.reason
            raise failed(
                "INVALID_VIEW", node, f"Failed analyzing stored view '{full_name}': {reason}"
            ) from error
        stored = [
            (literals.Identifier(column.name), parse_trino(column.type)) for column in table.view.columns
        ]
        fields = [one for one in relation.fields if not one.hidden]
        self._refuse_stale(full_name, fields, stored, node)
        values = [convert(_value(one), kind, node) for one, (_, kind) in zip(fields, stored, strict=True)]
        found = self.project(relation, values, [label for label, _ in stored])
        for one in found.fields:
            one.qualifier = (CATALOG, table.database, table.name)
        return found

    def _refuse_stale(
        self, full_name: str, fields: Sequence[Field], stored: Sequence[tuple[str, DataType]], node: Any
    ) -> None:
        problem = None
        if len(fields) != len(stored):
            problem = (
                f"stored view column count ({len(stored)}) does not match column count derived from the "
                f"view query analysis ({len(fields)})"
            )
        for at, (one, (label, kind)) in enumerate(zip(fields, stored, strict=False)):
            found = f"column [{one.name}] of type {one.type.trino} projected from query view at position {at}"
            wanted = f"column [{label}] of type {kind.trino} stored in view definition"
            if one.name != label:
                problem = problem or f"{found} has a different name from {wanted}"
            elif not coercible(one.type, kind):
                problem = problem or f"{found} cannot be coerced to {wanted}"
        if problem:
            raise failed("VIEW_IS_STALE", node, f"View '{full_name}' is stale or in invalid state: {problem}")

    # --- parts ---

    def expressions(self, scope: Scope, **settings: Any) -> Expressions:
        """Analyse expressions over a scope."""
        return ExpressionAnalyzer(self, scope, **settings)

    def relation(self, node: Any, outer: Scope | None, left: Relation | None = None) -> Relation:
        """Analyse one item of FROM."""
        return from_clause.relation(self, node, outer, left)


def _value(one: Field) -> Expr:
    return Expr(one.sql, one.type, frozenset({one}), name=one.name)


def _mentions(node: Any, label: str) -> bool:
    if type(node).__name__ == "TableNameContext":
        return literals.qualified(node.qualifiedName()) == (label,)
    return any(_mentions(child, label) for child in getattr(node, "children", None) or ())


def query_of(tree: Any) -> Any:
    """Return the query of a parsed statement. Raises QueryFailed when it is another statement."""
    statement = tree.statement()
    if type(statement).__name__ != "StatementDefaultContext":
        raise failed("NOT_SUPPORTED", statement, f"Not a query: {literals.source_text(statement)[:60]}")
    return statement.query()
