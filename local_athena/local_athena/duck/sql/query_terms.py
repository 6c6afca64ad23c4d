"""What a query is made of below its WITH: SELECTs, tables, VALUES, set operations, brackets."""

from __future__ import annotations

from typing import Any

from local_athena.duck.sql.context import Analysis
from local_athena.duck.sql.order_and_limit import Tail, read_tail
from local_athena.duck.sql.relations import Relation
from local_athena.duck.sql.select import Select
from local_athena.duck.sql.set_operations import ordered, set_operation, sides_of
from local_athena.duck.sql.unnest import values_table
from local_athena.duck.values import literals
from local_athena.duck.values.scope import Scope


def query_no_with(analysis: Analysis, node: Any, outer: Scope | None, *, root: bool = False) -> Relation:
    """Analyse a query without its WITH."""
    tail = read_tail(analysis, node, root)
    term = node.queryTerm()
    primary = term.queryPrimary() if type(term).__name__ == "QueryTermDefaultContext" else None
    if primary is not None and type(primary).__name__ == "QueryPrimaryDefaultContext":
        return Select(analysis, primary.querySpecification(), outer, tail).relation()
    if not tail.items and not tail.cuts:
        return query_term(analysis, term, outer, root=root)
    return ordered(analysis, query_term(analysis, term, outer), tail, outer)


def query_term(analysis: Analysis, node: Any, outer: Scope | None, *, root: bool = False) -> Relation:
    """Analyse what ORDER BY and LIMIT stand behind."""
    kind = type(node).__name__
    if kind == "SetOperationContext":
        sides, tokens, word = sides_of(node)
        return set_operation(analysis, [query_term(analysis, side, outer) for side in sides], tokens, word)
    if kind == "QueryTermDefaultContext":
        return query_term(analysis, node.queryPrimary(), outer, root=root)
    if kind == "QueryPrimaryDefaultContext":
        return Select(analysis, node.querySpecification(), outer, Tail(root=root)).relation()
    if kind == "SubqueryContext":
        return query_no_with(analysis, node.queryNoWith(), outer, root=root)
    if kind == "TableContext":
        return analysis.table(literals.qualified(node.qualifiedName()), node)
    return values_table(analysis, node, outer)
