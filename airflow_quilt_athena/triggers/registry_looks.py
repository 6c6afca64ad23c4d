"""The looks at a registry that all watchers of a bucket share: one listing, however many they are.

From Airflow 3.3 on the triggerer runs one stream for all watchers with the same key, and says when the events
that a look gave are stored (``SharedStreamProducer``). Before, each watcher has a stream of its own, and what
it told counts as stored after a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from airflow_quilt_athena.core.quilt.watch import Snapshot
from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.flows.aws.objects import clock_of
from airflow_quilt_athena.flows.quilt.package_events import Hints, delete_messages, receive_hints
from airflow_quilt_athena.flows.quilt.pointers import look_at_all, look_at_packages, look_for_changes
from airflow_quilt_athena.hooks.quilt_athena import AWS_PARAMETERS, QuiltAthenaHook, make_hook

try:
    from airflow.triggers.shared_stream import SharedStreamProducer
except ImportError:  # Airflow before 3.3
    SharedStreamProducer = object  # type: ignore[assignment,misc]

log = logging.getLogger(__name__)
Result = TypeVar("Result")

# The triggerer sends events every second, and stores them at once: after this long they are, or it is lost.
SETTLED_SECONDS = 15.0
_TICK_SECONDS = 1.0
_RECEIVE_SECONDS = 5  # a thread waits so long, also when the triggerer wants to stop
_QUEUE_PAUSE_SECONDS = 60.0
_CHANGED_OVERLAP = timedelta(minutes=1)


@dataclass(eq=False)
class Look:
    """A look at the registry, or the time passing (without a snapshot).

    ``stored`` tells whether Airflow keeps the events that watchers made of it; ``failed``, that a watcher
    could not tell what it showed.
    """

    snapshot: Snapshot | None
    receipts: tuple[str, ...] = ()
    since: datetime | None = None  # what changed before it is not shown
    failed: bool = False
    confirmed: bool | None = None  # None: nobody will confirm it, and only time tells
    handed_at: float = field(default_factory=time.monotonic)

    @property
    def stored(self) -> bool:
        """Whether all events that were made of this look are stored."""
        if self.confirmed is not None:
            return self.confirmed
        return time.monotonic() - self.handed_at > SETTLED_SECONDS


@dataclass(frozen=True)
class LookArguments:
    """What of a trigger's arguments its looks depend on: triggers with equal ones share them."""

    bucket: str
    poll_interval: float
    whole_look_interval: float
    lookback_days: float
    queue_url: str | None
    aws: Mapping[str, Any]

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> LookArguments:
        """Take them from a trigger's."""
        aws = {name: arguments[name] for name in AWS_PARAMETERS}
        own = {name: arguments[name] for name in cls.__dataclass_fields__ if name != "aws"}
        return cls(**own, aws=aws)


