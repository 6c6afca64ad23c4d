"""Where a watcher keeps its memory: Airflow's asset state store, an object in S3, or nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Any, Protocol

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.watch import WATCHERS_FOLDER, Memory
from airflow_quilt_athena.exceptions import AccessError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import clock_of, read_object, write_object
from airflow_quilt_athena.triggers.registry_looks import in_thread
from airflow_quilt_athena.triggers.stored_events import STORED_PREFIX

log = logging.getLogger(__name__)


class OtherWatcherError(Exception):
    """Another triggerer runs the same watcher: this one ends, and Airflow starts it again."""


class MemoryStore(Protocol):
    """Keeps a memory."""

    async def load(self) -> Memory | None:
        """Return what was kept; None when nothing was."""
        ...

    async def save(self, memory: Memory) -> None:
        """Keep it."""
        ...

    async def find_stored(self, identities: Iterable[str]) -> frozenset[str]:
        """Return which events Airflow has stored, as far as that was noted."""
        ...

    async def forget_stored(self, identities: Iterable[str]) -> None:
        """Take the notes away: it is kept elsewhere."""
        ...


class AssetStore:
    """Airflow's own, of the asset that is watched (Airflow 3.3)."""

    def __init__(self, store: Any, key: str) -> None:
        self._store = store
        self._key = f"quilt_athena.{key}"

    async def load(self) -> Memory | None:
        """Return what was kept. Raises ValueError when several assets share the trigger (Airflow #71460)."""
        return Memory.from_json(await self._call("get", self._key))

    async def save(self, memory: Memory) -> None:
        """Keep it."""
        await self._call("set", self._key, memory.to_json())

    async def find_stored(self, identities: Iterable[str]) -> frozenset[str]:
        """Return which events Airflow has stored, by what ``plugins/stored_events`` noted."""
        found = [one for one in identities if await self._call("get", STORED_PREFIX + one)]
        return frozenset(found)

    async def forget_stored(self, identities: Iterable[str]) -> None:
        """Take the notes away."""
        for one in identities:
            await self._call("delete", STORED_PREFIX + one)

    async def _call(self, name: str, *arguments: Any) -> Any:
        if hasattr(self._store, f"a{name}"):  # Airflow 3.3.2
            return await getattr(self._store, f"a{name}")(*arguments)
        return await asyncio.to_thread(getattr(self._store, name), *arguments)


class _NoNotes:
    """A place where nobody notes what Airflow stores."""

    async def find_stored(self, identities: Iterable[str]) -> frozenset[str]:
        """Return nothing."""
        return frozenset()

    async def forget_stored(self, identities: Iterable[str]) -> None:
        """Forget nothing."""


class ObjectStore(_NoNotes):
    """An object in S3. Another triggerer that watches the same at the same time is noticed."""

    def __init__(self, s3: S3Client, place: S3Uri) -> None:
        self._s3 = s3
        self._place = place
        self._etag: str | None = None

    async def load(self) -> Memory | None:
        """Return what was kept."""
        found = await in_thread(lambda: read_object(self._s3, self._place, clock_of(self._s3)))
        self._etag = found.etag if found else None
        if found is None:
            return None
        memory = Memory.from_json(_parse(found.body))
        if memory is None:
            log.warning("%s is not what a watcher kept. It is replaced.", self._place)
        return memory

    async def save(self, memory: Memory) -> None:
        """Keep it. Raises OtherWatcherError when somebody else has kept something since."""
        body = json.dumps(memory.to_json()).encode()
        etag = await in_thread(
            lambda: write_object(self._s3, self._place, body, clock_of(self._s3), replaces=self._etag)
        )
        if etag is None:
            # An earlier try of ours may have landed: then what is there is what we wrote.
            found = await in_thread(lambda: read_object(self._s3, self._place, clock_of(self._s3)))
            if found is None or found.body != body:
                raise OtherWatcherError(
                    f"{self._place} was written by another watcher with the same arguments. Beginning anew."
                )
            etag = found.etag
        self._etag = etag


class NoStore(_NoNotes):
    """Nowhere: what came while no triggerer ran is never told."""

    async def load(self) -> Memory | None:
        """Return nothing."""
        return None

    async def save(self, memory: Memory) -> None:
        """Keep nothing."""


async def open_store(
    asset_store: Any, s3: S3Client, *, key: str, bucket: str, place: S3Uri | None
) -> tuple[MemoryStore, Memory | None]:
    """Return where to keep the memory, and what is kept there.

    :param asset_store: Airflow's, if there is one.
    :param place: an object in S3 to be used instead; None is one in the registry where Airflow has no store.
    """
    if place is None and asset_store is not None:
        store = AssetStore(asset_store, key)
        try:
            return store, await store.load()
        except ValueError:
            log.warning(
                "Several assets are watched by one trigger, and Airflow keeps no state of them. Give each "
                "watcher a package pattern of its own; until then the state is kept in the registry."
            )
    place = place or S3Uri(bucket, f"{WATCHERS_FOLDER}{key}.json")
    kept = ObjectStore(s3, place)
    try:
        return kept, await kept.load()
    except AccessError as error:
        log.warning(
            "%s Without a place for it (state_location) the state of this watcher is kept nowhere: what "
            "arrives while no triggerer runs will not be told, and what was just told may be told again.",
            error,
        )
        return NoStore(), None


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
