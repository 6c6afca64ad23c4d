"""QuiltPackageTrigger on a running local Athena: by Airflow's own streams, and alone, over crashes."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.triggers.base import BaseEventTrigger

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.package_events import new_revisions
from airflow_quilt_athena.triggers import registry_looks
from airflow_quilt_athena.triggers.quilt_package import QuiltPackageTrigger
from airflow_quilt_athena.triggers.stored_events import STORED_PREFIX
from local_athena import Fault, LocalAthena
from tests.integration.lab import connection
from tests.integration.quilt_registry import Registry, push, reached_by_quilt3

pytestmark = pytest.mark.integration

try:
    from airflow.triggers.shared_stream import SharedStreamManager
except ImportError:  # Airflow before 3.3
    SharedStreamManager = None  # type: ignore[assignment,misc]

needs_streams = pytest.mark.skipif(SharedStreamManager is None, reason="Airflow 3.3 shares streams")


QUIET_SECONDS = 0.7  # in which what is told twice would be: some looks of 0.2 seconds each


class Store:
    """Airflow's asset state store, which outlives a triggerer."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def aget(self, key: str, default: Any = None) -> Any:
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)

    async def adelete(self, key: str) -> None:
        self.values.pop(key, None)


@pytest.fixture
def registry(aws: LocalAthena) -> Registry:
    return Registry(aws)


