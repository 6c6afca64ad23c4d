"""Provision Athena for Quilt, then create or refresh the tables and views of one bucket.

Run it once by hand, and again whenever the wanted state changed: what is already as wanted costs no Athena
query. It reads three Airflow variables (environment variables such as ``AIRFLOW_VAR_QUILT_BUCKET`` will do):

* ``quilt_bucket``: the registry bucket, e.g. ``my-quilt-bucket``;
* ``quilt_results_bucket``: the bucket for Athena's results, created if it does not exist;
* ``quilt_warehouse``: where tables may be written, e.g. ``s3://my-warehouse/tables/``.

The connection ``aws_default`` says which account: nothing here knows whether it is AWS or the local Athena.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from airflow_quilt_athena.operators.provision_quilt_athena import ProvisionQuiltAthenaOperator

with DAG(
    "provision_and_refresh_views",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    provision = ProvisionQuiltAthenaOperator(
        task_id="provision",
        results_bucket="{{ var.value.quilt_results_bucket }}",
        quilt_buckets=["{{ var.value.quilt_bucket }}"],
        warehouse="{{ var.value.quilt_warehouse }}",
    )
    views = CreateBucketViewsOperator(task_id="views", bucket="{{ var.value.quilt_bucket }}")

    provision >> views
