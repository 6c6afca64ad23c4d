"""QuiltAthenaQueryOperator on a running local Athena."""

from __future__ import annotations

import csv
import json
import threading
import time
from datetime import date
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from local_athena import Fault
from tests.integration.lab import Lab, Ran

pytestmark = pytest.mark.integration

ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
    "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3"
)


def operator(lab: Lab, query: Any, **arguments: Any) -> QuiltAthenaQueryOperator:
    return QuiltAthenaQueryOperator(
        task_id="query", query=query, database=lab.database, workgroup=lab.workgroup, **arguments
    )


def run(lab: Lab, query: Any, **arguments: Any) -> Ran:
    return lab.run_task(operator(lab, query, **arguments))


def state(lab: Lab, query_execution_id: str) -> str:
    answer = lab.client("athena").get_query_execution(QueryExecutionId=query_execution_id)
    return str(answer["QueryExecution"]["Status"]["State"])


def test_rows_come_into_the_xcom_up_to_the_limit(lab: Lab) -> None:
    ran = run(lab, "SELECT * FROM (VALUES (1, 'a'), (2, 'b'), (3, NULL)) AS t (n, s) ORDER BY n", max_rows=2)
    assert ran.result["columns"] == ["n", "s"]
    assert ran.result["rows"] == [["1", "a"], ["2", "b"]]
    assert ran.result["state"] == "SUCCEEDED"


def test_more_rows_than_one_page_are_read(lab: Lab) -> None:
    ran = run(lab, "SELECT n FROM UNNEST(sequence(1, 2345)) AS t (n) ORDER BY n", max_rows=2200)
    assert ran.result["rows"] == [[str(number)] for number in range(1, 2201)]


def test_without_a_limit_no_rows_are_read(lab: Lab) -> None:
    assert "rows" not in run(lab, "SELECT 1 AS n").result


def test_parameters_take_the_place_of_question_marks(lab: Lab) -> None:
    query = "SELECT ? AS s, ? AS n, ? AS d"
    ran = run(lab, query, parameters=["'it''s'", 3, date(2026, 1, 31)], max_rows=1)
    assert ran.result["rows"] == [["it's", "3", "2026-01-31"]]


def test_rows_that_are_more_than_an_xcom_should_hold_are_told_by_their_place(lab: Lab) -> None:
    lab.aws.clear_calls()
    query = "SELECT a AS n FROM UNNEST(sequence(1, 9000)) t(a) CROSS JOIN UNNEST(sequence(1, 5)) u(b)"
    ran = run(lab, query, max_rows=200_000)
    assert (ran.result["columns"], ran.result["rows"]) == (["n"], None)
    place = S3Uri.parse(ran.result["rows_at"])
    body = lab.client("s3").get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
    assert len(body.splitlines()) == 45_001
    assert len(json.dumps(ran.result)) < 1000
    assert len([call for call in lab.aws.calls if call.operation == "GetQueryResults"]) < 20
    assert len(run(lab, query, max_rows=1000).result["rows"]) == 1000


def test_statements_run_in_order(lab: Lab) -> None:
    place = f"s3://{lab.bucket}/t/"
    ran = run(
        lab,
        f"""
        CREATE TABLE t WITH (external_location = '{place}', format = 'PARQUET') AS SELECT 1 AS n; -- ; first
        INSERT INTO t SELECT 2;
        SELECT n FROM t ORDER BY n;
        """,
        max_rows=10,
    )
    assert ran.result["rows"] == [["1"], ["2"]]
    assert len(ran.result["query_execution_ids"]) == 3
    assert ran.xcoms["query_execution_ids"] == ran.result["query_execution_ids"]


def test_the_reason_of_a_failure_reaches_the_error_and_nothing_follows_it(lab: Lab) -> None:
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=rf"FAILED in workgroup {lab.workgroup}: .*no_such_table"):
        run(lab, ["SELECT * FROM no_such_table", "SELECT 1"])
    assert len(lab.started()) == 1


def test_a_workgroup_that_is_not_there_is_named(lab: Lab) -> None:
    with pytest.raises(AirflowException, match="no-such-workgroup"):
        lab.run_task(
            QuiltAthenaQueryOperator(task_id="query", query="SELECT 1", workgroup="no-such-workgroup")
        )


def test_without_waiting_the_id_is_handed_over(lab: Lab) -> None:
    started = time.monotonic()
    ran = run(lab, ENDLESS, wait_for_completion=False)
    (query_execution_id,) = ran.result["query_execution_ids"]
    assert ran.result["state"] == "SUBMITTED"
    assert time.monotonic() - started < 5
    assert state(lab, query_execution_id) in {"QUEUED", "RUNNING"}
    lab.client("athena").stop_query_execution(QueryExecutionId=query_execution_id)


def test_the_deadline_stops_the_query_at_athena(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match=r"after 0\.5 s, the timeout, and was stopped"):
        run(lab, ENDLESS, timeout=0.5)
    (call,) = lab.started()[-1:]
    assert call.error is None
    ids = lab.client("athena").list_query_executions(WorkGroup=lab.workgroup)["QueryExecutionIds"]
    assert wait_until_terminal(lab, ids[0]) == "CANCELLED"


def test_a_kill_stops_the_query_at_athena(lab: Lab) -> None:
    task = operator(lab, ENDLESS)
    failed: list[BaseException] = []

    def execute() -> None:
        try:
            lab.run_task(task)
        except AirflowException as error:
            failed.append(error)

    worker = threading.Thread(target=execute)
    worker.start()
    deadline = time.monotonic() + 10
    while not task._running and time.monotonic() < deadline:
        time.sleep(0.02)
    task.on_kill()
    worker.join(timeout=20)
    assert not worker.is_alive()
    assert "CANCELLED" in str(failed[0])


