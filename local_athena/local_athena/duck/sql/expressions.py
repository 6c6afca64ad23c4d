"""Trino's expressions: names resolved, types found, DuckDB SQL written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from local_athena.data.types import BIGINT, BOOLEAN, UNKNOWN, array, row
from local_athena.duck.errors import column_not_found, failed, mismatch, unsupported
from local_athena.duck.sql import calls, case, keyword_calls, predicates, special_forms, typed_literals
from local_athena.duck.sql.context import Expressions
from local_athena.duck.sql.tree_shapes import chain_of, dotted
from local_athena.duck.values import literals
from local_athena.duck.values.conversions import attempt, convert, unify
from local_athena.duck.values.operators import arithmetic, concatenate, negate
from local_athena.duck.values.scope import Expr, made_from
from local_athena.duck.values.snippets import ensure, fill, name

_ARRAY_SUBSCRIPT = ensure(
    "{1} = 0",
    "'INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1'",
    ensure(
        "{1} < 0",
        "'INVALID_FUNCTION_ARGUMENT: Array subscript is negative: ', {1}",
        ensure(
            "{1} > len({0})",
            "'INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array length: ', "
            "{1}, ' > ', len({0})",
            "{0}[{1}]",
        ),
    ),
)
_MAP_SUBSCRIPT = ensure(
    "NOT list_contains(map_keys({0}), {1})",
    "'INVALID_FUNCTION_ARGUMENT: Key not present in map: ', CAST({1} AS VARCHAR)",
    "{0}[{1}]",
)


class ExpressionAnalyzer(Expressions):
    """The analyser that knows every kind of expression, by the names of the grammar's contexts."""

    def handle(self, node: Any) -> Expr:
        """Return the typed expression of a node that is more than a wrapping. Raises QueryFailed."""
        handler = _HANDLERS.get(type(node).__name__)
        if handler is None:
            raise unsupported(node, f"'{literals.source_text(node)}'")
        return handler(self, node)

    # --- names ---

    def _column_reference(self, node: Any) -> Expr:
        label = literals.identifier(node.identifier())
        found = self.column((label,), node)
        if found is None:
            raise column_not_found(node, node.getText().strip('"'))
        return replace(found, name=label)

    def _dereference(self, node: Any) -> Expr:
        parts = dotted(node)
        if parts is not None:
            found = self.column(parts, node)
            if found is not None:
                return replace(found, name=parts[-1])
            if not any(self.column(parts[:length], node) for length in range(1, len(parts))):
                raise column_not_found(node, ".".join(parts))
        base = self.analyze(node.base)
        label = literals.identifier(node.fieldName)
        if base.type.name != "row":
            raise mismatch(node, f"Expression {literals.source_text(node.base)} is not of type ROW")
        for given, (held, kind) in zip(base.type.field_names, base.type.fields, strict=True):
            if given is not None and given.lower() == label:
                return made_from(f"({base.sql}).{name(held)}", kind, base, name=label)
        shown = ".".join(parts) if parts is not None else label
        raise failed("INVALID_COLUMN_REFERENCE", node, f"Column reference '{shown}' is invalid")

    # --- conditions ---

    def _predicated(self, node: Any) -> Expr:
        predicate = node.predicate()
        value = self.analyze(node.valueExpression())
        return value if predicate is None else predicates.predicate(self, value, predicate)

    def _logical(self, node: Any) -> Expr:
        word = "AND" if type(node).__name__ == "AndContext" else "OR"
        message = "Logical expression term must evaluate to a boolean (actual: {})"
        sides = [self.boolean(side, message) for side in chain_of(node)]
        return made_from(f"({f' {word} '.join(side.sql for side in sides)})", BOOLEAN, *sides)

    def _not(self, node: Any) -> Expr:
        message = "Value of logical NOT expression must evaluate to a boolean (actual: {})"
        value = self.boolean(node.booleanExpression(), message)
        return made_from(f"(NOT {value.sql})", BOOLEAN, value)

    # --- subqueries ---

    def _scalar_subquery(self, node: Any) -> Expr:
        relation, inner = self.subquery(node.query())
        field = predicates.only_column(relation, node)
        sql = f"({relation.sql})"
        return made_from(sql, field.type, inner, subquery=True, opaque=(sql,))

    def _exists(self, node: Any) -> Expr:
        relation, inner = self.subquery(node.query())
        sql = f"EXISTS ({relation.sql})"
        return made_from(sql, BOOLEAN, inner, subquery=True, opaque=(sql,))

    # --- values ---

    def _arithmetic_binary(self, node: Any) -> Expr:
        return arithmetic(
            self.analyze(node.left), node.operator.text, self.analyze(node.right), node.operator
        )

    def _arithmetic_unary(self, node: Any) -> Expr:
        value = self.analyze(node.valueExpression())
        return negate(value, node) if node.operator.text == "-" else value

    def _concatenation(self, node: Any) -> Expr:
        return concatenate(self.analyze(node.left), self.analyze(node.right), node.CONCAT().symbol)

    def _parameter(self, node: Any) -> Expr:
        return self.analysis.parameter(node)

    def _row(self, node: Any) -> Expr:
        values = [self.analyze(item) for item in node.expression()]
        kind = row(*((None, value.type) for value in values))
        cells = ", ".join(
            f"{name(label)} := {value.sql}" for (label, _), value in zip(kind.fields, values, strict=True)
        )
        return made_from(f"struct_pack({cells})", kind, *values)

    def _array(self, node: Any) -> Expr:
        values = [self.analyze(item) for item in node.expression()]
        items = unify(values, node, "All ARRAY elements must be the same type: {}")
        kind = array(items[0].type if items else UNKNOWN)
        sql = f"[{', '.join(item.sql for item in items)}]"
        return made_from(sql if items else f"CAST([] AS {kind.duckdb})", kind, *items)

    def _subscript(self, node: Any) -> Expr:
        value, index = self.analyze(node.value), self.analyze(node.index)
        if value.type.name == "row":
            return _row_item(value, index, node)
        if value.type.name == "array":
            wanted, kind, template = BIGINT, value.type.children[0], _ARRAY_SUBSCRIPT
        elif value.type.name == "map":
            wanted, kind, template = value.type.children[0], value.type.children[1], _MAP_SUBSCRIPT
        else:
            raise mismatch(node, f"Cannot apply operator: {value.type.trino}[{index.type.trino}]")
        if not special_forms.fits(index.type, wanted):
            raise mismatch(node, f"Cannot apply operator: {value.type.trino}[{index.type.trino}]")
        at = convert(index, wanted, node)
        return made_from(fill(template, [value.sql, at.sql]), kind, value, at)

    def _cast(self, node: Any) -> Expr:
        value = self.analyze(node.expression())
        found = convert(value, literals.data_type(node.type_()), node)
        return attempt(found) if node.TRY_CAST() else found

    def _type_constructor(self, node: Any) -> Expr:
        kind = "double" if node.DOUBLE() else literals.identifier(node.identifier())
        return typed_literals.typed_literal(kind, literals.string(node.string()), node)

    def _lambda(self, node: Any) -> Expr:
        raise mismatch(node, "Lambda expression should always be used inside a function")

    def _plain_literal(self, node: Any) -> Expr:
        kind = type(node).__name__
        if kind == "NullLiteralContext":
            return Expr("NULL", UNKNOWN, literal=None)
        if kind == "BooleanLiteralContext":
            value = node.getText().upper() == "TRUE"
            return Expr("TRUE" if value else "FALSE", BOOLEAN, literal=value)
        if kind == "StringLiteralContext":
            return literals.string_literal(literals.string(node.string()))
        if kind == "NumericLiteralContext":
            return literals.number(node.number())
        if kind == "BinaryLiteralContext":
            return literals.binary(node)
        return literals.interval(node.interval())

    def _function(self, node: Any) -> Expr:
        return calls.function_call(self, node)


