"""Keep the revisions and entries of Quilt buckets in Parquet tables, at the price of what is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, count, optional, several
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import lake_clients, task_key_of
from airflow_quilt_athena.operators.waiting import WAITING_ARGUMENTS, QuiltAthenaWaitingOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.flows.kept.keep_quilt_tables import KeepRequest


class MaterializeQuiltTablesOperator(QuiltAthenaWaitingOperator):
    """Keep ``{id}_quilt_entries_table`` and ``{id}_quilt_revisions_table`` of Quilt buckets up to date.

    They are Parquet, with a partition for each package and day. A run lists the registry, compares it with
    what each partition was written from, and replaces those of which something is new, by insert overwrite:
    only their manifests are read. Where nothing is new no query runs.

    Views made with ``CreateBucketViewsOperator(materialized=True)`` stand on them.

    :param bucket: one bucket, or many; the name only, without ``s3://``. (templated)
    :param database: the Glue database of the tables, with the bucket's manifests table in it. (templated)
    :param workgroup: the Athena workgroup. (templated)
    :param location: the folder that new tables are made in, each in one of its own; None is the database's.
        (templated)
    :param max_parallel_queries: how many queries of this task may run side by side.
    :param kms_key_arn: the key that encrypts what is written. (templated)

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
        **WAITING_ARGUMENTS,
        "bucket": several(names.bucket),
        "database": names.database,
        "workgroup": names.workgroup,
        "location": optional(names.folder),
        "max_parallel_queries": count(1),
        "kms_key_arn": optional(names.key_arn),
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket = bucket
        self.database = database
        self.workgroup = workgroup
        self.location = location
        self.max_parallel_queries = max_parallel_queries
        self.kms_key_arn = kms_key_arn
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Bring the tables of each bucket up to date."""
        return self._keep(context, self.find_deadline(context), {})

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the queries that were deferred for are done: the work looks at them itself."""
        if event["status"] == "error":
            self.log.warning("The triggerer could not watch the queries: %s", event["message"])
        return self._keep(context, float(event["deadline"]), dict(event["carry"]))

    def _keep(self, context: Any, deadline: float, begun: dict[str, Any]) -> dict[str, Any]:
        """Do what is left; may defer, and then never returns.

        :param begun: by bucket, what an earlier part of this task carries over.
        """
        from airflow_quilt_athena.flows.kept.keep_quilt_tables import Keeping

        found: dict[str, Any] = {}
        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            for bucket in dict.fromkeys(asked["bucket"]):
                keeping = Keeping(
                    lake_clients(self.hook),
                    self._request(asked, bucket),
                    f"{task_key_of(context['ti'])}/{bucket}",
                    begun.get(bucket),
                )
                begun[bucket] = keeping.carry
                wait = partial(self.wait, deadline=deadline, carry=begun)
                found[bucket] = keeping.run(wait).as_dict()
                self.log.info("Bucket %s: %s", bucket, found[bucket])
        return found

    def _request(self, asked: Mapping[str, Any], bucket: str) -> KeepRequest:
        from airflow_quilt_athena.flows.kept.keep_quilt_tables import KeepRequest

        return KeepRequest(
            bucket=bucket,
            database=asked["database"].lower(),
            workgroup=asked["workgroup"],
            location=asked["location"],
            max_parallel_queries=asked["max_parallel_queries"],
            kms_key_arn=asked["kms_key_arn"],
        )
