"""Look after what the overwrites of ``daily_package_partitions`` leave behind, and undo one.

``sweep_package_files`` runs once a day and removes generations whose time is over. ``undo_package_files`` is
triggered by hand, with the day whose last overwrite is to be undone:

    airflow dags trigger undo_package_files --conf '{"partition": {"dt": "2026-01-31"}}'

No file is written or moved by it, and it can itself be undone, by triggering it again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from airflow_quilt_athena.operators.rollback_partitions import RollbackPartitionsOperator
from airflow_quilt_athena.operators.sweep_generations import SweepGenerationsOperator

with DAG(
    "sweep_package_files",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    SweepGenerationsOperator(task_id="sweep", table="package_files_daily")

with DAG(
    "undo_package_files",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    render_template_as_native_obj=True,  # so that the partition reaches the operator as a mapping
    params={"partition": Param(type="object", minProperties=1)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    RollbackPartitionsOperator(
        task_id="undo",
        table="package_files_daily",
        partitions="{{ params.partition }}",
    )
