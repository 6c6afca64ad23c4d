"""ExpectedBucketOwner: S3 refuses when the bucket is another account's; moto does not look."""

from __future__ import annotations

from urllib.parse import unquote

from local_athena.iam.accounts import bucket_owner
from local_athena.wire.messages import Answer, AwsError, Forward, Request


def check_owner(request: Request, forward: Forward) -> Answer:
    """Refuse a call whose bucket, or whose copy source's bucket, has another owner than expected."""
    _check(request.headers.get("x-amz-expected-bucket-owner"), request.bucket)
    source = unquote(request.headers.get("x-amz-copy-source", "")).removeprefix("/").partition("/")[0]
    _check(request.headers.get("x-amz-source-expected-bucket-owner"), source)
    return forward(request)


def _check(expected: str | None, bucket: str) -> None:
    owner = bucket_owner(bucket)
    if expected is not None and owner is not None and expected != owner:
        raise AwsError("AccessDenied", "Access Denied", 403)
