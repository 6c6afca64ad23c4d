"""The look at buckets before views are made for them: is there a bucket, and are there packages."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from botocore.exceptions import ClientError

from airflow_quilt_athena.exceptions import AccessError, InvalidCallError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.errors import error_code

log = logging.getLogger(__name__)

# Each package has pointers there, and whoever runs our operators may list no more of .quilt/ than this.
REGISTRY_PREFIX = ".quilt/named_packages/"


def refuse_missing_registries(s3: S3Client, buckets: Sequence[str]) -> None:
    """Raise InvalidCallError for a bucket that is not there, or that no package was ever pushed to.

    One call a bucket. Whether it holds packages is not told to who may not list it; views need no more than
    Glue and Athena, and are made then.
    """
    for bucket in buckets:
        try:
            if not _holds_registry(s3, bucket):
                raise InvalidCallError(
                    f"Bucket {bucket} holds no Quilt packages: there is nothing below s3://{bucket}/"
                    f"{REGISTRY_PREFIX}. Check the name, or push a first package to it."
                )
        except AccessError as error:
            log.warning("Whether bucket %s holds Quilt packages could not be told: %s", bucket, error)


def _holds_registry(s3: S3Client, bucket: str) -> bool:
    def look() -> bool:
        try:
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=REGISTRY_PREFIX, MaxKeys=1)
        except ClientError as error:
            if error_code(error) == "NoSuchBucket":
                raise InvalidCallError(
                    f"There is no bucket {bucket}. Expected a bucket with Quilt packages; check the name."
                ) from error
            raise
        return bool(listed.get("KeyCount") or listed.get("Contents"))

    return ask(look, f"look for Quilt packages in bucket {bucket}")
