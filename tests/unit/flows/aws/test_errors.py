from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.aws.errors import (
    error_code,
    error_message,
    is_access,
    is_passing,
    is_throttling,
    needed_action,
    translate,
)


def _error(code: str, message: str = "No.", status: int = 400, operation: str = "GetTable") -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


def test_what_aws_said_is_kept() -> None:
    error = _error("EntityNotFoundException", "Table orders not found.")
    assert (error_code(error), error_message(error)) == ("EntityNotFoundException", "Table orders not found.")


def test_an_answer_without_an_error_is_no_reason_to_break() -> None:
    error = ClientError({}, "GetTable")
    assert error_code(error) == ""
    assert "GetTable" in error_message(error)
    assert not is_passing(error)
    assert not is_access(error)


@pytest.mark.parametrize(
    ("error", "throttling", "passing", "access"),
    [
        (_error("ThrottlingException"), True, True, False),
        (_error("TooManyRequestsException"), True, True, False),
        (_error("SlowDown", status=503), True, True, False),
        (_error("Anything", status=429), True, True, False),
        (_error("ConditionalRequestConflict", status=409), False, True, False),
        (_error("InternalServiceException", status=500), False, True, False),
        (_error("AccessDeniedException"), False, False, True),
        (_error("ExpiredToken"), False, False, True),
        (_error("403", status=403), False, False, True),
        (_error("Anything", status=401), False, False, True),
        (_error("EntityNotFoundException"), False, False, False),
        (_error("NoSuchKey", status=404), False, False, False),
    ],
    ids=lambda value: error_code(value) if isinstance(value, ClientError) else None,
)
def test_errors_are_sorted_by_code_and_status(
    error: ClientError, throttling: bool, passing: bool, access: bool
) -> None:
    assert (is_throttling(error), is_passing(error), is_access(error)) == (throttling, passing, access)


# What AWS calls the permission is not always what the call is named.
@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("HeadBucket", "s3:ListBucket"),
        ("HeadObject", "s3:GetObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        ("ListObjectVersions", "s3:ListBucketVersions"),
        ("GetBucketEncryption", "s3:GetEncryptionConfiguration"),
        ("PutBucketEncryption", "s3:PutEncryptionConfiguration"),
        ("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock"),
        ("PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock"),
        ("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration"),
        ("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
        ("DeleteBucketLifecycle", "s3:PutLifecycleConfiguration"),
        ("DeleteObjects", "s3:DeleteObject"),
        ("PutObject", "s3:PutObject"),
        ("CreateBucket", "s3:CreateBucket"),
        ("GetTable", "GetTable"),
    ],
)
def test_a_silent_refusal_is_told_by_what_the_call_needs(operation: str, action: str) -> None:
    assert needed_action(_error("AccessDenied", "Access Denied", 403, operation)) == action


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("GetWorkGroup", "athena:GetWorkGroup"),
        ("CreateWorkGroup", "athena:TagResource"),  # one call may ask for several
        ("PutObject", "s3:GetObject"),  # If-Match reads
        ("AssumeRole", "sts:AssumeRole"),
    ],
)
def test_a_refusal_that_names_its_permission_is_believed(operation: str, action: str) -> None:
    said = f"User: arn:aws:iam::123456789012:user/p is not authorized to perform: {action} on resource: arn:x"
    assert needed_action(_error("AccessDeniedException", said, operation=operation)) == action


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (
            _error("AccessDenied", "Access Denied", 403, "HeadBucket"),
            AccessError,
            "Grant the caller s3:ListBucket",
        ),
        (_error("ThrottlingException", "Rate exceeded"), RetryableError, "Try again later"),
        (_error("InternalFailure", status=500), RetryableError, "Try again later"),
        (_error("ValidationException", "Bad name."), InvalidCallError, ""),
    ],
    ids=["access", "throttled", "own trouble", "refused"],
)
def test_the_error_says_what_was_being_done_and_what_to_do(
    error: ClientError, kind: type[QuiltAthenaError], advice: str
) -> None:
    translated = translate(error, "read table lake.orders from Glue")
    assert type(translated) is kind
    said = error_message(error).removesuffix(".")
    begin = f"Cannot read table lake.orders from Glue: {error_code(error)}: {said}."
    assert str(translated).startswith(begin)
    assert str(translated).removeprefix(begin).strip().startswith(advice)
    assert advice or str(translated) == begin


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
        ConnectTimeoutError(endpoint_url="http://127.0.0.1:1"),
        ReadTimeoutError(endpoint_url="http://127.0.0.1:1"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_answer_is_worth_another_try(error: Exception) -> None:
    translated = translate(error, "create bucket acme")
    assert isinstance(translated, RetryableError)
    assert str(translated).startswith("Cannot create bucket acme: AWS gave no answer (")
