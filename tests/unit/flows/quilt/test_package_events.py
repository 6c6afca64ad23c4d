"""What is told of packages, and the messages of a queue that hint at them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_quilt_athena.core.quilt.revisions import Pointer
from airflow_quilt_athena.core.quilt.watch import Arrival, News, Tell
from airflow_quilt_athena.flows.quilt.package_events import (
    Hints,
    delete_messages,
    describe_all,
    describe_revision,
    receive_hints,
)
from tests.unit.flows.quilt.test_pointers import ROOT, Ranged

A = "a" * 64


def registry(*pointers: str) -> Ranged:
    s3 = Ranged()
    s3.objects[f".quilt/packages/{A}"] = (b'{"version": "v0", "message": "as is"}\n', s3.now)
    for pointer in pointers:
        s3.objects[ROOT + pointer] = (A.encode(), s3.now)
    return s3


def arrived(s3: Ranged, package: str, name: str) -> Arrival:
    return Arrival(Pointer(package, name), s3.now, "e")


def test_of_a_deletion_the_package_is_told_and_nothing_of_a_revision() -> None:
    (told,) = describe_all(registry(), "acme", [News(Tell.DELETED, "team/pkg")])
    assert told == {
        "kind": "deleted",
        "id": "-team/pkg",
        "redelivered": False,
        "bucket": "acme",
        "registry": "s3://acme",
        "package": "team/pkg",
        "top_hash": None,
        "revision": None,
        "revision_at": None,
        "arrived_at": None,
        "message": None,
        "time": None,
    }


def test_what_is_gone_again_is_not_told_and_the_rest_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    s3 = registry("team/there/1600000000")
    news = [
        News(Tell.CREATED, package, arrived(s3, package, "1600000000"))
        for package in ("team/gone", "team/there")
    ]
    told = describe_all(s3, "acme", news)
    assert [(one["package"], one["top_hash"], one["message"], one["time"]) for one in told] == [
        ("team/there", A, "as is", "2020-09-13T12:26:40+00:00")
    ]
    assert "A pointer of package team/gone in s3://acme is gone again" in caplog.text


def test_a_rollback_is_of_the_time_when_it_was_done() -> None:
    s3 = registry("team/pkg/latest")
    (told,) = describe_all(
        s3, "acme", [News(Tell.ROLLED_BACK, "team/pkg", arrived(s3, "team/pkg", "latest"))]
    )
    assert (told["revision_at"], told["time"]) == (None, "2026-01-01T12:00:00+00:00")


def test_a_revision_beyond_the_last_time_is_told_without_one() -> None:
    s3 = registry("team/pkg/999999999999")
    told = describe_revision(s3, "acme", arrived(s3, "team/pkg", "999999999999"))
    assert told is not None
    assert (told["revision"], told["revision_at"], told["top_hash"]) == ("999999999999", None, A)


class Queue:
    """SQS with messages; those named cannot be deleted."""

    def __init__(self, *bodies: str, stuck: str = "") -> None:
        self.messages = [{"Body": body, "ReceiptHandle": f"r{n}"} for n, body in enumerate(bodies)]
        self.stuck = stuck
        self.deleted: list[list[str]] = []

    def receive_message(self, **request: Any) -> dict[str, Any]:
        return {"Messages": self.messages} if self.messages else {}

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        receipts = [entry["ReceiptHandle"] for entry in request["Entries"]]
        self.deleted.append(receipts)
        failed = [{"Id": "0", "Message": "the receipt is too old"}] if self.stuck in receipts else []
        return {"Failed": failed} if failed else {}


def s3_event(bucket: str, key: str) -> str:
    record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
    return json.dumps({"Records": [record]})


def test_messages_about_other_buckets_are_left_for_those_whom_they_concern(
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = f"{ROOT}team/pkg/latest"
    queue = Queue(s3_event("other", key), s3_event("acme", key), "no message of ours")
    assert receive_hints(queue, "https://q", "acme", 1) == Hints(frozenset({"team/pkg"}), ("r1",))
    assert [message for message in caplog.messages if "not about packages of s3://acme" in message] == [
        "A message of queue https://q is not about packages of s3://acme; left there.",
        "A message of queue https://q is not about packages of s3://acme; left there.",
    ]


def test_an_empty_queue_hints_at_nothing() -> None:
    assert receive_hints(Queue(), "https://q", "acme", 1) == Hints(frozenset(), ())


def test_messages_go_ten_to_a_call_and_one_that_stays_is_named(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue(stuck="r11")
    delete_messages(queue, "https://q", [f"r{number}" for number in range(12)])
    assert [len(batch) for batch in queue.deleted] == [10, 2]
    assert caplog.messages == ["A message of queue https://q could not be deleted: the receipt is too old"]
