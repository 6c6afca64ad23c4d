"""Looks at the pointers of a registry, at a cost that grows with its packages and not with their history.

S3 groups keys by what follows a delimiter. Grouped at ``/1``, with which the names of all revisions made
from 2001 to 2033 begin, a package is two entries of a listing, its revisions and its ``latest``, however many
revisions it has; and the time of ``latest`` tells whether it is worth a look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.package_json import parse_json
from airflow_quilt_athena.core.quilt.revisions import LATEST, Pointer, parse_pointers
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.core.quilt.watch import Arrival, Snapshot
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.aws.objects import clock_of, read_object

log = logging.getLogger(__name__)

PARALLEL_LISTINGS = 8
_REVISIONS = "/1"
_GONE = frozenset({"NoSuchKey", "404"})
_NO_RANGE = frozenset({"InvalidRange", "416"})
_HEADER_BYTES = 1 << 16
_MAX_HEADER_BYTES = 1 << 21  # Quilt's own limit is about half


@dataclass(frozen=True, slots=True)
class _Found:
    """What a listing of pointers found."""

    arrivals: list[Arrival]
    packages: set[str]


def look_for_changes(s3: S3Client, bucket: str, since: datetime, *, start: str = "") -> Snapshot:
    """Return the pointers of the packages whose ``latest`` was written since then, and all packages.

    :param start: how the names of packages begin; others are not looked at.
    """
    try:
        taken_at, found = _group(s3, bucket, start)
    except InvalidCallError as error:
        # A store that takes "/" alone for a delimiter, as S3's directory buckets do.
        log.warning("%s Listing all pointers instead.", error)
        return look_at_all(s3, bucket, since, start=start)
    changed = sorted(
        arrival.pointer.package
        for arrival in found.arrivals
        if arrival.pointer.name == LATEST and arrival.arrived_at >= since
    )
    arrivals = _list_packages(s3, bucket, changed)
    log.debug("%d packages of s3://%s changed since %s.", len(changed), bucket, since)
    return Snapshot(bucket, taken_at, arrivals, frozenset(found.packages))


def look_at_packages(s3: S3Client, bucket: str, packages: Iterable[str]) -> Snapshot:
    """Return all pointers of some packages."""
    taken_at = _now(s3, bucket)
    return Snapshot(bucket, taken_at, _list_packages(s3, bucket, sorted(set(packages))))


def look_at_all(s3: S3Client, bucket: str, since: datetime | None, *, start: str = "") -> Snapshot:
    """Return all pointers written since then; costs a listing of all that there are, 1,000 to a call."""
    taken_at, found = _now(s3, bucket), _Found([], set())
    for item in _list(s3, bucket, start):
        for arrival in _arrivals(bucket, [item]):
            found.packages.add(arrival.pointer.package)
            if since is None or arrival.arrived_at >= since:
                found.arrivals.append(arrival)
    return Snapshot(bucket, taken_at, tuple(found.arrivals), frozenset(found.packages), whole=True)


def list_package_names(s3: S3Client, bucket: str, *, start: str = "") -> frozenset[str]:
    """Return the names of the packages that begin with ``start``."""
    try:
        return frozenset(_group(s3, bucket, start)[1].packages)
    except InvalidCallError as error:
        log.warning("%s Listing all pointers instead.", error)
        return look_at_all(s3, bucket, _now(s3, bucket), start=start).packages or frozenset()


def list_revisions_from(
    s3: S3Client, bucket: str, packages: Sequence[str], seconds: int
) -> tuple[Arrival, ...]:
    """Return the revisions of packages made from a second on, and their tags; a listing for each package."""

    def listed(package: str) -> list[Arrival]:
        # The name just before: a pointer's name has ten digits, or it sorts elsewhere.
        after = Pointer(package, f"{max(seconds, 0):010d}").key(bucket)[:-1]
        return _arrivals(bucket, _list(s3, bucket, f"{package}/", after=after if seconds > 10**9 else None))

    return _side_by_side(listed, packages)


def read_top_hash(s3: S3Client, bucket: str, pointer: Pointer) -> str | None:
    """Return what a pointer holds; None when it is gone."""
    found = read_object(s3, S3Uri(bucket, pointer.key(bucket)), clock_of(s3))
    return found.body.decode(errors="replace").strip() if found else None


def read_message(s3: S3Client, bucket: str, top_hash: str) -> str | None:
    """Return the message of a revision, by the first line of its manifest; None when there is none."""
    place = manifests_location(bucket) / top_hash
    length = _HEADER_BYTES
    while True:
        start = _read_start(s3, place, length)
        line, newline, _ = start.partition(b"\n")
        if newline or len(start) < length or length >= _MAX_HEADER_BYTES:
            break
        length *= 8
    try:
        message = parse_json(line.decode()).get("message")
    except (ValueError, AttributeError):
        log.warning("Manifest %s has no header that can be read.", place)
        return None
    return message if isinstance(message, str) else None


def _read_start(s3: S3Client, place: S3Uri, length: int) -> bytes:
    def read() -> bytes:
        answer = s3.get_object(Bucket=place.bucket, Key=place.key, Range=f"bytes=0-{length - 1}")
        return bytes(answer["Body"].read())

    return ask_unless(_GONE | _NO_RANGE, read, f"read {place} from S3") or b""


# --------------------------------------------------------------------------------------- listing


def _group(s3: S3Client, bucket: str, start: str) -> tuple[datetime, _Found]:
    """List packages with their tags, each package's revisions as one entry."""
    root = packages_location(bucket).key
    found = _Found([], set())
    waiting, taken_at = [start], None
    while waiting:
        prefix = waiting.pop()
        for page in _pages(s3, bucket, prefix, {"Delimiter": _REVISIONS}):
            taken_at = taken_at or _time_of(s3, page)
            arrivals = _arrivals(bucket, page.get("Contents", ()))
            found.arrivals.extend(arrivals)
            found.packages.update(arrival.pointer.package for arrival in arrivals)
            for item in page.get("CommonPrefixes", ()):
                group = item["Prefix"].removeprefix(root)
                if group.count("/") == 2:
                    found.packages.add(group.removesuffix(_REVISIONS))
                else:
                    waiting.append(group)  # of packages whose own names begin with 1
    return taken_at or _now(s3, bucket), found


