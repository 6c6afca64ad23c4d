"""Keep the views of several buckets fresh, one mapped task each, named by its bucket in the UI.

What is as wanted costs no Athena query, so it may run often. The buckets are yours; the other names are those
that ``provision_and_refresh_views`` made.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator

BUCKETS = ["acme-screens", "acme-images", "acme-models"]

with DAG(
    "refresh_many_buckets",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    CreateBucketViewsOperator.partial(
        task_id="views",
        map_index_template="{{ task.bucket }}",
    ).expand(bucket=BUCKETS)
