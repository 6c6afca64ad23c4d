"""FROM: tables, subqueries, joins, UNNEST, LATERAL, VALUES and samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_quilt_athena.local.duck import literals
from airflow_quilt_athena.local.duck.failures import failed, mismatch, unsupported
from airflow_quilt_athena.local.duck.lattice import NUMERIC, common_of, common_type
from airflow_quilt_athena.local.duck.operators import compare, convert
from airflow_quilt_athena.local.duck.relations import Join, Relation, Through
from airflow_quilt_athena.local.duck.scope import Conjunct, Expr, Field, Scope
from airflow_quilt_athena.local.duck.snippets import name
from airflow_quilt_athena.local.types import BIGINT, DataType

if TYPE_CHECKING:
    from airflow_quilt_athena.local.duck.analysis import Analysis
    from airflow_quilt_athena.local.duck.expressions import Expressions


def from_items(analysis: Analysis, nodes: list[Any], outer: Scope | None) -> Relation:
    """``FROM a, b, …``: a cross join, each item seeing those before it."""
    result = analysis.relation(nodes[0], outer)
    for node in nodes[1:]:
        result = _cross(analysis, result, node, outer)
    return result


def relation(analysis: Analysis, node: Any, outer: Scope | None, left: Relation | None) -> Relation:
    """Analyse a relation; ``left`` is what stands before it in the same FROM."""
    kind = type(node).__name__
    if kind == "JoinRelationContext":
        return _join(analysis, node, outer, left)
    if kind == "RelationDefaultContext":
        return relation(analysis, node.sampledRelation(), outer, left)
    if kind == "SampledRelationContext":
        return _sampled(analysis, node, outer, left)
    return _aliased(analysis, node, outer, left)


def _sampled(analysis: Analysis, node: Any, outer: Scope | None, left: Relation | None) -> Relation:
    pattern = node.patternRecognition()
    if pattern.MATCH_RECOGNIZE():
        raise unsupported(node, "MATCH_RECOGNIZE")
    found = _aliased(analysis, pattern.aliasedRelation(), outer, left)
    if node.TABLESAMPLE() is None:
        return found
    share = analysis.expressions(Scope([])).analyze(node.percentage)
    if not share.is_literal or share.type.name not in NUMERIC:
        raise failed(
            "INVALID_ARGUMENTS", node, "Sample percentage must be a number that does not depend on rows"
        )
    if not 0 <= share.literal <= 100:
        raise failed(
            "NUMERIC_VALUE_OUT_OF_RANGE",
            node,
            "Sample percentage must be between 0 and 100"
            if share.literal > 100
            else "Sample percentage must be greater than or equal to 0",
        )
    method = node.sampleType().getText().upper()
    source = f"(SELECT * FROM (SELECT * FROM {found.source}) TABLESAMPLE {method}({share.literal} PERCENT))"
    return Through(found.fields, source, found)


def _aliased(analysis: Analysis, node: Any, outer: Scope | None, left: Relation | None) -> Relation:
    found = _primary(analysis, node.relationPrimary(), outer, left)
    if node.identifier() is None:
        return found
    alias = literals.identifier(node.identifier())
    columns = (
        [literals.identifier(one) for one in node.columnAliases().identifier()]
        if node.columnAliases()
        else []
    )
    own = _own_fields(found, left)
    visible = [one for one in own if not one.hidden]
    if columns and len(columns) != len(visible):
        message = (
            f"Column alias list has {len(columns)} entries but '{alias}' has {len(visible)} columns available"
        )
        raise failed("MISMATCHED_COLUMN_ALIASES", node, message)
    for one in own:
        one.qualifier = (alias,)
    for one, label in zip(visible, columns, strict=False):
        one.name = label
    return found


def _own_fields(found: Relation, left: Relation | None) -> list[Field]:
    """Return the fields an alias names: those of UNNEST or LATERAL, without what stands to the left."""
    before = set(left.fields) if left is not None else set()
    return [one for one in found.fields if one not in before]


def _primary(analysis: Analysis, node: Any, outer: Scope | None, left: Relation | None) -> Relation:
    kind = type(node).__name__
    if kind == "TableNameContext":
        if node.queryPeriod() is not None:
            raise unsupported(node, "Time travel")
        return analysis.table(literals.qualified(node.qualifiedName()), node)
    if kind == "SubqueryRelationContext":
        # A subquery sees what is outside its whole FROM, not its neighbours.
        return _as_item(analysis.query(node.query(), outer))
    if kind == "ParenthesizedRelationContext":
        return relation(analysis, node.relation(), outer, None)
    if kind == "UnnestContext":
        return _unnest(analysis, node, outer, left, keep=False)
    if kind == "LateralContext":
        return _lateral(analysis, node, outer, left, "CROSS JOIN", "")
    if kind == "TableFunctionInvocationContext":
        label = ".".join(literals.qualified(node.tableFunctionCall().qualifiedName()))
        raise failed("FUNCTION_NOT_FOUND", node, f"Table function '{label}' not registered")
    raise unsupported(node, "JSON_TABLE")


def _as_item(found: Relation) -> Relation:
    found.source = f"({found.sql})"
    found.fields = [one for one in found.fields if not one.hidden]
    return found


# --- joins ---


def _cross(analysis: Analysis, left: Relation, node: Any, outer: Scope | None) -> Relation:
    right = analysis.relation(node, outer, left)
    if _holds_left(right, left):
        return right
    return Join([*left.fields, *right.fields], f"({left.source} CROSS JOIN {right.source})", left, right)


def _holds_left(right: Relation, left: Relation) -> bool:
    """Tell whether UNNEST or LATERAL took in what stands before it."""
    return bool(left.fields) and left.fields[0] in right.fields


def _join(analysis: Analysis, node: Any, outer: Scope | None, before: Relation | None) -> Relation:
    left = relation(analysis, node.left, outer, before)
    if node.NATURAL():
        raise failed("NOT_SUPPORTED", node, "Natural join not supported")
    if node.CROSS():
        return _cross(analysis, left, node.right, outer)
    words = node.joinType().getText().upper()
    kind = next((word for word in ("LEFT", "RIGHT", "FULL") if words.startswith(word)), "INNER")
    criteria = node.joinCriteria()
    lateral = _lateral_node(node.rightRelation)
    if lateral is not None:
        return _join_lateral(analysis, node, lateral, left, outer, kind)
    right = relation(analysis, node.rightRelation, outer, None)
    if criteria.USING():
        return _using(analysis, left, right, criteria, kind)
    both = [*left.fields, *right.fields]
    it = analysis.expressions(Scope(both, outer), clause="JOIN clause")
    parts = [
        it.boolean(one, "JOIN ON clause must evaluate to a boolean: actual type {}")
        for one in conjuncts(criteria.booleanExpression())
    ]
    for part in parts:
        part.use()
    condition = " AND ".join(part.sql for part in parts)
    source = f"({left.source} {kind} JOIN {right.source} ON {condition})"
    return _joined(both, source, left, right, kind, parts, it)


def _joined(
    fields: list[Field],
    source: str,
    left: Relation,
    right: Relation,
    kind: str,
    parts: list[Expr],
    it: Expressions,
) -> Join:
    return Join(
        fields,
        source,
        left,
        right,
        keeps_left=kind in ("LEFT", "FULL"),
        keeps_right=kind in ("RIGHT", "FULL"),
        on=as_conditions(parts),
        subqueries=it.subqueries,
    )


def as_conditions(parts: list[Expr]) -> list[Conjunct]:
    """Conditions that may sink: those without subqueries and without chance."""
    return [Conjunct(one.sql, one.fields) for one in parts if not one.subquery and not one.volatile]


def conjuncts(node: Any) -> list[Any]:
    """Return the parts of ``a AND b AND …``."""
    while type(node).__name__ == "ExpressionContext":
        node = node.getChild(0)
    if type(node).__name__ == "AndContext":
        return [part for side in node.booleanExpression() for part in conjuncts(side)]
    return [node]


def _using(analysis: Analysis, left: Relation, right: Relation, criteria: Any, kind: str) -> Relation:
    shared: list[tuple[Field, Field, Field]] = []
    conditions: list[str] = []
    meanings: dict[Field, Expr] = {}
    for node in criteria.identifier():
        label = literals.identifier(node)
        sides = []
        for side, which in ((left, "left"), (right, "right")):
            found = Scope(side.fields).find((label,), node)
            if found is None:
                raise failed(
                    "COLUMN_NOT_FOUND", node, f"Column '{label}' is missing from {which} side of join"
                )
            found.use()
            sides.append(found)
        one, other = (Expr(side.sql, side.type, frozenset({side})) for side in sides)
        conditions.append(compare(one, "=", other, node).sql)
        wanted = common_type(one.type, other.type)
        assert wanted is not None  # compare refused it otherwise
        merged = analysis.field(label, wanted)
        merged.made_of = frozenset(sides)
        values = [convert(side, wanted, node).sql for side in (one, other)]
        # The merged value is the left one's unless only the right side has a row.
        meanings[merged] = Expr(f"coalesce({values[0]}, {values[1]})", wanted, frozenset(sides))
        shared.append((merged, *sides))
    used = {side for _, *sides in shared for side in sides}
    rest = [one for one in (*left.fields, *right.fields) if one not in used]
    merged_sql = ", ".join(f"{meanings[one].sql} AS {one.sql}" for one, *_ in shared)
    inner = f"({left.source} {kind} JOIN {right.source} ON {' AND '.join(conditions)})"
    found_join = Join(
        [*(one for one, *_ in shared), *rest],
        f"(SELECT {merged_sql}, * FROM {inner})",
        left,
        right,
        keeps_left=kind in ("LEFT", "FULL"),
        keeps_right=kind in ("RIGHT", "FULL"),
    )
    if kind != "FULL":  # the merged value is that of the side which always has a row
        deciding = [
            (one, right_side if kind == "RIGHT" else left_side) for one, left_side, right_side in shared
        ]
        found_join.meanings = {
            one: Expr(side.sql, side.type, frozenset({side}))
            for one, side in deciding
            if one.type == side.type
        }
    return found_join


def _lateral_node(node: Any) -> Any:
    """Return the UNNEST or LATERAL a relation consists of, with its alias, or None."""
    if type(node).__name__ != "RelationDefaultContext":
        return None
    aliased = node.sampledRelation().patternRecognition().aliasedRelation()
    kind = type(aliased.relationPrimary()).__name__
    return aliased if kind in ("UnnestContext", "LateralContext") else None


def _join_lateral(
    analysis: Analysis, node: Any, aliased: Any, left: Relation, outer: Scope | None, kind: str
) -> Relation:
    condition = node.joinCriteria().booleanExpression()
    if condition is None or kind not in ("INNER", "LEFT") or condition.getText().upper() != "TRUE":
        raise failed(
            "NOT_SUPPORTED",
            node,
            f"{kind} JOIN involving UNNEST is only supported with condition ON TRUE"
            if "Unnest" in type(aliased.relationPrimary()).__name__
            else f"{kind} JOIN involving LATERAL relation is only supported with condition ON TRUE",
        )
    primary = aliased.relationPrimary()
    if type(primary).__name__ == "UnnestContext":
        found = _unnest(analysis, primary, outer, left, keep=kind == "LEFT")
    else:
        found = _lateral(analysis, primary, outer, left, f"{kind} JOIN", " ON TRUE")
    if aliased.identifier() is not None:
        own = [one for one in found.fields if one not in set(left.fields)]
        labels = aliased.columnAliases().identifier() if aliased.columnAliases() else []
        for one in own:
            one.qualifier = (literals.identifier(aliased.identifier()),)
        for one, label in zip(own, labels, strict=False):
            one.name = literals.identifier(label)
    return found


def _lateral(
    analysis: Analysis, node: Any, outer: Scope | None, left: Relation | None, join: str, tail: str
) -> Relation:
    scope = Scope(list(left.fields) if left is not None else [], outer)
    inner = analysis.query(node.query(), scope)
    fields = [one for one in inner.fields if not one.hidden]
    for one in (*inner.fields, *scope.fields):
        one.use()
    if left is None:
        return Through(fields, f"({inner.sql})", inner)
    source = f"({left.source} {join} LATERAL ({inner.sql}){tail})"
    return Through([*left.fields, *fields], source, left, [inner])


# --- UNNEST ---


@dataclass(slots=True)
class _Unnesting:
    """What UNNEST is made of: lists of the row, columns that unnest them, and the fields those become."""

    lists: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    outputs: list[tuple[Field, str]] = field(default_factory=list)


def _unnest(
    analysis: Analysis, node: Any, outer: Scope | None, left: Relation | None, *, keep: bool
) -> Relation:
    """Rows of arrays and maps side by side, the shorter ones filled with NULL; ``keep`` rows that have none."""
    scope = Scope(list(left.fields) if left is not None else [], outer)
    it = analysis.expressions(scope, clause="UNNEST")
    values = [it.analyze(one) for one in node.expression()]
    for value in values:
        value.use()
    own = set(scope.fields)
    correlated = left is not None and (keep or any(one in own for value in values for one in value.fields))
    made = _unnesting(analysis, values, node, keep)
    base = left.source if correlated and left is not None else "(SELECT 1)"
    lists = f"(SELECT *, {', '.join(made.lists)} FROM {base})"
    renamed = ", ".join(f"{sql} AS {one.sql}" for one, sql in made.outputs)
    source = f"(SELECT *, {renamed} FROM (SELECT *, {', '.join(made.columns)} FROM {lists}))"
    fields = [one for one, _ in made.outputs]
    if left is None:
        return Through(fields, source, Relation([], source), it.subqueries)
    if not correlated:
        source = f"({left.source} CROSS JOIN {source})"
    return Through([*left.fields, *fields], source, left, it.subqueries)


def _unnesting(analysis: Analysis, values: list[Expr], node: Any, keep: bool) -> _Unnesting:
    made = _Unnesting()
    symbols = [analysis.symbol("list") for _ in values]
    longest = "greatest(" + ", ".join(f"coalesce(len({name(one)}), 0)" for one in symbols) + ")"

    def rows(sql: str) -> str:
        return f"unnest(CASE WHEN {longest} = 0 THEN [NULL] ELSE {sql} END)" if keep else f"unnest({sql})"

    for symbol, value in zip(symbols, values, strict=True):
        item = analysis.symbol("item")
        made.lists.append(f"{_as_list(value, node)} AS {name(symbol)}")
        made.columns.append(f"{rows(name(symbol))} AS {name(item)}")
        made.outputs += _outputs(analysis, value, name(item))
    if node.ORDINALITY():
        item = analysis.symbol("ordinality")
        made.columns.append(f"{rows(f'range(1, {longest} + 1)')} AS {name(item)}")
        made.outputs.append((analysis.field(None, BIGINT), name(item)))
    return made


def _as_list(value: Expr, node: Any) -> str:
    if value.type.name == "array":
        return value.sql
    if value.type.name == "map":
        return f"map_entries({value.sql})"
    raise mismatch(node, f"Cannot unnest type: {value.type.trino}")


def _outputs(analysis: Analysis, value: Expr, item: str) -> list[tuple[Field, str]]:
    """Return the columns one argument becomes: a map's key and value, each field of an array's rows."""
    if value.type.name == "map":
        key, mapped = value.type.children
        parts: list[tuple[str | None, DataType, str]] = [
            (None, key, f'{item}."key"'),
            (None, mapped, f'{item}."value"'),
        ]
    elif value.type.children[0].name == "row":
        inner = value.type.children[0]
        parts = [
            (given, kind, f"{item}.{name(label)}")
            for given, (label, kind) in zip(inner.field_names, inner.fields, strict=True)
        ]
    else:
        parts = [(None, value.type.children[0], item)]
    found = []
    for label, kind, sql in parts:
        one = analysis.field(label, kind, value)
        found.append((one, sql))
    return found


def values_table(analysis: Analysis, node: Any, outer: Scope | None) -> Relation:
    """``VALUES (1, 'a'), …``."""
    it = analysis.expressions(Scope([], outer), clause="VALUES")
    rows = [_cells(it, one) for one in node.expression()]
    if len({len(row) for row in rows}) > 1:
        raise mismatch(
            node,
            "Values rows have mismatched sizes: " + " vs ".join(str(len(row)) for row in rows[:2])
            if False
            else f"Values rows have mismatched types: {len(rows[0])} vs {next(len(row) for row in rows if len(row) != len(rows[0]))}",
        )
    kinds = []
    for column in zip(*rows, strict=True):
        kind = common_of([cell.type for cell in column])
        if kind is None:
            shown = " vs ".join(dict.fromkeys(cell.type.trino for cell in column))
            raise mismatch(node, f"Values rows have mismatched types: {shown}")
        kinds.append(kind)
    fields = [analysis.field(None, kind) for kind in kinds]
    lines = ", ".join(
        "(" + ", ".join(convert(cell, kind, node).sql for cell, kind in zip(row, kinds, strict=True)) + ")"
        for row in rows
    )
    columns = ", ".join(one.sql for one in fields)
    return Through(
        fields,
        f"(VALUES {lines}) AS {name(analysis.symbol('values'))}({columns})",
        Relation([], ""),
        it.subqueries,
    )


def _cells(it: Expressions, node: Any) -> list[Expr]:
    """Return the cells of one row: a row constructor's, or one value."""
    inner = node
    while type(inner).__name__ in ("ExpressionContext", "PredicatedContext", "ValueExpressionDefaultContext"):
        if inner.getChildCount() != 1:
            break
        inner = inner.getChild(0)
    if type(inner).__name__ == "RowConstructorContext":
        return [it.analyze(one) for one in inner.expression()]
    return [it.analyze(node)]
