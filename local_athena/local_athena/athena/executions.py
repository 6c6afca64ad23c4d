"""Query executions: the life of one query as its clients see it, and the store of all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from local_athena.athena.query_states import PENDING, QueryState
from local_athena.athena.result_files import ResultPlace
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Column, Session
from local_athena.errors import QueryFailed

CANCELLED_BY_USER = "Query cancelled by user"


class Identity(Protocol):
    """Who makes a call."""

    @property
    def access_key_id(self) -> str:
        """The access key the call was signed with."""
        ...


@dataclass(frozen=True, slots=True)
class Submission:
    """One StartQueryExecution call after every question it raises has been answered."""

    query_execution_id: str
    caller: Identity
    query: str  # as sent
    statement: str  # what runs: the prepared statement's text when ``query`` is an EXECUTE
    parameters: tuple[str, ...]  # of what runs
    statement_type: str
    substatement_type: str
    workgroup: str
    database: str
    place: ResultPlace
    result_configuration: Mapping[str, Any]
    context: Mapping[str, Any]
    engine_version: Mapping[str, str]
    execution_parameters: tuple[str, ...] = ()  # as sent
    reuse: Mapping[str, Any] = field(default_factory=dict)
    enforced: bool = False
    scan_cutoff_bytes: int | None = None
    refusal: QueryFailed | None = None  # the query is known to fail before it runs
    preprocessing_seconds: float = 0.0
    planning_seconds: float = 0.0

    @property
    def reads_only(self) -> bool:
        """Whether nothing but the result file is left behind."""
        return self.substatement_type in {"SELECT", "EXPLAIN"}


@dataclass(slots=True)
class Outputs:
    """What a query that succeeded left behind, as far as its clients may ask for it."""

    columns: tuple[Column, ...] = ()
    update_count: int | None = None
    rows: int = 0
    size_bytes: int = 0
    manifest: S3Uri | None = None
    reused: bool = False


class Execution:
    """One query from QUEUED to its end. The first end it is given is the one it keeps."""

    def __init__(self, submission: Submission, number: int) -> None:
        self.submission = submission
        self.number = number  # rises with every query of the account
        self.state = QueryState.QUEUED
        self.reason = ""
        self.error: QueryFailed | None = None
        self.outputs = Outputs()
        self.submitted_at = time.time()
        self.completed_at: float | None = None
        self.ended = threading.Event()
        self._session: Session | None = None
        self._stopping = False
        self._lock = threading.Lock()
        self._queued = self._mark()
        self._started: float | None = None
        self._engine_done: float | None = None
        self._done: float | None = None

    @property
    def id(self) -> str:
        """The QueryExecutionId."""
        return self.submission.query_execution_id

    def begin(self) -> bool:
        """Go from QUEUED to RUNNING. False when the query has ended before it could."""
        with self._lock:
            if self.state is not QueryState.QUEUED:
                return False
            self.state = QueryState.RUNNING
            self._started = self._mark()
            return True

    def attach(self, session: Session) -> None:
        """Remember what the query runs in, so that it can be stopped and its bytes are seen."""
        with self._lock:
            self._session = session
            stopping = self._stopping
        if stopping:
            session.cancel()

    def engine_done(self) -> None:
        """Mark the end of the engine's work: what follows is Athena's own."""
        self._engine_done = self._mark()

    def succeed(self, outputs: Outputs) -> None:
        """End well."""
        self._end(QueryState.SUCCEEDED, outputs=outputs)

    def fail(self, error: QueryFailed, outputs: Outputs | None = None) -> None:
        """End FAILED."""
        self._end(QueryState.FAILED, reason=error.reason, error=error, outputs=outputs)

    def cancel(self, reason: str) -> None:
        """End CANCELLED."""
        self._end(QueryState.CANCELLED, reason=reason)

    def stop(self, grace_seconds: float) -> None:
        """Stop as its user asks: at once while queued; while it runs, as soon as the engine lets go.

        A query that only reads is given up after ``grace_seconds``. One that writes is not: CANCELLED
        promises that nothing of it lands later.
        """
        with self._lock:
            queued = self.state is QueryState.QUEUED
            self._stopping = True
            session = self._session
        if queued:
            self.cancel(CANCELLED_BY_USER)
            return
        if session is not None:
            session.cancel()
        if not self.ended.wait(grace_seconds) and self.submission.reads_only:
            self.cancel(CANCELLED_BY_USER)

    def describe(self) -> dict[str, Any]:
        """Return it as GetQueryExecution does."""
        submission = self.submission
        described: dict[str, Any] = {
            "QueryExecutionId": self.id,
            "Query": submission.query,
            "StatementType": submission.statement_type,
            "SubstatementType": submission.substatement_type,
            "ResultConfiguration": dict(submission.result_configuration),
            "ResultReuseConfiguration": dict(submission.reuse)
            or {"ResultReuseByAgeConfiguration": {"Enabled": False}},
            "QueryExecutionContext": dict(submission.context),
            "Status": self._status(),
            "Statistics": self._statistics(),
            "WorkGroup": submission.workgroup,
            "EngineVersion": dict(submission.engine_version),
        }
        if submission.execution_parameters:
            described["ExecutionParameters"] = list(submission.execution_parameters)
        return described

    def timeline(self) -> dict[str, int]:
        """Milliseconds spent in each step so far."""
        now = self._done or self._mark()
        started = self._started or now
        engine_end = self._engine_done or now
        before, planning = self.submission.preprocessing_seconds, self.submission.planning_seconds
        return {
            "QueryQueueTimeInMillis": _millis(started - self._queued),
            "ServicePreProcessingTimeInMillis": _millis(before),
            # As far as it is done before the query runs. Athena counts planning as a part of execution.
            "QueryPlanningTimeInMillis": _millis(planning),
            "EngineExecutionTimeInMillis": _millis(planning + engine_end - started),
            "ServiceProcessingTimeInMillis": _millis(now - engine_end),
            "TotalExecutionTimeInMillis": _millis(before + planning + now - self._queued),
        }

    @property
    def scanned_bytes(self) -> int:
        """Bytes read so far."""
        return self._session.scanned_bytes if self._session is not None else 0

    def _end(
        self,
        state: QueryState,
        *,
        reason: str = "",
        error: QueryFailed | None = None,
        outputs: Outputs | None = None,
    ) -> None:
        with self._lock:
            if self.state not in PENDING:
                return
            self._done = self._mark()
            self.completed_at = time.time()
            self.reason, self.error = reason, error
            self.outputs = outputs or self.outputs
            self.state = state
        self.ended.set()

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "State": self.state.value,
            "SubmissionDateTime": round(self.submitted_at, 3),
        }
        if self.reason:
            status["StateChangeReason"] = self.reason
        if self.completed_at is not None:
            status["CompletionDateTime"] = round(self.completed_at, 3)
        if self.error is not None:
            status["AthenaError"] = {
                "ErrorCategory": self.error.category,
                "ErrorType": self.error.error_type,
                "Retryable": self.error.retryable,
                "ErrorMessage": self.error.reason,
            }
        return status

    def _statistics(self) -> dict[str, Any]:
        statistics: dict[str, Any] = {
            **self.timeline(),
            "DataScannedInBytes": self.scanned_bytes,
            "ResultReuseInformation": {"ReusedPreviousResult": self.outputs.reused},
        }
        if self.outputs.manifest is not None:
            statistics["DataManifestLocation"] = str(self.outputs.manifest)
        return statistics

    @staticmethod
    def _mark() -> float:
        return time.monotonic()


def _millis(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def runtime_statistics(execution: Execution) -> dict[str, Any]:
    """Return the runtime statistics of a query, as Athena tells them."""
    outputs = execution.outputs
    return {
        "Timeline": execution.timeline(),
        "Rows": {
            "InputBytes": execution.scanned_bytes,
            "OutputBytes": outputs.size_bytes,
            "OutputRows": outputs.rows,
        },
    }
