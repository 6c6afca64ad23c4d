"""S3 as a query's caller may use it, read in process: thousands of objects in a fraction of a second."""

from __future__ import annotations

import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC
from functools import cache
from typing import Any, NoReturn

from local_athena.account import ACCOUNT_ID
from local_athena.data.session import Encryption, StoredObject
from local_athena.errors import QueryFailed
from local_athena.iam.grants import Need, list_need, s3_resource
from local_athena.iam.identities import Identities
from local_athena.wire.call_log import Call, CallLog
from local_athena.wire.callers import Caller
from local_athena.wire.faults import Fault, Knobs

_Judging = Callable[[Need], str | None]  # why a need is not met; None when it is


class KeyIndex:
    """The key names of each bucket in order, sorted again only after a change.

    moto keeps them unordered; a query over many partitions would walk all keys for each.
    """

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def forget(self, bucket: str) -> None:
        """Say that keys of the bucket may have come or gone."""
        self._names.pop(bucket, None)

    def below(self, bucket: str, keys: Mapping[str, Any], prefix: str) -> Iterator[str]:
        """All names that start with ``prefix``, in order."""
        names = self._names.get(bucket)
        if names is None:
            names = self._names[bucket] = sorted(dict.keys(keys))  # type: ignore[arg-type]  # moto's is a dict
        for index in range(bisect_left(names, prefix), len(names)):
            if not names[index].startswith(prefix):
                return
            yield names[index]


