"""Where a watcher keeps its memory: Airflow's asset state store, an object in S3, or nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Protocol

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.watch import Memory
from airflow_quilt_athena.exceptions import AccessError, RetryableError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import clock_of, read_object, write_object
from airflow_quilt_athena.triggers.registry_looks import in_thread

log = logging.getLogger(__name__)

FOLDER = ".quilt-athena/watchers/"  # beside Quilt's own, in the registry


class MemoryStore(Protocol):
    """Keeps a memory."""

    async def load(self) -> Memory | None:
        """Return what was kept; None when nothing was."""
        ...

    async def save(self, memory: Memory) -> None:
        """Keep it."""
        ...


class AssetStore:
    """Airflow's own, of the asset that is watched (Airflow 3.3)."""

    def __init__(self, store: Any, key: str) -> None:
        self._store = store
        self._key = f"quilt_athena.{key}"

    async def load(self) -> Memory | None:
        """Return what was kept. Raises ValueError when several assets share the trigger (Airflow #71460)."""
        if hasattr(self._store, "aget"):  # Airflow 3.3.2
            return Memory.from_json(await self._store.aget(self._key))
        return Memory.from_json(await asyncio.to_thread(self._store.get, self._key))

    async def save(self, memory: Memory) -> None:
        """Keep it."""
        if hasattr(self._store, "aset"):
            await self._store.aset(self._key, memory.to_json())
        else:
            await asyncio.to_thread(self._store.set, self._key, memory.to_json())


class ObjectStore:
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
        """Keep it. Raises RetryableError when somebody else has kept something since."""
        body = json.dumps(memory.to_json()).encode()
        etag = await in_thread(
            lambda: write_object(self._s3, self._place, body, clock_of(self._s3), replaces=self._etag)
        )
        if etag is None:
            # An earlier try of ours may have landed: then what is there is what we wrote.
            found = await in_thread(lambda: read_object(self._s3, self._place, clock_of(self._s3)))
            if found is None or found.body != body:
                raise RetryableError(
                    f"{self._place} was written by another watcher with the same arguments. Beginning anew."
                )
            etag = found.etag
        self._etag = etag


class NoStore:
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
    place = place or S3Uri(bucket, f"{FOLDER}{key}.json")
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
