"""Look once whether a revision that is waited for is there. Knows no Airflow."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from airflow_quilt_athena.core.quilt.revision_wanted import Wanted
from airflow_quilt_athena.core.quilt.watch import Arrival, is_pattern
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.quilt.package_events import describe_revision
from airflow_quilt_athena.flows.quilt.pointers import (
    PARALLEL_LISTINGS,
    list_package_names,
    list_revisions_from,
    read_top_hash,
)

MAX_TOLD = 100


def look_for_revision(s3: S3Client, wanted: Wanted) -> dict[str, Any] | None:
    """Return the newest revision that is wanted, with ``revisions``, all of them; None while there is none.

    A listing of names, and one for each package that is meant.

    :raises InvalidCallError: for a top hash that no revision has.
    """
    watch = wanted.watch
    packages = [watch.package]
    if is_pattern(watch.package):
        names = list_package_names(s3, watch.bucket, start=watch.literal_start)
        packages = sorted(name for name in names if watch.covers(name))
    arrivals = list_revisions_from(s3, watch.bucket, packages, wanted.from_second)
    after = wanted.after if wanted.after_hash is None else _find_hash(s3, wanted, arrivals)
    chosen = wanted.choose(arrivals, after)
    if wanted.after_hash is not None:
        # The same content pushed again is no newer revision.
        hashes = _read_hashes(s3, wanted, chosen)
        chosen = tuple(arrival for arrival in chosen if hashes[arrival] != wanted.after_hash)
    for newest in reversed(chosen):
        facts = describe_revision(s3, watch.bucket, newest)
        if facts is not None:  # gone again since the listing
            told = [
                {"package": arrival.pointer.package, "revision": arrival.pointer.name}
                for arrival in chosen[-MAX_TOLD:]
            ]
            return {**facts, "count": len(chosen), "revisions": told}
    return None


def _find_hash(s3: S3Client, wanted: Wanted, arrivals: Iterable[Arrival]) -> datetime:
    """Return the time of the last revision with the top hash that was named."""
    revisions = wanted.choose(arrivals, None)
    hashes = _read_hashes(s3, wanted, revisions)
    for arrival in reversed(revisions):
        when = wanted.time_of(arrival)
        if hashes[arrival] == wanted.after_hash and when is not None:
            return when
    raise InvalidCallError(
        f"newer_than is the top hash {wanted.after_hash}, which no revision of {wanted.watch.package} in "
        f"s3://{wanted.watch.bucket} has."
    )


def _read_hashes(s3: S3Client, wanted: Wanted, arrivals: Iterable[Arrival]) -> dict[Arrival, str | None]:
    """Read pointers, those of one ETag once: their content is the same."""
    arrivals = tuple(arrivals)
    by_etag = {arrival.etag: arrival for arrival in arrivals}
    with ThreadPoolExecutor(PARALLEL_LISTINGS, thread_name_prefix="pointers") as pool:
        found = pool.map(lambda one: read_top_hash(s3, wanted.watch.bucket, one.pointer), by_etag.values())
        hashes = dict(zip(by_etag, found, strict=True))
    return {arrival: hashes[arrival.etag] for arrival in arrivals}
