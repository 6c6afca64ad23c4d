"""DAGs that run one query, or several; which query is said by the run's configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor

DATABASE, WORKGROUP = "e2e", "e2e"
SHORT_DEFERRALS = 50


def queries_dag(dag_id: str) -> DAG:
    return DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_tasks=100,
        params={"query": Param("SELECT 1 AS n", type="string")},
    )


def query(query: str = "{{ params.query }}", **arguments: Any) -> QuiltAthenaQueryOperator:
    retrying: dict[str, Any] = {"retries": 1, "retry_delay": timedelta(seconds=1)}
    return QuiltAthenaQueryOperator(
        **{"task_id": "query", "query": query, "database": DATABASE, "workgroup": WORKGROUP}
        | retrying
        | arguments
    )


with queries_dag("query_on_worker"):
    query(max_rows=100)

with queries_dag("query_deferred"):
    query(max_rows=100, deferrable=True, defer_after=0)

with queries_dag("query_too_long_on_worker"):
    query(execution_timeout=timedelta(seconds=6), retries=0)

with queries_dag("query_too_long_deferred"):
    query(execution_timeout=timedelta(seconds=6), retries=0, deferrable=True, defer_after=0)

with queries_dag("submitted_and_sensed"):
    submitted = [
        query("SELECT 6 * 7 AS n", task_id=name, wait_for_completion=False) for name in ("first", "second")
    ]
    AthenaCompletionSensor(
        task_id="done",
        query_execution_ids=[task.output["query_execution_ids"] for task in submitted],  # type: ignore[index]
        deferrable=True,
        poll_interval=2,
    )

with queries_dag("short_deferrals"):
    QuiltAthenaQueryOperator.partial(
        task_id="query",
        database=DATABASE,
        workgroup=WORKGROUP,
        max_rows=1,
        deferrable=True,
        defer_after=0,
    ).expand(query=[f"SELECT {number} AS n" for number in range(SHORT_DEFERRALS)])
