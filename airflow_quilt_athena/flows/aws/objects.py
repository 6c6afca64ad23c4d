"""Objects in S3: read, listed, deleted; written under a condition. Raises ours for boto3's errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from weakref import WeakKeyDictionary

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless

log = logging.getLogger(__name__)

MAX_KEYS_PER_DELETE = 1000  # Amazon S3 API Reference, "DeleteObjects", read 2026-11

_GONE = frozenset({"NoSuchKey", "404"})
_EMPTY = frozenset({"InvalidRange", "416"})
_ON_ITS_WAY = timedelta(seconds=2)  # how much less than the time it is an answer may tell
_UNMET = frozenset({"PreconditionFailed", "412"})


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing tells of it."""

    key: str
    modified_at: datetime
    size_bytes: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """An object that was read, by the clock of S3."""

    body: bytes
    etag: str
    age: timedelta


class S3Clock:
    """The time as S3 has it: workers' clocks differ, and are compared with times that S3 gave.

    An answer's Date tells whole seconds and is on its way for some time, so what it says is less than the
    time it is: of all answers, the one that says most is nearest. A worker's clock that may be right is
    believed: it is finer.
    """

    def __init__(self) -> None:
        self._ahead: timedelta | None = None

    @property
    def is_known(self) -> bool:
        """Whether an answer has told the time yet."""
        return self._ahead is not None

    def now(self) -> datetime:
        """Return the time."""
        ahead = self._ahead or timedelta()
        return datetime.now(UTC) + (timedelta() if -_ON_ITS_WAY < ahead <= timedelta() else ahead)

    def learn(self, response: dict[str, Any]) -> datetime:
        """Take the time from the Date header of an answer of AWS's, and return it."""
        text = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if text:
            told = parsedate_to_datetime(text)
            ahead = told - datetime.now(UTC)
            self._ahead = ahead if self._ahead is None else max(ahead, self._ahead)
            return told
        return self.now()


_CLOCKS: WeakKeyDictionary[S3Client, S3Clock] = WeakKeyDictionary()


def clock_of(s3: S3Client) -> S3Clock:
    """Return the clock of the S3 that a client speaks to: the same for all who use the client."""
    return _CLOCKS.setdefault(s3, S3Clock())


def read_object(s3: S3Client, place: S3Uri, clock: S3Clock) -> Read | None:
    """Return an object, or None when there is none."""

    def read() -> Read:
        response = s3.get_object(Bucket=place.bucket, Key=place.key)
        now = clock.learn(response)
        return Read(response["Body"].read(), response["ETag"], now - response["LastModified"])

    return ask_unless(_GONE, read, f"read {place} from S3")


def read_start(s3: S3Client, place: S3Uri, size_bytes: int) -> bytes | None:
    """Return the first bytes of an object, at most so many; None when there is none, or none in it."""

    def read() -> bytes:
        response = s3.get_object(Bucket=place.bucket, Key=place.key, Range=f"bytes=0-{size_bytes - 1}")
        return bytes(response["Body"].read())

    return ask_unless(_GONE | _EMPTY, read, f"read {place} from S3")


def write_object(
    s3: S3Client,
    place: S3Uri,
    body: bytes,
    clock: S3Clock,
    *,
    replaces: str | None = None,
    kms_key_arn: str | None = None,
) -> str | None:
    """Write an object where there is none, or where the one with ETag ``replaces`` is; return the new ETag.

    None when the condition does not hold, which is also so when an earlier try landed and its answer was
    lost.
    """
    request: dict[str, Any] = {"Bucket": place.bucket, "Key": place.key, "Body": body}
    request |= {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
    if kms_key_arn:
        request |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key_arn}
    unmet = _UNMET if replaces is None else _UNMET | _GONE
    response = ask_unless(unmet, lambda: s3.put_object(**request), f"write {place} to S3")
    if response is None:
        return None
    clock.learn(response)
    return str(response["ETag"])


def delete_object(s3: S3Client, place: S3Uri, etag: str) -> bool:
    """Delete an object that is still the one with this ETag; False when it is another, or gone."""
    response = ask_unless(
        _UNMET | _GONE,
        lambda: s3.delete_object(Bucket=place.bucket, Key=place.key, IfMatch=etag),
        f"delete {place} from S3",
    )
    return response is not None


def list_objects(
    s3: S3Client, folder: S3Uri, *, after: str | None = None, page_size: int | None = None
) -> Iterator[Listed]:
    """Yield what lies below a folder, in the order of its keys.

    :param after: start behind this key.
    """
    request: dict[str, Any] = {"StartAfter": after} if after else {}
    request |= {"MaxKeys": page_size} if page_size else {}
    for page in _pages(s3, folder, request):
        for item in page.get("Contents", ()):
            yield Listed(item["Key"], item["LastModified"], int(item["Size"]), str(item.get("ETag", "")))


def list_folders(s3: S3Client, folder: S3Uri, *, start: str = "") -> Iterator[S3Uri]:
    """Yield the folders right below a folder whose names begin with ``start``."""
    below = S3Uri(folder.bucket, folder.folder.key + start)
    for page in _pages(s3, below, {"Delimiter": "/"}):
        for item in page.get("CommonPrefixes", ()):
            yield S3Uri(folder.bucket, item["Prefix"])


def _pages(s3: S3Client, place: S3Uri, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    request = {"Bucket": place.bucket, "Prefix": place.key, **request}
    while True:
        page = ask(lambda sent=request: s3.list_objects_v2(**sent), f"list {place} in S3")  # type: ignore[misc]
        clock_of(s3).learn(page)
        yield page
        if not page.get("IsTruncated"):
            return
        request = {**request, "ContinuationToken": page["NextContinuationToken"]}


def delete_listed(
    s3: S3Client, bucket: str, keys: Sequence[str], etags: Mapping[str, str] | None = None
) -> tuple[int, tuple[str, ...]]:
    """Delete these objects, never a prefix; return how many went, and a line for each that stayed.

    :param etags: by key, what an object must still be to go.
    """
    deleted, stayed = 0, []
    for batch in in_batches(keys, MAX_KEYS_PER_DELETE):
        objects = [{"Key": key, **({"ETag": etags[key]} if etags else {})} for key in batch]
        request = {"Objects": objects, "Quiet": True}
        response = ask(
            lambda sent=request: s3.delete_objects(Bucket=bucket, Delete=sent),  # type: ignore[misc]
            f"delete {len(batch)} objects of bucket {bucket} from S3",
        )
        errors = response.get("Errors", ())
        stayed += [f"s3://{bucket}/{e['Key']}: {e.get('Code')}: {e.get('Message')}" for e in errors]
        deleted += len(batch) - len(errors)
    return deleted, tuple(stayed)
