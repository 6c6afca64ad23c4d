from __future__ import annotations

import botocore.session
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    InvalidRetryModeError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSOTokenLoadError,
    UnauthorizedSSOTokenError,
    UnknownSignatureVersionError,
)
from botocore.parsers import ResponseParserError

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
from airflow_quilt_athena.flows.aws.refusals import ALL_FINAL, FINAL


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
    assert is_passing(error)  # nothing says that it is final
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
        (_error("OperationTimeoutException"), False, True, False),
        (_error("ConcurrentModificationException"), False, True, False),
        (_error("ResourceNotReadyException"), False, True, False),
        (_error("FederationSourceRetryableException"), False, True, False),
        (_error("RequestTimeout"), False, True, False),
        (_error("OperationAborted", status=409), False, True, False),
        (_error("ConcurrentModification", status=409), False, True, False),
        (_error("KMS.ThrottlingException"), True, True, False),
        (_error("IDPCommunicationError"), False, True, False),
        (_error("AnErrorThatAwsInventsNextYear"), False, True, False),
        (_error("GlueEncryptionException", "Rate exceeded"), False, True, False),
        (
            _error("GlueEncryptionException", "User x is not authorized to perform: kms:Decrypt on y"),
            False,
            False,
            True,
        ),
        (_error("NotImplemented", status=501), False, False, False),
        (_error("InvalidObjectState", status=403), False, False, False),
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


# What botocore models of the calls we make and a second try may mend; the rest it models is final.
_PASSING = {
    "ConcurrentModification",
    "ConcurrentModificationException",
    "FederationSourceRetryableException",
    "GlueEncryptionException",
    "IDPCommunicationError",
    "InternalServerException",
    "InternalServiceException",
    "OperationTimeoutException",
    "ResourceNotReadyException",
    "ServiceFailure",
    "TooManyRequestsException",
}

_CALLS = {
    "athena": "StartQueryExecution StopQueryExecution GetQueryExecution BatchGetQueryExecution "
    "GetQueryResults GetWorkGroup CreateWorkGroup UpdateWorkGroup DeleteWorkGroup ListTagsForResource",
    "glue": "CreateDatabase DeleteDatabase GetDatabase GetTable GetTables CreateTable UpdateTable "
    "DeleteTable GetPartition GetPartitions CreatePartition UpdatePartition BatchGetPartition "
    "BatchCreatePartition BatchUpdatePartition BatchDeletePartition",
    "iam": "CreatePolicy CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion "
    "ListPolicies ListPolicyVersions ListPolicyTags AttachRolePolicy DetachRolePolicy "
    "ListAttachedRolePolicies ListEntitiesForPolicy GetRole",
    "s3": "CreateBucket DeleteBucket HeadBucket GetObject PutObject DeleteObject DeleteObjects "
    "ListObjectsV2 CopyObject",
    "sts": "GetCallerIdentity AssumeRole AssumeRoleWithWebIdentity",
}


@pytest.mark.parametrize("service", _CALLS)
def test_every_error_that_botocore_models_of_our_calls_is_sorted(service: str) -> None:
    model = botocore.session.get_session().get_service_model(service)
    modelled = {
        shape.metadata.get("error", {}).get("code") or shape.name
        for call in _CALLS[service].split()
        for shape in model.operation_model(call).error_shapes
    }
    final = FINAL[service] | FINAL["every service"]
    assert modelled - _PASSING <= final
    assert not modelled & _PASSING & ALL_FINAL


def test_no_name_is_final_in_one_service_and_passing_in_another() -> None:
    assert not ALL_FINAL & _PASSING
    assert [name for name in sorted(ALL_FINAL) if not is_passing(_error(name))] == sorted(ALL_FINAL)


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
        (_error("OperationTimeoutException", "Late."), RetryableError, "Try again later"),
        (_error("ValidationException", "Bad name."), InvalidCallError, ""),
    ],
    ids=["access", "throttled", "own trouble", "late", "refused"],
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
        ResponseParserError("Unable to parse response (<html>)"),
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


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (CredentialRetrievalError(provider="x", error_msg="late"), RetryableError, "could not be fetched"),
        (MetadataRetrievalError(error_msg="late"), RetryableError, "could not be fetched"),
        (NoCredentialsError(), AccessError, "Unable to locate credentials. Give"),
        (PartialCredentialsError(provider="env", cred_var="x"), AccessError, "Partial credentials"),
        (UnauthorizedSSOTokenError(), AccessError, "The SSO session"),
        (SSOTokenLoadError(error_msg="gone"), AccessError, "gone"),
        (NoRegionError(), InvalidCallError, "no region is set. Set region_name"),
        (ParamValidationError(report="Invalid bucket name"), InvalidCallError, "Invalid bucket name"),
        (UnknownSignatureVersionError(signature_version="v9"), InvalidCallError, "v9"),
        (InvalidRetryModeError(provided_retry_mode="x", valid_modes="y"), InvalidCallError, "x"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_botocore_raises_of_itself_becomes_ours(
    error: Exception, kind: type[QuiltAthenaError], said: str
) -> None:
    translated = translate(error, "create bucket acme")
    assert type(translated) is kind
    assert is_passing(error) is (kind is RetryableError)
    assert str(translated).startswith("Cannot create bucket acme: ")
    assert said in str(translated)


@pytest.mark.parametrize(
    ("code", "message", "step"),
    [
        ("NoSuchBucket", "The specified bucket does not exist", "Name a bucket that is there"),
        (
            "InvalidRequestException",
            "QueryExecution q was not found",
            "Expected the id of a query of this account",
        ),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(code: str, message: str, step: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, "Any")
    assert step in str(translate(error, "look"))
