"""Take the tables and views of Quilt buckets away again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_quilt_athena.arguments import AWS_ARGUMENTS
from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, flag, several
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.operators.base import (
    QuiltAthenaBaseOperator,
    errors_as_airflow_sees_them,
)


class DropBucketViewsOperator(QuiltAthenaBaseOperator):
    """Drop what ``CreateBucketViewsOperator`` made for buckets: two tables and six views each.

    With them go the two tables that ``MaterializeQuiltTablesOperator`` keeps, where they are there.
    Only definitions in Glue go; the files are Quilt's, and stay. What does not carry our mark stays as well:
    tables made after Quilt's documentation of 2022, and whatever else somebody made. A table of one of the
    names that reads other files, or a view where a table is expected, is refused before anything is dropped.

    :param bucket: one bucket, or many; the name only, without ``s3://``. (templated)
    :param database: the Glue database of the tables and views. (templated)
    :param dry_run: plan only.

    Its XCom: ``changed``, and ``resources``, for each its ``resource``, ``name``, ``action`` (removed or
    unchanged) and ``details``.
    """

    template_fields: Sequence[str] = ("bucket", "database", *AWS_TEMPLATE_FIELDS)
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        "bucket": several(names.bucket),
        "database": names.database,
        "dry_run": flag,
    }
    ui_color = "#e8eef3"

    def __init__(
        self,
        *,
        bucket: str | Sequence[str],
        database: str = "quilt_query",
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bucket = bucket
        self.database = database
        self.plan_only = dry_run  # BaseOperator has a method dry_run
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Plan, show the plan, carry it out unless it is a dry run."""
        from airflow_quilt_athena.flows.quilt.drop_views import DropRequest, drop_bucket_views

        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            request = DropRequest(asked["bucket"], asked["database"].lower())
            return drop_bucket_views(self.hook.client("glue"), request, dry_run=self.plan_only).to_xcom()
