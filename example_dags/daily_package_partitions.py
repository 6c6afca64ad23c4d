"""Keep a Parquet table of the package files of each day, one partition a day.

Scheduled at midnight UTC for the day that ended. A run replaces its day's partition whole, so a retry,
a cleared task and a backfill all end in the same state:

    airflow backfill create --dag-id daily_package_partitions --from-date 2026-01-01 --to-date 2026-01-31

A run by hand needs to be told its day, as the partition key. The variables are those of
``provision_and_refresh_views``, which has to have run once. Airflow 3.2 or newer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset

from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator

try:
    from airflow.sdk import CronPartitionTimetable
except ImportError as error:  # shown by Airflow as this file's import error
    raise ImportError(
        "daily_package_partitions needs Airflow 3.2 or newer, which brings runs with a partition key. On 3.1 "
        "schedule it by airflow.timetables.interval.CronDataIntervalTimetable, and write {{ ds }} where it "
        "says {{ partition_key }}."
    ) from error

package_files = Asset(name="package_files_daily", uri="x-quilt-athena://quilt_query/package_files_daily")

with DAG(
    "daily_package_partitions",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=3,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    CtasInsertOverwriteOperator(
        task_id="overwrite_day",
        query="""
            SELECT pkg_name, top_hash, revision_at, logical_key, size,
                   "bucket", "key", version_id, hash_value,
                   json_extract_scalar(meta, '$.user_meta.kind') AS kind
            FROM {entries}
        """,
        # {entries} reads the manifests of the day's revisions alone, however long the bucket's history is.
        quilt_revisions={
            "bucket": "{{ var.value.quilt_bucket }}",
            "start": "{{ partition_key }}",
        },
        table="package_files_daily",
        partition={"dt": "{{ partition_key }}"},
        partitioned_by={"dt": "date"},
        location="{{ var.value.quilt_warehouse }}package_files_daily/",
        outlets=[package_files],
    )
