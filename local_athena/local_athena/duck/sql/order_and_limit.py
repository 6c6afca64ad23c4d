"""The end of a query: ORDER BY, OFFSET, LIMIT and FETCH FIRST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from local_athena.duck.errors import failed
from local_athena.duck.sql.context import Analysis


@dataclass(slots=True)
class Tail:
    """ORDER BY, OFFSET and LIMIT of a query."""

    items: list[Any] = field(default_factory=list)
    offset: int | None = None
    limit: int | None = None
    with_ties: bool = False
    root: bool = False

    @property
    def cuts(self) -> bool:
        """Whether rows are left out."""
        return self.offset is not None or self.limit is not None

    @property
    def sorts(self) -> bool:
        """Whether the order matters: only at the top, or where rows are cut off."""
        return bool(self.items) and (self.root or self.cuts)

    def text(self, keys: Sequence[str]) -> str:
        """Return the clauses that follow FROM."""
        pieces = [f"ORDER BY {', '.join(keys)}"] if keys else []
        if self.limit is not None:
            pieces.append(f"LIMIT {self.limit}")
        if self.offset is not None:
            pieces.append(f"OFFSET {self.offset}")
        return " ".join(["", *pieces]) if pieces else ""


def read_tail(analysis: Analysis, node: Any, root: bool) -> Tail:
    """Read what stands behind a query; ``root`` is the outermost one."""
    tail = Tail(list(node.sortItem()), root=root)
    if node.offset is not None:
        tail.offset = _count(analysis, node.offset, "OFFSET")
    if node.limit is not None and not node.limit.ALL():
        tail.limit = _count(analysis, node.limit.rowCount(), "LIMIT")
    if node.FETCH():
        tail.limit = _count(analysis, node.fetchFirst, "FETCH FIRST") if node.fetchFirst is not None else 1
        tail.with_ties = node.TIES() is not None
        if tail.limit == 0:
            raise failed(
                "NUMERIC_VALUE_OUT_OF_RANGE", node, "FETCH FIRST row count must be positive (actual value: 0)"
            )
        if tail.with_ties and not tail.items:
            raise failed("MISSING_ORDER_BY", node, "FETCH FIRST WITH TIES clause requires ORDER BY")
    return tail


def _count(analysis: Analysis, node: Any, clause: str) -> int:
    if node.QUESTION_MARK():
        value = analysis.parameter(node).literal
        if not isinstance(value, int) or value < 0:
            raise failed("TYPE_MISMATCH", node, f"Non constant parameter value for {clause}: {value}")
        return value
    return int(node.getText().replace("_", ""))


def finished(selected: str, shown: str, keys: Sequence[str], tail: Tail) -> str:
    """Add ORDER BY, OFFSET and LIMIT around a SELECT."""
    if tail.with_ties and tail.limit is not None:
        return _with_ties(selected, shown, keys, tail)
    if not keys and not tail.cuts:
        return selected
    return f"SELECT {shown} FROM ({selected}){tail.text(keys)}"


def _with_ties(selected: str, shown: str, keys: Sequence[str], tail: Tail) -> str:
    by = ", ".join(keys)
    kept = f"SELECT * FROM ({selected}) ORDER BY {by} OFFSET {tail.offset or 0}"
    ranked = f'SELECT *, rank() OVER (ORDER BY {by}) AS "rank#" FROM ({kept})'
    return f'SELECT {shown} FROM ({ranked}) WHERE "rank#" <= {tail.limit} ORDER BY {by}'


def bare_integer(node: Any) -> int | None:
    """Return the number an expression is, when it is nothing but a whole number."""
    while node.getChildCount() == 1 and type(node).__name__ != "NumericLiteralContext":
        node = node.getChild(0)
    if type(node).__name__ != "NumericLiteralContext" or not node.getText().isdigit():
        return None
    return int(node.getText())
