"""The pointers of a package: a revision's own, ``latest`` and tags, each put in its place."""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.package_request import PackageRequest
from airflow_quilt_athena.core.quilt.revisions import LATEST, Pointer, parse_pointers
from airflow_quilt_athena.core.quilt.table_ddl import packages_location
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.aws.objects import clock_of, list_objects, read_object
from airflow_quilt_athena.flows.quilt.package_objects import ObjectsClient

log = logging.getLogger(__name__)

# Of a revision's pointer: which task's work it is, so that its retry knows it for its own.
ATTEMPT_METADATA = "quilt-athena-attempt"
_MAX_LOOKED_AT = 100  # of a package's newest revisions, for the one that latest is
_MAX_SECONDS_TAKEN = 60
_GONE = frozenset({"NoSuchKey", "404"})
TAKEN = frozenset({"PreconditionFailed", "412"})


class PackagesClient(S3Client, ObjectsClient, Protocol):
    """What making packages asks of ``boto3.client("s3")``."""


class Pointers(NamedTuple):
    """What points at revisions of the package now."""

    revisions: tuple[str, ...]  # the newest first, and no more than are looked at
    tags: dict[str, str | None]  # what latest and the tags asked for hold


def put_revision(
    s3: PackagesClient, request: PackageRequest, top_hash: str, pointers: Pointers
) -> tuple[str | None, bool]:
    """Make the revision, if there is none for this content or this task; return its pointer."""
    if request.dedupe and pointers.tags.get(LATEST) == top_hash:
        found = next((name for name in pointers.revisions if _read(s3, request, name) == top_hash), None)
        log.info("Package %s is this already: revision %s, %s.", request.title, found, top_hash)
        return found, False
    newest = next(iter(pointers.revisions), None)
    if newest is not None and _is_own(s3, request, newest, top_hash):
        log.info("Revision %s of %s is an earlier try's.", newest, request.title)
        return newest, False
    now = int(clock_of(s3).now().timestamp())
    for second in range(now, now + _MAX_SECONDS_TAKEN):
        if _create_pointer(s3, request, str(second), top_hash):
            log.info("Revision %d of %s made: %s.", second, request.title, top_hash)
            return str(second), True
    raise RetryableError(
        f"All pointers of package {request.title} from {now} on are taken for a minute. Run the task again."
    )


def look_at_pointers(s3: PackagesClient, request: PackageRequest) -> Pointers:
    """Return what points at revisions of the package now."""
    folder = packages_location(request.registry) / f"{request.package}/"
    keys = (listed.key for listed in list_objects(s3, folder))
    found = parse_pointers(request.registry, keys)
    revisions = sorted(
        (p for p in found if p.seconds is not None), key=lambda p: p.seconds or 0, reverse=True
    )
    there = {pointer.name for pointer in found}
    tags = {tag: _read(s3, request, tag) for tag in (*request.tags, LATEST) if tag in there}
    return Pointers(tuple(pointer.name for pointer in revisions[:_MAX_LOOKED_AT]), tags)


def _place(request: PackageRequest, name: str) -> S3Uri:
    return S3Uri(request.registry, Pointer(request.package, name).key(request.registry))


def _read(s3: PackagesClient, request: PackageRequest, name: str) -> str | None:
    found = read_object(s3, _place(request, name), clock_of(s3))
    return found.body.decode(errors="replace").strip() if found else None


def _is_own(s3: PackagesClient, request: PackageRequest, name: str, top_hash: str) -> bool:
    """Whether a revision was made by an earlier try of this task, which then died."""
    place = _place(request, name)
    if not request.attempt:
        return False
    answer = ask_unless(
        _GONE, lambda: s3.get_object(Bucket=place.bucket, Key=place.key), f"read {place} from S3"
    )
    if answer is None:
        return False
    own = answer.get("Metadata", {}).get(ATTEMPT_METADATA) == request.attempt
    return bool(own and answer["Body"].read().decode(errors="replace").strip() == top_hash)


def _create_pointer(s3: PackagesClient, request: PackageRequest, name: str, top_hash: str) -> bool:
    """Write a pointer where there is none; False when its second is another revision's."""
    place = _place(request, name)
    put = {
        "Bucket": place.bucket,
        "Key": place.key,
        "Body": top_hash.encode(),
        "IfNoneMatch": "*",
        "Metadata": {ATTEMPT_METADATA: request.attempt} if request.attempt else {},
    }
    if ask_unless(TAKEN, lambda: s3.put_object(**put), f"write {place} to S3") is not None:
        return True
    return _is_own(s3, request, name, top_hash)  # ours, if the answer was lost


def move_tags(
    s3: PackagesClient, request: PackageRequest, top_hash: str, pointers: Pointers
) -> tuple[str, ...]:
    """Point the tags at the revision, and ``latest`` last of all; return those that pointed elsewhere."""
    moved = []
    for tag in (*request.tags, LATEST):
        if pointers.tags.get(tag) != top_hash:
            place = _place(request, tag)
            put = {"Bucket": place.bucket, "Key": place.key, "Body": top_hash.encode()}
            ask(lambda sent=put: s3.put_object(**sent), f"write {place} to S3")  # type: ignore[misc]
            moved.append(tag)
    return tuple(moved)
