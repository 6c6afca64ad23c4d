"""FROM: tables, subqueries, joins, UNNEST, LATERAL, VALUES and samples."""

from __future__ import annotations

from typing import Any

from local_athena.duck.errors import failed, unsupported
from local_athena.duck.sql.context import Analysis, Expressions
from local_athena.duck.sql.relations import Join, Relation, Through
from local_athena.duck.sql.unnest import unnest
from local_athena.duck.values import literals
from local_athena.duck.values.comparisons import compare
from local_athena.duck.values.conversions import convert
from local_athena.duck.values.scope import Conjunct, Expr, Field, Scope
from local_athena.duck.values.type_coercion import NUMERIC, common_type


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
        return unnest(analysis, node, outer, left, keep=False)
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
    analyzer = analysis.expressions(Scope(both, outer), clause="JOIN clause")
    parts = [
        analyzer.boolean(one, "JOIN ON clause must evaluate to a boolean: actual type {}")
        for one in conjuncts(criteria.booleanExpression())
    ]
    for part in parts:
        part.use()
    condition = " AND ".join(part.sql for part in parts)
    source = f"({left.source} {kind} JOIN {right.source} ON {condition})"
    return _joined(both, source, left, right, kind, parts, analyzer)


def _joined(
    fields: list[Field],
    source: str,
    left: Relation,
    right: Relation,
    kind: str,
    parts: list[Expr],
    analyzer: Expressions,
) -> Join:
    return Join(
        fields,
        source,
        left,
        right,
        keeps_left=kind in ("LEFT", "FULL"),
        keeps_right=kind in ("RIGHT", "FULL"),
        on=as_conditions(parts),
        subqueries=analyzer.subqueries,
    )


def as_conditions(parts: list[Expr]) -> list[Conjunct]:
    """Conditions that may sink: those without subqueries and without chance."""
    return [Conjunct(one.sql, one.fields) for one in parts if not one.subquery and not one.volatile]


def conjuncts(node: Any) -> list[Any]:
    """Return the parts of ``a AND b AND …``."""
    while type(node).__name__ == "ExpressionContext":
        node = node.getChild(0)
    if type(node).__name__ == "AndContext":
        from local_athena.duck.sql.tree_shapes import chain_of

        return [part for side in chain_of(node) for part in conjuncts(side)]
    return [node]


def _using(analysis: Analysis, left: Relation, right: Relation, criteria: Any, kind: str) -> Relation:
    shared: list[tuple[Field, Field, Field]] = []
    conditions: list[str] = []
    meanings: dict[Field, Expr] = {}
    for node in criteria.identifier():
        label = literals.identifier(node)
        sides = _side(left, "left", label, node), _side(right, "right", label, node)
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


def _side(relation: Relation, which: str, label: str, node: Any) -> Field:
    found = Scope(relation.fields).find((label,), node)
    if found is None:
        raise failed("COLUMN_NOT_FOUND", node, f"Column '{label}' is missing from {which} side of join")
    found.use()
    return found


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
        found = unnest(analysis, primary, outer, left, keep=kind == "LEFT")
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