def _list_packages(s3: S3Client, bucket: str, packages: Sequence[str]) -> tuple[Arrival, ...]:
    return _side_by_side(lambda package: _arrivals(bucket, _list(s3, bucket, f"{package}/")), packages)


def _side_by_side(listed: Any, packages: Sequence[str]) -> tuple[Arrival, ...]:
    if not packages:
        return ()
    with ThreadPoolExecutor(PARALLEL_LISTINGS, thread_name_prefix="pointers") as pool:
        return tuple(arrival for arrivals in pool.map(listed, packages) for arrival in arrivals)


def _list(s3: S3Client, bucket: str, start: str, *, after: str | None = None) -> Iterator[dict[str, Any]]:
    for page in _pages(s3, bucket, start, {"StartAfter": after} if after else {}):
        yield from page.get("Contents", ())


def _pages(s3: S3Client, bucket: str, start: str, more: dict[str, Any]) -> Iterator[dict[str, Any]]:
    place = S3Uri(bucket, packages_location(bucket).key + start)
    request = {"Bucket": bucket, "Prefix": place.key, **more}
    while True:
        page = ask(lambda sent=request: s3.list_objects_v2(**sent), f"list {place} in S3")  # type: ignore[misc]
        yield page
        if not page.get("IsTruncated"):
            return
        request = {**request, "ContinuationToken": page["NextContinuationToken"]}


def _arrivals(bucket: str, items: Iterable[dict[str, Any]]) -> list[Arrival]:
    found = []
    for item in items:
        for pointer in parse_pointers(bucket, [item["Key"]]):
            found.append(Arrival(pointer, item["LastModified"], item.get("ETag", "")))
    return found


def _now(s3: S3Client, bucket: str) -> datetime:
    """Ask S3 for the time, by the smallest of listings."""
    place = packages_location(bucket)
    page = ask(lambda: s3.list_objects_v2(Bucket=bucket, Prefix=place.key, MaxKeys=1), f"list {place} in S3")
    return _time_of(s3, page)


def _time_of(s3: S3Client, page: dict[str, Any]) -> datetime:
    # A second less: what it says was true when the answer was made, and the look began before.
    return clock_of(s3).learn(page) - timedelta(seconds=1)
