"""Wait for Athena queries that another task has started."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_quilt_athena.arguments import (
    AWS_ARGUMENTS,
    DEFER_AFTER_SECONDS,
    default_deferrable,
    judge_durations,
)
from airflow_quilt_athena.core.arguments import Judge, flag, is_list, read_printed, seconds, show
from airflow_quilt_athena.exceptions import InvalidCallError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS, aws_parameters_of
from airflow_quilt_athena.links import AthenaQueryLink, push_query_link
from airflow_quilt_athena.operators.base import QuiltAthenaBaseOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.core.athena.query_status import Decision, QueryStatus

IDS_KEY = "query_execution_ids"

_BACKSTOP_SECONDS = 120.0
_EXPECTED = "Expected ids as Athena gives them, of letters, digits and hyphens."
_ID = re.compile(r"[\w-]{1,128}", re.ASCII)  # Athena API reference, "QueryExecutionId", read 2026-11


class AthenaCompletionSensor(QuiltAthenaBaseOperator, BaseSensorOperator):
    """Wait until one Athena query, or every one of many, has succeeded.

    Fails when all are done and one did not succeed, naming each that failed with its reason, its category and
    its page in the console. It is not retried then: a query that failed stays failed.

    :param query_execution_ids: one id, several (a list, or text with commas), or the XCom of a task that
        started queries. (templated)
    :param deferrable: wait in the triggerer.
    :param poll_interval: seconds between two looks; short queries are noticed sooner. The same as
        ``poke_interval``, which goes before it.
    :param timeout: seconds until the sensor gives up. Queries not done by then are stopped.
    :param stop_on_kill: whether queries are stopped when the sensor is killed or gives up.

    Its XCom: ``query_execution_ids``, ``state``, ``bytes_scanned``, ``estimated_cost_usd`` and ``queries``,
    the statistics of each.
    """

    template_fields: Sequence[str] = (IDS_KEY, *AWS_TEMPLATE_FIELDS)
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        IDS_KEY: lambda name, value: parse_query_execution_ids(value),
        "deferrable": flag,
        "poll_interval": seconds(zero=True),
        "stop_on_kill": flag,
    }
    operator_extra_links = (AthenaQueryLink(),)
    ui_color = "#f3efe8"

    def __init__(
        self,
        *,
        query_execution_ids: Any,
        deferrable: bool | None = None,
        poll_interval: timedelta | float = 15.0,
        stop_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("poke_interval", seconds()("poll_interval", poll_interval))
        judge_durations(kwargs)
        super().__init__(**kwargs)
        self.query_execution_ids = query_execution_ids
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = self.poke_interval
        self.stop_on_kill = stop_on_kill
        self._pending: list[str] = []
        self._poked = False
        self.judge_constants()

    def execute(self, context: Any) -> Any:
        """Wait on the worker, or defer."""
        try:
            self.judge_arguments()
        except QuiltAthenaError as error:
            raise AirflowFailException(str(error)) from error
        if self.deferrable:
            return self._wait_deferred(context)
        try:
            return super().execute(context)
        except (AirflowSensorTimeout, AirflowSkipException):  # soft_fail makes a skip of the timeout
            self.on_kill()
            raise

    def poke(self, context: Any) -> PokeReturnValue:
        """Look at the queries; done when all have succeeded."""
        # The first look lasts a little, so that a short query does not cost a whole interval.
        seconds = DEFER_AFTER_SECONDS if self.mode == "poke" and not self._poked else 0.0
        self._poked = True
        decision, statuses = self._watch(context, min(seconds, self.poll_interval, self.timeout))
        done = not decision.pending
        return PokeReturnValue(done, _facts(statuses) if done else None)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Look once more when the trigger has fired."""
        if event["status"] == "error":
            # The look below meets the same trouble, and raises it by its kind, or finds it gone.
            self.log.warning("The triggerer could not watch the queries: %s", event["message"])
        decision, statuses = self._watch(context, max(0.0, event["deadline"] - time.time()))
        return self._give_up(decision) if decision.pending else _facts(statuses)

    def on_kill(self) -> None:
        """Stop the queries that are not done."""
        self._stop()

    def _stop(self) -> dict[str, str]:
        from airflow_quilt_athena.flows.athena.queries import stop_queries

        if not (self.stop_on_kill and self._pending):
            return {}
        return stop_queries(self.hook.client("athena"), self._pending)

    def _wait_deferred(self, context: Any) -> dict[str, Any]:
        deadline = time.time() + self.timeout
        try:
            decision, statuses = self._watch(context, min(DEFER_AFTER_SECONDS, self.timeout))
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        return self._hand_over(deadline) if decision.pending else _facts(statuses)

    def _hand_over(self, deadline: float) -> NoReturn:
        from airflow_quilt_athena.triggers.athena_completion import AthenaCompletionTrigger

        self._pending = []  # from here on the trigger answers for them
        self.defer(
            trigger=AthenaCompletionTrigger(
                query_execution_ids=parse_query_execution_ids(self.query_execution_ids),
                deadline=deadline,
                poll_interval=self.poll_interval,
                stop_on_kill=self.stop_on_kill,
                **aws_parameters_of(self),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + _BACKSTOP_SECONDS),
        )

    def _watch(self, context: Any, seconds: float) -> tuple[Decision, tuple[QueryStatus, ...]]:
        """Watch for some seconds; return the verdict, which is no failure, and the last statuses."""
        from airflow_quilt_athena.core.athena.query_status import Verdict, build_failure
        from airflow_quilt_athena.flows.athena.queries import ProgressLog, watch_queries

        try:
            athena = self.hook.client("athena")
            ids = parse_query_execution_ids(self.query_execution_ids)
            push_query_link(context, athena.meta.region_name, ids[0])
            self._pending = list(ids)
            decision, statuses = watch_queries(
                athena, ids, timeout_seconds=seconds, on_progress=ProgressLog(self.log.info)
            )
        except RetryableError as error:
            raise AirflowException(str(error)) from error
        except QuiltAthenaError as error:
            raise AirflowFailException(str(error)) from error
        self._pending = [status.query_execution_id for status in decision.pending]
        if decision.verdict is Verdict.FAILED:
            failure = build_failure(decision.failed, region=athena.meta.region_name)
            raise AirflowFailException(str(failure)) from failure
        return decision, statuses

    def _give_up(self, last: Decision) -> NoReturn:
        from airflow_quilt_athena.core.athena.query_status import build_timeout

        became = self._stop()
        region = self.hook.client("athena").meta.region_name
        late = build_timeout(last, timeout_seconds=self.timeout, region=region, became=became)
        raise AirflowSensorTimeout(str(late))