@pytest.fixture(autouse=True)
def _reached(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield
    aws.set_faults()


def trigger(registry: Registry, store: Any = None, **arguments: Any) -> QuiltPackageTrigger:
    """A trigger as the triggerer makes it, from what was serialised."""
    given = QuiltPackageTrigger(bucket=registry.bucket, **({"poll_interval": 0.2} | arguments))
    path, kwargs = given.serialize()
    assert path == f"{QuiltPackageTrigger.__module__}.QuiltPackageTrigger"
    made = QuiltPackageTrigger(**json.loads(json.dumps(kwargs)))
    made.asset_state_store = store
    return made


class Triggerer:
    """Airflow's stream manager and what the runner does around it; the supervisor stores when it is told."""

    def __init__(self) -> None:
        self.manager = SharedStreamManager(log=structlog.get_logger(), ack_timeout=60.0)
        self.stored: list[tuple[int, dict[str, Any]]] = []
        self.waiting: list[tuple[int, int | None, dict[str, Any]]] = []
        self.storing = True
        self.confirming = True
        self._tasks: list[asyncio.Task[None]] = []

    def run(self, number: int, watcher: BaseEventTrigger) -> None:
        self._tasks.append(asyncio.create_task(self._run(number, watcher)))

    async def _run(self, number: int, watcher: BaseEventTrigger) -> None:
        key = watcher.shared_stream_key()
        stream = self.manager.subscribe(trigger_id=number, trigger=watcher, key=key)
        async for event in watcher.filter_shared_stream(stream):
            sequence = self.manager.bind_pending_event(trigger_id=number, key=key)
            self.waiting.append((number, sequence, event.payload))
            self.sync()

    def sync(self) -> None:
        if not self.storing:
            return
        waiting, self.waiting = self.waiting, []
        self.stored += [(number, payload) for number, _, payload in waiting]
        if self.confirming:
            self.manager.confirm_persisted([sequence for _, sequence, _ in waiting if sequence is not None])

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.manager.stop_all()

    def told(self, number: int = 1) -> list[str]:
        return [payload["revision"] for other, payload in self.stored if other == number]


@asynccontextmanager
async def triggerer(*watchers: BaseEventTrigger) -> AsyncIterator[Triggerer]:
    running = Triggerer()
    for number, watcher in enumerate(watchers, 1):
        running.run(number, watcher)
    try:
        yield running
    finally:
        await running.kill()


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def started(registry: Registry, store: Store, count: int = 1) -> None:
    """Wait until the watchers have kept where they began."""
    await until(lambda: len(store.values) >= count)


def memory(store: Store) -> dict[str, Any]:
    (value,) = store.values.values()
    return dict(json.loads(value))


# ------------------------------------------------------------------------------------------- telling


@needs_streams
def test_each_revision_is_one_event_with_what_there_is_to_say(registry: Registry) -> None:
    store = Store()
    registry.put_revision("team/old", 1_600_000_000, "a")

    async def watch() -> list[dict[str, Any]]:
        await asyncio.sleep(2.5)  # S3 tells whole seconds: what came just before may count as new
        async with triggerer(trigger(registry, store)) as running:
            await started(registry, store)
            with reached_by_quilt3(registry.aws) as quilt3:
                push(quilt3, registry.uri, "team/a", {"x": ("1", {})}, at=1_700_000_000, message="first")
            await until(lambda: len(running.stored) == 1)
            registry.put_revision("team/late", 1_500_000_000, "b", message="second")
            registry.put_pointer("team/late", "latest", "ab" * 32)
            await until(lambda: len(running.stored) == 2)
            await asyncio.sleep(QUIET_SECONDS)
            return [payload for _, payload in running.stored]

    first, second = asyncio.run(watch())
    assert first == {
        "kind": "created",
        "id": first["id"],
        "redelivered": False,
        "bucket": registry.bucket,
        "registry": registry.uri,
        "package": "team/a",
        "top_hash": first["top_hash"],
        "revision": "1700000000",
        "revision_at": "2023-11-14T22:13:20+00:00",
        "time": "2023-11-14T22:13:20+00:00",
        "arrived_at": first["arrived_at"],
        "message": "first",
    }
    body = registry.s3.get_object(Bucket=registry.bucket, Key=".quilt/named_packages/team/a/1700000000")[
        "Body"
    ].read()
    assert body.decode() == first["top_hash"]
    assert (second["package"], second["revision"], second["message"]) == ("team/late", "1500000000", "second")
    assert json.dumps(first)


@needs_streams
def test_two_watchers_share_one_listing_and_tell_their_own(registry: Registry) -> None:
    stores = Store(), Store()

    async def watch() -> tuple[list[str], list[str], int]:
        watchers = [
            trigger(registry, store, package=p) for store, p in zip(stores, ("team/*", "*"), strict=True)
        ]
        async with triggerer(*watchers) as running:
            for store in stores:
                await started(registry, store)
            registry.aws.clear_calls()
            await asyncio.sleep(2)
            listings = sum(call.operation == "ListObjectsV2" for call in registry.aws.calls)
            for name in ("team/a", "other/b"):
                registry.put_revision(name, 1_700_000_000, "x")
                registry.put_pointer(name, "latest", "ab" * 32)
            await until(lambda: len(running.stored) == 3)
            return (
                [payload["package"] for number, payload in running.stored if number == 1],
                sorted(payload["package"] for number, payload in running.stored if number == 2),
                listings,
            )

    mine, all_, listings = asyncio.run(watch())
    assert mine == ["team/a"]
    assert all_ == ["other/b", "team/a"]
    assert 1 <= listings <= 11  # one a look of at least 0.2 s, and not one for each watcher


@needs_streams
def test_what_was_stored_is_told_by_no_later_triggerer(registry: Registry) -> None:
    store = Store()

    async def watch() -> tuple[list[str], list[str]]:
        async with triggerer(trigger(registry, store)) as running:
            await started(registry, store)
            registry.put_revision("team/a", 1_700_000_000, "x")
            registry.put_pointer("team/a", "latest", "ab" * 32)
            await until(lambda: bool(running.told()) and not memory(store)["telling"])
            first = running.told()
        registry.put_revision("team/a", 1_700_000_001, "y")  # while no triggerer runs, and without latest
        async with triggerer(trigger(registry, store)) as running:
            await until(lambda: bool(running.told()))
            await asyncio.sleep(QUIET_SECONDS)
            return first, running.told()

    assert asyncio.run(watch()) == (["1700000000"], ["1700000001"])


@needs_streams
def test_what_was_handed_over_and_not_stored_is_told_by_the_next(registry: Registry) -> None:
    store = Store()

    async def watch() -> list[dict[str, Any]]:
        async with triggerer(trigger(registry, store)) as running:
            await started(registry, store)
            running.storing = False
            registry.put_revision("team/a", 1_700_000_000, "x")
            registry.put_pointer("team/a", "latest", "ab" * 32)
            await until(lambda: bool(running.waiting))
            await asyncio.sleep(QUIET_SECONDS)
            assert len(running.waiting) == 1  # told once, and waited for
        async with triggerer(trigger(registry, store)) as running:
            await until(lambda: bool(running.stored) and not memory(store)["telling"])
            await asyncio.sleep(QUIET_SECONDS)
            return [payload for _, payload in running.stored]

    (payload,) = asyncio.run(watch())
    assert (payload["revision"], payload["redelivered"]) == ("1700000000", True)


@needs_streams
def test_what_was_noted_as_stored_is_not_told_again(registry: Registry) -> None:
    """The plugin's part: the note is written with the event, and the triggerer dies before it knows."""
    store = Store()

    async def watch() -> tuple[int, int, set[str]]:
        async with triggerer(trigger(registry, store)) as running:
            await started(registry, store)
            running.confirming = False
            registry.put_revision("team/a", 1_700_000_000, "x")
            registry.put_pointer("team/a", "latest", "ab" * 32)
            await until(lambda: bool(running.stored))
            before = len(running.stored)
            for _, payload in running.stored:
                await store.aset(STORED_PREFIX + payload["id"], True)
        async with triggerer(trigger(registry, store)) as running:
            registry.put_revision("team/a", 1_700_000_001, "y")
            registry.put_pointer("team/a", "latest", "ab" * 32)
            await until(lambda: bool(running.stored))
            await until(lambda: not any(STORED_PREFIX in key for key in store.values))
            return before, len(running.stored), {payload["revision"] for _, payload in running.stored}

    assert asyncio.run(watch()) == (1, 1, {"1700000001"})


@needs_streams
def test_an_answer_that_was_lost_is_marked_so_that_a_run_can_leave_it_out(registry: Registry) -> None:
    store = Store()

    async def watch() -> list[dict[str, Any]]:
        async with triggerer(trigger(registry, store)) as running:
            await started(registry, store)
            running.confirming = False
            registry.put_revision("team/a", 1_700_000_000, "x")
            registry.put_pointer("team/a", "latest", "ab" * 32)
            await until(lambda: bool(running.stored))
            stored = list(running.stored)
        async with triggerer(trigger(registry, store)) as running:
            await until(lambda: bool(running.stored))
            return [payload for _, payload in stored + running.stored]

    payloads = asyncio.run(watch())
    assert [payload["redelivered"] for payload in payloads] == [False, True]
    events = [
        SimpleNamespace(extra={"from_trigger": True, "payload": payload}, timestamp=number)
        for number, payload in enumerate(payloads)
    ]

    class Inlets(dict[str, Any]):
        """As Airflow's, made for assets; knows what was stored."""

        def __init__(self, assets: list[str]) -> None:
            super().__init__(dict.fromkeys(assets, events))

    def run_for(event: Any) -> list[str]:
        inlets = type(
            "Inlets", (dict,), {"__init__": lambda self, assets: dict.__init__(self, {assets[0]: events})}
        )
        context = {"triggering_asset_events": {"asset": [event]}, "inlet_events": inlets(["asset"])}
        return [payload["revision"] for payload in new_revisions(context)]

    assert [run_for(event) for event in events] == [["1700000000"], []]


def test_alone_as_before_airflow_3_3_it_keeps_its_memory_in_the_registry(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_looks, "SETTLED_SECONDS", 0.5)

    def kept() -> dict[str, Any]:
        found = registry.s3.list_objects_v2(Bucket=registry.bucket, Prefix=".quilt-athena/watchers/")
        keys = [item["Key"] for item in found.get("Contents", ())]
        if not keys:
            return {}
        (key,) = keys
        return dict(json.loads(registry.s3.get_object(Bucket=registry.bucket, Key=key)["Body"].read()))

    async def run_once(count: int, meanwhile: Callable[[], None]) -> list[str]:
        told: list[str] = []

        async def run() -> None:
            async for event in trigger(registry).run():
                told.append(event.payload["revision"])

        task = asyncio.create_task(run())
        await until(lambda: bool(kept()))
        meanwhile()
        await until(lambda: len(told) >= count and not kept()["telling"])
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return told

    def put(seconds: int) -> None:
        registry.put_revision("team/a", seconds, "x")
        registry.put_pointer("team/a", "latest", "ab" * 32)

    assert asyncio.run(run_once(1, lambda: put(1_700_000_000))) == ["1700000000"]
    put(1_700_000_001)
    assert asyncio.run(run_once(2, lambda: put(1_700_000_002))) == ["1700000001", "1700000002"]


@needs_streams
def test_rollbacks_and_deletions_are_told_when_asked(registry: Registry) -> None:
    store = Store()
    tell = ["created", "rolled_back", "deleted"]
    first = registry.put_revision("team/a", 1_700_000_000, "x")
    second = registry.put_revision("team/a", 1_700_000_001, "y")
    registry.put_pointer("team/a", "latest", second)
    registry.put_revision("team/gone", 1_700_000_000, "x")
    gone = {"Bucket": registry.bucket, "Key": ".quilt/named_packages/team/gone/1700000000"}
    version = registry.s3.head_object(**gone)["VersionId"]

    async def watch() -> list[tuple[Any, ...]]:
        await asyncio.sleep(2.5)  # S3's clock ticks in seconds, and what was there before is not new
        async with triggerer(trigger(registry, store, tell=tell)) as running:
            await started(registry, store)
            await asyncio.sleep(1.5)
            registry.put_pointer("team/a", "latest", first)
            registry.s3.delete_object(**gone, VersionId=version)  # moto groups keys below a delete marker
            await until(lambda: len(running.stored) == 2)
            return sorted(
                (payload["kind"], payload["package"], payload["top_hash"]) for _, payload in running.stored
            )

    assert asyncio.run(watch()) == [("deleted", "team/gone", None), ("rolled_back", "team/a", first)]


# -------------------------------------------------------------------------------------------- events


@pytest.fixture
def queue(registry: Registry) -> str:
    """A queue that a rule of EventBridge fills with the registry's package-revision events."""
    sqs, events = registry.aws.client("sqs"), registry.aws.client("events")
    name = f"quilt-{uuid.uuid4().hex[:8]}"
    url = str(sqs.create_queue(QueueName=name)["QueueUrl"])
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["com.quiltdata"],
        "detail-type": ["package-revision"],
        "detail": {"type": ["created"], "bucket": [registry.bucket]},
    }
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    return url


