"""How a local Athena says no: to whoever runs it, to a call, and to a query."""

from __future__ import annotations

from dataclasses import dataclass

# Error types of failed queries (Athena user guide, "Athena error catalog", read 2026-11).
USER_ERROR = 1000
DDL_TASK_FAILED = 1003
SCHEMA_ERROR = 1004


class LocalAthenaError(Exception):
    """The local Athena did not start, is not there any more, or lacks what it was asked to run."""


@dataclass(slots=True)
class ApiError(Exception):
    """An Athena API call is refused: the client sees ``code`` and ``message`` with HTTP ``status``."""

    code: str
    message: str
    status: int = 400

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(slots=True)
class QueryFailed(Exception):
    """A query that started ends FAILED: ``reason`` becomes its StateChangeReason.

    ``category`` and ``error_type`` are Athena's (User Guide, "Athena error catalog", read 2026-11); of the
    categories 1 is system, 2 user, 3 other.
    """

    reason: str
    category: int = 2
    error_type: int = 1006
    retryable: bool = False

    def __str__(self) -> str:
        return self.reason


class QueryCancelled(Exception):
    """The query was stopped by its user while it ran."""
