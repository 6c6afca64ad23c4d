"""A DAG that overwrites one partition; which, and with what, is said by the run's configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator

WAYS: dict[str, dict[str, Any]] = {
    "overwrite_on_worker": {},
    "overwrite_deferred": {"deferrable": True, "defer_after": 0},
}

for dag_id, waiting in WAYS.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,
        params={name: Param("", type="string") for name in ("query", "table", "dt")},
    ):
        CtasInsertOverwriteOperator(
            task_id="overwrite",
            query="{{ params.query }}",
            table="{{ params.table }}",
            partition={"dt": "{{ params.dt }}"},
            database="e2e",
            workgroup="e2e",
            retries=1,
            retry_delay=timedelta(seconds=1),
            **waiting,
        )
