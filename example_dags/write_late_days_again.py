"""Write days of the daily table again, when revisions of them have arrived since.

A revision is named by when it was made. A laptop that pushes what it committed last week, a registry that is
synchronised or a wrong clock bring revisions of days that ``daily_package_partitions`` has long written; its
runs tell of them in their log, XCom and asset event. This DAG finds those days and writes each again, in a
mapped task of its own: the same query over the same interval, so that running it twice changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Asset

from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.operators.late_revisions import LateRevisionsOperator

package_files = Asset(name="package_files_daily", uri="x-quilt-athena://quilt_query/package_files_daily")

with DAG(
    "write_late_days_again",
    schedule="30 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=30)},
    tags=["quilt", "athena"],
    doc_md=__doc__,
):
    late = LateRevisionsOperator(task_id="late_days", table="package_files_daily")

    CtasInsertOverwriteOperator.partial(
        task_id="write_again",
        query="""
            SELECT pkg_name, top_hash, revision_at, logical_key, size,
                   "bucket", "key", version_id, hash_value,
                   json_extract_scalar(meta, '$.user_meta.kind') AS kind
            FROM {entries}
        """,
        table="package_files_daily",
        map_index_template="{{ task.partition }}",
        outlets=[package_files],
    ).expand_kwargs(late.output)  # partition and quilt_revisions of each day
