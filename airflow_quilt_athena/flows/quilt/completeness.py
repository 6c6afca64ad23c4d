"""Compare what a listing of a bucket shows with what its views give; keep what was found for the next time.

The listing is of the whole registry, 1,000 objects to a call. What is inside the files is asked in one query:
about everything the first time, later about what is new, and not at all where nothing changed. What the last
look covered is kept as a parameter of the bucket's view of tags, so that a view made anew is checked anew.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from airflow_quilt_athena.core.athena.sql import MAX_QUERY_BYTES
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName, table_input
from airflow_quilt_athena.core.quilt.completeness import (
    CHECKED_PARAMETER,
    Check,
    Checked,
    File,
    Finding,
    Listing,
    Reason,
    judge_names,
    parse_checked,
    plan_check,
)
from airflow_quilt_athena.core.quilt.completeness_query import build_check, judge_answer
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.exceptions import AccessError
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from airflow_quilt_athena.flows.aws.clients import AthenaClient, GlueClient, S3Client
from airflow_quilt_athena.flows.aws.glue import observe_table, update_table
from airflow_quilt_athena.flows.aws.objects import clock_of, list_objects, read_start

log = logging.getLogger(__name__)

# Times of S3 are whole seconds, and an answer's is not quite when the listing was made.
_CLOCK_MARGIN = timedelta(seconds=5)
_MOST_HEADERS_READ = 100
_HEADER_BYTES = 1_000_000  # quilt3 writes no longer line


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bucket's views are, and what they stand on."""

    database: str
    workgroup: str
    source: ManifestSource


def check_completeness(
    athena: AthenaClient,
    glue: GlueClient,
    s3: S3Client,
    bucket: str,
    place: Place,
    *,
    timeout_seconds: float,
) -> tuple[Finding, ...]:
    """Return everything that a listing of the bucket shows and its views do not, or not as it is."""
    listing = list_registry(s3, bucket)
    view = observe_table(glue, TableName(place.database, BucketNames.of(bucket).tags))
    before = parse_checked(view.parameters.get(CHECKED_PARAMETER)) if view else None
    check = plan_check(listing, before)
    found = _ask(athena, place, check, timeout_seconds) if check.asks else check.known
    found = _without_bare_headers(s3, bucket, found, check.known)
    checked = Checked.of(listing, found).render()
    if view is not None and checked is not None and view.parameters.get(CHECKED_PARAMETER) != checked:
        parameters = {**view.parameters, CHECKED_PARAMETER: checked}
        # Where somebody else changed the view meanwhile, the next look asks about everything.
        update_table(glue, view, {**table_input(view), "Parameters": parameters})
    return (*judge_names(listing), *found)


def list_registry(s3: S3Client, bucket: str) -> Listing:
    """List all objects of a registry."""
    start = clock_of(s3)
    has_v2 = _has_registry_v2(s3, bucket)
    looked_at = (start.now() - _CLOCK_MARGIN).replace(microsecond=0)
    pointers, manifests = (
        tuple(File(o.key, o.modified_at, o.size_bytes) for o in list_objects(s3, folder))
        for folder in (packages_location(bucket), manifests_location(bucket))
    )
    return Listing(bucket, pointers, manifests, has_v2, looked_at)


def _has_registry_v2(s3: S3Client, bucket: str) -> bool:
    try:
        return next(iter(list_objects(s3, S3Uri(bucket, ".quilt/v2/"), page_size=1)), None) is not None
    except AccessError as error:  # policies of earlier versions grant no look at it
        log.warning("Whether s3://%s has a registry of version 2 could not be told: %s", bucket, error)
        return False


def _ask(athena: AthenaClient, place: Place, check: Check, timeout_seconds: float) -> tuple[Finding, ...]:
    sql = build_check(place.source, check)
    if len(sql.encode()) > MAX_QUERY_BYTES:  # long names
        check = replace(check, pointers=None, manifests=None, known=())
        sql = build_check(place.source, check)
    status = run_query(
        athena, sql, database=place.database, workgroup=place.workgroup, timeout_seconds=timeout_seconds
    )
    log.info(
        "Athena query %s compared %s of s3://%s with a listing, %s bytes scanned.",
        status.query_execution_id,
        "all" if check.pointers is None else "what is new",
        check.listing.bucket,
        f"{status.bytes_scanned:,}",
    )
    return judge_answer(check, read_rows(athena, status.query_execution_id, max_rows=sys.maxsize)[1])


def _without_bare_headers(
    s3: S3Client, bucket: str, found: Iterable[Finding], known: Iterable[Finding]
) -> tuple[Finding, ...]:
    """Leave out headers that say nothing, such as {}: to a query they are as torn ones are."""
    judged, read = set(known), 0
    kept: list[Finding] = []
    for finding in found:
        if (
            finding.reason is Reason.UNREADABLE_HEADERS
            and finding not in judged
            and read < _MOST_HEADERS_READ
        ):
            read += 1
            start = read_start(s3, S3Uri(bucket, str(finding.key)), _HEADER_BYTES)
            header, _, files = (start or b"").partition(b"\n")
            if files.strip() and _is_object(header):
                continue
        kept.append(finding)
    return tuple(kept)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
