"""One asset event for each new revision of a Quilt package: a trigger for Airflow's AssetWatcher."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.watch import (
    Memory,
    News,
    Snapshot,
    Watch,
    advance,
    begin_memory,
    find_news,
    note_stored,
    note_telling,
    note_told,
    parse_tell,
)
from airflow_quilt_athena.exceptions import InvalidCallError, QuiltAthenaError
from airflow_quilt_athena.flows.quilt.package_events import describe_all
from airflow_quilt_athena.hooks.quilt_athena import aws_parameters_of, make_hook
from airflow_quilt_athena.triggers.base import QuiltAthenaBaseTrigger
from airflow_quilt_athena.triggers.registry_looks import (
    Look,
    LookArguments,
    LooksProducer,
    RegistryLooks,
    in_thread,
)
from airflow_quilt_athena.triggers.watch_memory import MemoryStore, open_store


class QuiltPackageTrigger(QuiltAthenaBaseTrigger, BaseEventTrigger):
    """Watch a registry, and tell each new revision of its packages once.

    A revision is told when it has arrived in the bucket, also when it was made, by its name, days before. The
    truth is a listing, whose cost grows with the number of packages; revisions that do not become ``latest``
    are found by a listing of everything, which is made at the start and then rarely. A queue of a Quilt
    platform's events makes it quick. It is a hint where to look: messages that are late, doubled or lost
    change nothing in what is told.

    What was told is kept in Airflow's asset state store (3.3), or in an object in the registry before that.
    Where it is not known of an event whether Airflow has stored it, because the triggerer died, it is told
    again, with ``redelivered``; ``new_revisions`` leaves it out if it was. On Airflow 3.3 it is known.

    .. code-block:: python

        trigger = QuiltPackageTrigger(bucket="acme-data", package="assays/*")
        revisions = Asset("acme_revisions", watchers=[AssetWatcher(name="quilt", trigger=trigger)])

        @dag(schedule=[revisions])
        def day_of_a_revision():
            @task
            def tell(**context):
                for revision in new_revisions(context):
                    print(revision["package"], revision["top_hash"])

    The payload of an event: ``kind`` (created, rolled_back or deleted), ``bucket``, ``registry``,
    ``package``, ``top_hash``, ``revision`` (the pointer's name), ``revision_at``, ``arrived_at``, ``time``,
    ``message``, ``id``, ``redelivered``.

    :param bucket: the registry's bucket.
    :param package: a package's name, or a pattern: ``team/*``. Give watchers of different assets different
        patterns: Airflow makes one trigger of equal ones.
    :param tell: what to tell: ``created``, ``rolled_back`` (``latest`` was set back to an older revision),
        ``deleted`` (the whole package).
    :param since: a time; what arrived after it is new to a watcher that was never there before. None is the
        watcher's first start.
    :param poll_interval: seconds between two looks.
    :param queue_url: an SQS queue with the platform's ``package-revision`` events, or S3's own.
    :param state_location: an S3 URI of an object to keep the state in, instead of where Airflow keeps it.
    :param whole_look_interval: seconds between two listings of everything.
    :param lookback_days: how old may be what arrived while no triggerer ran.
    """

    parameters = (
        "bucket",
        "package",
        "tell",
        "since",
        "poll_interval",
        "queue_url",
        "state_location",
        "whole_look_interval",
        "lookback_days",
    )

    def __init__(
        self,
        bucket: str,
        package: str = "*",
        tell: str | Sequence[str] = ("created",),
        since: str | datetime | None = None,
        poll_interval: float = 60.0,
        queue_url: str | None = None,
        state_location: str | None = None,
        whole_look_interval: float = 3600.0,
        lookback_days: float = 30.0,
        **aws: Any,
    ) -> None:
        super().__init__(**aws)
        self.bucket = bucket
        self.package = package
        self.tell = [tell] if isinstance(tell, str) else list(tell)
        self.since = since.isoformat() if isinstance(since, datetime) else since
        self.poll_interval = poll_interval
        self.queue_url = queue_url
        self.state_location = state_location
        self.whole_look_interval = whole_look_interval
        self.lookback_days = lookback_days
        self._watch = Watch(bucket, package, parse_tell(self.tell))
        self._first = parse_time("since", self.since)
        self._place = _parse_place(state_location)
        if min(poll_interval, whole_look_interval, lookback_days) <= 0:
            raise InvalidCallError(
                "poll_interval, whole_look_interval and lookback_days have to be above zero."
            )
        self._store: MemoryStore | None = None
        self._memory: Memory | None = None
        self._kept: Memory | None = None
        self._client: Any = None
        self._handed: list[tuple[Look, tuple[News, ...]]] = []  # not known to be stored

    # -------------------------------------------------------------------------- the shared looks

    def shared_stream_key(self) -> Hashable | None:
        """Return what watchers that share their looks have in common (Airflow 3.3)."""
        arguments = LookArguments.of(self.serialize()[1])
        return ("quilt-packages", json.dumps(vars(arguments), sort_keys=True))

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> Any:
        """Return the looks of all watchers with one key; Airflow confirms what it stored of them."""
        return LooksProducer(LookArguments.of(cls(**kwargs).serialize()[1]))

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Any]:
        """Yield the looks where Airflow confirms nothing."""
        arguments = LookArguments.of(cls(**kwargs).serialize()[1])
        async for look in RegistryLooks(arguments, confirms=False).stream():
            yield look

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for this watcher alone, as Airflow before 3.3 does."""
        looks = type(self).open_shared_stream(self.serialize()[1])
        async for event in self.filter_shared_stream(looks):
            yield event

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Tell of each look what this watcher is to tell and has not told."""
        async for look in shared_stream:
            try:
                await self._note_stored()
                payloads = [] if look.snapshot is None else await self._tell(look, look.snapshot)
            except QuiltAthenaError as error:
                # Nothing of it was told; the next look shows it again.
                self.log.error("%s Looking again in %g s.", error, self.poll_interval)
                self._client = None  # the connection may have got new credentials since
                look.failed = True
                continue
            for payload in payloads:
                self.log.info("Package %s: %s, %s.", payload["package"], payload["kind"], payload["top_hash"])
                yield TriggerEvent(payload)  # type: ignore[no-untyped-call]  # Airflow's is untyped

    # ------------------------------------------------------------------------------ what is told

    async def _tell(self, look: Look, snapshot: Snapshot) -> list[dict[str, Any]]:
        """Return what is to be told of a look, kept as under way."""
        memory = await self._open(snapshot)
        under_way = {one.key for _, news in self._handed for one in news}
        news = tuple(one for one in find_news(self._watch, memory, snapshot) if one.key not in under_way)
        if not news:
            if not self._handed:
                await self._keep(advance(self._watch, memory, snapshot))
            return []
        payloads = await in_thread(partial(describe_all, self._s3(), self.bucket, news))
        # Kept before it is told: whoever comes after a crash knows that it may have been.
        await self._keep(note_telling(memory, news, snapshot))
        self._handed.append((look, news))
        look.handed_at = time.monotonic()
        return payloads

    async def _note_stored(self) -> None:
        """Keep of what was handed to Airflow that it is told, as soon as it is stored."""
        stored = [(look, news) for look, news in self._handed if look.stored]
        memory = self._memory
        if not stored or memory is None:
            return
        for _, news in stored:
            memory = note_told(memory, news)
        await self._keep(memory)
        self._handed = [item for item in self._handed if item not in stored]
        if self._store is not None:
            await self._store.forget_stored([one.key for _, news in stored for one in news])

    async def _open(self, snapshot: Snapshot) -> Memory:
        if self._memory is not None:
            return self._memory
        asset_store = getattr(self, "asset_state_store", None)
        self._store, memory = await open_store(
            asset_store, self._s3(), key=self._state_key, bucket=self.bucket, place=self._place
        )
        self._kept = memory
        if memory is None:
            since = self._first or snapshot.taken_at
            self.log.info("Watching %s in s3://%s from %s on.", self.package, self.bucket, since)
            memory = begin_memory(self._watch, since, snapshot)
        else:
            self.log.info(
                "Going on to watch %s in s3://%s from %s.", self.package, self.bucket, memory.cursor
            )
        stored: frozenset[str] = frozenset()
        if memory.telling:  # somebody died before it knew whether these are stored
            stored = await self._store.find_stored(memory.telling)
        await self._keep(note_stored(memory, stored))
        await self._store.forget_stored(stored)
        return self._memory or memory

    async def _keep(self, memory: Memory) -> None:
        """Keep what the watcher knows, and go by it from here on."""
        if self._store is not None and memory != self._kept:
            await self._store.save(memory)
            self._kept = memory
        self._memory = memory

    @property
    def _state_key(self) -> str:
        what = json.dumps([self.bucket, self.package, sorted(self.tell)])
        return f"watch-{hashlib.sha256(what.encode()).hexdigest()[:32]}"

    def _s3(self) -> Any:
        if self._client is None:
            self._client = make_hook(aws_parameters_of(self)).client("s3")
        return self._client


def parse_time(name: str, given: str | None) -> datetime | None:
    """Read a time; one without a zone is UTC."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except (TypeError, ValueError) as error:
        raise InvalidCallError(
            f"{name} is {given!r}. Expected a time, such as 2026-01-31T12:00:00."
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _parse_place(state_location: str | None) -> S3Uri | None:
    if state_location is None:
        return None
    place = S3Uri.parse(state_location)
    if not place.key or place.key.endswith("/"):
        raise InvalidCallError(f"state_location is {place}. Expected an object: s3://bucket/key.json.")
    return place
