"""Find the revisions of an interval by listing pointers; read those that matter."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.revisions import (
    Interval,
    Pointer,
    Revision,
    choose_pointers,
    parse_pointer,
    plan_revisions,
)
from airflow_quilt_athena.core.quilt.table_ddl import packages_location
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import clock_of, list_objects, read_object

log = logging.getLogger(__name__)

_PARALLEL_READS = 8
_TOP_HASH = re.compile(r"[0-9a-f]{64}")
# Times of S3 are whole seconds, and an answer's is not quite when the listing was made.
_CLOCK_MARGIN = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class PointersSeen:
    """All pointers of a bucket, and when they were listed: what came in from then on may be missing."""

    pointers: tuple[Pointer, ...]
    looked_at: datetime


def list_pointers(s3: S3Client, bucket: str) -> PointersSeen:
    """List all pointers of a bucket, 1,000 to a call."""
    started = time.monotonic()
    listed = list_objects(s3, packages_location(bucket))
    found = (parse_pointer(bucket, one.key, one.modified_at) for one in listed)
    pointers = tuple(pointer for pointer in found if pointer is not None)
    taken = timedelta(seconds=time.monotonic() - started)
    return PointersSeen(pointers, (clock_of(s3).now() - taken - _CLOCK_MARGIN).replace(microsecond=0))


def find_revisions(s3: S3Client, interval: Interval, seen: PointersSeen) -> tuple[Revision, ...]:
    """Return the revisions of the interval, in the order of their making, reading no other pointers."""
    chosen = choose_pointers(interval, seen.pointers)
    found = read_pointers(s3, interval.bucket, chosen)
    revisions = plan_revisions(interval, found)
    log.info(
        "%d revisions in s3://%s %s from %s to %s, by %d pointers of %d.",
        len(revisions),
        interval.bucket,
        {"revision": "made", "arrival": "arrived"}[interval.by.value],
        interval.start.isoformat(),
        interval.end.isoformat(),
        len(chosen),
        len(seen.pointers),
    )
    return revisions


def read_pointers(s3: S3Client, bucket: str, pointers: Iterable[Pointer]) -> dict[Pointer, str]:
    """Return the top hashes that pointers hold; those that are gone, or hold something else, are left out."""
    wanted = list(pointers)
    with ThreadPoolExecutor(_PARALLEL_READS, thread_name_prefix="pointers") as pool:
        found = dict(zip(wanted, pool.map(lambda one: _read(s3, bucket, one), wanted), strict=True))
    return {pointer: text for pointer, text in found.items() if text}


def _read(s3: S3Client, bucket: str, pointer: Pointer) -> str | None:
    place = S3Uri(bucket, pointer.key(bucket))
    found = read_object(s3, place, clock_of(s3))
    text = found.body.decode(errors="replace").strip() if found else ""
    if _TOP_HASH.fullmatch(text):
        return text
    log.warning("Pointer %s holds no top hash; it is left out.", place)
    return None
