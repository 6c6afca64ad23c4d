"""Waiting for Athena queries in an operator: on the worker at first, then deferred; stopped when killed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_quilt_athena.arguments import AWS_ARGUMENTS, DEFER_AFTER_SECONDS, default_deferrable
from airflow_quilt_athena.core.arguments import Judge, flag, seconds
from airflow_quilt_athena.hooks.quilt_athena import aws_parameters_of
from airflow_quilt_athena.operators.base import QuiltAthenaBaseOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.core.athena.query_status import Decision, QueryStatus

# Athena's own limit of a query's run is 30 minutes, and 240 at most (Service quotas, read 2026-11).
DEFAULT_TIMEOUT = timedelta(hours=4)
_BACKSTOP = timedelta(minutes=2)


def to_seconds(duration: timedelta | float) -> float:
    """Return a duration in seconds, however it was given."""
    return duration.total_seconds() if isinstance(duration, timedelta) else float(duration)


WAITING_ARGUMENTS: Mapping[str, Judge[Any]] = {
    **AWS_ARGUMENTS,
    "deferrable": flag,
    "poll_interval": seconds(),
    "timeout": seconds(),
    "defer_after": seconds(zero=True),
}


class QuiltAthenaWaitingOperator(QuiltAthenaBaseOperator):
    """An operator that waits for queries.

    :param deferrable: wait in the triggerer once the first seconds have passed.
    :param poll_interval: the longest time between two looks at a query, in seconds; the first come sooner.
    :param timeout: the deadline of the whole wait; queries not done by then are stopped and the task fails.
        The task's ``execution_timeout`` counts as well, also while it is deferred.
    :param defer_after: seconds to wait on the worker before deferring.

    Each of the three may be a timedelta.
    """

    arguments: ClassVar[Mapping[str, Judge[Any]]] = WAITING_ARGUMENTS

    def __init__(
        self,
        *,
        deferrable: bool | None = None,
        poll_interval: timedelta | float = 5.0,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
        defer_after: timedelta | float = DEFER_AFTER_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.defer_after = defer_after
        self._running: list[str] = []

    @property
    def timeout_seconds(self) -> float:
        """The deadline of the whole wait, in seconds from its start."""
        return to_seconds(self.timeout)

    def find_deadline(self, context: Any) -> float:
        """Return when to give up, in seconds since the epoch."""
        deadline = time.time() + self.timeout_seconds
        started: datetime | None = getattr(context["ti"], "start_date", None)
        if self.execution_timeout and started:
            # Airflow does not watch over execution_timeout while a task is deferred (apache/airflow #72030).
            deadline = min(deadline, (started + self.execution_timeout).timestamp())
        return deadline

    def wait(
        self,
        query_execution_ids: Sequence[str],
        *,
        deadline: float,
        carry: Mapping[str, Any],
    ) -> tuple[QueryStatus, ...]:
        """Wait until the queries have succeeded; may defer, and then never returns.

        :param carry: JSON values that ``execute_complete`` finds in its event under ``carry``.
        :raises QueryFailedError: when one failed, or was not done by the deadline.
        """
        from airflow_quilt_athena.core.athena.query_status import Verdict

        remaining = max(0.0, deadline - time.time())
        on_worker = min(to_seconds(self.defer_after), remaining) if self.deferrable else remaining
        decision, statuses = self._watch(query_execution_ids, on_worker)
        if decision.verdict is Verdict.TIMED_OUT and on_worker < remaining:
            self._hand_over(query_execution_ids, deadline, carry)
        return self._conclude(decision, statuses)

    def resume_wait(self, event: Mapping[str, Any]) -> tuple[QueryStatus, ...]:
        """Go on after a deferral: look once more, and return or raise as ``wait`` does."""
        deadline = float(event["deadline"])
        if event["status"] == "error":
            # The look below meets the same trouble, and raises it by its kind, or finds it gone.
            self.log.warning("The triggerer could not watch the queries: %s", event["message"])
        query_execution_ids = list(event["query_execution_ids"])
        decision, statuses = self._watch(query_execution_ids, max(0.0, deadline - time.time()))
        return self._conclude(decision, statuses)

    def on_kill(self) -> None:
        """Stop what this task runs at Athena."""
        from airflow_quilt_athena.flows.athena.queries import stop_queries

        if self._running:
            stop_queries(self.hook.client("athena"), self._running)

    def _watch(
        self, query_execution_ids: Sequence[str], seconds: float
    ) -> tuple[Decision, tuple[QueryStatus, ...]]:
        from airflow_quilt_athena.flows.athena.queries import ProgressLog, watch_queries

        self._running = list(query_execution_ids)
        return watch_queries(
            self.hook.client("athena"),
            query_execution_ids,
            timeout_seconds=seconds,
            poll_interval_seconds=to_seconds(self.poll_interval),
            on_progress=ProgressLog(self.log.info),
        )

    def _conclude(self, decision: Decision, statuses: tuple[QueryStatus, ...]) -> tuple[QueryStatus, ...]:
        from airflow_quilt_athena.flows.athena.queries import conclude

        done = conclude(self.hook.client("athena"), decision, statuses, timeout_seconds=self.timeout_seconds)
        self._running = []
        return done

    def _hand_over(
        self,
        query_execution_ids: Sequence[str],
        deadline: float,
        carry: Mapping[str, Any],
    ) -> None:
        from airflow_quilt_athena.triggers.athena_completion import AthenaCompletionTrigger

        self._running = []  # from here on the trigger answers for them
        trigger = AthenaCompletionTrigger(
            query_execution_ids=query_execution_ids,
            deadline=deadline,
            poll_interval=to_seconds(self.poll_interval),
            carry=carry,
            **aws_parameters_of(self),
        )
        self.log.info("Still running after %g s: waiting in the triggerer.", to_seconds(self.defer_after))
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time())) + _BACKSTOP,
        )
