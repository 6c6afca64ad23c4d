"""Wait for a revision of a Quilt package."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_quilt_athena.arguments import AWS_ARGUMENTS, default_deferrable, judge_durations
from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, choice, flag, optional, read_printed, refusal, text
from airflow_quilt_athena.core.quilt.chosen_by import By
from airflow_quilt_athena.exceptions import QuiltAthenaError, RetryableError
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS, aws_parameters_of
from airflow_quilt_athena.operators.base import QuiltAthenaBaseOperator

_BACKSTOP_SECONDS = 120.0


def _newer_than(name: str, value: object) -> object:
    found = read_printed(value) if isinstance(value, str) else value
    if not isinstance(found, str | date | Mapping):
        raise refusal(name, value, "a time, a top hash, or an interval with start and end")
    return text(name, found) if isinstance(found, str) else found


class QuiltPackageSensor(QuiltAthenaBaseOperator, BaseSensorOperator):
    """Wait until a package, or one of those that a pattern covers, has a revision that is wanted.

    :param bucket: the registry's bucket. (templated)
    :param package: a package's name, or a pattern: ``team/*``. (templated)
    :param newer_than: None, and any revision will do; a time, and it has to be newer; a top hash, and it has
        to be newer than that revision and to have another; or an interval, ``{"start": …, "end": …}``, and it
        has to be of it: without an end, of the day from start on. (templated)
    :param by: the time that counts: ``revision``, when it was made, as Quilt shows it; or ``arrival``, when
        it came into the bucket, which may be later.
    :param deferrable: wait in the triggerer.
    :param poke_interval: seconds between two looks.

    Its XCom is the newest revision that is wanted: ``bucket``, ``registry``, ``package``, ``top_hash``,
    ``revision`` (the pointer's name), ``revision_at``, ``arrived_at``, ``message``; and ``count`` and
    ``revisions``, of all that are.

    .. code-block:: python

        QuiltPackageSensor(
            task_id="plates_of_the_day",
            bucket="acme-data",
            package="plates/*",
            newer_than={"start": "{{ data_interval_start }}", "end": "{{ data_interval_end }}"},
            mode="reschedule",
        )
    """

    template_fields: Sequence[str] = ("bucket", "package", "newer_than", *AWS_TEMPLATE_FIELDS)
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        "bucket": names.bucket,
        "package": text,
        "newer_than": optional(_newer_than),  # and read with the others, as what is wanted
        "by": choice(By),
        "deferrable": flag,
    }
    ui_color = "#efe8f3"

    def __init__(
        self,
        *,
        bucket: str,
        package: str,
        newer_than: Any = None,
        by: str = "revision",
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        judge_durations(kwargs)
        super().__init__(**kwargs)
        self.bucket = bucket
        self.package = package
        self.newer_than = newer_than
        self.by = by
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.judge_constants()

    def execute(self, context: Any) -> Any:
        """Wait on the worker, or look once and defer."""
        from airflow_quilt_athena.core.quilt.revision_wanted import parse_wanted

        try:
            self.newer_than = self.judge_arguments()["newer_than"]
            parse_wanted(self.bucket, self.package, self.newer_than, self.by)
        except QuiltAthenaError as error:
            raise AirflowFailException(str(error)) from error
        if not self.deferrable:
            return super().execute(context)
        try:
            found = self._look()
        except AirflowFailException as error:
            raise self._softened(error) from error
        if found is None:
            self._hand_over()
        return found

    def _hand_over(self) -> NoReturn:
        from airflow_quilt_athena.triggers.quilt_revision import QuiltRevisionTrigger

        self.defer(
            trigger=QuiltRevisionTrigger(
                bucket=self.bucket,
                package=self.package,
                newer_than=_as_json(self.newer_than),
                by=self.by,
                deadline=time.time() + self.timeout,
                poll_interval=self.poke_interval,
                **aws_parameters_of(self),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout + _BACKSTOP_SECONDS),
        )

    def poke(self, context: Any) -> PokeReturnValue:
        """Look once."""
        found = self._look()
        return PokeReturnValue(found is not None, found)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the trigger has fired."""
        if event["status"] == "found":
            revision: dict[str, Any] = event["revision"]
            self._tell(revision)
            return revision
        kind = AirflowSensorTimeout if event["status"] == "timeout" else AirflowFailException
        raise self._softened(kind(event["message"]))

    def _look(self) -> dict[str, Any] | None:
        from airflow_quilt_athena.core.quilt.revision_wanted import parse_wanted
        from airflow_quilt_athena.flows.quilt.revision_look import look_for_revision

        try:
            wanted = parse_wanted(self.bucket, self.package, self.newer_than, self.by)
            found = look_for_revision(self.hook.client("s3"), wanted)
        except RetryableError as error:
            raise AirflowException(str(error)) from error
        except QuiltAthenaError as error:
            raise AirflowFailException(str(error)) from error
        if found is None:
            self.log.info("There is not %s yet.", wanted.title)
        else:
            self._tell(found)
        return found

    def _tell(self, found: Mapping[str, Any]) -> None:
        self.log.info(
            "Package %s has revision %s, %s.", found["package"], found["revision"], found["top_hash"]
        )

    def _softened(self, error: Exception) -> Exception:
        """Return a skip where failing is to be soft: Airflow sees to that only on the worker."""
        return AirflowSkipException(str(error)) if self.soft_fail or self.never_fail else error


def _as_json(newer_than: Any) -> Any:
    if isinstance(newer_than, Mapping):
        return {name: _as_json(value) for name, value in newer_than.items()}
    return newer_than if newer_than is None else str(newer_than)
