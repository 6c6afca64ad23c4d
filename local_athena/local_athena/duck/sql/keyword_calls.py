"""Calls that SQL writes with keywords: EXTRACT, TRIM, POSITION, AT TIME ZONE, current_date, GROUPING."""

from __future__ import annotations

from typing import Any

from local_athena.data.types import BIGINT, INTEGER, TIMESTAMP_TZ, VARCHAR
from local_athena.duck.errors import column_not_found, failed, mismatch, unsupported
from local_athena.duck.sql import aggregate_calls, calls, special_forms, typed_literals
from local_athena.duck.sql.context import Expressions
from local_athena.duck.values import literals
from local_athena.duck.values.scope import Expr, made_from
from local_athena.duck.values.snippets import text

_BITS_OF_INTEGER = 32


def at_time_zone(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``x AT TIME ZONE zone``."""
    zone = node.timeZoneSpecifier()
    if not hasattr(zone, "string"):
        raise unsupported(node, "AT TIME ZONE with an interval")
    value = analyzer.analyze(node.valueExpression())
    if value.type.name not in ("timestamp", TIMESTAMP_TZ):
        raise mismatch(
            node,
            "Type of value must be a time or timestamp with or without time zone "
            f"(actual {value.type.trino})",
        )
    wanted = literals.string_literal(literals.string(zone.string()))
    return calls.call_named(analyzer, "at_timezone", [value, wanted], node)


def extract(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``EXTRACT(field FROM x)``."""
    field = literals.identifier(node.identifier())
    if field not in special_forms.EXTRACTED:
        raise failed("INVALID_FUNCTION_ARGUMENT", node, f"Invalid EXTRACT field: {field.upper()}")
    name, operand = special_forms.EXTRACTED[field], analyzer.analyze(node.valueExpression())
    return calls.call_named(analyzer, name, [operand], node)


def substring(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``SUBSTRING(x FROM start FOR length)``."""
    return calls.call_named(
        analyzer, "substr", [analyzer.analyze(part) for part in node.valueExpression()], node
    )


def position(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``POSITION(part IN whole)``."""
    part, whole = (analyzer.analyze(side) for side in node.valueExpression())
    return calls.call_named(analyzer, "strpos", [whole, part], node)


def trim(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``TRIM(LEADING c FROM x)`` and its kin."""
    function = "trim"
    if node.trimsSpecification() is not None:
        word = node.trimsSpecification().getText().upper()
        function = {"LEADING": "ltrim", "TRAILING": "rtrim", "BOTH": "trim"}[word]
    arguments = [analyzer.analyze(node.trimSource)]
    if node.trimChar is not None:
        arguments.append(analyzer.analyze(node.trimChar))
    return calls.call_named(analyzer, function, arguments, node)


def normalize(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``NORMALIZE(x, NFC)``."""
    if node.normalForm() is not None and node.normalForm().getText().upper() != "NFC":
        raise unsupported(node, "Another normal form than NFC")
    return calls.call_named(analyzer, "normalize", [analyzer.analyze(node.valueExpression())], node)


def moment_now(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``current_date`` and its kin."""
    return typed_literals.now(analyzer.analysis.now, node.name.text.lower(), node)


def session_name(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``current_catalog`` and ``current_schema``."""
    value = {
        "CurrentCatalogContext": "awsdatacatalog",
        "CurrentSchemaContext": analyzer.analysis.database,
    }.get(type(node).__name__)
    if value is None:
        raise unsupported(node, literals.source_text(node))
    return Expr(text(value), VARCHAR, literal=value)


def grouping(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``GROUPING(a, b)``: a bit for each key that the row does not group by."""
    if analyzer.keys is None:
        raise failed(
            "MISSING_GROUP_BY",
            node,
            "A GROUPING() operation can only be used with a corresponding "
            "GROUPING SET/CUBE/ROLLUP/GROUP BY clause",
        )
    keys = []
    for part in node.qualifiedName():
        parts = literals.qualified(part)
        found = analyzer.column(parts, part)
        if found is None:
            raise column_not_found(part, ".".join(parts))
        if found.sql not in analyzer.keys:
            raise failed(
                "INVALID_ARGUMENTS",
                node,
                "The arguments to GROUPING() must be expressions referenced by the GROUP BY at line 1:1",
            )
        keys.append(analyzer.keys[found.sql])
    kind = INTEGER if len(keys) < _BITS_OF_INTEGER else BIGINT
    sql = f"CAST(GROUPING({', '.join(key.sql for key in keys)}) AS {kind.duckdb})"
    return made_from(sql, kind, aggregate=True, opaque=(sql,))


def listagg(analyzer: Expressions, node: Any) -> Expr:
    """Analyse ``LISTAGG(x, separator) WITHIN GROUP (…)``."""
    return aggregate_calls.listagg(analyzer, node)
