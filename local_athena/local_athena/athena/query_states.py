"""The states of a query execution (Athena API reference, "QueryExecutionStatus", read 2026-11)."""

from __future__ import annotations

from enum import Enum


class QueryState(Enum):
    """Where a query stands. It never goes back, and never leaves one of the last three."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


PENDING = frozenset({QueryState.QUEUED, QueryState.RUNNING})
