"""What S3 tells of the objects a package is to name: that they can be read, their versions, their hashes.

Asked for a batch of rows at a time, side by side, and only where the rows do not say it themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.quilt.manifest import Numbered
from airflow_quilt_athena.core.quilt.package_entries import Entry, Unusable
from airflow_quilt_athena.core.quilt.package_request import OnUnversioned, PackageRequest
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask

log = logging.getLogger(__name__)

PARALLEL_OBJECTS = 10  # as many as boto3 has connections
_PROBES = 3  # objects to ask for before a bucket counts as one that may not be read
_READ_BYTES = 1 << 20

# Of a HEAD, which has no body to say more: what tells of the object, and not of S3's health.
_TELLING = frozenset({400, 403, 404, 405})


class ObjectsClient(Protocol):
    """What asking for objects takes of ``boto3.client("s3")``."""

    def head_object(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Tell of an object."""
        ...

    def head_bucket(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Tell whether there is a bucket."""
        ...

    def get_object(self, *_: Any, **request: Any) -> dict[str, Any]:
        """Read an object."""
        ...


class _Head(NamedTuple):
    """What a HEAD of an object gave."""

    status: int
    size: int = 0
    version_id: str | None = None


class ObjectLook:
    """Completes entries, and remembers of each bucket whether it can be read.

    :param s3: a client with at least PARALLEL_OBJECTS connections.
    """

    def __init__(self, s3: ObjectsClient, request: PackageRequest) -> None:
        self._s3 = s3
        self._request = request
        self._faults: dict[str, str | None] = {}  # by bucket: why it cannot be read
        self.asked = 0
        self.hashed_bytes = 0

    def complete(self, batch: Sequence[Numbered], pool: ThreadPoolExecutor) -> Iterator[Numbered | Unusable]:
        """Yield the entries with version and hash, and those that cannot be entries after all."""
        self._probe(batch, pool)
        wanted = [item for item in batch if self._has_to_be_asked(item[1])]
        self.asked += len(wanted)
        answers = pool.map(lambda item: self._head(item[1]), wanted)
        heads = dict(zip((number for number, _ in wanted), answers, strict=True))
        judged = [self._judge(number, entry, heads.get(number)) for number, entry in batch]
        bare = [item for item in judged if not isinstance(item, Unusable) and item[1].hash_type is None]
        yield from (item for item in judged if isinstance(item, Unusable) or item[1].hash_type is not None)
        yield from pool.map(self._with_hash, bare)

    def _has_to_be_asked(self, entry: Entry) -> bool:
        unversioned = self._request.on_unversioned is OnUnversioned.RESOLVE and not entry.has_version
        return (unversioned or self._request.check_objects) and self._faults[_bucket_of(entry)] is None

    def _probe(self, batch: Sequence[Numbered], pool: ThreadPoolExecutor) -> None:
        """Find out of each bucket not met before whether it can be read, by an object or a few."""
        unknown: dict[str, list[Entry]] = {}
        for _, entry in batch:
            bucket = _bucket_of(entry)
            if bucket not in self._faults:
                samples = unknown.setdefault(bucket, [])
                if len(samples) < _PROBES:
                    samples.append(entry)
        faults = pool.map(lambda item: self._bucket_fault(*item), unknown.items())
        self._faults.update(zip(unknown, faults, strict=True))

    def _bucket_fault(self, bucket: str, samples: Sequence[Entry]) -> str | None:
        """Return why a bucket cannot be read; None where it can be, whether the objects are there or not."""
        for entry in samples:
            status = self._head(entry).status
            if status == 200:
                return None
            if status != 403:
                return None if self._is_there(bucket) else f"there is no bucket {bucket}"
        return f"bucket {bucket} may not be read: S3 refuses its objects"

    def _is_there(self, bucket: str) -> bool:

        def head() -> bool:
            try:
                self._s3.head_bucket(Bucket=bucket)
            except ClientError as error:
                status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
                if status in {403, 404}:  # 403: it may not be listed, but it is there
                    return status == 403
                raise
            return True

        return ask(head, f"look at bucket {bucket}")

    def _head(self, entry: Entry) -> _Head:
        bucket, key, version_id = entry.place
        request = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}

        def head() -> _Head:
            try:
                answer = self._s3.head_object(**request)
            except ClientError as error:
                status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
                if status in _TELLING:
                    return _Head(status)
                raise
            return _Head(200, int(answer["ContentLength"]), answer.get("VersionId"))

        return ask(head, f"look at {entry.physical_key} in S3")

    def _judge(self, number: int, entry: Entry, head: _Head | None) -> Numbered | Unusable:
        fault = self._faults.get(_bucket_of(entry)) or _object_fault(entry, head)
        if fault is None and not entry.has_version:
            if self._request.on_unversioned is OnUnversioned.REFUSE:
                fault = f"its physical key {entry.physical_key} names no version"
            elif self._request.on_unversioned is OnUnversioned.RESOLVE and head and head.version_id:
                entry = entry.with_version(head.version_id)
        return (number, entry) if fault is None else Unusable(number, entry.logical_key, fault)

    def _with_hash(self, bare: Numbered) -> Numbered | Unusable:
        number, entry = bare
        try:
            hash_type, hash_value = self._hash(entry)
        except _UnreadableError as error:
            return Unusable(number, entry.logical_key, str(error))
        self.hashed_bytes += entry.size
        return number, entry._replace(hash_type=hash_type, hash_value=hash_value)

    def _hash(self, entry: Entry) -> tuple[str, str]:
        """Read an object and return its hash, as quilt3 hashes."""
        checksums = import_checksums()
        bucket, key, version_id = entry.place
        request = {"Bucket": bucket, "Key": key, **({"VersionId": version_id} if version_id else {})}
        calculator = checksums.MultiPartChecksumCalculator.get_calculator_cls(checksums.DEFAULT_HASH)
        part_bytes = checksums.get_checksum_chunksize(entry.size)

        def read() -> str:
            try:
                body = self._s3.get_object(**request)["Body"]
            except ClientError as error:
                status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
                if status in _TELLING:
                    raise _UnreadableError(
                        f"{entry.physical_key} cannot be read to be hashed: S3 answers {status}"
                    ) from error
                raise
            parts, total = [], 0
            while True:
                part, length = calculator(), 0
                while length < part_bytes and (data := body.read(min(_READ_BYTES, part_bytes - length))):
                    part.update(data)
                    length += len(data)
                if length:
                    parts.append(part.digest(length))
                total += length
                if length < part_bytes:
                    break
            if total != entry.size:
                raise _UnreadableError(f"its size is {entry.size}, and that of {entry.physical_key} {total}")
            return str(calculator.combine_parts(parts))

        return checksums.DEFAULT_HASH, ask(read, f"read {entry.physical_key} from S3")


class _UnreadableError(Exception):
    """Says why an object cannot be hashed."""


def _bucket_of(entry: Entry) -> str:
    return entry.physical_key[5:].partition("/")[0]


def _object_fault(entry: Entry, head: _Head | None) -> str | None:
    if head is None:
        return None
    if head.status == 403:
        return f"{entry.physical_key} may not be read"
    if head.status != 200:
        return f"there is no {entry.physical_key}"
    if head.size != entry.size:
        return f"its size is {entry.size}, and that of {entry.physical_key} {head.size}"
    return None


def complete_entries(
    s3: ObjectsClient, request: PackageRequest, parsed: Iterable[Sequence[Numbered | Unusable]]
) -> Iterator[Numbered | Unusable]:
    """Yield all that was parsed, entries completed by what S3 tells; a batch at a time."""
    look = ObjectLook(s3, request)
    with ThreadPoolExecutor(PARALLEL_OBJECTS, thread_name_prefix="package-objects") as pool:
        for batch in parsed:
            yield from (item for item in batch if isinstance(item, Unusable))
            yield from look.complete([item for item in batch if not isinstance(item, Unusable)], pool)
    if look.asked or look.hashed_bytes:
        log.info("Asked S3 for %d objects; read %d bytes to hash them.", look.asked, look.hashed_bytes)


def import_checksums() -> Any:
    """Return quilt3's checksums. Raises InvalidCallError where quilt3 is not installed."""
    try:
        from quilt3 import checksums
    except ImportError as error:
        raise InvalidCallError(
            "Rows without a hash have to be hashed as quilt3 hashes, and quilt3 is not installed. Install "
            "airflow-quilt-athena[quilt], or give each row hash_type and hash_value."
        ) from error
    return checksums
