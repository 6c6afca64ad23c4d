"""Trino's literals, and the names and types written in its parse trees."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from local_athena.data.type_parser import parse_trino
from local_athena.data.types import (
    BIGINT,
    DAY_TO_SECOND,
    DOUBLE,
    INTEGER,
    INTERVAL_DAY,
    INTERVAL_MONTH,
    VARBINARY,
    YEAR_TO_MONTH,
    DataType,
    UnknownTypeError,
    array,
    decimal,
    map_of,
    row,
    varchar,
)
from local_athena.duck.errors import failed, mismatch, place, unsupported
from local_athena.duck.values.scope import Expr
from local_athena.duck.values.snippets import text
from local_athena.duck.values.type_coercion import MAX_PRECISION
from local_athena.errors import QueryFailed

# Trino's types that no value here can have.
_NOT_HELD = frozenset(
    {"hyperloglog", "p4hyperloglog", "qdigest", "tdigest", "setdigest", "geometry", "ipprefix", "color"}
)
_MAX_INT, _MAX_LONG = 2**31 - 1, 2**63 - 1


def source_text(node: Any) -> str:
    """Return the user's own text of a parse tree node."""
    stream = node.start.getInputStream()
    return str(stream.strdata[node.start.start : node.stop.stop + 1])


class Identifier(str):
    """A name in lower case, because Trino compares names so; a result's columns are called as ``written``."""

    written: str

    def __new__(cls, written: str) -> Identifier:
        """Take a name as it is written."""
        made = super().__new__(cls, written.lower())
        made.written = written
        return made


def identifier(node: Any) -> Identifier:
    """Return an identifier's name, without the quotes it may stand in."""
    written = str(node.getText())
    return Identifier(written[1:-1].replace('""', '"') if written.startswith('"') else written)


def qualified(node: Any) -> tuple[str, ...]:
    """Return the parts of a dotted name."""
    return tuple(identifier(part) for part in node.identifier())


def string(node: Any) -> str:
    """Return the value of a string literal, plain or ``U&'…'``."""
    if hasattr(node, "STRING") and type(node).__name__ == "BasicStringLiteralContext":
        return str(node.STRING().getText())[1:-1].replace("''", "'")
    written = str(node.UNICODE_STRING().getText())[3:-1].replace("''", "'")
    escape = str(node.STRING().getText())[1:-1] if node.UESCAPE() else "\\"
    mark = re.escape(escape)

    def decoded(found: re.Match[str]) -> str:
        if found.group(1) is not None:
            return escape
        digits = found.group(2) or found.group(3)
        if digits is None:
            raise failed("SYNTAX_ERROR", node, f"Incomplete escape sequence: {found.group(0)}")
        return chr(int(digits, 16))

    pattern = rf"{mark}({mark})|{mark}\+([0-9a-fA-F]{{6}})|{mark}([0-9a-fA-F]{{4}})|{mark}"
    return re.sub(pattern, decoded, written)


def string_literal(value: str) -> Expr:
    """Return a varchar as long as its value."""
    return Expr(text(value), varchar(len(value)), literal=value)


def number(node: Any) -> Expr:
    """Return an integer, decimal or double literal."""
    written = node.getText()
    kind = type(node).__name__
    if kind == "DoubleLiteralContext":
        return Expr(f"CAST({text(written)} AS DOUBLE)", DOUBLE, literal=float(written))
    if kind == "DecimalLiteralContext":
        digits = written.replace("_", "")
        return decimal_literal(digits, node)
    value = _integer(written)
    if not -_MAX_LONG - 1 <= value <= _MAX_LONG:
        raise QueryFailed(f"{place(node)}: Invalid numeric literal: {written}")  # the parser's own words
    return integer_literal(value)


def _integer(written: str) -> int:
    digits = written.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("-")
    bases = {"0x": 16, "0b": 2, "0o": 8}
    return sign * int(digits, bases.get(digits[:2].lower(), 10))


def integer_literal(value: int) -> Expr:
    """Return an integer, or a bigint when it needs one."""
    kind = INTEGER if -_MAX_INT - 1 <= value <= _MAX_INT else BIGINT
    return Expr(
        f"CAST({value} AS {kind.duckdb})" if value < 0 or kind is BIGINT else str(value), kind, literal=value
    )


def decimal_literal(digits: str, node: Any) -> Expr:
    """Return a decimal whose precision and scale are those written."""
    sign, plain = ("-", digits[1:]) if digits[0] == "-" else ("", digits.lstrip("+"))
    whole, _, fraction = plain.partition(".")
    whole = whole.lstrip("0")
    precision = max(len(whole) + len(fraction), 1)
    if precision > MAX_PRECISION:
        raise failed("NUMERIC_VALUE_OUT_OF_RANGE", node, f"Invalid decimal literal: {digits}")
    kind = decimal(precision, len(fraction))
    value = f"{sign}{whole or '0'}" + (f".{fraction}" if fraction else "")
    return Expr(f"CAST({text(value)} AS {kind.duckdb})", kind, literal=Decimal(value))