def send(registry: Registry, package: str, times: int = 1) -> None:
    detail = {
        "version": "0.1",
        "type": "created",
        "bucket": registry.bucket,
        "handle": package,
        "topHash": "ab" * 32,
    }
    entry = {"Source": "com.quiltdata", "DetailType": "package-revision", "Detail": json.dumps(detail)}
    registry.aws.client("events").put_events(Entries=[entry] * times)


def left_in(registry: Registry, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = registry.aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)[
        "Attributes"
    ]
    return sum(int(found[name]) for name in names)


@needs_streams
def test_an_event_makes_it_quick_and_is_deleted_when_it_is_told(registry: Registry, queue: str) -> None:
    store = Store()

    async def watch() -> list[str]:
        async with triggerer(trigger(registry, store, queue_url=queue, poll_interval=600.0)) as running:
            await started(registry, store)
            running.storing = False
            registry.put_revision("team/a", 1_700_000_000, "x")  # without latest: no quick look sees it
            send(registry, "team/a", times=3)  # doubled on its way
            await until(lambda: bool(running.waiting))
            await asyncio.sleep(QUIET_SECONDS)
            assert left_in(registry, queue) == 3
            running.storing = True
            running.sync()
            await until(lambda: left_in(registry, queue) == 0)
            send(registry, "team/a")  # late: the revision was told long ago
            send(registry, "team/none")  # of a package that is gone
            await until(lambda: left_in(registry, queue) == 0)
            told = running.told()
        send(registry, "team/a")  # ends the wait of the thread that still listens, which lasts 20 seconds
        return told

    assert asyncio.run(watch()) == ["1700000000"]


@needs_streams
def test_without_its_queue_it_goes_on_by_looking(registry: Registry, queue: str) -> None:
    store = Store()
    registry.aws.set_faults(Fault("sqs:ReceiveMessage", error="AccessDenied", status=403, times=None))

    async def watch() -> list[str]:
        async with triggerer(trigger(registry, store, queue_url=queue)) as running:
            await started(registry, store)
            registry.put_revision("team/a", 1_700_000_000, "x")
            registry.put_pointer("team/a", "latest", "ab" * 32)
            await until(lambda: bool(running.stored))
            return running.told()

    assert asyncio.run(watch()) == ["1700000000"]


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"package": "team"}, "package is 'team'"),
        ({"tell": "pushed"}, "tell is"),
        ({"poll_interval": 0}, "above zero"),
        ({"since": "yesterday"}, "since is 'yesterday'"),
        ({"state_location": "s3://acme/folder/"}, "Expected an object"),
        ({"bucket": "s3://acme"}, "Leave out s3://"),
    ],
)
def test_a_typo_fails_where_the_dag_is_written(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidCallError, match=words):
        QuiltPackageTrigger(**({"bucket": "acme"} | arguments))