class CallerObjects:
    """The Objects of one caller. ``lock`` is held while moto's S3, or the index of its keys, is touched."""

    def __init__(
        self,
        caller: Caller,
        identities: Identities,
        knobs: Knobs,
        log: CallLog,
        lock: AbstractContextManager[Any],
        index: KeyIndex,
    ) -> None:
        self._caller = caller
        self._identities = identities
        self._knobs = knobs
        self._log = log
        self._lock = lock
        self._index = index

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        """All current objects below ``prefix``, in key order."""
        need = list_need(bucket, prefix)
        with _Noted(self, self._judge(), "ListObjectsV2", bucket, prefix, need), self._lock:
            keys = self._bucket(bucket).keys
            names = self._index.below(bucket, keys, prefix)
            return [_stored(entry) for entry in map(keys.get, names) if _is_object(entry)]

    def read(self, bucket: str, key: str) -> bytes:
        """Read the whole body of one object."""
        need = Need("s3:GetObject", s3_resource(bucket, key))
        with _Noted(self, self._judge(), "GetObject", bucket, key, need), self._lock:
            found = self._bucket(bucket).keys.get(key)
            if not _is_object(found):
                self._miss(bucket, key)
            return bytes(found.value)

    def write(self, bucket: str, key: str, body: bytes, encryption: Encryption | None = None) -> None:
        """Put one object; a new version of it where the bucket keeps versions."""
        need = Need("s3:PutObject", s3_resource(bucket, key))
        with _Noted(self, self._judge(), "PutObject", bucket, key, need), self._lock:
            self._bucket(bucket)
            self._index.forget(bucket)
            how = {"encryption": encryption.algorithm, "kms_key_id": encryption.kms_key} if encryption else {}
            written = _backend(bucket).put_object(bucket, key, body, **how)
            written.set_metadata({"Content-Type": "application/octet-stream"})
            _ = written.etag  # computed now, under the lock: moto does it lazily and without one

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Delete the keys named; a delete marker where the bucket keeps versions."""
        judge = self._judge()
        for key in keys:
            need = Need("s3:DeleteObject", s3_resource(bucket, key))
            with _Noted(self, judge, "DeleteObject", bucket, key, need), self._lock:
                self._bucket(bucket)
                self._index.forget(bucket)
                _backend(bucket).delete_object(bucket, key)

    def _judge(self) -> _Judging:
        return self._identities.judge(self._caller, by_athena=True)

    def _bucket(self, name: str) -> Any:
        buckets = _backend(name).buckets
        if name not in buckets:
            _fail(404, "NoSuchBucket", "The specified bucket does not exist", f"s3://{name}")
        return buckets[name]

    def _miss(self, bucket: str, key: str) -> NoReturn:
        """S3 says 404 only to those who may list; others learn nothing about what is there."""
        reason = self._identities.refusal(self._caller, list_need(bucket, key), by_athena=True)
        if reason is not None:
            _fail(403, "AccessDenied", "Access Denied", reason)
        _fail(404, "NoSuchKey", "The specified key does not exist.", f"s3://{bucket}/{key}")


class _Noted:
    """One call of a query to S3: refused, made to fail, or done; and noted in the log."""

    __slots__ = ("_call", "_judge", "_late", "_need", "_objects", "_started")

    def __init__(
        self, objects: CallerObjects, judge: _Judging, operation: str, bucket: str, key: str, need: Need
    ) -> None:
        self._objects = objects
        self._judge = judge
        self._call = (operation, f"{bucket}/{key}" if key else bucket)
        self._need = need
        self._late: Fault | None = None  # what the call is to fail with once it has acted
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = time.time()
        try:
            self._refuse()
        except QueryFailed as error:
            self._note(error)
            raise

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None and self._late is not None:
            try:
                self._fail_by(self._late)
            except QueryFailed as late:
                self._note(late)
                raise
        self._note(error)

    def _refuse(self) -> None:
        objects, (operation, detail) = self._objects, self._call
        reason = self._judge(self._need)
        if reason is not None:
            _fail(403, "AccessDenied", "Access Denied", reason)
        fault = objects._knobs.take_fault(f"s3:{operation}", detail, by_athena=True)
        if fault is not None and fault.when == "before":
            self._fail_by(fault)
        self._late = fault

    def _fail_by(self, fault: Fault) -> NoReturn:
        _fail(fault.status, fault.error, fault.message or "Injected fault.", f"s3://{self._call[1]}")

    def _note(self, error: BaseException | None) -> None:
        operation, detail = self._call
        code = None if error is None else _code(error)
        self._objects._log.add(
            Call(
                "s3",
                operation,
                self._objects._caller.arn,
                self._started,
                time.time() - self._started,
                200 if error is None else getattr(error, "status", 500),
                code,
                True,
                detail[:500],
            )
        )


class _S3Error(QueryFailed):
    """A query that S3 said no to."""

    def __init__(self, reason: str, status: int, code: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code


def _code(error: BaseException) -> str:
    return str(getattr(error, "code", type(error).__name__))


def _fail(status: int, code: str, message: str, about: str) -> NoReturn:
    request_id = uuid.uuid4().hex[:16].upper()
    raise _S3Error(
        f"{message} (Service: Amazon S3; Status Code: {status}; Error Code: {code}; "
        f"Request ID: {request_id}; Proxy: null): {about}",
        status,
        code,
    )


def _backend(bucket: str) -> Any:
    partition, account = _s3_backends().bucket_accounts.get(bucket, ("aws", ACCOUNT_ID))
    return _backend_of(account, partition)


# Cached, since a query asks for them at every object: moto looks its own up under a lock.


@cache
def _backend_of(account: str, partition: str) -> Any:
    return _s3_backends()[account][partition]


@cache
def _s3_backends() -> Any:
    from moto.s3.models import s3_backends

    return s3_backends


@cache
def _object_type() -> type:
    from moto.s3.models import FakeKey

    found: type = FakeKey
    return found


def _is_object(entry: Any) -> bool:
    return isinstance(entry, _object_type())


def _stored(entry: Any) -> StoredObject:
    return StoredObject(
        key=entry.name,
        size_bytes=entry.contentsize,
        etag=entry.etag.strip('"'),
        last_modified=entry.last_modified.replace(tzinfo=UTC).timestamp(),
    )