def _row_item(value: Expr, index: Expr, node: Any) -> Expr:
    if not isinstance(index.literal, int) or isinstance(index.literal, bool):
        raise failed("EXPRESSION_NOT_CONSTANT", node, "Subscript expression on ROW requires a constant index")
    if not 1 <= index.literal <= len(value.type.children):
        raise failed(
            "INVALID_FUNCTION_ARGUMENT",
            node,
            f"Invalid subscript index: {index.literal}. ROW indices start at 1"
            if index.literal < 1
            else f"Subscript index out of bounds: {index.literal}, max value is {len(value.type.children)}",
        )
    label, kind = value.type.fields[index.literal - 1]
    return made_from(f"({value.sql}).{name(label)}", kind, value)


Handler = Callable[[ExpressionAnalyzer, Any], Expr]
_HANDLERS: dict[str, Handler] = {
    "PredicatedContext": ExpressionAnalyzer._predicated,
    "AndContext": ExpressionAnalyzer._logical,
    "OrContext": ExpressionAnalyzer._logical,
    "LogicalNotContext": ExpressionAnalyzer._not,
    "ColumnReferenceContext": ExpressionAnalyzer._column_reference,
    "DereferenceContext": ExpressionAnalyzer._dereference,
    "ArithmeticBinaryContext": ExpressionAnalyzer._arithmetic_binary,
    "ArithmeticUnaryContext": ExpressionAnalyzer._arithmetic_unary,
    "ConcatenationContext": ExpressionAnalyzer._concatenation,
    "AtTimeZoneContext": keyword_calls.at_time_zone,
    "ParameterContext": ExpressionAnalyzer._parameter,
    "RowConstructorContext": ExpressionAnalyzer._row,
    "ArrayConstructorContext": ExpressionAnalyzer._array,
    "SubscriptContext": ExpressionAnalyzer._subscript,
    "CastContext": ExpressionAnalyzer._cast,
    "TypeConstructorContext": ExpressionAnalyzer._type_constructor,
    "SimpleCaseContext": case.simple_case,
    "SearchedCaseContext": case.searched_case,
    "LambdaContext": ExpressionAnalyzer._lambda,
    "SubqueryExpressionContext": ExpressionAnalyzer._scalar_subquery,
    "ExistsContext": ExpressionAnalyzer._exists,
    "FunctionCallContext": ExpressionAnalyzer._function,
    "ExtractContext": keyword_calls.extract,
    "SubstringContext": keyword_calls.substring,
    "PositionContext": keyword_calls.position,
    "TrimContext": keyword_calls.trim,
    "NormalizeContext": keyword_calls.normalize,
    "SpecialDateTimeFunctionContext": keyword_calls.moment_now,
    "CurrentCatalogContext": keyword_calls.session_name,
    "CurrentSchemaContext": keyword_calls.session_name,
    "GroupingOperationContext": keyword_calls.grouping,
    "ListaggContext": keyword_calls.listagg,
    **dict.fromkeys(
        (
            "NullLiteralContext",
            "BooleanLiteralContext",
            "StringLiteralContext",
            "NumericLiteralContext",
            "BinaryLiteralContext",
            "IntervalLiteralContext",
        ),
        ExpressionAnalyzer._plain_literal,
    ),
}
