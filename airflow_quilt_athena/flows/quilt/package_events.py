"""What happened to packages, told in full; and the queue that says where to look. Knows no Airflow."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_quilt_athena.core.quilt.event_messages import Hint, parse_hints
from airflow_quilt_athena.core.quilt.revisions import Pointer
from airflow_quilt_athena.core.quilt.watch import Arrival, News, Tell
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.quilt.pointers import PARALLEL_LISTINGS, read_message, read_top_hash

log = logging.getLogger(__name__)

# Amazon SQS API Reference, "ReceiveMessage", "DeleteMessageBatch", read 2026-11.
MAX_MESSAGES = 10
_HIDDEN_SECONDS = 300  # for others, while what a message hints at is looked at and told


class QueueClient(Protocol):
    """What listening asks of ``boto3.client("sqs")``."""

    def receive_message(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Wait for messages."""
        ...

    def delete_message_batch(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Delete messages."""
        ...


@dataclass(frozen=True, slots=True)
class Hints:
    """What messages of a queue hint at, and what they are deleted by."""

    packages: frozenset[str] = frozenset()
    receipts: tuple[str, ...] = ()


def describe_revision(s3: S3Client, bucket: str, arrival: Arrival) -> dict[str, Any] | None:
    """Return what there is to tell of a revision as JSON values; None when its pointer is gone."""
    top_hash = read_top_hash(s3, bucket, arrival.pointer)
    if top_hash is None:
        return None
    return {
        "bucket": bucket,
        "registry": f"s3://{bucket}",
        "package": arrival.pointer.package,
        "top_hash": top_hash,
        "revision": arrival.pointer.name,
        "revision_at": _revision_at(arrival.pointer),
        "arrived_at": arrival.arrived_at.astimezone(UTC).isoformat(),
        "message": read_message(s3, bucket, top_hash),
    }


def _revision_at(pointer: Pointer) -> str | None:
    seconds = pointer.seconds
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError):  # twelve digits may be a time beyond the last
        return None


def describe_all(s3: S3Client, bucket: str, news: Sequence[News]) -> list[dict[str, Any]]:
    """Return the payloads of events, in their order; what is gone again is left out."""
    with ThreadPoolExecutor(PARALLEL_LISTINGS, thread_name_prefix="revisions") as pool:
        payloads = list(pool.map(lambda one: _describe(s3, bucket, one), news))
    for one, payload in zip(news, payloads, strict=True):
        if payload is None:
            log.info("A pointer of package %s in s3://%s is gone again; not told.", one.package, bucket)
    return [payload for payload in payloads if payload is not None]


def _describe(s3: S3Client, bucket: str, news: News) -> dict[str, Any] | None:
    marks = {"kind": news.kind.value, "id": news.key, "redelivered": news.again}
    if news.arrival is None:
        nothing = dict.fromkeys(("top_hash", "revision", "revision_at", "arrived_at", "message", "time"))
        return {**marks, "bucket": bucket, "registry": f"s3://{bucket}", "package": news.package, **nothing}
    facts = describe_revision(s3, bucket, news.arrival)
    if facts is None:
        return None
    # Of a rollback the time is when it was done: the pointer is latest, which has none in its name.
    time = facts["revision_at"] if news.kind is Tell.CREATED else facts["arrived_at"]
    return {**marks, **facts, "time": time}


def receive_hints(sqs: QueueClient, queue_url: str, bucket: str, seconds: int) -> Hints:
    """Wait for messages for some seconds; return what they hint at in a bucket.

    Messages about other buckets are left for those whom they concern.
    """
    answer = ask(
        lambda: sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=MAX_MESSAGES,
            WaitTimeSeconds=seconds,
            VisibilityTimeout=_HIDDEN_SECONDS,
        ),
        f"receive messages of queue {queue_url}",
    )
    packages: set[str] = set()
    receipts: list[str] = []
    for message in answer.get("Messages", ()):
        hints: frozenset[Hint] = parse_hints(message["Body"])
        ours = {hint.package for hint in hints if hint.bucket == bucket}
        if ours:
            packages |= ours
            receipts.append(message["ReceiptHandle"])
        else:
            log.warning(
                "A message of queue %s is not about packages of s3://%s; left there.", queue_url, bucket
            )
    return Hints(frozenset(packages), tuple(receipts))


def delete_messages(sqs: QueueClient, queue_url: str, receipts: Sequence[str]) -> None:
    """Delete messages; what cannot be deleted comes again, and is told no second time."""
    for batch in in_batches(receipts, MAX_MESSAGES):
        entries = [{"Id": str(number), "ReceiptHandle": receipt} for number, receipt in enumerate(batch)]
        answer = ask(
            lambda sent=entries: sqs.delete_message_batch(QueueUrl=queue_url, Entries=sent),  # type: ignore[misc]
            f"delete messages of queue {queue_url}",
        )
        for failed in answer.get("Failed", ()):
            log.warning("A message of queue %s could not be deleted: %s", queue_url, failed.get("Message"))
