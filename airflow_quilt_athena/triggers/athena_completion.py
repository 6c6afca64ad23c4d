"""Waits for Athena queries in the triggerer and reports; what follows is decided on the worker."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.triggers.base import TriggerEvent
from asgiref.sync import sync_to_async

from airflow_quilt_athena.core.athena.query_status import (
    QueryStatus,
    Verdict,
    decide,
    describe_progress,
    poll_delay,
)
from airflow_quilt_athena.exceptions import QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.athena.queries import stop_queries
from airflow_quilt_athena.flows.aws.errors import AWS_ERRORS, is_passing, translate
from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook, aws_parameters_of, make_hook
from airflow_quilt_athena.triggers.base import QuiltAthenaBaseTrigger
from airflow_quilt_athena.triggers.shared_looks import shared_looks

# Airflow may take the end of a task's first half for the end of its second, when that starts before the
# worker's supervisor has gone: [workers] min_heartbeat_interval, 5 s by default (apache/airflow #72716).
SHORTEST_DEFERRAL_SECONDS = 8.0
_LOG_EVERY_SECONDS = 60.0


def default_deferrable() -> bool:
    """Return what the installation says of tasks that do not say themselves whether they defer."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


class AthenaCompletionTrigger(QuiltAthenaBaseTrigger):
    """Fires when all of the queries are done, whatever the outcome, or when the deadline has passed.

    The event is ``{"status": "done" | "timeout" | "error", "query_execution_ids": […], "message": …,
    "deadline": …, "carry": …}``. It holds all that the resumed task needs, because ``dag.test()`` hands on
    the event alone and drops the keyword arguments of the deferral.

    :param query_execution_ids: the queries to wait for.
    :param deadline: when to give up, in seconds since the epoch.
    :param poll_interval: the longest time between two looks, in seconds.
    :param first_poll_delay: seconds before the first look; see SHORTEST_DEFERRAL_SECONDS.
    :param stop_on_kill: whether a user who ends the deferred task also stops the queries (Airflow 3.3).
    :param carry: JSON values that the event brings back to the task.
    """

    parameters = (
        "query_execution_ids",
        "deadline",
        "poll_interval",
        "first_poll_delay",
        "stop_on_kill",
        "carry",
    )

    def __init__(
        self,
        query_execution_ids: Sequence[str],
        deadline: float,
        poll_interval: float = 15.0,
        first_poll_delay: float = SHORTEST_DEFERRAL_SECONDS,
        stop_on_kill: bool = True,
        carry: Mapping[str, Any] | None = None,
        **aws: Any,
    ) -> None:
        super().__init__(**aws)
        self.query_execution_ids = list(query_execution_ids)
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.first_poll_delay = first_poll_delay
        self.stop_on_kill = stop_on_kill
        self.carry = dict(carry or {})
        self._logged_at = 0.0

    @property
    def hook(self) -> QuiltAthenaHook:
        """A new hook, by the same parameters as the worker's: it reads the connection as it is now."""
        return make_hook(aws_parameters_of(self))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the queries until there is something to tell."""
        started = time.time()
        delay = self.first_poll_delay
        while True:
            try:
                statuses = await self._observe(delay)
            except QuiltAthenaError as error:
                yield self._event("error", str(error))
                return
            elapsed = time.time() - started
            verdict = Verdict.WAIT if elapsed < self.deadline - started else Verdict.TIMED_OUT
            if statuses:
                self._log_progress(statuses, elapsed)
                verdict = decide(
                    statuses, elapsed_seconds=elapsed, timeout_seconds=self.deadline - started
                ).verdict
            if verdict is not Verdict.WAIT:
                yield self._event("timeout" if verdict is Verdict.TIMED_OUT else "done")
                return
            delay = self._next_delay(elapsed)

    async def on_kill(self) -> None:
        """Stop the queries when a user ends the deferred task. Airflow calls this from 3.3 on."""
        if self.stop_on_kill:
            # Not in the thread of the looks: a kill does not wait for a round.
            await sync_to_async(self._stop, thread_sensitive=False)()

    async def _observe(self, within_seconds: float) -> tuple[QueryStatus, ...]:
        """Look once; nothing when Athena is too busy to tell, which the next look may be spared."""
        looks = shared_looks(
            aws_parameters_of(self),
            lambda: self.hook.for_looks().client("athena"),
        )
        try:
            return await looks.look(self.query_execution_ids, within_seconds)
        except RetryableError as error:  # no client could be made, for now
            self.log.info("%s Looking again.", error)
            return ()
        except AWS_ERRORS as error:
            if is_passing(error):
                self.log.info("Athena did not answer (%s); looking again.", error)
                return ()
            raise translate(error, f"look at Athena queries {', '.join(self.query_execution_ids)}") from error

    def _stop(self) -> None:
        stop_queries(self.hook.client("athena"), self.query_execution_ids)

    def _next_delay(self, elapsed: float) -> float:
        delay = poll_delay(elapsed, longest_seconds=self.poll_interval, jitter=random.random())
        return max(0.0, min(delay, self.deadline - time.time()))

    def _log_progress(self, statuses: Sequence[QueryStatus], elapsed: float) -> None:
        if elapsed - self._logged_at >= _LOG_EVERY_SECONDS or not self._logged_at:
            self._logged_at = elapsed
            for status in statuses:
                self.log.info(describe_progress(status, elapsed))

    def _event(self, status: str, message: str | None = None) -> TriggerEvent:
        return TriggerEvent(  # type: ignore[no-untyped-call]  # Airflow's is untyped
            {
                "status": status,
                "query_execution_ids": self.query_execution_ids,
                "message": message,
                "deadline": self.deadline,
                "carry": self.carry,
            }
        )
