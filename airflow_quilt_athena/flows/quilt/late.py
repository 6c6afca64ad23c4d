"""Look for revisions that arrived after what was written from their interval. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from airflow_quilt_athena.core.glue.tables import Table
from airflow_quilt_athena.core.quilt.late import (
    COVERED_PARAMETER,
    Arrivals,
    Covered,
    LateRevisions,
    find_late,
    parse_covered,
)
from airflow_quilt_athena.core.quilt.revisions import Pointer
from airflow_quilt_athena.flows.aws.clients import GlueClient, S3Client
from airflow_quilt_athena.flows.aws.glue_partitions import list_partitions
from airflow_quilt_athena.flows.quilt.revisions import list_pointers


def read_covered(glue: GlueClient, table: Table) -> tuple[Covered, ...]:
    """Return what the table's partitions say that they were written from."""
    parameters = (
        (partition.get("Parameters") or {} for partition in list_partitions(glue, table))
        if table.partition_keys
        else iter((table.parameters,))
    )
    return tuple(_parsed(parameters))


def _parsed(parameters: Iterable[Mapping[str, Any]]) -> Iterator[Covered]:
    for one in parameters:
        covered = parse_covered(one[COVERED_PARAMETER]) if COVERED_PARAMETER in one else None
        if covered is not None:
            yield covered


def late_among(
    covered: Iterable[Covered], bucket: str, pointers: Iterable[Pointer]
) -> tuple[LateRevisions, ...]:
    """Return what arrived late in one bucket, whose pointers have been listed."""
    return find_late(covered, {bucket: Arrivals.of(pointers)})


def look_for_late_revisions(
    glue: GlueClient, s3: S3Client, table: Table, bucket: str | None = None
) -> tuple[LateRevisions, ...]:
    """List the buckets that a table was written from, or the one named, and return what arrived late."""
    covered = read_covered(glue, table)
    buckets = {one.interval.bucket for one in covered} if bucket is None else {bucket}
    arrivals = {name: Arrivals.of(list_pointers(s3, name).pointers) for name in sorted(buckets)}
    return find_late(covered, arrivals)
