"""A package gets a new revision: write its day's partition anew, and make a package of the selected files.

The watcher looks at the registry, and sooner when the Quilt platform's events come through a queue. One run
may carry several revisions, and an event may be told again after a triggerer was lost: ``new_revisions``
gives each revision once. A revision that was pushed days after it was made has its own day written.

What the DAG makes lies in ``selected/``, and what it watches in ``assays/``: it does not wake itself.

QUILT_BUCKET and QUILT_EVENTS_QUEUE_URL are read from the environment of Airflow's processes, because a
watcher is no task and has no templates. The variables are those of ``provision_and_refresh_views``, which has
to have run once.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_quilt_athena.operators.create_quilt_package import CreateQuiltPackageOperator
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.package_events import new_revisions
from airflow_quilt_athena.triggers.quilt_package import QuiltPackageTrigger

BUCKET = os.environ.get("QUILT_BUCKET", "acme-data")

revisions = Asset(
    "assay_revisions",
    watchers=[
        AssetWatcher(
            name="assays",
            trigger=QuiltPackageTrigger(
                bucket=BUCKET,
                package="assays/*",
                queue_url=os.environ.get("QUILT_EVENTS_QUEUE_URL"),
                poll_interval=60,
            ),
        )
    ],
)

with DAG(
    "package_on_new_revision",
    schedule=[revisions],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs of one day would do the same twice
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):

    @task
    def find_days(**context: Any) -> list[dict[str, Any]]:
        """Return the days that have new revisions, as arguments of the tasks that follow."""
        days = sorted({revision["revision_at"][:10] for revision in new_revisions(context)})
        return [
            {"partition": {"dt": day}, "quilt_revisions": {"bucket": BUCKET, "start": day}} for day in days
        ]

    @task
    def name_packages(days: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the package of each day, as arguments of the task that makes it."""
        return [
            {
                "partition": day["partition"],
                "package": f"selected/{day['partition']['dt']}",
                "message": f"Readings of {day['partition']['dt']}",
            }
            for day in days
        ]

    @task
    def tell(packages: Any) -> list[str]:
        """Tell where the packages can be seen."""
        links = [package["url"] or package["manifest"] for package in packages]
        for link in links:
            print(link)
        return links

    days = find_days()
    overwritten = CtasInsertOverwriteOperator.partial(
        task_id="overwrite_day",
        map_index_template="{{ task.partition['dt'] }}",
        # Each file of the day's newest revision of each package, under the package's name.
        query="""
            SELECT pkg_name || '/' || logical_key AS logical_key,
                   physical_key, size, hash_type, hash_value, meta
            FROM (
                SELECT *, rank() OVER (PARTITION BY pkg_name ORDER BY revision_at DESC) AS age
                FROM {entries}
                WHERE pkg_name LIKE 'assays/%'
            ) AS files
            WHERE age = 1 AND json_extract_scalar(meta, '$.user_meta.kind') = 'reading'
        """,
        table="assay_readings",
        partitioned_by={"dt": "date"},
        location="{{ var.value.quilt_warehouse }}assay_readings/",
        on_empty="publish",
    ).expand_kwargs(days)
    packages = CreateQuiltPackageOperator.partial(
        task_id="make_package",
        map_index_template="{{ task.package }}",
        registry=BUCKET,
        table="assay_readings",
        metadata={"made_by": "package_on_new_revision"},
        catalog_url=os.environ.get("QUILT_CATALOG_URL"),
        on_empty="skip",
    ).expand_kwargs(name_packages(days))
    overwritten >> packages
    tell(packages.output)
