"""QuiltPackageSensor on a running local Athena, in all three modes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.sensors.quilt_package import QuiltPackageSensor
from local_athena import Fault, LocalAthena
from tests.integration.lab import Ran, connection, run_task
from tests.integration.quilt_registry import BASE, DAY, Registry, push, reached_by_quilt3

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def pushed(aws: LocalAthena) -> Registry:
    registry = Registry(aws)
    with reached_by_quilt3(aws) as quilt3:
        for number in range(3):
            files: dict[str, tuple[str, dict[str, Any]]] = {"x": (str(number), {})}
            push(quilt3, registry.uri, "team/plates", files, at=BASE + number * DAY, message=f"day {number}")
        push(quilt3, registry.uri, "team/other", {"x": ("other", {})}, at=BASE + 5 * DAY, message="other")
    return registry


@pytest.fixture(autouse=True)
def _reached(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield
    aws.set_faults()


def sensor(
    registry: Registry, package: str = "team/plates", newer_than: Any = None, **rest: Any
) -> QuiltPackageSensor:
    given: dict[str, Any] = {"poke_interval": 0.2, "timeout": 20}
    return QuiltPackageSensor(
        task_id="wait", bucket=registry.bucket, package=package, newer_than=newer_than, **(given | rest)
    )


def found(registry: Registry, *arguments: Any, **rest: Any) -> Any:
    return sensor(registry, *arguments, **rest).poke({}).xcom_value


def at(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def top_hash(registry: Registry, pointer: str) -> str:
    key = f".quilt/named_packages/team/plates/{pointer}"
    return str(registry.s3.get_object(Bucket=registry.bucket, Key=key)["Body"].read().decode())


def test_its_xcom_is_the_newest_revision(pushed: Registry) -> None:
    revision = found(pushed)
    assert revision.pop("arrived_at")
    assert revision == {
        "bucket": pushed.bucket,
        "registry": pushed.uri,
        "package": "team/plates",
        "top_hash": top_hash(pushed, "latest"),
        "revision": str(BASE + 2 * DAY),
        "revision_at": f"{at(BASE + 2 * DAY)}+00:00",
        "message": "day 2",
        "count": 3,
        "revisions": [{"package": "team/plates", "revision": str(BASE + n * DAY)} for n in range(3)],
    }


@pytest.mark.parametrize(
    ("seconds", "count"), [(BASE - 1, 3), (BASE, 2), (BASE + DAY - 1, 2), (BASE + 2 * DAY, None)]
)
def test_newer_than_a_time_is_later_than_it(pushed: Registry, seconds: int, count: int | None) -> None:
    revision = found(pushed, "team/plates", at(seconds))
    assert (revision and revision["count"]) == count


def test_newer_than_a_top_hash_is_after_that_revision(pushed: Registry) -> None:
    first, last = (top_hash(pushed, str(BASE + n * DAY)) for n in (0, 2))
    assert found(pushed, "team/plates", first)["count"] == 2
    assert found(pushed, "team/plates", last) is None


def test_the_same_content_again_is_no_newer_revision(pushed: Registry) -> None:
    again = Registry(pushed.aws)
    first = again.put_revision("team/plates", BASE, "x")
    again.put_pointer("team/plates", str(BASE + 9), first)
    assert found(again, "team/plates", first) is None


def test_a_top_hash_that_no_revision_has_is_refused(pushed: Registry) -> None:
    with pytest.raises(AirflowFailException, match="which no revision of team/plates"):
        found(pushed, "team/plates", "ab" * 32)


def test_an_interval_is_from_its_start_until_before_its_end(pushed: Registry) -> None:
    day = {"start": at(BASE + DAY), "end": at(BASE + 2 * DAY)}
    assert found(pushed, "team/plates", day)["revisions"] == [
        {"package": "team/plates", "revision": str(BASE + DAY)}
    ]
    assert found(pushed, "team/plates", {"start": at(BASE + 3 * DAY)}) is None


def test_a_pattern_covers_packages(pushed: Registry) -> None:
    assert found(pushed, "team/*")["package"] == "team/other"
    assert found(pushed, "team/p*")["package"] == "team/plates"
    assert found(pushed, "nobody/*") is None
    assert found(pushed, "*")["count"] == 4


def test_by_arrival_what_was_made_long_ago_is_new(pushed: Registry) -> None:
    hour_ago = at(int(time.time()) - 3600)
    assert found(pushed, "team/plates", hour_ago, by="arrival")["count"] == 3


# ------------------------------------------------------------------------------------------- modes


def put_soon(registry: Registry) -> threading.Timer:
    timer = threading.Timer(1.0, lambda: registry.put_revision("team/new", BASE, "x", message="new"))
    timer.start()
    return timer


def test_it_waits_on_the_worker(aws: LocalAthena) -> None:
    registry = Registry(aws)
    timer = put_soon(registry)
    ran = run_task(sensor(registry, "team/*"))
    timer.join()
    assert (ran.result["message"], ran.deferrals) == ("new", 0)


def test_it_waits_in_the_triggerer(aws: LocalAthena) -> None:
    registry = Registry(aws)
    timer = put_soon(registry)
    ran: Ran = run_task(sensor(registry, "team/*", deferrable=True))
    timer.join()
    assert (ran.result["message"], ran.deferrals) == ("new", 1)


def test_it_gives_its_worker_back_in_between(aws: LocalAthena) -> None:
    registry = Registry(aws)
    task = sensor(registry, "team/*", mode="reschedule")
    assert task.poke({}).is_done is False
    assert task.reschedule


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException)],
)
@pytest.mark.parametrize("deferrable", [False, True])
def test_what_does_not_come_in_time_times_out(
    pushed: Registry, deferrable: bool, arguments: dict[str, Any], error: type[Exception]
) -> None:
    task = sensor(pushed, "team/none", deferrable=deferrable, timeout=0.5, **arguments)
    with pytest.raises(error):
        run_task(task)


@pytest.mark.parametrize(
    ("newer_than", "words"),
    [
        ("None", "newer_than is 'None'"),
        ("soon", "newer_than is 'soon'"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "not after its start"),
        ({"from": "2026-01-02"}, "has the keys"),
    ],
)
def test_what_nobody_can_wait_for_is_refused(pushed: Registry, newer_than: Any, words: str) -> None:
    with pytest.raises(AirflowFailException, match=words):
        found(pushed, "team/plates", newer_than)


def test_a_bucket_that_may_not_be_read_fails_at_once(pushed: Registry) -> None:
    pushed.aws.set_faults(Fault("s3:ListObjectsV2", error="AccessDenied", status=403, times=None))
    with pytest.raises(AirflowException, match="s3:ListBucket"):
        found(pushed)


def test_a_typo_fails_where_the_dag_is_written() -> None:
    with pytest.raises(InvalidCallError, match="by is 'name'"):
        QuiltPackageSensor(task_id="wait", bucket="acme", package="team/a", by="name")
