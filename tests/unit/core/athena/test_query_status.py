from __future__ import annotations

import pytest

from airflow_quilt_athena.core.athena.console import query_url
from airflow_quilt_athena.core.athena.query_status import (
    QueryState,
    QueryStatus,
    Verdict,
    build_failure,
    build_timeout,
    decide,
    format_bytes,
    parse_status,
    poll_delay,
)
from airflow_quilt_athena.exceptions import ManualActionError


def status(state: str, query_id: str = "q1", **facts: object) -> QueryStatus:
    return QueryStatus(query_id, QueryState(state), workgroup="wg", **facts)  # type: ignore[arg-type]


def decided(*states: str, elapsed: float = 0.0, fail_fast: bool = False) -> Verdict:
    statuses = [status(state, f"q{number}") for number, state in enumerate(states)]
    return decide(statuses, elapsed_seconds=elapsed, timeout_seconds=60, fail_fast=fail_fast).verdict


def test_only_succeeded_is_success() -> None:
    verdicts = {state: decided(state.value) for state in QueryState}
    assert [state for state, verdict in verdicts.items() if verdict is Verdict.SUCCEEDED] == [
        QueryState.SUCCEEDED
    ]


def test_an_unknown_state_is_an_error() -> None:
    with pytest.raises(ManualActionError, match=r"q9 .*'NOT_A_STATE'"):
        parse_status({"QueryExecutionId": "q9", "Status": {"State": "NOT_A_STATE"}})


def test_a_failure_is_told_when_all_are_done() -> None:
    assert decided("FAILED", "RUNNING") is Verdict.WAIT
    assert decided("FAILED", "SUCCEEDED", "CANCELLED") is Verdict.FAILED


def test_a_failure_is_told_at_once_when_asked() -> None:
    assert decided("FAILED", "RUNNING", fail_fast=True) is Verdict.FAILED


def test_a_query_that_succeeded_past_the_deadline_is_a_success() -> None:
    assert decided("SUCCEEDED", elapsed=61) is Verdict.SUCCEEDED
    assert decided("SUCCEEDED", "RUNNING", elapsed=61) is Verdict.TIMED_OUT


def test_the_facts_are_read_from_athenas_answer() -> None:
    parsed = parse_status(
        {
            "QueryExecution": {
                "QueryExecutionId": "q1",
                "WorkGroup": "wg",
                "QueryExecutionContext": {"Database": "db"},
                "ResultConfiguration": {"OutputLocation": "s3://b/q1.csv"},
                "Status": {
                    "State": "FAILED",
                    "StateChangeReason": "TABLE_NOT_FOUND: line 1:15",
                    "AthenaError": {"ErrorCategory": 2, "ErrorType": 1006, "Retryable": False},
                },
                "Statistics": {"DataScannedInBytes": 12, "EngineExecutionTimeInMillis": 1500},
            }
        }
    )
    assert parsed == QueryStatus(
        "q1",
        QueryState.FAILED,
        reason="TABLE_NOT_FOUND: line 1:15",
        category=2,
        error_type=1006,
        workgroup="wg",
        database="db",
        bytes_scanned=12,
        engine_seconds=1.5,
        output_location="s3://b/q1.csv",
    )


@pytest.mark.parametrize(
    ("reason", "retryable"),
    [
        ("S3 answered: Please reduce your request rate. (SlowDown)", True),
        ("ICEBERG_COMMIT_ERROR: Failed to commit", True),
        ("SYNTAX_ERROR: line 1:8: Column 'x' cannot be resolved", False),
        ("Query exhausted resources at this scale factor", False),
        ("Query timeout", False),
    ],
)
def test_the_reason_tells_whether_a_retry_helps_when_athena_does_not(reason: str, retryable: bool) -> None:
    parsed = parse_status(
        {"QueryExecutionId": "q", "Status": {"State": "FAILED", "StateChangeReason": reason}}
    )
    assert parsed.retryable is retryable


def test_what_athena_says_of_a_retry_goes_before_the_words_of_the_reason() -> None:
    error = {"ErrorCategory": 1, "Retryable": False}
    parsed = parse_status(
        {
            "QueryExecutionId": "q",
            "Status": {"State": "FAILED", "StateChangeReason": "SlowDown", "AthenaError": error},
        }
    )
    assert not parsed.retryable


def test_a_failure_names_every_query_its_reason_and_where_to_look() -> None:
    error = build_failure(
        [
            status("FAILED", "q1", reason="DIVISION_BY_ZERO: / by zero", category=2),
            status("CANCELLED", "q2", reason="stopped by a user", retryable=True),
        ],
        region="eu-west-1",
    )
    text = str(error)
    assert "q1 FAILED in workgroup wg: DIVISION_BY_ZERO: / by zero (user error; a retry cannot help)" in text
    assert "q2 CANCELLED in workgroup wg: stopped by a user" in text
    assert query_url("eu-west-1", "q2") in text
    assert (error.query_execution_id, error.state, error.category, error.retryable) == (
        "q1",
        "FAILED",
        2,
        False,
    )


def test_only_a_query_that_never_left_the_queue_is_worth_a_retry_after_a_timeout() -> None:
    for state, retryable in (("QUEUED", True), ("RUNNING", False)):
        decision = decide([status(state)], elapsed_seconds=9, timeout_seconds=9)
        error = build_timeout(decision, timeout_seconds=9, region="us-east-1")
        assert error.retryable is retryable
        assert "after 9 s" in str(error)


def test_looks_come_fast_at_first_and_never_rarer_than_asked() -> None:
    delays = [poll_delay(t, longest_seconds=5, jitter=0.5) for t in (0, 1, 4, 10, 100)]
    assert delays == sorted(delays)
    assert delays[0] < 0.2
    assert delays[-1] == 5
    # a query of two seconds is noticed within one more second, whatever the jitter
    assert all(poll_delay(2, longest_seconds=5, jitter=jitter) < 1 for jitter in (0, 1))


def test_jitter_spreads_the_looks() -> None:
    assert poll_delay(100, longest_seconds=5, jitter=0) == pytest.approx(4)
    assert poll_delay(100, longest_seconds=5, jitter=1) == pytest.approx(6)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "https://console.aws.amazon.com/"),
        ("cn-north-1", "https://console.amazonaws.cn/"),
        ("us-gov-west-1", "https://console.amazonaws-us-gov.com/"),
    ],
)
def test_the_console_link_is_of_the_regions_partition(region: str, host: str) -> None:
    assert query_url(region, "q1").startswith(host)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (5_300_000, "5.3 MB"),
        (2_000_000_000, "2.0 GB"),
        (3_500_000_000_000, "3.5 TB"),
        (4_000_000_000_000_000, "4000.0 TB"),
    ],
)
def test_sizes_are_told_as_a_person_reads_them(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text
