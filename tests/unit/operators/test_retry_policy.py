"""The retry policy, asked as Airflow asks it. Airflow has such policies from 3.3 on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_quilt_athena.exceptions import InvalidCallError, QueryFailedError, RetryableError
from tests.unit.athena_fake import client_error

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="retry policies need Airflow 3.3")

from airflow_quilt_athena.operators.retry_policy import AthenaRetryPolicy


def failed(*, retryable: bool) -> QueryFailedError:
    return QueryFailedError(
        "told", query_execution_id="q", state="FAILED", reason="said", retryable=retryable
    )


def caused_by(cause: BaseException) -> AirflowException:
    error = AirflowException("wrapped")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (failed(retryable=False), "fail"),
        (failed(retryable=True), "retry"),
        (RetryableError("throttled"), "retry"),
        (InvalidCallError("line 1:8"), "fail"),
        (caused_by(failed(retryable=True)), "retry"),
        (caused_by(client_error("InvalidRequestException")), "fail"),
        (client_error("ThrottlingException"), "retry"),
        (client_error("InternalServerException", 500), "retry"),
        (KeyError("of the user's own"), "default"),
    ],
)
def test_a_failure_is_retried_only_where_that_can_help(error: BaseException, action: str) -> None:
    decision = AthenaRetryPolicy(timedelta(seconds=7)).evaluate(error, 1, 3)
    assert decision.action.value == action
    assert decision.retry_delay == (timedelta(seconds=7) if action == "retry" else None)


def test_what_was_raised_while_another_was_handled_is_judged_by_that_unless_it_says_not_to() -> None:
    error = KeyError("while cleaning up")
    error.__context__ = client_error("InvalidRequestException")
    assert AthenaRetryPolicy().evaluate(error, 1, 3).action.value == "fail"
    error.__suppress_context__ = True  # as `raise … from None` does
    assert AthenaRetryPolicy().evaluate(error, 1, 3).action.value == "default"


def test_a_policy_survives_being_written_down() -> None:
    for delay in (None, timedelta(seconds=90)):
        policy = AthenaRetryPolicy(delay)
        assert AthenaRetryPolicy.deserialize(policy.serialize()).passing_delay == delay


def test_an_exception_that_causes_itself_is_looked_at_once() -> None:
    first, second = KeyError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert AthenaRetryPolicy().evaluate(first, 1, 3).action.value == "default"
