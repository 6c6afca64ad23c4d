"""Queries that fail, or take too long: the task fails at once and tells why, and nothing is left running."""

from __future__ import annotations

import pytest

from tests.e2e.driver import Airflow
from tests.e2e.lake import Lake

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("dag_id", ["query_on_worker", "query_deferred"])
def test_a_query_that_fails_fails_its_task_at_once_with_athenas_words(
    airflow: Airflow, lake: Lake, dag_id: str
) -> None:
    marker = f"no_such_column_{dag_id}"
    run_id = airflow.start_run(dag_id, query=f"SELECT {marker} FROM (VALUES 1) AS t (n)")
    assert airflow.wait_for_end(dag_id, run_id) == "failed"
    (query_id,) = lake.queries(marker)
    status = lake.execution(query_id)["Status"]
    assert status["State"] == "FAILED"
    reason = status["StateChangeReason"]
    assert "COLUMN_NOT_FOUND" in reason
    assert marker in reason
    assert airflow.task(dag_id, run_id, "query")["try_number"] == 1  # of two that it might have
    log = airflow.task_log(dag_id, run_id, "query", 1)
    (error,) = {line for line in log.splitlines() if line.startswith("AirflowFailException: ")}
    assert reason in error
    assert query_id in error


@pytest.mark.parametrize("dag_id", ["query_too_long_on_worker", "query_too_long_deferred"])
def test_a_task_that_runs_out_of_its_execution_timeout_stops_its_query(
    airflow: Airflow, lake: Lake, dag_id: str
) -> None:
    with lake.queries_take(300):
        run_id = airflow.start_run(dag_id, query=f"SELECT 1 AS {dag_id}")
        assert airflow.wait_for_end(dag_id, run_id) == "failed"
    (query_id,) = lake.queries(dag_id)
    execution = lake.wait_for_state(query_id, "CANCELLED")
    status = execution["Status"]
    assert (status["CompletionDateTime"] - status["SubmissionDateTime"]).total_seconds() < 60
    assert airflow.task(dag_id, run_id, "query")["state"] == "failed"


def test_the_retry_policy_spends_one_try_on_a_syntax_error_and_two_on_throttling(
    airflow: Airflow, lake: Lake
) -> None:
    with lake.one_query_is_throttled("throttled_once"):
        run_id = airflow.start_run("retries_by_policy")
        assert airflow.wait_for_end("retries_by_policy", run_id) == "failed"
    assert lake.starts("never_right") == 1
    assert lake.starts("throttled_once") == 2
    assert airflow.xcom("retries_by_policy", run_id, "throttled") == [["1"]]
    ended = {task["task_id"]: task for task in airflow.tasks("retries_by_policy", run_id)}
    assert {task_id: (task["state"], task["try_number"]) for task_id, task in ended.items()} == {
        "syntax_error": ("failed", 1),
        "throttled": ("success", 2),
    }
