"""Find the revisions of an interval by listing pointers; read those that matter."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.revisions import (
    Interval,
    Pointer,
    Revision,
    choose_pointers,
    parse_pointers,
    plan_revisions,
)
from airflow_quilt_athena.core.quilt.table_ddl import packages_location
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import clock_of, list_objects, read_object

log = logging.getLogger(__name__)

_PARALLEL_READS = 8
_TOP_HASH = re.compile(r"[0-9a-f]{64}")


def find_revisions(s3: S3Client, interval: Interval) -> tuple[Revision, ...]:
    """Return the revisions made in the interval, in the order of their making.

    Lists all pointers of the bucket, 1,000 to a call, and reads those of the interval.
    """
    folder = packages_location(interval.bucket)
    pointers = parse_pointers(interval.bucket, (listed.key for listed in list_objects(s3, folder)))
    chosen = choose_pointers(interval, pointers)
    with ThreadPoolExecutor(_PARALLEL_READS, thread_name_prefix="pointers") as pool:
        found = dict(zip(chosen, pool.map(lambda one: _read(s3, interval.bucket, one), chosen), strict=True))
    revisions = plan_revisions(interval, {pointer: text for pointer, text in found.items() if text})
    log.info(
        "%d revisions in s3://%s from %s to %s, by %d pointers of %d.",
        len(revisions),
        interval.bucket,
        interval.start.isoformat(),
        interval.end.isoformat(),
        len(chosen),
        len(pointers),
    )
    return revisions


def _read(s3: S3Client, bucket: str, pointer: Pointer) -> str | None:
    """Return the top hash that a pointer holds; None when it is gone, or holds something else."""
    place = S3Uri(bucket, pointer.key(bucket))
    found = read_object(s3, place, clock_of(s3))
    text = found.body.decode(errors="replace").strip() if found else ""
    if _TOP_HASH.fullmatch(text):
        return text
    log.warning("Pointer %s holds no top hash; it is left out.", place)
    return None
