"""Calls that are tried again inside a deadline, and those that are not."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
)

from airflow_quilt_athena.exceptions import AccessError, InvalidCallError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.aws.deadline import Deadline
from tests.unit.athena_fake import Clock, client_error


class Answers:
    """A call that meets one error after the other, and then is answered."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answered"


def deadline(seconds: float = 60.0) -> Deadline:
    clock = Clock()
    return Deadline.after(seconds, sleep=clock.sleep, clock=clock, random=lambda: 0.5)


@pytest.mark.parametrize(
    "error",
    [
        client_error("OperationTimeoutException"),
        client_error("ConcurrentModificationException"),
        client_error("ResourceNotReadyException"),
        client_error("RequestTimeout"),
        client_error("OperationAborted", 409),
        client_error("NobodyKnowsYet"),
        CredentialRetrievalError(provider="x", error_msg="late"),
    ],
    ids=lambda error: error.response["Error"]["Code"] if isinstance(error, ClientError) else "credentials",
)
def test_what_passes_is_tried_again(error: Exception) -> None:
    call = Answers(error, error)
    assert deadline().call(call, "do it") == "answered"
    assert call.calls == 3


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("InvalidInputException"), InvalidCallError),
        (client_error("AccessDeniedException"), AccessError),
        (NoCredentialsError(), AccessError),
        (NoRegionError(), InvalidCallError),
        (ParamValidationError(report="no"), InvalidCallError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_is_final_is_ours_at_once(error: Exception, kind: type[QuiltAthenaError]) -> None:
    call = Answers(error, error)
    with pytest.raises(kind, match="Cannot do it") as raised:
        deadline().call(call, "do it")
    assert (call.calls, raised.value.__cause__) == (1, error)


def test_what_never_passes_is_told_when_the_time_is_over() -> None:
    call = Answers(*[client_error("OperationTimeoutException")] * 1000)
    with pytest.raises(RetryableError, match="OperationTimeoutException"):
        deadline(60.0).call(call, "do it")
    assert 5 < call.calls < 100


def test_an_error_that_is_not_of_aws_is_not_touched() -> None:
    with pytest.raises(ZeroDivisionError):
        deadline().call(lambda: 1 // 0, "do it")
