"""Summarise each day of package files as soon as its partition is written, under the same partition key.

``daily_package_partitions`` tells of every partition it writes by an asset. This DAG runs once for each,
with the partition key of the run that wrote it: scheduled, backfilled or by hand alike. Backfill that DAG,
and this follows. Airflow 3.2 or newer; the variables are those of ``provision_and_refresh_views``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset

from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator

try:
    from airflow.sdk import IdentityMapper, PartitionedAssetTimetable
except ImportError as error:  # shown by Airflow as this file's import error
    raise ImportError(
        "refresh_on_new_partition needs Airflow 3.2 or newer, which brings runs with a partition key. On 3.1 "
        "let TriggerDagRunOperator start it after the overwrite, with the partition in conf."
    ) from error

package_files = Asset(name="package_files_daily", uri="x-quilt-athena://quilt_query/package_files_daily")
sizes = Asset(name="package_sizes_daily", uri="x-quilt-athena://quilt_query/package_sizes_daily")

with DAG(
    "refresh_on_new_partition",
    schedule=PartitionedAssetTimetable(assets=package_files, default_partition_mapper=IdentityMapper()),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=3,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    CtasInsertOverwriteOperator(
        task_id="summarise_day",
        query="""
            SELECT pkg_name, count(*) AS files, sum(size) AS bytes
            FROM package_files_daily
            WHERE dt = DATE '{{ partition_key }}'
            GROUP BY pkg_name
        """,
        table="package_sizes_daily",
        partition={"dt": "{{ partition_key }}"},
        partitioned_by={"dt": "date"},
        location="{{ var.value.quilt_warehouse }}package_sizes_daily/",
        outlets=[sizes],
    )
