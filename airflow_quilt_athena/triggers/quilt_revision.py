"""Waits in the triggerer until a revision of a package is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_quilt_athena.core.quilt.revision_wanted import parse_wanted
from airflow_quilt_athena.exceptions import QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.quilt.revision_look import look_for_revision
from airflow_quilt_athena.hooks.quilt_athena import aws_parameters_of, make_hook
from airflow_quilt_athena.triggers.base import QuiltAthenaBaseTrigger
from airflow_quilt_athena.triggers.registry_looks import in_thread


class QuiltRevisionTrigger(QuiltAthenaBaseTrigger):
    """Fires when a revision that is waited for is there, when the deadline has passed, or on an error.

    The event is ``{"status": "found" | "timeout" | "error", "revision": …, "message": …}``.

    :param deadline: when to give up, in seconds since the epoch.
    :param first_poll_delay: seconds before the first look.
    """

    parameters = (
        "bucket",
        "package",
        "newer_than",
        "by",
        "deadline",
        "poll_interval",
        "first_poll_delay",
    )

    def __init__(
        self,
        bucket: str,
        package: str,
        newer_than: Any,
        by: str,
        deadline: float,
        poll_interval: float = 60.0,
        first_poll_delay: float = 8.0,
        **aws: Any,
    ) -> None:
        super().__init__(**aws)
        self.bucket = bucket
        self.package = package
        self.newer_than = newer_than
        self.by = by
        self.deadline = deadline
        self.poll_interval = poll_interval
        self.first_poll_delay = first_poll_delay

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to tell."""
        delay = self.first_poll_delay
        try:
            wanted = parse_wanted(self.bucket, self.package, self.newer_than, self.by)
            s3 = await in_thread(self._make_client)
            while True:
                await asyncio.sleep(max(0.0, min(delay, self.deadline - time.time())))
                try:
                    revision = await in_thread(partial(look_for_revision, s3, wanted))
                except RetryableError as error:
                    self.log.warning("%s Looking again in %g s.", error, self.poll_interval)
                    revision = None
                if revision is not None:
                    yield self._event("found", revision=revision)
                    return
                if time.time() >= self.deadline:
                    yield self._event("timeout", message=f"There was not {wanted.title} in time.")
                    return
                delay = self.poll_interval
        except QuiltAthenaError as error:
            yield self._event("error", message=str(error))

    def _make_client(self) -> Any:
        return make_hook(aws_parameters_of(self)).client("s3")

    def _event(self, status: str, *, revision: Any = None, message: str | None = None) -> TriggerEvent:
        payload = {"status": status, "revision": revision, "message": message}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's is untyped
