"""Runs that tell of the revisions they are for; the bucket and the queue are the tests'."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_quilt_athena.package_events import new_revisions
from airflow_quilt_athena.triggers.quilt_package import QuiltPackageTrigger

watched = Asset(
    "watched_revisions",
    watchers=[
        AssetWatcher(
            name="watched",
            trigger=QuiltPackageTrigger(
                bucket=os.environ["QUILT_BUCKET"],
                package="watched/*",
                queue_url=os.environ["QUILT_EVENTS_QUEUE_URL"],
                poll_interval=5,
            ),
        )
    ],
)

with DAG("revisions_told", schedule=[watched], start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False):

    @task(retries=5, retry_delay=timedelta(seconds=1))  # its worker dies with the scheduler
    def tell(**context: Any) -> list[list[str]]:
        return [
            [revision["package"], revision["revision"], revision["top_hash"]]
            for revision in new_revisions(context)
        ]

    tell()