class RegistryLooks:
    """Looks at a registry again and again.

    :param confirms: whether somebody will say of each look that its events are stored.
    """

    def __init__(self, arguments: LookArguments, *, confirms: bool) -> None:
        self._arguments = arguments
        self._confirms = confirms
        self._hook: QuiltAthenaHook | None = None
        self._since: datetime | None = None  # of S3's clock: what changed before it was seen
        self._whole_at = float("-inf")
        self._unsettled: list[Look] = []
        self._queue_again_at = float("-inf")

    async def stream(self) -> AsyncIterator[Look]:
        """Yield looks for ever; and the passing of time while events are not known to be stored."""
        hints = Hints()
        while True:
            look = await self._look(hints)
            if look is not None:
                self._unsettled.append(look)
                yield look
            due = time.monotonic() + self._arguments.poll_interval
            hints = Hints()
            while time.monotonic() < due and not hints.receipts:
                hints = await self._wait(due - time.monotonic())
                if await self._settle():
                    yield Look(None, confirmed=False if self._confirms else None)

    async def _look(self, hints: Hints) -> Look | None:
        since = self._since
        try:
            snapshot = await in_thread(partial(self._take, hints))
        except QuiltAthenaError as error:
            # Also what no second look mends: a watcher has no task to fail, and somebody may mend it.
            log.error("%s Looking again in %g s.", error, self._arguments.poll_interval)
            self._hook = None  # the connection may have got new credentials since
            return None
        return Look(snapshot, hints.receipts, since, confirmed=False if self._confirms else None)

    def _take(self, hints: Hints) -> Snapshot:
        arguments, s3 = self._arguments, self._client("s3")
        if hints.packages:
            return look_at_packages(s3, arguments.bucket, hints.packages)
        if self._since is None or time.monotonic() - self._whole_at >= arguments.whole_look_interval:
            began = time.monotonic()
            lookback = timedelta(days=arguments.lookback_days)
            snapshot = look_at_all(s3, arguments.bucket, self._now(s3) - lookback)
            self._whole_at = began
        else:
            snapshot = look_for_changes(s3, arguments.bucket, self._since - _CHANGED_OVERLAP)
        self._since = snapshot.taken_at
        return snapshot

    def _now(self, s3: Any) -> datetime:
        return clock_of(s3).now() if self._since else datetime.now(UTC)

    async def _wait(self, seconds: float) -> Hints:
        """Wait for a hint, or for a moment."""
        longest = min(seconds, _TICK_SECONDS if self._unsettled else _RECEIVE_SECONDS)
        arguments = self._arguments
        if arguments.queue_url is None or time.monotonic() < self._queue_again_at:
            await asyncio.sleep(longest)
            return Hints()
        wait = partial(
            receive_hints, self._client("sqs"), arguments.queue_url, arguments.bucket, max(1, int(longest))
        )
        try:
            return await in_thread(wait)
        except QuiltAthenaError as error:
            # It makes quick what the looks find without it.
            log.warning("%s Going on by looking every %g s.", error, arguments.poll_interval)
            self._queue_again_at = time.monotonic() + _QUEUE_PAUSE_SECONDS
            return Hints()

    async def _settle(self) -> bool:
        """Let go of looks whose events are stored, and of their messages; whether any was there."""
        if not self._unsettled:
            return False
        settled = [look for look in self._unsettled if look.stored]
        self._unsettled = [look for look in self._unsettled if not look.stored]
        for look in settled:
            if look.failed:  # shown again: by the next look, and by the messages when they come again
                self._since = min(filter(None, (look.since, self._since)), default=None)
        await self._delete([receipt for look in settled if not look.failed for receipt in look.receipts])
        return True

    async def _delete(self, receipts: Sequence[str]) -> None:
        url = self._arguments.queue_url
        if not receipts or url is None:
            return
        try:
            await in_thread(partial(delete_messages, self._client("sqs"), url, receipts))
        except QuiltAthenaError as error:
            log.warning("%s They come again, and are told no second time.", error)

    def _client(self, service: str) -> Any:
        if self._hook is None:
            self._hook = make_hook(self._arguments.aws)
        return self._hook.client(service)


class LooksProducer(SharedStreamProducer):
    """Airflow's side of the shared looks: it learns that the events of a look are stored."""

    def __init__(self, arguments: LookArguments) -> None:
        self._looks = RegistryLooks(arguments, confirms=True)

    async def open_stream(self) -> AsyncIterator[tuple[Look, Look]]:
        """Yield each look, and the look again, by which it is confirmed."""
        async for look in self._looks.stream():
            yield look, look

    async def advance(self, batch: Sequence[Any]) -> None:
        """Note that the events of these looks are stored."""
        for item in batch:
            # Where a watcher failed nobody knows of the others: then time tells.
            item.broker_payload.confirmed = None if item.outcome.failed else True


async def in_thread(work: Callable[[], Result]) -> Result:
    """Do work that waits for AWS in a thread, so that the event loop does not."""
    return await sync_to_async(work, thread_sensitive=False)()
