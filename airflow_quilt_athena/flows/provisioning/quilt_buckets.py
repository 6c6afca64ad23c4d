"""Whether the Quilt buckets are there and hold packages: one look at each, side by side, before anything."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow_quilt_athena.exceptions import AccessError, InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask_unless
from airflow_quilt_athena.flows.aws.side_by_side import side_by_side
from airflow_quilt_athena.flows.provisioning.resources import AwsClients

log = logging.getLogger(__name__)

_QUILT_FOLDER = ".quilt/"
_NO_BUCKET = frozenset({"NoSuchBucket"})


def refuse_buckets_without_packages(clients: AwsClients, buckets: Sequence[str]) -> None:
    """Raise InvalidCallError for buckets that do not exist, or hold nothing of Quilt's.

    A bucket that the caller may not list is taken as it is named: whoever provisions need not be able to
    read what the policy grants others.
    """
    wanted = sorted(set(buckets))
    problems = [problem for problem in side_by_side(lambda name: _problem(clients, name), wanted) if problem]
    if problems:
        raise InvalidCallError(
            f"Not Quilt buckets: {'; '.join(problems)}. Nothing was changed. Mend quilt_buckets, or push a "
            "first package with quilt3."
        )


def _problem(clients: AwsClients, bucket: str) -> str | None:
    try:
        found = ask_unless(
            _NO_BUCKET,
            lambda: clients.s3.list_objects_v2(Bucket=bucket, Prefix=_QUILT_FOLDER, MaxKeys=1),
            f"look for packages in bucket {bucket}",
        )
    except AccessError as error:
        log.warning("Whether bucket %s holds packages could not be told: %s", bucket, error)
        return None
    if found is None:
        return f"bucket {bucket} does not exist"
    return None if found.get("Contents") else f"bucket {bucket} holds no {_QUILT_FOLDER}"
