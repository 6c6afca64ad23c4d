"""Workers and triggerers die while a query runs: it is found again, and never started twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.e2e.driver import Airflow, Task
from tests.e2e.lake import Lake

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TABLE, DT, ANSWER = "lost_worker", "2026-01-31", "found_again"
# Longer than it takes Airflow, with the settings of these tests, to notice a lost worker, or triggerer.
LOST_WORKER_SECONDS, LOST_TRIGGERER_SECONDS = 40.0, 25.0


@dataclass(frozen=True)
class Lost:
    """A run whose worker was killed while its query ran; it has ended."""

    dag_id: str
    run_id: str
    state: str
    task: Task


@pytest.fixture(scope="module")
def lost(_stack: Airflow, lake: Lake) -> dict[str, Lost]:
    """Two runs that lose their workers at a time, as it takes long to notice."""
    lake.make_table(TABLE)
    overwrite = {"query": "SELECT n FROM UNNEST(ARRAY[7, 8]) AS t (n)", "table": TABLE, "dt": DT}
    begun = []
    with lake.queries_take(LOST_WORKER_SECONDS):
        for dag_id, task_id, marker, conf in (
            ("overwrite_on_worker", "overwrite", TABLE, overwrite),
            ("query_on_worker", "query", ANSWER, {"query": f"SELECT 42 AS {ANSWER}"}),
        ):
            run_id = _stack.start_run(dag_id, **conf)
            begun.append((dag_id, run_id, task_id))
            lose_worker(_stack, lake, dag_id, run_id, task_id, marker)
        for dag_id, run_id, _ in begun:
            _stack.wait_for_end(dag_id, run_id)
    return {
        dag_id: Lost(dag_id, run_id, _stack.run_state(dag_id, run_id), _stack.task(dag_id, run_id, task_id))
        for dag_id, run_id, task_id in begun
    }


def lose_worker(airflow: Airflow, lake: Lake, dag_id: str, run_id: str, task_id: str, marker: str) -> None:
    """Wait until the task's query runs, and kill the worker."""
    airflow.wait(
        f"{dag_id} to tell of its query",  # from then on its id is kept where a later try finds it
        lambda: "quilt_athena_query_url" in airflow.xcom_keys(dag_id, run_id, task_id),
    )
    (query_id,) = lake.queries(marker)
    lake.wait_for_state(query_id, "RUNNING")
    airflow.kill_worker_of(airflow.task(dag_id, run_id, task_id))
    assert lake.state(query_id) == "RUNNING"


def test_an_overwrite_that_lost_its_worker_is_finished_by_one_query(
    airflow: Airflow, lake: Lake, lost: dict[str, Lost]
) -> None:
    run = lost["overwrite_on_worker"]
    airflow.started.append((run.dag_id, run.run_id))
    assert lake.numbers(TABLE) == [(DT, "7"), (DT, "8")]
    (query_id,) = lake.queries(TABLE)
    assert lake.state(query_id) == "SUCCEEDED"
    assert lake.starts(f"/{TABLE}/.generations/") == 1
    assert (run.state, run.task["try_number"]) == ("success", 2)
    check_joined(airflow, lake, run, query_id)


def test_a_query_that_lost_its_worker_is_joined_and_not_started_twice(
    airflow: Airflow, lake: Lake, lost: dict[str, Lost]
) -> None:
    run = lost["query_on_worker"]
    airflow.started.append((run.dag_id, run.run_id))
    assert len(lake.queries(ANSWER)) == 1
    (query_id,) = lake.queries(ANSWER)
    assert lake.state(query_id) == "SUCCEEDED"
    assert lake.starts(ANSWER) == 1
    assert (run.state, run.task["try_number"]) == ("success", 2)
    assert airflow.xcom(run.dag_id, run.run_id, "query")["rows"] == [["42"]]
    check_joined(airflow, lake, run, query_id)


def check_joined(airflow: Airflow, lake: Lake, run: Lost, query_id: str) -> None:
    """Check that the second try began while the query ran: else nothing was found again."""
    ended = lake.execution(query_id)["Status"]["CompletionDateTime"]
    assert datetime.fromisoformat(run.task["start_date"]) < ended


@pytest.fixture
def triggerer(airflow: Airflow) -> Iterator[Airflow]:
    """An Airflow that has a triggerer afterwards, whatever the test does to it."""
    yield airflow
    if not airflow.component("triggerer"):
        airflow.start_component("triggerer")


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL])
def test_a_query_outlives_the_triggerer_and_the_wait_goes_on(
    triggerer: Airflow, lake: Lake, way: signal.Signals
) -> None:
    airflow, marker = triggerer, f"triggerer_{way.name.lower()}"
    with lake.queries_take(LOST_TRIGGERER_SECONDS):
        run_id = airflow.start_run("query_deferred", query=f"SELECT 42 AS {marker}")
        airflow.wait_for_trigger("query_deferred", run_id, "query")
        (query_id,) = lake.queries(marker)
        airflow.end_component("triggerer", way)
        assert lake.state(query_id) == "RUNNING"
        assert airflow.task("query_deferred", run_id, "query")["state"] == "deferred"
        airflow.start_component("triggerer")
        airflow.succeed("query_deferred", run_id)
    assert lake.state(query_id) == "SUCCEEDED"
    assert lake.queries(marker) == [query_id]
    assert lake.starts(marker) == 1
    assert airflow.xcom("query_deferred", run_id, "query")["rows"] == [["42"]]
    assert airflow.task("query_deferred", run_id, "query")["try_number"] == 1
