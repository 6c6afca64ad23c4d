"""Tasks that are told by AthenaRetryPolicy whether another try can help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

from airflow_quilt_athena.operators.retry_policy import AthenaRetryPolicy

with DAG(
    "retries_by_policy",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=False,
):

    @task(retries=3, retry_delay=timedelta(hours=1), retry_policy=AthenaRetryPolicy(timedelta(seconds=1)))
    def run(query: str) -> list[list[str | None]]:
        from airflow_quilt_athena.flows.athena.queries import run_query
        from airflow_quilt_athena.flows.athena.results import read_rows
        from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook

        client = QuiltAthenaHook().client("athena")
        done = run_query(client, query, database="e2e", workgroup="e2e", timeout_seconds=60)
        _, rows = read_rows(client, done.query_execution_id, max_rows=1)
        return [list(row) for row in rows]

    run.override(task_id="syntax_error")("SELEC 1 AS never_right")
    run.override(task_id="throttled")("SELECT 1 AS throttled_once")
