"""What Athena says of its queries, as values, and the one decision drawn from it. Runs nothing.

Success is only SUCCEEDED. A state this module does not know is an error, never a success: a new state of
Athena's must not be mistaken for data that is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_quilt_athena.core.athena.console import query_url
from airflow_quilt_athena.core.athena.remedies import remedy_for
from airflow_quilt_athena.exceptions import ManualActionError, QueryFailedError


class QueryState(Enum):
    """The states of a query execution, as Athena names them."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


PENDING = frozenset({QueryState.QUEUED, QueryState.RUNNING})
UNSUCCESSFUL = frozenset({QueryState.FAILED, QueryState.CANCELLED})

# Athena API Reference, "AthenaError", read 2026-11.
_CATEGORIES = {1: "system error", 2: "user error", 3: "other error"}

# Failures that a second run of the same query mends, for when Athena sends no AthenaError. Time limits and
# exhausted resources are left out on purpose: the same query meets them again, and costs as much again.
_PASSING = re.compile(
    r"slow ?down|throttl|rate exceeded|too ?many ?requests|reduce your request rate|ICEBERG_COMMIT_ERROR"
    r"|service ?unavailable|internal ?server ?error",
    re.IGNORECASE,
)

# Shortest time between two looks. GetQueryExecution allows 100 calls a second, burst 200
# (Athena User Guide, "Service quotas", read 2026-11).
SHORTEST_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 5.0
_POLL_SHARE_OF_ELAPSED = 0.25  # looking late costs at most a quarter of the time the query took
_JITTER_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class QueryStatus:
    """One query, as Athena told of it last."""

    query_execution_id: str
    state: QueryState
    reason: str = ""
    category: int | None = None
    error_type: int | None = None
    retryable: bool = False
    workgroup: str | None = None
    database: str | None = None
    bytes_scanned: int = 0
    engine_seconds: float = 0.0
    total_seconds: float = 0.0
    queue_seconds: float = 0.0
    output_location: str | None = None
    manifest_location: str | None = None
    statement_type: str | None = None
    submitted_at: datetime | None = None

    @property
    def pending(self) -> bool:
        """Whether the query may still change its state."""
        return self.state in PENDING

    def as_dict(self) -> dict[str, Any]:
        """Return the facts a reader of an XCom wants, as JSON values."""
        return {
            "query_execution_id": self.query_execution_id,
            "state": self.state.value,
            "reason": self.reason,
            "workgroup": self.workgroup,
            "bytes_scanned": self.bytes_scanned,
            "engine_seconds": self.engine_seconds,
            "total_seconds": self.total_seconds,
            "output_location": self.output_location,
        }


