"""What the operators that write to tables share: their clients, the name of their work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS, QuiltAthenaHook
from airflow_quilt_athena.operators.base import QuiltAthenaBaseOperator

Choice = TypeVar("Choice", bound=Enum)


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
        self.tell_only = dry_run  # BaseOperator has a method dry_run
        self.database = database
        self.catalog_id = catalog_id
        self.kms_key_arn = kms_key_arn

    @property
    def table_name(self) -> TableName:
        """The table as it is named."""
        return TableName.parse(self.table, self.database, self.catalog_id)


def lake_clients(hook: QuiltAthenaHook) -> LakeClients:
    """Return the clients that writing to tables takes."""
    return LakeClients(hook.client("athena"), hook.client("glue"), hook.client("s3"))


def task_key_of(ti: Any) -> str:
    """Return what names a task's work: the same over its retries, another when it is cleared."""
    # max_tries rises when a task is cleared, and not when it is retried.
    return f"{ti.dag_id}/{ti.task_id}/{ti.map_index}/{ti.run_id}/{ti.max_tries}"


def parse_choice(choices: type[Choice], name: str, value: str) -> Choice:
    """Return the choice of a parameter. Raises InvalidCallError for what is none."""
    try:
        return choices(value)
    except ValueError as error:
        known = ", ".join(str(choice.value) for choice in choices)
        raise InvalidCallError(f"{name} is {value!r}. Expected one of {known}.") from error