def parse_query_execution_ids(given: Any) -> tuple[str, ...]:
    """Return the ids in whatever a template or an XCom made of them, each once.

    >>> parse_query_execution_ids("['a', 'b']"), parse_query_execution_ids({"query_execution_ids": ["a"]})
    (('a', 'b'), ('a',))
    """
    ids = tuple(dict.fromkeys(_flatten(given)))
    if not ids:
        raise InvalidCallError(
            f"{IDS_KEY}: there is no query execution id in {show(given)}. Expected one, or several."
        )
    return ids


def _flatten(given: Any) -> Iterator[str]:
    if isinstance(given, str):
        yield from _flatten_text(given.strip())
    elif isinstance(given, Mapping):
        yield from _flatten(given.get(IDS_KEY))
    elif is_list(given):
        for item in given:
            yield from _flatten(item)
    else:
        raise InvalidCallError(
            f"{IDS_KEY}: not a query execution id: {show(given)}. Expected text, or a list of texts. Did the "
            "task that starts the query run?"
        )


def _flatten_text(text: str) -> Iterator[str]:
    if text[:1] in {"[", "(", "{"}:
        found = read_printed(text)
        if isinstance(found, str):
            raise InvalidCallError(f"{IDS_KEY}: no list of query execution ids: {show(text)}. {_EXPECTED}")
        yield from _flatten(found)
        return
    for part in text.split(","):
        query_execution_id = part.strip()
        if query_execution_id == "None" or not _ID.fullmatch(query_execution_id):
            raise InvalidCallError(f"{IDS_KEY}: not a query execution id: {show(part)}. {_EXPECTED}")
        yield query_execution_id


def _facts(statuses: Sequence[QueryStatus]) -> dict[str, Any]:
    from airflow_quilt_athena.core.athena.prices import estimate_dollars

    return {
        IDS_KEY: [status.query_execution_id for status in statuses],
        "state": "SUCCEEDED",
        "bytes_scanned": sum(status.bytes_scanned for status in statuses),
        "estimated_cost_usd": sum(estimate_dollars(status.bytes_scanned) for status in statuses),
        "queries": [status.as_dict() for status in statuses],
    }