class Verdict(Enum):
    """What to do next about the queries waited for."""

    WAIT = "wait"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and the queries it rests on."""

    verdict: Verdict
    pending: tuple[QueryStatus, ...] = ()
    failed: tuple[QueryStatus, ...] = ()


def parse_status(execution: Mapping[str, Any]) -> QueryStatus:
    """Read one ``QueryExecution`` of GetQueryExecution or BatchGetQueryExecution.

    The whole GetQueryExecution response may be given as well. Raises ManualActionError on a state that is
    not known.
    """
    execution = execution.get("QueryExecution", execution)
    status = execution["Status"]
    statistics = execution.get("Statistics") or {}
    error = status.get("AthenaError") or {}
    reason = status.get("StateChangeReason") or error.get("ErrorMessage") or ""
    state = _parse_state(status["State"], execution["QueryExecutionId"])
    return QueryStatus(
        query_execution_id=execution["QueryExecutionId"],
        state=state,
        reason=reason,
        category=error.get("ErrorCategory"),
        error_type=error.get("ErrorType"),
        retryable=state in UNSUCCESSFUL and _is_retryable(state, error, reason),
        workgroup=execution.get("WorkGroup"),
        database=(execution.get("QueryExecutionContext") or {}).get("Database"),
        bytes_scanned=statistics.get("DataScannedInBytes") or 0,
        engine_seconds=_seconds(statistics, "EngineExecutionTimeInMillis"),
        total_seconds=_seconds(statistics, "TotalExecutionTimeInMillis"),
        queue_seconds=_seconds(statistics, "QueryQueueTimeInMillis"),
        output_location=(execution.get("ResultConfiguration") or {}).get("OutputLocation"),
        manifest_location=statistics.get("DataManifestLocation"),
        statement_type=execution.get("StatementType"),
        submitted_at=status.get("SubmissionDateTime"),
    )


def _parse_state(text: str, query_execution_id: str) -> QueryState:
    try:
        return QueryState(text)
    except ValueError as error:
        known = ", ".join(state.value for state in QueryState)
        raise ManualActionError(
            f"Athena query {query_execution_id} is in state {text!r}, which is none of {known}. "
            "Whether it did its work is not known: look at it in the Athena console."
        ) from error


def _is_retryable(state: QueryState, error: Mapping[str, Any], reason: str) -> bool:
    if "Retryable" in error:
        return bool(error["Retryable"])
    return state is QueryState.FAILED and _PASSING.search(reason) is not None


def _seconds(statistics: Mapping[str, Any], name: str) -> float:
    return (statistics.get(name) or 0) / 1000


def decide(
    statuses: Sequence[QueryStatus],
    *,
    elapsed_seconds: float,
    timeout_seconds: float,
    fail_fast: bool = False,
) -> Decision:
    """Return what follows from ``statuses``, the latest of every query waited for.

    A failure is told when all queries are done, so that it can name every one that failed; with
    ``fail_fast`` as soon as there is one.
    """
    pending = tuple(status for status in statuses if status.pending)
    failed = tuple(status for status in statuses if status.state in UNSUCCESSFUL)
    if failed and (fail_fast or not pending):
        return Decision(Verdict.FAILED, pending, failed)
    if not pending:
        return Decision(Verdict.SUCCEEDED)
    if elapsed_seconds >= timeout_seconds:
        return Decision(Verdict.TIMED_OUT, pending, failed)
    return Decision(Verdict.WAIT, pending, failed)


def poll_delay(elapsed_seconds: float, *, longest_seconds: float | None, jitter: float) -> float:
    """Return the seconds until the next look: fast at first, backing off with the time waited.

    :param jitter: a random number from 0 to 1; spreads the looks of tasks that started together.

    >>> [round(poll_delay(t, longest_seconds=5, jitter=0.5), 2) for t in (0, 2, 8, 60)]
    [0.1, 0.5, 2.0, 5.0]
    """
    longest = LONGEST_POLL_SECONDS if longest_seconds is None else longest_seconds
    delay = min(max(SHORTEST_POLL_SECONDS, elapsed_seconds * _POLL_SHARE_OF_ELAPSED), longest)
    return delay * (1 + _JITTER_SHARE * (2 * jitter - 1))


def build_failure(failed: Iterable[QueryStatus], *, region: str) -> QueryFailedError:
    """Return the error that names every query in ``failed``, with reason, remedy and console link."""
    queries = tuple(failed)
    first = queries[0]
    return QueryFailedError(
        "\n".join(_describe_failure(status, region) for status in queries),
        query_execution_id=first.query_execution_id,
        state=first.state.value,
        reason=first.reason,
        category=first.category,
        retryable=all(status.retryable for status in queries),
        workgroup=first.workgroup,
    )


def build_timeout(
    decision: Decision, *, timeout_seconds: float, region: str, became: Mapping[str, str] | None = None
) -> QueryFailedError:
    """Return the error for queries that were not done in time.

    A query that never left the queue is worth a retry; one that ran too long runs too long again.

    :param became: what became of each when it was asked to stop; one that was not asked goes on.
    """
    first = decision.pending[0]
    queued = all(status.state is QueryState.QUEUED for status in decision.pending)
    remedy = "it was waiting in Athena's queue, so a retry can help" if queued else "raise the timeout"
    lines = [
        f"Athena query {status.query_execution_id} was still {status.state.value} in workgroup "
        f"{status.workgroup} after {timeout_seconds:g} s, the timeout, and "
        f"{(became or {}).get(status.query_execution_id, 'goes on')} ({remedy}); "
        f"{format_bytes(status.bytes_scanned)} scanned. See {query_url(region, status.query_execution_id)}"
        for status in decision.pending
    ]
    lines += [_describe_failure(status, region) for status in decision.failed]
    return QueryFailedError(
        "\n".join(lines),
        query_execution_id=first.query_execution_id,
        state=first.state.value,
        reason=f"Not done within {timeout_seconds:g} s",
        retryable=queued and all(status.retryable for status in decision.failed),
        workgroup=first.workgroup,
    )


def _describe_failure(status: QueryStatus, region: str) -> str:
    reason = status.reason or "Athena gave no reason"
    category = _CATEGORIES.get(status.category or 0, "no category given")
    remedy = "a retry can help" if status.retryable else "a retry cannot help"
    return (
        f"Athena query {status.query_execution_id} {status.state.value} in workgroup {status.workgroup}: "
        f"{reason.rstrip('. ')} ({category}; {remedy}).{remedy_for(reason)} "
        f"See {query_url(region, status.query_execution_id)}"
    )


def describe_progress(status: QueryStatus, elapsed_seconds: float) -> str:
    """Return one line for a log: state, time, bytes scanned so far."""
    return (
        f"Athena query {status.query_execution_id}: {status.state.value}, {elapsed_seconds:.1f} s, "
        f"{format_bytes(status.bytes_scanned)} scanned"
    )


def format_bytes(size_bytes: int) -> str:
    """Return a size as a person reads it.

    >>> format_bytes(5_300_000)
    '5.3 MB'
    """
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
