"""AWS's refusals, sorted by what the reader does next."""

from __future__ import annotations

import re

from botocore.exceptions import (
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)

from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, QuiltAthenaError, RetryableError

# What boto3 raises when AWS could not be reached or did not answer whole. Whether the call landed is not
# known.
NO_ANSWER = (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError)

_THROTTLING = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "SlowDown",
        "PriorRequestNotComplete",
    }
)
_ACCESS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "AllAccessDisabled",
        "403",
    }
)


# How AWS names the permission when it refuses; S3 may leave it out, and is silent to a HEAD.
_NAMED_ACTION = re.compile(r"not authorized to perform: ([a-z0-9-]+:\w+)")

# S3's calls whose permission has another name (Service Authorization Reference, read 2026-11).
_S3_ACTIONS = {
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteObjects": "DeleteObject",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
_S3_SAME_NAME = frozenset(
    {
        "CreateBucket", "DeleteBucket", "DeleteObject", "GetBucketLocation", "GetBucketTagging", "GetObject",
        "PutBucketTagging", "PutObject",
    }
)  # fmt: skip


def error_code(error: ClientError) -> str:
    """Return AWS's name of the error, e.g. ``EntityNotFoundException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: ClientError) -> str:
    """Return AWS's own words."""
    return str(error.response.get("Error", {}).get("Message", "") or error)


def is_throttling(error: ClientError) -> bool:
    """Whether AWS asks to be called less often. The call was not carried out."""
    return error_code(error) in _THROTTLING or _status(error) == 429


def is_passing(error: ClientError) -> bool:
    """Whether the same call may be answered when made again: throttled, overtaken, or AWS's own trouble."""
    return is_throttling(error) or error_code(error) == "ConditionalRequestConflict" or _status(error) >= 500


def is_access(error: ClientError) -> bool:
    """Whether a permission is missing, or the credentials are not good."""
    return error_code(error) in _ACCESS or _status(error) in {401, 403}


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def needed_action(error: ClientError) -> str:
    """Return the permission that a refused call needs: the one AWS names, or the call's own."""
    named = _NAMED_ACTION.search(error_message(error))
    if named:
        return named[1]
    operation = str(error.operation_name)
    if operation in _S3_SAME_NAME or operation in _S3_ACTIONS:
        return f"s3:{_S3_ACTIONS.get(operation, operation)}"
    return operation


def translate(error: Exception, doing: str) -> QuiltAthenaError:
    """Return our error for boto3's, saying what was being done; raise it ``from`` the one it came of.

    :param doing: what failed and on which object, e.g. ``read table "sales"."orders" from Glue``.
    """
    if not isinstance(error, ClientError):
        return RetryableError(f"Cannot {doing}: AWS gave no answer ({error}).")
    text = f"Cannot {doing}: {error_code(error)}: {error_message(error).removesuffix('.')}."
    if is_access(error):
        return AccessError(f"{text} Grant the caller {needed_action(error)}, or mend its credentials.")
    if is_passing(error):
        return RetryableError(f"{text} Try again later.")
    return InvalidCallError(text)
