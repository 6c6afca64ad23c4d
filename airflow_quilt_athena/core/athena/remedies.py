"""What to do first when Athena says that something is not there. Returns text; runs nothing."""

from __future__ import annotations

import re

_PROVISION = "ProvisionQuiltAthenaOperator"
_REMEDIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), remedy)
    for pattern, remedy in (
        (
            r"WorkGroup \S* ?is not found",
            f"Run {_PROVISION} with that workgroup first, or name one that is there",
        ),
        (
            r"(?:Table|View) '?\S*_quilt_(?:manifests|packages|packages_view|objects_view|revisions|entries|"
            r"tags|current)\b\S* does not exist",
            "Run CreateBucketViewsOperator for that bucket, in that database, first",
        ),
        (
            r"SCHEMA_NOT_FOUND|Schema '?\S+ does not exist|Database \S+ not found",
            f"Run {_PROVISION} with that database first, or name one that is there",
        ),
        (
            r"No output location provided|output location is (?:required|not set)",
            f"Let the workgroup say where results go: {_PROVISION} sets it",
        ),
    )
)


def remedy_for(reason: str) -> str:
    """Return what to run first, as the end of a message, or nothing.

    >>> remedy_for("TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.q.acme_quilt_entries' does not exist")
    ' Run CreateBucketViewsOperator for that bucket, in that database, first.'
    """
    return next((f" {remedy}." for pattern, remedy in _REMEDIES if pattern.search(reason)), "")
