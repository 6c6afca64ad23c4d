"""Revisions that arrive after their day: write their days again.

Clients that work offline give a revision the time of its commit and push it later, so that it belongs to a
day whose partition was written without it. This DAG runs when revisions come, and overwrites the partitions
of those that are late: the same statement as ``daily_package_partitions`` runs at midnight, into the same
table. Running a day twice changes nothing.

QUILT_BUCKET and QUILT_EVENTS_QUEUE_URL are read from the environment of Airflow's processes, because a
watcher is no task and has no templates. The variables are those of ``provision_and_refresh_views``, which has
to have run once.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.package_events import new_revisions
from airflow_quilt_athena.triggers.quilt_package import QuiltPackageTrigger

BUCKET = os.environ.get("QUILT_BUCKET", "acme-data")

all_revisions = Asset(
    "all_revisions",
    watchers=[
        AssetWatcher(
            name="all",
            trigger=QuiltPackageTrigger(
                bucket=BUCKET, queue_url=os.environ.get("QUILT_EVENTS_QUEUE_URL"), poll_interval=60
            ),
        )
    ],
)

with DAG(
    "rerun_days_of_late_revisions",
    schedule=[all_revisions],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):

    @task
    def find_late_days(**context: Any) -> list[dict[str, Any]]:
        """Return the days before that of their arrival to which new revisions belong."""
        days = {
            revision["revision_at"][:10]
            for revision in new_revisions(context)
            if revision["revision_at"][:10] < revision["arrived_at"][:10]
        }
        return [
            {"partition": {"dt": day}, "quilt_revisions": {"bucket": BUCKET, "start": day}}
            for day in sorted(days)
        ]

    CtasInsertOverwriteOperator.partial(
        task_id="overwrite_day",
        map_index_template="{{ task.partition['dt'] }}",
        query="""
            SELECT pkg_name, top_hash, revision_at, logical_key, size,
                   "bucket", "key", version_id, hash_value,
                   json_extract_scalar(meta, '$.user_meta.kind') AS kind
            FROM {entries}
        """,
        table="package_files_daily",
        partitioned_by={"dt": "date"},
        location="{{ var.value.quilt_warehouse }}package_files_daily/",
        outlets=[Asset(name="package_files_daily", uri="x-quilt-athena://quilt_query/package_files_daily")],
    ).expand_kwargs(find_late_days())
