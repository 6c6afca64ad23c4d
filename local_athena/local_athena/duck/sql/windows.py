"""OVER: partitions, orders and frames of window functions."""

from __future__ import annotations

from typing import Any

from local_athena.data.types import DAY_TO_SECOND, YEAR_TO_MONTH
from local_athena.duck.errors import failed, mismatch, unsupported
from local_athena.duck.sql.context import Expressions
from local_athena.duck.values import literals
from local_athena.duck.values.comparisons import comparison_key
from local_athena.duck.values.scope import Expr
from local_athena.duck.values.type_coercion import INTEGRAL


def window(analyzer: Expressions, node: Any) -> tuple[str, list[Expr], list[str]]:
    """Return what stands inside ``OVER (…)``, its expressions, and the SQL of its partition keys."""
    if node.windowName is not None:
        return _specification(analyzer, _named(analyzer, node.windowName))
    return _specification(analyzer, node.windowSpecification())


def _named(analyzer: Expressions, node: Any) -> Any:
    label = literals.identifier(node)
    found = analyzer.windows.get(label)
    if found is None:
        raise failed("INVALID_WINDOW_REFERENCE", node, f"Cannot resolve WINDOW name {label}")
    return found


def _specification(analyzer: Expressions, node: Any) -> tuple[str, list[Expr], list[str]]:
    pieces: list[str] = []
    parts: list[Expr] = []
    partition: list[str] = []
    base = _named(analyzer, node.existingWindowName) if node.existingWindowName is not None else None
    chain = [base, node] if base is not None else [node]
    by = [expression for one in chain for expression in one.partition]
    if by:
        keys = [analyzer.analyze(one) for one in by]
        parts += keys
        partition = [key.sql for key in keys]
        pieces.append("PARTITION BY " + ", ".join(comparison_key(key) for key in keys))
    items = [item for one in chain for item in one.sortItem()]
    order = [analyzer.analyze(item.expression()) for item in items]
    if items:
        parts += order
        pieces.append(
            "ORDER BY "
            + ", ".join(analyzer.sort_key(item, key) for item, key in zip(items, order, strict=True))
        )
    frames = [one.windowFrame() for one in chain if one.windowFrame() is not None]
    if frames:
        pieces.append(_frame(analyzer, frames[-1], order, parts))
    return " ".join(pieces), parts, partition


def _frame(analyzer: Expressions, node: Any, order: list[Expr], parts: list[Expr]) -> str:
    if node.PATTERN() or node.DEFINE() or node.MEASURES():
        raise unsupported(node, "Row pattern recognition in a window")
    extent = node.frameExtent()
    _refuse_backward(node, extent)
    kind = extent.frameType.text.upper()
    start = _bound(analyzer, extent.start, kind, order, parts)
    if extent.end is None:
        return f"{kind} {start}"
    return f"{kind} BETWEEN {start} AND {_bound(analyzer, extent.end, kind, order, parts)}"


_PRECEDING, _CURRENT, _FOLLOWING = "PRECEDING", "CURRENT ROW", "FOLLOWING"


def _side(bound: Any) -> str:
    if bound is None or type(bound).__name__ == "CurrentRowBoundContext":
        return _CURRENT
    return str(bound.boundType.text.upper())


def _refuse_backward(node: Any, extent: Any) -> None:
    """Refuse a frame that ends before it starts, whatever the rows are."""
    start, end = _side(extent.start), _side(extent.end)
    message = None
    if type(extent.start).__name__ == "UnboundedFrameContext" and start == _FOLLOWING:
        message = "Window frame start cannot be UNBOUNDED FOLLOWING"
    elif type(extent.end).__name__ == "UnboundedFrameContext" and end == _PRECEDING:
        message = "Window frame end cannot be UNBOUNDED PRECEDING"
    elif (start, end) in ((_CURRENT, _PRECEDING), (_FOLLOWING, _PRECEDING), (_FOLLOWING, _CURRENT)):
        message = f"Window frame starting from {start} cannot end with {end}"
    if message is not None:
        raise failed("INVALID_WINDOW_FRAME", node, message)


def _bound(analyzer: Expressions, node: Any, kind: str, order: list[Expr], parts: list[Expr]) -> str:
    name = type(node).__name__
    if name == "CurrentRowBoundContext":
        return "CURRENT ROW"
    direction = node.boundType.text.upper()
    if name == "UnboundedFrameContext":
        return f"UNBOUNDED {direction}"
    value = analyzer.analyze(node.expression())
    parts.append(value)
    if kind != "RANGE" and value.type.name not in INTEGRAL:
        raise mismatch(
            node,
            f"Window frame {kind} offset type must be exact numeric type with scale 0: {value.type.trino}",
        )
    if kind == "RANGE" and len(order) != 1:
        raise failed(
            "MISSING_ORDER_BY",
            node,
            "Window frame of type RANGE PRECEDING or FOLLOWING requires single sort item in ORDER BY",
        )
    sql = value.sql
    if value.type.name == DAY_TO_SECOND:
        sql = f"to_milliseconds({sql})"
    elif value.type.name == YEAR_TO_MONTH:
        sql = f"to_months(CAST({sql} AS INTEGER))"
    return f"{sql} {direction}"