def binary(node: Any) -> Expr:
    """``X'65'``."""
    digits = re.sub(r"\s", "", node.getText()[2:-1])
    if len(digits) % 2 or re.search(r"[^0-9a-fA-F]", digits):
        raise failed("SYNTAX_ERROR", node, "Binary literal can only contain hexadecimal digits, in pairs")
    value = bytes.fromhex(digits)
    return Expr(f"unhex('{digits}')", VARBINARY, literal=value)


_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}
_MONTHS = {"MONTH": 1, "YEAR": 12}
_UNITS = ("DAY", "HOUR", "MINUTE", "SECOND")


def interval(node: Any) -> Expr:
    """``INTERVAL '2' DAY``, ``INTERVAL '1 02:03' DAY TO MINUTE``: milliseconds, or months."""
    value = string(node.string())
    first = node.intervalField(0).getText().upper()
    last = node.intervalField(1).getText().upper() if node.TO() else first
    sign = -1 if node.sign is not None and node.sign.text == "-" else 1
    amount = _interval_amount(value, first, last)
    if amount is None:
        raise failed("INVALID_LITERAL", node, f"'{value}' is not a valid INTERVAL literal")
    kind = INTERVAL_MONTH if first in _MONTHS else INTERVAL_DAY
    return Expr(f"CAST({sign * amount} AS BIGINT)", kind, literal=sign * amount)


def _interval_amount(value: str, first: str, last: str) -> int | None:
    if first in _MONTHS:
        pattern = r"\s*([+-]?\d+)\s*" if first == last else r"\s*([+-]?\d+)-(\d+)\s*"
        found = re.fullmatch(pattern, value)
        if found is None:
            return None
        if first == last:
            return int(found.group(1)) * _MONTHS[first]
        months = abs(int(found.group(1))) * 12 + int(found.group(2))
        return -months if found.group(1).startswith("-") else months
    if last not in _UNITS[_UNITS.index(first) :]:
        return None
    units = _UNITS[_UNITS.index(first) : _UNITS.index(last) + 1]
    separators = {"DAY": r"\s+", "HOUR": ":", "MINUTE": ":"}
    pattern = "".join(r"(\d+)" + (separators[unit] if unit != last else "") for unit in units)
    if last == "SECOND":
        pattern += r"(?:\.(\d{1,3}))?"
    found = re.fullmatch(r"\s*([+-]?)" + pattern + r"\s*", value)
    if found is None:
        return None
    total = sum(int(found.group(at + 2)) * _SECONDS[unit] for at, unit in enumerate(units)) * 1000
    if last == "SECOND" and found.group(len(units) + 2):
        total += int(found.group(len(units) + 2).ljust(3, "0"))
    return -total if found.group(1) == "-" else total


def data_type(node: Any) -> DataType:
    """Return the type written in a cast. Raises QueryFailed for one Trino does not have."""
    kind = type(node).__name__
    try:
        if kind == "RowTypeContext":
            return row(*(_row_field(field) for field in node.rowField()))
        if kind in ("ArrayTypeContext", "LegacyArrayTypeContext"):
            inner = node.type_()
            return array(data_type(inner[0] if isinstance(inner, list) else inner))
        if kind == "LegacyMapTypeContext":
            return map_of(data_type(node.keyType), data_type(node.valueType))
        if kind == "IntervalTypeContext":
            months = node.intervalField(0).getText().upper() in _MONTHS
            return DataType(YEAR_TO_MONTH if months else DAY_TO_SECOND)
        if kind == "GenericTypeContext":
            return _generic(node)
        return parse_trino(re.sub(r"\s+", " ", source_text(node)))
    except UnknownTypeError as error:
        if source_text(node).lower().partition("(")[0] in _NOT_HELD:
            raise unsupported(node, f"The type {source_text(node)}") from error
        raise mismatch(node, f"Unknown type: {source_text(node).lower()}") from error


def _row_field(node: Any) -> tuple[str | None, DataType]:
    return (identifier(node.identifier()) if node.identifier() else None), data_type(node.type_())


def _generic(node: Any) -> DataType:
    base = identifier(node.identifier())
    inner = [parameter.type_() for parameter in node.typeParameter() if parameter.type_()]
    if base == "array" and len(inner) == 1:
        return array(data_type(inner[0]))
    if base == "map" and len(inner) == 2:
        return map_of(data_type(inner[0]), data_type(inner[1]))
    if inner:
        raise UnknownTypeError(base)
    numbers = ",".join(parameter.getText() for parameter in node.typeParameter())
    found = parse_trino(f"{base}({numbers})" if numbers else base)
    if found.name == "unknown" or base in (
        "string",
        "binary",
        "float",
        "blob",
        "long",
        "bool",
        "void",
        "null",
    ):
        raise UnknownTypeError(base)  # Hive's and DuckDB's names
    if found.parameters and found.name in ("varchar", "char") and found.parameters[0] > _MAX_INT:
        raise mismatch(node, f"{base.upper()} length is too large")
    return found
