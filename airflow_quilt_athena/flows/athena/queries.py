"""Start Athena queries, wait for them, stop them. Knows no Airflow; the Athena client is handed in.

One absolute deadline holds for all of a wait; throttling and lost answers are tried again inside it.
"""

from __future__ import annotations

import logging
import random as random_module
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Required, TypedDict, Unpack

from airflow_quilt_athena.core.athena.query_status import (
    Decision,
    QueryState,
    QueryStatus,
    Verdict,
    build_failure,
    build_timeout,
    decide,
    describe_progress,
    poll_delay,
)
from airflow_quilt_athena.core.athena.remedies import remedy_for
from airflow_quilt_athena.core.athena.sql import MAX_QUERY_BYTES
from airflow_quilt_athena.exceptions import InvalidCallError, RetryableError
from airflow_quilt_athena.flows.athena.looks import look_at_one, observe_queries
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.flows.aws.deadline import Deadline
from airflow_quilt_athena.flows.aws.errors import AWS_ERRORS, is_passing

log = logging.getLogger(__name__)

OnProgress = Callable[[Sequence[QueryStatus], float], object]


class Waiting(TypedDict, total=False):
    """How a wait goes, for all that wait; ``watch_queries`` says what holds where nothing is said."""

    timeout_seconds: Required[float]  # the deadline of the whole wait
    poll_interval_seconds: float | None  # the longest time between two looks; the first come sooner
    fail_fast: bool  # tell of the first failure without waiting for the other queries
    on_progress: OnProgress | None
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    random: Callable[[], float]


# Athena API Reference, read 2026-11.
_TOKEN_LENGTHS = range(32, 129)

_START_PATIENCE_SECONDS = 300.0  # a full queue of the account answers TooManyRequestsException for minutes

_STOP_PATIENCE_SECONDS = 30.0
_STOP_FIRST_PAUSE_SECONDS = 0.5
_STOP_LONGEST_PAUSE_SECONDS = 5.0