def test_a_deferred_query_gives_the_same_result(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 0.4})
    ran = run(lab, ["SELECT 1 AS n", "SELECT 2 AS n"], deferrable=True, defer_after=0.0, max_rows=1)
    assert ran.deferrals == 2
    assert ran.result["rows"] == [["2"]]
    assert len(ran.result["query_execution_ids"]) == 2


class Store:
    """Airflow's task state store: what one task keeps over its tries, and over being cleared."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.dies_after: int | None = None

    def get(self, key: str) -> Any:
        return json.loads(self.texts[key]) if key in self.texts else None

    def set(self, key: str, value: Any) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise KeyboardInterrupt("the worker is gone")
        self.texts[key] = json.dumps(value)


def sent(lab: Lab, marker: str) -> list[str]:
    """Return the ids of all queries whose text holds ``marker``, the newest first."""
    athena = lab.client("athena")
    ids = athena.list_query_executions(WorkGroup=lab.workgroup)["QueryExecutionIds"]
    texts = {
        name: athena.get_query_execution(QueryExecutionId=name)["QueryExecution"]["Query"] for name in ids
    }
    return [name for name in ids if marker in texts[name]]


def test_a_try_after_a_lost_worker_goes_on_with_the_query_that_runs(lab: Lab) -> None:
    store = Store()
    ran = run_with(lab, store, "SELECT 1 AS first", wait_for_completion=False)
    again = run_with(lab, store, "SELECT 1 AS first", wait_for_completion=False)
    assert again.result["query_execution_ids"] == ran.result["query_execution_ids"] == sent(lab, "first")


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_a_worker_lost_at_any_moment_starts_no_statement_twice(lab: Lab, saves: int) -> None:
    store = Store()
    store.dies_after = saves
    with pytest.raises(KeyboardInterrupt):
        run_with(lab, store, ["SELECT 1 AS one", "SELECT 2 AS two"])
    store.dies_after = None
    ran = run_with(lab, store, ["SELECT 1 AS one", "SELECT 2 AS two"], max_rows=1)
    assert ran.result["rows"] == [["2"]]
    assert (len(sent(lab, "AS one")), len(sent(lab, "AS two"))) == (1, 1)


def test_a_retry_after_a_failure_sends_all_statements_again(lab: Lab) -> None:
    store = Store()
    lab.aws.set_faults(Fault("athena:query", error="SlowDown", matching="AS two", retryable=True))
    with pytest.raises(AirflowException, match="a retry can help"):
        run_with(lab, store, ["SELECT 1 AS one", "SELECT 2 AS two"])
    assert run_with(lab, store, ["SELECT 1 AS one", "SELECT 2 AS two"]).result["state"] == "SUCCEEDED"
    assert (len(sent(lab, "AS one")), len(sent(lab, "AS two"))) == (2, 2)


def test_a_task_that_is_cleared_runs_again(lab: Lab) -> None:
    store = Store()
    run_with(lab, store, "SELECT 1 AS first")
    run_with(lab, store, "SELECT 1 AS first", clears=1)
    assert len(sent(lab, "first")) == 2


def test_another_text_is_another_query(lab: Lab) -> None:
    store = Store()
    run_with(lab, store, "SELECT 1 AS first")
    ran = run_with(lab, store, "SELECT 2 AS second", max_rows=1)
    assert ran.result["rows"] == [["2"]]


def run_with(lab: Lab, store: Store, query: Any, clears: int = 0, **arguments: Any) -> Ran:
    return lab.run_task(operator(lab, query, **arguments), clears=clears, task_state_store=store)


def test_the_rows_come_as_a_file_where_they_are_wanted(lab: Lab) -> None:
    place = f"s3://{lab.bucket}/reports/daily.csv"
    for value in ("old", 'new, "quoted"'):
        ran = run(lab, f"SELECT '{value}' AS s, CAST(NULL AS varchar) AS nothing", result_file=place)
    assert ran.result["result_file"] == place
    body = lab.client("s3").get_object(Bucket=lab.bucket, Key="reports/daily.csv")["Body"].read().decode()
    assert list(csv.reader(body.splitlines())) == [["s", "nothing"], ['new, "quoted"', ""]]


@pytest.mark.parametrize(
    ("query", "arguments", "words"),
    [
        ("SELECT 1", {"result_file": "s3://lake/reports/"}, "names no file"),
        ("SELECT 1", {"result_file": "reports.csv"}, "Not an S3 URI"),
        ("SELECT 1", {"result_file": "s3://b/r.csv", "wait_for_completion": False}, "wait_for_completion"),
        ("-- rows?\nDROP TABLE t", {"result_file": "s3://b/r.csv"}, "DROP …, has none"),
    ],
)
def test_a_file_that_cannot_come_is_refused_before_anything_is_started(
    lab: Lab, query: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(AirflowFailException, match=words):
        run(lab, query, **arguments)
    assert lab.client("athena").list_query_executions(WorkGroup=lab.workgroup)["QueryExecutionIds"] == []


def wait_until_terminal(lab: Lab, query_execution_id: str) -> str:
    deadline = time.monotonic() + 10
    while (found := state(lab, query_execution_id)) in {"QUEUED", "RUNNING"} and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
