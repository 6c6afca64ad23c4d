"""Trino's expressions: names resolved, types found, DuckDB SQL written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from local_athena.data.types import BIGINT, BOOLEAN, INTEGER, TIMESTAMP_TZ, UNKNOWN, VARCHAR, array, row
from local_athena.duck.errors import column_not_found, failed, mismatch, unsupported
from local_athena.duck.sql import calls, predicates, special_forms
from local_athena.duck.sql.context import Expressions
from local_athena.duck.sql.tree_shapes import chain_of, dotted
from local_athena.duck.values import literals
from local_athena.duck.values.operators import (
    arithmetic,
    attempt,
    compare,
    concatenate,
    convert,
    negate,
    unify,
)
from local_athena.duck.values.scope import Expr, made_from
from local_athena.duck.values.snippets import ensure, fill, name, text

_BITS_OF_INTEGER = 32
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

    def _at_time_zone(self, node: Any) -> Expr:
        zone = node.timeZoneSpecifier()
        if not hasattr(zone, "string"):
            raise unsupported(node, "AT TIME ZONE with an interval")
        value = self.analyze(node.valueExpression())
        if value.type.name not in ("timestamp", TIMESTAMP_TZ):
            raise mismatch(
                node,
                "Type of value must be a time or timestamp with or without time zone "
                f"(actual {value.type.trino})",
            )
        wanted = literals.string_literal(literals.string(zone.string()))
        return calls.call_named(self, "at_timezone", [value, wanted], node)

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
        return special_forms.typed_literal(kind, literals.string(node.string()), node)

    def _simple_case(self, node: Any) -> Expr:
        operand = self.analyze(node.operand)
        branches = node.whenClause()
        wanted = [self.analyze(branch.condition) for branch in branches]
        operand, *wanted = unify(
            [operand, *wanted], node, "CASE operand type does not match WHEN clause operand types: {}"
        )
        results = self._case_results(node, branches)
        equal = [compare(operand, "=", when, node).sql for when in wanted]
        whens = "".join(
            f" WHEN {condition} THEN {result.sql}" for condition, result in zip(equal, results, strict=False)
        )
        otherwise = f" ELSE {results[-1].sql}" if node.elseExpression is not None else ""
        sql = f"CASE{whens}{otherwise} END"
        return made_from(sql, results[0].type, operand, *wanted, *results)

    def _searched_case(self, node: Any) -> Expr:
        branches = node.whenClause()
        message = "CASE WHEN clause must evaluate to a boolean (actual: {})"
        conditions = [self.boolean(branch.condition, message) for branch in branches]
        results = self._case_results(node, branches)
        whens = "".join(
            f" WHEN {condition.sql} THEN {result.sql}"
            for condition, result in zip(conditions, results, strict=False)
        )
        otherwise = f" ELSE {results[-1].sql}" if node.elseExpression is not None else ""
        return made_from(f"CASE{whens}{otherwise} END", results[0].type, *conditions, *results)

    def _case_results(self, node: Any, branches: list[Any]) -> list[Expr]:
        results = [self.analyze(branch.result) for branch in branches]
        if node.elseExpression is not None:
            results.append(self.analyze(node.elseExpression))
        return unify(
            results,
            node,
            "All CASE results must be the same type or coercible to a common type. "
            "Cannot find common type between {}",
        )

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

    # --- forms of their own ---

    def _function(self, node: Any) -> Expr:
        return calls.function_call(self, node)

    def _extract(self, node: Any) -> Expr:
        field = literals.identifier(node.identifier())
        if field not in special_forms.EXTRACTED:
            raise failed("INVALID_FUNCTION_ARGUMENT", node, f"Invalid EXTRACT field: {field.upper()}")
        name, operand = special_forms.EXTRACTED[field], self.analyze(node.valueExpression())
        return calls.call_named(self, name, [operand], node)

    def _substring(self, node: Any) -> Expr:
        return calls.call_named(self, "substr", [self.analyze(part) for part in node.valueExpression()], node)

    def _position(self, node: Any) -> Expr:
        part, whole = (self.analyze(side) for side in node.valueExpression())
        return calls.call_named(self, "strpos", [whole, part], node)

    def _trim(self, node: Any) -> Expr:
        function = "trim"
        if node.trimsSpecification() is not None:
            word = node.trimsSpecification().getText().upper()
            function = {"LEADING": "ltrim", "TRAILING": "rtrim", "BOTH": "trim"}[word]
        arguments = [self.analyze(node.trimSource)]
        if node.trimChar is not None:
            arguments.append(self.analyze(node.trimChar))
        return calls.call_named(self, function, arguments, node)

    def _normalize(self, node: Any) -> Expr:
        if node.normalForm() is not None and node.normalForm().getText().upper() != "NFC":
            raise unsupported(node, "Another normal form than NFC")
        return calls.call_named(self, "normalize", [self.analyze(node.valueExpression())], node)

    def _moment_now(self, node: Any) -> Expr:
        return special_forms.now(self.analysis.now, node.name.text.lower(), node)

    def _session_name(self, node: Any) -> Expr:
        value = {
            "CurrentCatalogContext": "awsdatacatalog",
            "CurrentSchemaContext": self.analysis.database,
        }.get(type(node).__name__)
        if value is None:
            raise unsupported(node, literals.source_text(node))
        return Expr(text(value), VARCHAR, literal=value)

    def _grouping(self, node: Any) -> Expr:
        if self.keys is None:
            raise failed(
                "MISSING_GROUP_BY",
                node,
                "A GROUPING() operation can only be used with a corresponding "
                "GROUPING SET/CUBE/ROLLUP/GROUP BY clause",
            )
        keys = []
        for part in node.qualifiedName():
            parts = literals.qualified(part)
            found = self.column(parts, part)
            if found is None:
                raise column_not_found(part, ".".join(parts))
            if found.sql not in self.keys:
                raise failed(
                    "INVALID_ARGUMENTS",
                    node,
                    "The arguments to GROUPING() must be expressions referenced by the GROUP BY at line 1:1",
                )
            keys.append(self.keys[found.sql])
        kind = INTEGER if len(keys) < _BITS_OF_INTEGER else BIGINT
        sql = f"CAST(GROUPING({', '.join(key.sql for key in keys)}) AS {kind.duckdb})"
        return made_from(sql, kind, aggregate=True, opaque=(sql,))

    def _listagg(self, node: Any) -> Expr:
        return calls.listagg(self, node)


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
    "AtTimeZoneContext": ExpressionAnalyzer._at_time_zone,
    "ParameterContext": ExpressionAnalyzer._parameter,
    "RowConstructorContext": ExpressionAnalyzer._row,
    "ArrayConstructorContext": ExpressionAnalyzer._array,
    "SubscriptContext": ExpressionAnalyzer._subscript,
    "CastContext": ExpressionAnalyzer._cast,
    "TypeConstructorContext": ExpressionAnalyzer._type_constructor,
    "SimpleCaseContext": ExpressionAnalyzer._simple_case,
    "SearchedCaseContext": ExpressionAnalyzer._searched_case,
    "LambdaContext": ExpressionAnalyzer._lambda,
    "SubqueryExpressionContext": ExpressionAnalyzer._scalar_subquery,
    "ExistsContext": ExpressionAnalyzer._exists,
    "FunctionCallContext": ExpressionAnalyzer._function,
    "ExtractContext": ExpressionAnalyzer._extract,
    "SubstringContext": ExpressionAnalyzer._substring,
    "PositionContext": ExpressionAnalyzer._position,
    "TrimContext": ExpressionAnalyzer._trim,
    "NormalizeContext": ExpressionAnalyzer._normalize,
    "SpecialDateTimeFunctionContext": ExpressionAnalyzer._moment_now,
    "CurrentCatalogContext": ExpressionAnalyzer._session_name,
    "CurrentSchemaContext": ExpressionAnalyzer._session_name,
    "GroupingOperationContext": ExpressionAnalyzer._grouping,
    "ListaggContext": ExpressionAnalyzer._listagg,
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
