"""What the operators that write to tables share: their clients, the name of their work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_quilt_athena.arguments import AWS_ARGUMENTS
from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, flag, optional
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS, QuiltAthenaHook
from airflow_quilt_athena.operators.base import QuiltAthenaBaseOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.flows.aws.clients import LakeClients


class GenerationsOperator(QuiltAthenaBaseOperator):
    """An operator that looks after the generations of a table that overwrites have made.

    :param table: ``table``, or ``database.table``. (templated)
    :param partitions: one or several, each a mapping from key to value, with all keys or some of them, or the
        value of the only key. (templated)
    :param dry_run: tell what would be done, and change nothing.
    :param database: the database of a table named without one. (templated)
    :param catalog_id: the account whose Glue catalog the table is in; None is the caller's own. (templated)
    :param kms_key_arn: the key that encrypts the journal. (templated)
    """

    template_fields: Sequence[str] = (
        "table",
        "partitions",
        "database",
        "catalog_id",
        "kms_key_arn",
        *AWS_TEMPLATE_FIELDS,
    )
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        "table": names.table,
        "partitions": optional(names.partitions),
        "dry_run": flag,
        "database": names.database,
        "catalog_id": optional(names.catalog),
        "kms_key_arn": optional(names.key_arn),
    }
    ui_color = "#e8f3ec"

    def __init__(
        self,
        *,
        table: str,
        partitions: Mapping[str, Any] | str | Sequence[Mapping[str, Any] | str] | None = None,
        dry_run: bool = False,
        database: str = "quilt_query",
        catalog_id: str | None = None,
        kms_key_arn: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.partitions = partitions
        self.plan_only = dry_run  # BaseOperator has a method dry_run
        self.database = database
        self.catalog_id = catalog_id
        self.kms_key_arn = kms_key_arn
        self.judge_constants()

    def judge_arguments(self) -> dict[str, Any]:
        """Judge everything, and read the table's name with its database."""
        from airflow_quilt_athena.core.glue.tables import TableName

        judged = super().judge_arguments()
        table = TableName.parse(judged["table"], judged["database"], judged["catalog_id"])
        return {**judged, "table": table}


def lake_clients(hook: QuiltAthenaHook) -> LakeClients:
    """Return the clients that writing to tables takes."""
    from airflow_quilt_athena.flows.aws.clients import LakeClients

    return LakeClients(hook.client("athena"), hook.client("glue"), hook.client("s3"))


def task_key_of(ti: Any) -> str:
    """Return what names a task's work: the same over its retries, another when it is cleared."""
    # max_tries rises when a task is cleared, and not when it is retried.
    return f"{ti.dag_id}/{ti.task_id}/{ti.map_index}/{ti.run_id}/{ti.max_tries}"
