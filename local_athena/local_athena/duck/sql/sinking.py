"""Through which columns of a SELECT a condition from above may sink."""

from __future__ import annotations

from typing import Any

from local_athena.duck.sql.grouping import Grouping
from local_athena.duck.values.scope import Expr, Field


def sinking(outputs: list[tuple[Field, Expr, Any]], grouping: Grouping | None) -> dict[Field, Expr]:
    """Return the columns through which a condition may sink, and what they are made of below."""
    partitions = [value.partitioned_by for _, value, _ in outputs if value.partitioned_by is not None]
    within = frozenset.intersection(*partitions) if partitions else None
    found: dict[Field, Expr] = {}
    for one, value, _ in outputs:
        if value.aggregate or value.window or value.subquery or value.volatile:
            continue
        if within is not None and value.sql not in within:
            continue
        if grouping is None:
            found[one] = value
        elif grouping.sets is not None and len(grouping.sets) == 1 and value.sql in grouping.sets[0]:
            found[one] = grouping.sources[value.sql]
    return found
