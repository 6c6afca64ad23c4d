from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from airflow_quilt_athena.exceptions import (
    AccessError,
    InvalidCallError,
    QueryFailedError,
    RetryableError,
)
from airflow_quilt_athena.flows.athena.queries import (
    ProgressLog,
    run_query,
    start_query,
    stop_queries,
    wait_for_queries,
)
from tests.unit.athena_fake import Clock, FakeAthena, client_error


def wait(athena: Any, *ids: str, timeout: float = 60.0, **options: Any) -> tuple[list[str], Clock]:
    clock = Clock()
    statuses = wait_for_queries(
        athena, ids, timeout_seconds=timeout, sleep=clock.sleep, clock=clock, **options
    )
    return [status.state.value for status in statuses], clock


def test_waits_until_the_query_has_succeeded() -> None:
    athena = FakeAthena(q1=["QUEUED", "RUNNING", "RUNNING", "SUCCEEDED"])
    states, clock = wait(athena, "q1")
    assert states == ["SUCCEEDED"]
    assert len(clock.slept) == 3
    assert athena.stopped == []


def test_a_failure_carries_athenas_reason() -> None:
    with pytest.raises(QueryFailedError, match="the reason of q1") as caught:
        wait(FakeAthena(q1=["RUNNING", "FAILED"]), "q1")
    assert caught.value.state == "FAILED"
    assert caught.value.workgroup == "wg"


def test_an_answer_without_success_is_not_taken_for_one() -> None:
    with pytest.raises(Exception, match="NEARLY_DONE"):
        wait(FakeAthena(q1=["NEARLY_DONE"]), "q1")


def test_the_deadline_stops_the_query() -> None:
    athena = FakeAthena(q1=["RUNNING"])
    with pytest.raises(QueryFailedError, match="still RUNNING"):
        wait(athena, "q1", timeout=30)
    assert athena.stopped == ["q1"]


def test_no_sleep_goes_past_the_deadline() -> None:
    clock = Clock()
    athena: Any = FakeAthena(q1=["RUNNING"])
    with pytest.raises(QueryFailedError):
        wait_for_queries(athena, ["q1"], timeout_seconds=7, sleep=clock.sleep, clock=clock)
    assert 7 <= clock.now - 1000 < 7.1


def test_throttling_and_lost_answers_are_tried_again() -> None:
    lost = ReadTimeoutError(endpoint_url="http://local")
    athena = FakeAthena(
        q1=[
            client_error("ThrottlingException"),
            "RUNNING",
            lost,
            client_error("InternalFailure", 500),
            "SUCCEEDED",
        ]
    )
    assert wait(athena, "q1")[0] == ["SUCCEEDED"]


def test_throttling_for_ever_ends_at_the_deadline_and_stops_the_query() -> None:
    athena = FakeAthena(q1=[client_error("ThrottlingException")])
    athena.last["q1"] = client_error("ThrottlingException")
    with pytest.raises(RetryableError, match="ThrottlingException"):
        wait(athena, "q1", timeout=20)
    assert athena.stopped == ["q1"]


def test_a_missing_permission_fails_at_once() -> None:
    athena = FakeAthena(q1=[client_error("AccessDeniedException")])
    with pytest.raises(AccessError, match="GetQueryExecution"):
        wait(athena, "q1")
    assert len(athena.looks) == 1


def test_an_unknown_id_fails_at_once() -> None:
    athena = FakeAthena(q1=[client_error("InvalidRequestException")])
    with pytest.raises(InvalidCallError, match="q1"):
        wait(athena, "q1")


def test_many_queries_are_looked_at_in_batches_of_50() -> None:
    ids = [f"q{number}" for number in range(120)]
    scripts: dict[str, list[str | Exception]] = {query_id: ["SUCCEEDED"] for query_id in ids}
    athena = FakeAthena(**scripts)
    states, _ = wait(athena, *ids)
    assert states == ["SUCCEEDED"] * 120
    assert athena.looks == ["batch"] * 3


def test_every_failed_query_is_named() -> None:
    athena = FakeAthena(a=["FAILED"], b=["RUNNING", "SUCCEEDED"], c=["RUNNING", "RUNNING", "FAILED"])
    with pytest.raises(QueryFailedError, match=r"(?s)reason of a.*reason of c"):
        wait(athena, "a", "b", "c")


@pytest.mark.parametrize("ids", [(), ("",), ("q1", "")])
def test_waiting_for_nothing_is_refused(ids: tuple[str, ...]) -> None:
    with pytest.raises(InvalidCallError, match="No Athena query"):
        wait(FakeAthena(), *ids)


def test_a_start_whose_answer_was_lost_is_repeated_with_the_same_token() -> None:
    clock = Clock()
    athena: Any = FakeAthena()
    athena.start_errors = [
        ReadTimeoutError(endpoint_url="http://local"),
        client_error("TooManyRequestsException"),
    ]
    start_query(athena, "SELECT 1", database="db", workgroup="wg", sleep=clock.sleep, clock=clock)
    assert len(athena.started) == 3
    assert len({request["ClientRequestToken"] for request in athena.started}) == 1


