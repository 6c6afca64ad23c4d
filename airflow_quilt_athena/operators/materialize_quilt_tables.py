"""Keep the revisions and entries of Quilt buckets in Parquet tables, at the price of what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_quilt_athena.arguments import AWS_ARGUMENTS
from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, count, optional, seconds, several
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.operators.base import QuiltAthenaBaseOperator, errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import lake_clients, task_key_of
from airflow_quilt_athena.operators.waiting import DEFAULT_TIMEOUT, to_seconds

if TYPE_CHECKING:
    from airflow_quilt_athena.core.athena.query_status import QueryStatus


class MaterializeQuiltTablesOperator(QuiltAthenaBaseOperator):
    """Keep ``{id}_quilt_entries_table`` and ``{id}_quilt_revisions_table`` of Quilt buckets up to date.

    They are Parquet, with a partition for each package and day. A run lists the registry, compares it with
    what each partition was written from, and replaces those of which something is new, by insert overwrite:
    only their manifests are read. Where nothing is new no query runs.

    Views made with ``CreateBucketViewsOperator(materialized=True)`` stand on them.

    It waits on the worker; being killed stops its queries.

    :param bucket: one bucket, or many; the name only, without ``s3://``. (templated)
    :param database: the Glue database of the tables, with the bucket's manifests table in it. (templated)
    :param workgroup: the Athena workgroup. (templated)
    :param location: the folder that new tables are made in, each in one of its own; None is the database's.
        (templated)
    :param max_parallel_queries: how many queries of this task may run side by side.
    :param kms_key_arn: the key that encrypts what is written. (templated)
    :param timeout: the deadline of each wait for queries.

    Its XCom, by bucket: ``tables``, ``changed``, ``partitions`` and ``revisions`` (how many were written),
    ``query_execution_ids`` and ``bytes_scanned``.

    .. code-block:: python

        tables = MaterializeQuiltTablesOperator(task_id="tables", bucket="acme", location="s3://lake/quilt/")
        views = CreateBucketViewsOperator(task_id="views", bucket="acme", materialized=True)
        tables >> views
    """

    template_fields: Sequence[str] = (
        "bucket",
        "database",
        "workgroup",
        "location",
        "kms_key_arn",
        *AWS_TEMPLATE_FIELDS,
    )
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        "bucket": several(names.bucket),
        "database": names.database,
        "workgroup": names.workgroup,
        "location": optional(names.folder),
        "max_parallel_queries": count(1),
        "kms_key_arn": optional(names.key_arn),
        "timeout": seconds(),
    }
    ui_color = "#e8eef3"

    def __init__(
        self,
        *,
        bucket: str | Sequence[str],
        database: str = "quilt_query",
        workgroup: str = "quilt-query",
        location: str | None = None,
        max_parallel_queries: int = 5,
        kms_key_arn: str | None = None,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket = bucket
        self.database = database
        self.workgroup = workgroup
        self.location = location
        self.max_parallel_queries = max_parallel_queries
        self.kms_key_arn = kms_key_arn
        self.timeout = timeout
        self._running: list[str] = []
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Bring the tables of each bucket up to date."""
        from airflow_quilt_athena.flows.kept.keep_quilt_tables import KeepRequest, keep_quilt_tables

        found: dict[str, Any] = {}
        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            for bucket in dict.fromkeys(asked["bucket"]):
                request = KeepRequest(
                    bucket=bucket,
                    database=asked["database"].lower(),
                    workgroup=asked["workgroup"],
                    location=asked["location"],
                    max_parallel_queries=asked["max_parallel_queries"],
                    kms_key_arn=asked["kms_key_arn"],
                )
                result = keep_quilt_tables(
                    lake_clients(self.hook),
                    request,
                    f"{task_key_of(context['ti'])}/{bucket}",
                    timeout_seconds=to_seconds(self.timeout),
                    on_progress=self._note,
                )
                found[bucket] = result.as_dict()
                self.log.info("Bucket %s: %s", bucket, found[bucket])
        return found

    def _note(self, statuses: Sequence[QueryStatus], *_: Any) -> None:
        from airflow_quilt_athena.core.athena.query_status import PENDING

        self._running = [status.query_execution_id for status in statuses if status.state in PENDING]

    def on_kill(self) -> None:
        """Stop what this task runs at Athena."""
        from airflow_quilt_athena.flows.athena.queries import stop_queries

        if self._running:
            stop_queries(self.hook.client("athena"), self._running)
