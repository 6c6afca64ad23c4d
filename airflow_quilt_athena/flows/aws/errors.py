"""What AWS and botocore refuse, sorted by what the reader does next."""

from __future__ import annotations

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoRegionError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.aws.refusals import ACCESS, ALL_FINAL

# All that making a client, signing a call and sending it raise.
AWS_ERRORS = (ClientError, BotoCoreError, ResponseParserError)

# What boto3 raises when AWS could not be reached or did not answer whole. Whether the call landed is not
# known.
NO_ANSWER = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    FlexibleChecksumError,
    ResponseParserError,
)

# Whoever hands out credentials could not be reached. Nothing was sent.
_NO_CREDENTIALS_YET = (CredentialRetrievalError, MetadataRetrievalError, TokenRetrievalError)

# By name, since newer botocores have more of them; their subclasses are meant as well.
_BAD_CREDENTIALS = frozenset(
    {"LoginError", "NoAuthTokenError", "NoCredentialsError", "PartialCredentialsError", "SSOError"}
)

_THROTTLING = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "KMS.ThrottlingException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "SlowDown",
        "PriorRequestNotComplete",
    }
)


# Where AWS says what is not there, and not what to do about it.
_NEXT_STEPS = (
    (re.compile(r": NoSuchBucket: "), "Name a bucket that is there, or make it first."),
    (
        re.compile(r"QueryExecution \S+ was not found"),
        "Expected the id of a query of this account and region; Athena forgets a query after 45 days.",
    ),
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


def is_passing(error: Exception) -> bool:
    """Whether the same call may be answered when made again: all of what is not known to be final.

    :param error: one of ``AWS_ERRORS``.
    """
    if isinstance(error, ClientError):
        return is_throttling(error) or not (error_code(error) in ALL_FINAL or is_access(error))
    return isinstance(error, (*NO_ANSWER, *_NO_CREDENTIALS_YET))


def is_access(error: ClientError) -> bool:
    """Whether a permission is missing, or the credentials are not good."""
    code = error_code(error)
    if code in ACCESS or _NAMED_ACTION.search(error_message(error)):
        return True
    return _status(error) in {401, 403} and code not in ALL_FINAL | _THROTTLING


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

    :param error: one of ``AWS_ERRORS``.
    :param doing: what failed and on which object, e.g. ``read table "sales"."orders" from Glue``.
    """
    if not isinstance(error, ClientError):
        return _translate_own(error, doing)
    text = f"Cannot {doing}: {error_code(error)}: {error_message(error).removesuffix('.')}."
    if is_access(error):
        return AccessError(f"{text} Grant the caller {needed_action(error)}, or mend its credentials.")
    if is_passing(error):
        return RetryableError(f"{text} Try again later.")
    return InvalidCallError(f"{text}{_next_step(text)}")


def _next_step(said: str) -> str:
    return next((f" {step}" for pattern, step in _NEXT_STEPS if pattern.search(said)), "")


def _translate_own(error: Exception, doing: str) -> QuiltAthenaError:
    """Return our error for what botocore raises of itself, without an answer of AWS."""
    said = str(error).strip().removesuffix(".")
    if isinstance(error, _NO_CREDENTIALS_YET):
        return RetryableError(f"Cannot {doing}: credentials could not be fetched: {said}. Try again later.")
    if is_passing(error) or not isinstance(error, BotoCoreError):
        return RetryableError(f"Cannot {doing}: AWS gave no answer ({error}).")
    if any(kind.__name__ in _BAD_CREDENTIALS for kind in type(error).__mro__):
        return AccessError(f"Cannot {doing}: {said}. Give the connection credentials, or the machine a role.")
    if isinstance(error, NoRegionError):
        return InvalidCallError(f"Cannot {doing}: no region is set. Set region_name, or the connection's.")
    return InvalidCallError(f"Cannot {doing}: {said}.")