def test_two_starts_without_a_token_are_two_queries() -> None:
    athena: Any = FakeAthena()
    for _ in range(2):
        start_query(athena, "SELECT 1", database="db", workgroup="wg")
    assert len({request["ClientRequestToken"] for request in athena.started}) == 2


def test_what_is_sent_is_what_was_asked() -> None:
    athena: Any = FakeAthena()
    start_query(
        athena,
        "SELECT ?",
        database="db",
        workgroup="wg",
        token="t" * 32,
        parameters=("'x'",),
        reuse_results_minutes=5,
    )
    assert athena.started == [
        {
            "QueryString": "SELECT ?",
            "WorkGroup": "wg",
            "ClientRequestToken": "t" * 32,
            "QueryExecutionContext": {"Database": "db"},
            "ExecutionParameters": ["'x'"],
            "ResultReuseConfiguration": {
                "ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 5}
            },
        }
    ]


@pytest.mark.parametrize(
    ("sql", "token", "message"),
    [
        ("SELECT '" + "é" * 131_072 + "'", None, "262,144"),
        ("  ", None, "empty"),
        ("SELECT 1", "short", "32 to 128"),
    ],
)
def test_what_athena_would_refuse_is_refused_before_it_is_sent(
    sql: str, token: str | None, message: str
) -> None:
    athena: Any = FakeAthena()
    with pytest.raises(InvalidCallError, match=message):
        start_query(athena, sql, database="db", workgroup="wg", token=token)
    assert athena.started == []


def test_the_id_is_known_before_the_wait_so_that_a_kill_can_stop_it() -> None:
    athena: Any = FakeAthena(q1=["FAILED"])
    started: list[str] = []
    with pytest.raises(QueryFailedError):
        run_query(
            athena, "SELECT 1", database=None, workgroup="wg", timeout_seconds=5, on_start=started.append
        )
    assert started == ["q1"]


def test_one_query_that_cannot_be_stopped_does_not_save_the_others() -> None:
    athena: Any = FakeAthena()
    stop_queries(athena, ["gone", "q2"])
    assert athena.stopped == ["q2"]


class Stubborn(FakeAthena):
    """Each query refuses to be stopped so often."""

    def __init__(self, refusals: dict[str, list[Exception]], **scripts: list[str | Exception]) -> None:
        super().__init__(**scripts)
        self.refusals = refusals
        self.asked: list[str] = []

    def stop_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803
        self.asked.append(QueryExecutionId)
        if self.refusals.get(QueryExecutionId):
            raise self.refusals[QueryExecutionId].pop(0)
        return super().stop_query_execution(QueryExecutionId)


def test_a_stop_that_is_not_answered_is_tried_again_after_the_others() -> None:
    clock = Clock()
    throttled = client_error("ThrottlingException")
    athena: Any = Stubborn({"q1": [throttled] * 2}, q1=["RUNNING"], q2=["RUNNING"])
    became = stop_queries(athena, ["q1", "q2"], sleep=clock.sleep, clock=clock)
    assert athena.asked == ["q1", "q2", "q1", "q1"]
    assert became == {"q1": "was stopped", "q2": "was stopped"}


def test_a_query_that_cannot_be_stopped_is_told_as_what_it_is_and_never_as_stopped() -> None:
    clock = Clock()
    throttled, refused = client_error("ThrottlingException"), client_error("AccessDeniedException")
    athena: Any = Stubborn(
        {"q1": [throttled] * 1000, "q2": [refused], "q3": [refused]},
        q1=["RUNNING"] * 9,
        q2=["SUCCEEDED"],
        q3=[client_error("AccessDeniedException")],
    )
    became = stop_queries(athena, ["q1", "q2", "q3"], sleep=clock.sleep, clock=clock)
    assert 25 < clock.now - 1000 < 40
    assert became["q1"].startswith("could not be stopped: still RUNNING (")
    assert became["q2"] == "was SUCCEEDED before it could be stopped"
    assert became["q3"].startswith("could not be stopped, and may still be running: ")


def test_a_late_query_that_could_not_be_stopped_is_not_said_to_be() -> None:
    athena: Any = Stubborn({"q1": [client_error("AccessDeniedException")]}, q1=["RUNNING"] * 50)
    with pytest.raises(QueryFailedError, match="the timeout, and could not be stopped: still RUNNING"):
        wait(athena, "q1", timeout=3)


def test_progress_is_told_at_changes_and_now_and_then() -> None:
    lines: list[str] = []
    athena = FakeAthena(q1=["QUEUED", *["RUNNING"] * 40, "SUCCEEDED"])
    _, clock = wait(athena, "q1", timeout=1000, on_progress=ProgressLog(lines.append, every_seconds=30))
    minutes = (clock.now - 1000) / 30
    assert [line.split(": ")[1].split(",")[0] for line in lines[:2]] == ["QUEUED", "RUNNING"]
    assert lines[-1].split(": ")[1].startswith("SUCCEEDED")
    assert len(lines) <= 3 + minutes
