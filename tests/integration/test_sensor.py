"""AthenaCompletionSensor on a running local Athena."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_quilt_athena.flows.athena.queries import start_query
from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor
from local_athena import LocalAthena
from tests.integration.lab import Lab, Ran, connection

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(aws: LocalAthena, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    opened = Lab.open(aws, unique)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield opened
    aws.set_latency({})


def submit(lab: Lab, sql: str) -> str:
    return start_query(lab.client("athena"), sql, database=lab.database, workgroup=lab.workgroup)


def sense(lab: Lab, ids: Any, **arguments: Any) -> Ran:
    given: dict[str, Any] = {"poke_interval": 0.1, "timeout": 30}
    return lab.run_task(
        AthenaCompletionSensor(task_id="done", query_execution_ids=ids, **(given | arguments))
    )


@pytest.mark.parametrize("deferrable", [False, True])
def test_many_queries_are_waited_for(lab: Lab, deferrable: bool) -> None:
    lab.aws.set_latency({"athena:query": 0.3})
    ids = [submit(lab, f"SELECT {number} AS n") for number in range(52)]
    ran = sense(lab, ids, deferrable=deferrable)
    assert ran.result["query_execution_ids"] == ids
    assert {query["state"] for query in ran.result["queries"]} == {"SUCCEEDED"}


def test_what_the_query_operator_returns_is_what_the_sensor_takes(lab: Lab) -> None:
    submitted = lab.run_task(
        QuiltAthenaQueryOperator(
            task_id="submit",
            query="SELECT 1; SELECT 2",
            database=lab.database,
            workgroup=lab.workgroup,
            wait_for_completion=False,
        )
    )
    for handed_over in (
        submitted.result,
        str(submitted.result),
        submitted.result["query_execution_ids"],
        str(submitted.result["query_execution_ids"]),
    ):
        assert len(sense(lab, handed_over).result["queries"]) == 2


@pytest.mark.parametrize("deferrable", [False, True])
def test_every_failed_query_is_named_with_its_reason(lab: Lab, deferrable: bool) -> None:
    ids = [submit(lab, sql) for sql in ("SELECT * FROM gone_a", "SELECT 1", "SELECT * FROM gone_b")]
    with pytest.raises(AirflowFailException, match=r"(?s)gone_a.*gone_b") as caught:
        sense(lab, ids, deferrable=deferrable)
    assert ids[0] in str(caught.value)
    assert ids[1] not in str(caught.value)


def test_a_sensor_that_gives_up_stops_the_query(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 20.0})
    query_execution_id = submit(lab, "SELECT 1")
    with pytest.raises(AirflowSensorTimeout):
        sense(lab, query_execution_id, timeout=0.3)
    athena = lab.client("athena")
    deadline = time.monotonic() + 5
    state = ""
    while state != "CANCELLED" and time.monotonic() < deadline:
        answer = athena.get_query_execution(QueryExecutionId=query_execution_id)
        state = answer["QueryExecution"]["Status"]["State"]
        time.sleep(0.05)
    assert state == "CANCELLED"


def test_an_unknown_id_is_named(lab: Lab) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(AirflowFailException, match=unknown):
        sense(lab, unknown)
