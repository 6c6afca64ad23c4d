"""GROUP BY: its keys, its grouping sets, and what makes a query aggregate at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import Any

from local_athena.duck.errors import failed, mismatch, unsupported
from local_athena.duck.functions.registry import registry
from local_athena.duck.sql.context import Analysis, Expressions
from local_athena.duck.sql.order_and_limit import bare_integer
from local_athena.duck.values import literals
from local_athena.duck.values.scope import Expr
from local_athena.duck.values.type_coercion import comparable


@dataclass(slots=True)
class Grouping:
    """GROUP BY: the keys as they are computed, and the sets they are grouped in."""

    keys: dict[str, Expr] = field(default_factory=dict)  # SQL of the expression -> the key
    computed: list[tuple[Expr, str]] = field(default_factory=list)  # expressions to add to FROM, with symbols
    sets: list[list[str]] | None = None  # None: the whole is one group
    sources: dict[str, Expr] = field(default_factory=dict)  # key's SQL -> the expression


def read_grouping(analysis: Analysis, analyzer: Expressions, node: Any, items: list[Any]) -> Grouping:
    """Analyse GROUP BY; a bare number stands for that one of the SELECT's ``items``."""
    made = _GroupingKeys(analysis, analyzer, items)
    elements = [_grouping_sets(made, one) for one in node.groupingElement()]
    sets = [list(dict.fromkeys(key for part in parts for key in part)) for parts in product(*elements)]
    if node.setQuantifier() is not None and node.setQuantifier().DISTINCT():
        sets = list({frozenset(one): one for one in sets}.values())
    made.grouping.sets = sets
    return made.grouping


def _grouping_sets(made: _GroupingKeys, node: Any) -> list[list[str]]:
    kind = type(node).__name__
    nodes = node.groupingSet() if kind != "SingleGroupingSetContext" else [node.groupingSet()]
    sets = [[made.key(one) for one in part.expression()] for part in nodes]
    if kind == "RollupContext":
        return [[key for part in sets[:length] for key in part] for length in range(len(sets), -1, -1)]
    if kind == "CubeContext":
        chosen = product((True, False), repeat=len(sets))
        return [
            [key for part, taken in zip(sets, mask, strict=True) if taken for key in part] for mask in chosen
        ]
    return sets


class _GroupingKeys:
    """Analyses the keys; one that is no plain column is computed below the grouping."""

    def __init__(self, analysis: Analysis, analyzer: Expressions, items: list[Any]) -> None:
        self.grouping = Grouping(sets=[])
        self._analysis = analysis
        self._it = analyzer
        self._items = items

    def key(self, node: Any) -> str:
        """Return the SQL of one key."""
        grouping = self.grouping
        value = self._it.analyze(self._ordinal(node) or node)
        if not comparable(value.type):
            shown = value.type.trino
            raise mismatch(node, f"{shown} is not comparable, and therefore cannot be used in GROUP BY")
        value.use()
        if value.sql in grouping.keys:
            return grouping.keys[value.sql].sql
        plain = len(value.fields) == 1 and next(iter(value.fields)).sql == value.sql
        sql = value.sql if plain else f'"{self._analysis.symbol("group")}"'
        if not plain:
            grouping.computed.append((value, sql))
        grouping.keys[value.sql] = Expr(sql, value.type, value.fields, name=value.name, literal=value.literal)
        grouping.sources[sql] = value
        return sql

    def _ordinal(self, node: Any) -> Any:
        """Return the SELECT item a bare number stands for, or None."""
        position = bare_integer(node)
        if position is None:
            return None
        if any(type(one).__name__ == "SelectAllContext" for one in self._items):
            raise unsupported(node, "GROUP BY position beside * in SELECT")
        if not 1 <= position <= len(self._items):
            message = f"GROUP BY position {position} is not in select list"
            raise failed("INVALID_COLUMN_REFERENCE", node, message)
        return self._items[position - 1].expression()


def grouped(core: str, grouping: Grouping, having: Expr | None) -> str:
    """Add GROUP BY and HAVING to ``FROM … WHERE …``."""
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
    elif grouping.sets is None:
        core += " HAVING count(*) >= 0"  # one row, also where no aggregate is left: typeof(sum(x)) has none
    return core


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
