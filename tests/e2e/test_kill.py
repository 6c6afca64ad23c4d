"""What a user ends in Airflow ends at Athena."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.e2e.driver import Airflow
from tests.e2e.lake import Lake

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

AT_ONCE_SECONDS = 5.0
LONG_SECONDS = 300.0  # nothing here waits for it

End = Callable[[Airflow, str, str], None]
ENDS: dict[str, End] = {
    "task_marked_failed": lambda airflow, dag_id, run_id: airflow.mark_task(
        dag_id, run_id, "query", "failed"
    ),
    "task_marked_success": lambda airflow, dag_id, run_id: airflow.mark_task(
        dag_id, run_id, "query", "success"
    ),
    "run_marked_failed": lambda airflow, dag_id, run_id: airflow.mark_run(dag_id, run_id, "failed"),
}


def running_query(airflow: Airflow, lake: Lake, dag_id: str, marker: str) -> tuple[str, str]:
    """Start a run whose query goes on running; returns the run's id and the query's."""
    run_id = airflow.start_run(dag_id, query=f"SELECT 1 AS {marker}")
    if dag_id == "query_deferred":
        airflow.wait_for_trigger(dag_id, run_id, "query")
    else:
        airflow.wait_for_task(dag_id, run_id, "query", "running")
    (query_id,) = airflow.wait("a query", lambda: lake.queries(marker))
    lake.wait_for_state(query_id, "RUNNING")
    return run_id, query_id


def check_cancelled_at_once(lake: Lake, query_id: str, told_at: float) -> None:
    execution = lake.wait_for_state(query_id, "CANCELLED")
    seconds = execution["Status"]["CompletionDateTime"].timestamp() - told_at
    assert seconds < AT_ONCE_SECONDS


@pytest.mark.parametrize("dag_id", ["query_deferred", "query_on_worker"])
@pytest.mark.parametrize("end", ENDS)
def test_what_a_user_ends_is_cancelled_at_athena_within_five_seconds(
    airflow: Airflow, lake: Lake, dag_id: str, end: str
) -> None:
    marker = f"{end}_{dag_id}"
    with lake.queries_take(LONG_SECONDS):
        run_id, query_id = running_query(airflow, lake, dag_id, marker)
        ENDS[end](airflow, dag_id, run_id)
        check_cancelled_at_once(lake, query_id, time.time())
    assert airflow.wait_for_end(dag_id, run_id) == end.rpartition("_")[2]
    assert airflow.task(dag_id, run_id, "query")["try_number"] == 1


@pytest.mark.parametrize("dag_id", ["query_deferred", "query_on_worker"])
def test_clearing_a_task_that_waits_cancels_its_query_and_runs_another(
    airflow: Airflow, lake: Lake, dag_id: str
) -> None:
    marker = f"cleared_{dag_id}"
    with lake.queries_take(LONG_SECONDS):
        run_id, query_id = running_query(airflow, lake, dag_id, marker)
    airflow.clear(dag_id, run_id)
    check_cancelled_at_once(lake, query_id, time.time())
    airflow.succeed(dag_id, run_id)
    result = airflow.xcom(dag_id, run_id, "query")
    assert result["rows"] == [["1"]]
    assert result["query_execution_ids"] != [query_id]


def test_clearing_a_finished_overwrite_really_runs_it_again(airflow: Airflow, lake: Lake) -> None:
    lake.make_table("cleared")
    wanted = {"table": "cleared", "dt": "2026-01-31"}
    run_id = airflow.start_run(
        "overwrite_on_worker", query="SELECT n FROM UNNEST(ARRAY[1, 2, 3]) AS t (n)", **wanted
    )
    airflow.succeed("overwrite_on_worker", run_id)
    rows = lake.numbers("cleared")
    assert rows == [("2026-01-31", "1"), ("2026-01-31", "2"), ("2026-01-31", "3")]
    first = airflow.xcom("overwrite_on_worker", run_id, "overwrite")
    airflow.clear("overwrite_on_worker", run_id)
    airflow.succeed("overwrite_on_worker", run_id)
    assert lake.numbers("cleared") == rows
    second = airflow.xcom("overwrite_on_worker", run_id, "overwrite")
    assert not set(first["query_execution_ids"]) & set(second["query_execution_ids"])
    (partition,) = second["partitions"]
    assert lake.partitions("e2e", "cleared") == {("2026-01-31",): partition["location"]}
    assert partition["previous_location"] == first["partitions"][0]["location"]
