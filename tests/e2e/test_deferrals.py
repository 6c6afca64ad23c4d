"""Tasks that leave the worker and come back: none is lost on the way."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.e2e.dags.queries import SHORT_DEFERRALS
from tests.e2e.driver import Airflow
from tests.e2e.lake import Lake

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# What Airflow's scheduler says when it takes a task that came back quickly for one that was lost.
MISTAKEN = "finished with state success, but the task instance's state attribute is"


def test_fifty_short_deferrals_end_without_one_spurious_failure(airflow: Airflow, lake: Lake) -> None:
    run_id = airflow.start_run("short_deferrals")
    airflow.succeed("short_deferrals", run_id, timeout_seconds=500)
    tasks = airflow.tasks("short_deferrals", run_id)
    assert len(tasks) == SHORT_DEFERRALS
    results = {
        task["map_index"]: airflow.xcom("short_deferrals", run_id, "query", map_index=task["map_index"])
        for task in tasks
    }
    assert {number: result["rows"] for number, result in results.items()} == {
        number: [[str(number)]] for number in range(SHORT_DEFERRALS)
    }
    ids = {query_id for result in results.values() for query_id in result["query_execution_ids"]}
    assert len(ids) == SHORT_DEFERRALS
    assert {lake.state(query_id) for query_id in ids} == {"SUCCEEDED"}
    assert {(task["state"], task["try_number"]) for task in tasks} == {("success", 1)}
    assert MISTAKEN not in airflow.log.read_text(errors="replace")


def test_a_sensor_waits_deferred_for_queries_that_other_tasks_submitted(airflow: Airflow, lake: Lake) -> None:
    with lake.queries_take(15):
        run_id = airflow.start_run("submitted_and_sensed")
        airflow.wait_for_task("submitted_and_sensed", run_id, "done", "deferred")
        submitted = [
            query_id
            for task_id in ("first", "second")
            for query_id in airflow.xcom("submitted_and_sensed", run_id, task_id)["query_execution_ids"]
        ]
        airflow.succeed("submitted_and_sensed", run_id)
    executions = [lake.execution(query_id) for query_id in submitted]
    assert [execution["Status"]["State"] for execution in executions] == ["SUCCEEDED", "SUCCEEDED"]
    result = airflow.xcom("submitted_and_sensed", run_id, "done")
    assert result["state"] == "SUCCEEDED"
    assert result["query_execution_ids"] == submitted
    assert result["bytes_scanned"] == 0
    assert [query["query_execution_id"] for query in result["queries"]] == submitted
    ended = max(execution["Status"]["CompletionDateTime"] for execution in executions)
    assert datetime.fromisoformat(airflow.task("submitted_and_sensed", run_id, "done")["end_date"]) > ended