def start_query(
    athena: AthenaClient,
    sql: str,
    *,
    database: str | None,
    workgroup: str,
    token: str | None = None,
    parameters: Sequence[str] = (),
    catalog: str | None = None,
    reuse_results_minutes: int | None = None,
    kms_key_arn: str | None = None,
    timeout_seconds: float = _START_PATIENCE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Start ``sql`` and return its query execution id.

    :param token: the client request token, 32 to 128 characters. Athena answers a token it knows with the
        query started then, so the token makes starting safe to repeat. Without one a fresh one is made.
    :param parameters: execution parameters: SQL literals for the query's question marks.
    :param reuse_results_minutes: take the answer of an equal query not older than this.
    :param kms_key_arn: the key that encrypts what the query writes; None leaves it to workgroup and bucket.
    """
    _refuse_unsendable(sql, token)
    context = {"Database": database, "Catalog": catalog}
    request: dict[str, Any] = {
        "QueryString": sql,
        "WorkGroup": workgroup,
        # One token for all tries below: a start whose answer was lost is then not a second query.
        "ClientRequestToken": token or uuid.uuid4().hex,
        "QueryExecutionContext": {name: value for name, value in context.items() if value},
    }
    if parameters:
        request["ExecutionParameters"] = list(parameters)
    if reuse_results_minutes is not None:
        by_age = {"Enabled": True, "MaxAgeInMinutes": reuse_results_minutes}
        request["ResultReuseConfiguration"] = {"ResultReuseByAgeConfiguration": by_age}
    if kms_key_arn is not None:
        encryption = {"EncryptionOption": "SSE_KMS", "KmsKey": kms_key_arn}
        request["ResultConfiguration"] = {"EncryptionConfiguration": encryption}
    deadline = Deadline.after(timeout_seconds, sleep=sleep, clock=clock)
    try:
        response = deadline.call(
            lambda: athena.start_query_execution(**request), f"start an Athena query in workgroup {workgroup}"
        )
    except InvalidCallError as error:
        raise InvalidCallError(f"{error}{remedy_for(str(error))}") from error
    return str(response["QueryExecutionId"])


def _refuse_unsendable(sql: str, token: str | None) -> None:
    size_bytes = len(sql.encode())
    if size_bytes > MAX_QUERY_BYTES:
        raise InvalidCallError(
            f"The query is {size_bytes:,} bytes long; Athena takes at most {MAX_QUERY_BYTES:,}. "
            "Keep long lists of values in a table and join it, or put parts of the query into a view."
        )
    if not sql.strip():
        raise InvalidCallError("The query is empty.")
    if token is not None and len(token) not in _TOKEN_LENGTHS:
        raise InvalidCallError(
            f"The client request token has {len(token)} characters; Athena wants 32 to 128."
        )


def watch_queries(
    athena: AthenaClient,
    query_execution_ids: Sequence[str],
    *,
    timeout_seconds: float,
    poll_interval_seconds: float | None = None,
    fail_fast: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    random: Callable[[], float] = random_module.random,
    on_progress: OnProgress | None = None,
) -> tuple[Decision, tuple[QueryStatus, ...]]:
    """Watch until the queries are done or the time is over; return the verdict and the last statuses.

    Raises nothing for queries that failed and stops none: that is for the caller to decide.
    """
    if not query_execution_ids or not all(query_execution_ids):
        raise InvalidCallError(f"No Athena query to wait for: {list(query_execution_ids)!r}.")
    deadline = Deadline.after(timeout_seconds, sleep=sleep, clock=clock, random=random)
    names = ", ".join(query_execution_ids)
    while True:
        statuses = deadline.call(
            lambda: observe_queries(athena, query_execution_ids), f"look at Athena query {names}"
        )
        elapsed = deadline.elapsed_seconds
        if on_progress is not None:
            on_progress(statuses, elapsed)
        decision = decide(
            statuses, elapsed_seconds=elapsed, timeout_seconds=timeout_seconds, fail_fast=fail_fast
        )
        if decision.verdict is not Verdict.WAIT:
            return decision, statuses
        deadline.pause(poll_delay(elapsed, longest_seconds=poll_interval_seconds, jitter=random()))


def wait_for_queries(
    athena: AthenaClient,
    query_execution_ids: Sequence[str],
    **waiting: Unpack[Waiting],
) -> tuple[QueryStatus, ...]:
    """Wait until all queries have succeeded and return their statuses, in the order of the ids.

    Queries that are not done by the deadline are stopped.

    :raises QueryFailedError: naming every query that failed, or was not done in time.
    """
    try:
        decision, statuses = watch_queries(athena, query_execution_ids, **waiting)
    except RetryableError:  # the deadline passed while Athena did not answer
        stop_queries(athena, query_execution_ids)
        raise
    return conclude(athena, decision, statuses, timeout_seconds=waiting["timeout_seconds"])


def conclude(
    athena: AthenaClient, decision: Decision, statuses: tuple[QueryStatus, ...], *, timeout_seconds: float
) -> tuple[QueryStatus, ...]:
    """Act on a verdict: return the statuses of success, or stop what is late and raise QueryFailedError."""
    region = athena.meta.region_name
    if decision.verdict is Verdict.FAILED:
        raise build_failure(decision.failed, region=region)
    if decision.verdict is Verdict.TIMED_OUT:
        became = stop_queries(athena, [status.query_execution_id for status in decision.pending])
        raise build_timeout(decision, timeout_seconds=timeout_seconds, region=region, became=became)
    return statuses


def run_query(
    athena: AthenaClient,
    sql: str,
    *,
    database: str | None,
    workgroup: str,
    token: str | None = None,
    parameters: Sequence[str] = (),
    catalog: str | None = None,
    on_start: Callable[[str], object] | None = None,
    **waiting: Unpack[Waiting],
) -> QueryStatus:
    """Start ``sql``, wait for it and return its status. Raises QueryFailedError when it does not succeed.

    :param on_start: told the query execution id as soon as there is one, so that it can be stopped.
    """
    query_execution_id = start_query(
        athena,
        sql,
        database=database,
        workgroup=workgroup,
        token=token,
        parameters=parameters,
        catalog=catalog,
        sleep=waiting.get("sleep", time.sleep),
        clock=waiting.get("clock", time.monotonic),
    )
    if on_start is not None:
        on_start(query_execution_id)
    (status,) = wait_for_queries(athena, (query_execution_id,), **waiting)
    return status


def stop_queries(
    athena: AthenaClient,
    query_execution_ids: Sequence[str],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """Ask Athena to stop the queries; return for each what became of it. Raises nothing.

    All are asked once, then those again that were not answered, for half a minute: this runs while a task is
    being killed. Only what Athena answered to is told as stopped.
    """
    deadline = Deadline.after(_STOP_PATIENCE_SECONDS, sleep=sleep, clock=clock)
    became: dict[str, str] = {}
    waiting = dict.fromkeys(query_execution_ids)
    pause = _STOP_FIRST_PAUSE_SECONDS
    while True:
        refused: dict[str, Exception] = {}
        for name in waiting:
            try:
                athena.stop_query_execution(QueryExecutionId=name)
            except AWS_ERRORS as error:
                refused[name] = error
            else:
                became[name] = "was stopped"
                log.info("Stopped Athena query %s.", name)
        waiting = dict.fromkeys(name for name, error in refused.items() if is_passing(error))
        told = (
            refused if deadline.passed else {name: refused[name] for name in refused if name not in waiting}
        )
        for name, refusal in told.items():
            became[name] = _what_it_is_now(athena, name, refusal)
            log.warning("Athena query %s %s", name, became[name])
        if not waiting or deadline.passed:
            return became
        deadline.pause(pause)
        pause = min(pause * 2, _STOP_LONGEST_PAUSE_SECONDS)


def _what_it_is_now(athena: AthenaClient, query_execution_id: str, refusal: Exception) -> str:
    try:
        found = look_at_one(athena, query_execution_id)
    except Exception as error:  # a kill goes on, whatever this look meets
        found = error
    if not isinstance(found, QueryStatus):
        return f"could not be stopped, and may still be running: {refusal}"
    if found.pending:
        return f"could not be stopped: still {found.state.value} ({refusal})"
    return f"was {found.state.value} before it could be stopped"


class ProgressLog:
    """Tells of queries under way: each change of state, and a sign of life now and then.

    :param tell: takes a line, e.g. ``log.info``.
    """

    def __init__(self, tell: Callable[[str], object], *, every_seconds: float = 30.0) -> None:
        self._tell = tell
        self._every_seconds = every_seconds
        self._told: dict[str, tuple[QueryState, float]] = {}

    def __call__(self, statuses: Sequence[QueryStatus], elapsed_seconds: float) -> None:
        """Log what is new in ``statuses``."""
        for status in statuses:
            state, at_seconds = self._told.get(status.query_execution_id, (None, 0.0))
            if state is not status.state or (
                status.pending and elapsed_seconds - at_seconds >= self._every_seconds
            ):
                self._tell(describe_progress(status, elapsed_seconds))
                self._told[status.query_execution_id] = (status.state, elapsed_seconds)
