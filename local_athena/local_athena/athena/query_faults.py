"""What a test may have go wrong in a query's run, as far as the run needs it."""

from __future__ import annotations

from typing import Protocol

from local_athena.errors import QueryFailed


class QueryFault(Protocol):
    """A failure somebody asked for."""

    @property
    def reason(self) -> str:
        """The StateChangeReason."""
        ...

    @property
    def category(self) -> int:
        """AthenaError's ErrorCategory."""
        ...

    @property
    def error_type(self) -> int:
        """AthenaError's ErrorType."""
        ...

    @property
    def retryable(self) -> bool:
        """AthenaError's Retryable."""
        ...

    @property
    def when(self) -> str:
        """``before`` the statement runs; otherwise once its files are written, which then stay."""
        ...


class QueryKnobs(Protocol):
    """What a test may do to queries."""

    def query_latency(self) -> float:
        """Seconds to add to a query's run."""
        ...

    def update_count(self, substatement_type: str, rows: int | None) -> int | None:
        """Return the UpdateCount to tell of a statement that wrote so many rows."""
        ...

    def query_fault(self, sql: str) -> QueryFault | None:
        """Return the failure a query is to end with, if any."""
        ...


def failure_of(fault: QueryFault) -> QueryFailed:
    """Return how a query fails by a fault."""
    return QueryFailed(fault.reason, fault.category, fault.error_type, fault.retryable)
