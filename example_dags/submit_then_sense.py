"""Submit two long queries, and wait for both without holding a worker.

The first tasks return as soon as Athena has their queries. The sensor defers until both are done, and fails
with the reason of each that did not succeed. The variable ``quilt_entries`` names the view of a bucket's
package files, which ``provision_and_refresh_views`` makes, e.g. ``my_quilt_bucket_quilt_entries``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor

QUERIES = {
    "largest_packages": "SELECT pkg_name, sum(size) AS bytes FROM {} WHERE is_latest GROUP BY 1",
    "files_by_kind": "SELECT regexp_extract(logical_key, '[^.]*$') AS kind, count(*) AS n FROM {} GROUP BY 1",
}

with DAG(
    "submit_then_sense",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    submitted = [
        QuiltAthenaQueryOperator(
            task_id=name, query=query.format("{{ var.value.quilt_entries }}"), wait_for_completion=False
        )
        for name, query in QUERIES.items()
    ]
    AthenaCompletionSensor(
        task_id="all_done",
        query_execution_ids=[task.output["query_execution_ids"] for task in submitted],
        deferrable=True,
        timeout=60 * 60,
    )
