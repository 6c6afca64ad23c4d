"""Tell of revisions that arrived after their days were written, so that those days are written again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_quilt_athena.arguments import AWS_ARGUMENTS
from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import Judge, count, optional
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.operators.base import QuiltAthenaBaseOperator, errors_as_airflow_sees_them

if TYPE_CHECKING:
    from airflow_quilt_athena.core.quilt.late import LateRevisions

_MOST_LOGGED = 20


class LateRevisionsOperator(QuiltAthenaBaseOperator):
    """Find the partitions whose revisions are no longer all that there are, as arguments to write them again.

    A revision is named by when it was made, and may arrive days later. What ``CtasInsertOverwriteOperator``
    writes with ``quilt_revisions`` keeps which interval it was written from; this compares each with what is
    in the bucket now. Nothing is written, and no query runs.

    Partitions that were written by other means, or before they kept this, are not known of.

    :param table: ``table``, or ``database.table``. (templated)
    :param bucket: only revisions of this bucket; None is all that the table was written from. (templated)
    :param database: the database of a table named without one. (templated)
    :param catalog_id: the account whose Glue catalog the table is in; None is the caller's own. (templated)
    :param limit: the most partitions to return, the earliest first; the log tells of the others. Airflow
        expands a task over no more than ``[core] max_map_length``, which is 1,024.

    Its XCom is a list with ``partition`` and ``quilt_revisions`` of each, empty when nothing is late:

    .. code-block:: python

        late = LateRevisionsOperator(task_id="late", table="sales.files")
        CtasInsertOverwriteOperator.partial(
            task_id="write_again", query="SELECT * FROM {entries}", table="sales.files"
        ).expand_kwargs(late.output)
    """

    template_fields: Sequence[str] = ("table", "bucket", "database", "catalog_id", *AWS_TEMPLATE_FIELDS)
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **AWS_ARGUMENTS,
        "table": names.table,
        "bucket": optional(names.bucket),
        "database": names.database,
        "catalog_id": optional(names.catalog),
        "limit": count(1),
    }
    ui_color = "#e8f3ec"

    def __init__(
        self,
        *,
        table: str,
        bucket: str | None = None,
        database: str = "quilt_query",
        catalog_id: str | None = None,
        limit: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.bucket = bucket
        self.database = database
        self.catalog_id = catalog_id
        self.limit = limit
        self.judge_constants()

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Look, and return what is to be written again."""
        from airflow_quilt_athena.core.glue.tables import TableName
        from airflow_quilt_athena.flows.aws.glue import observe_table
        from airflow_quilt_athena.flows.quilt.late import look_for_late_revisions

        with errors_as_airflow_sees_them():
            asked = self.judge_arguments()
            glue, s3 = self.hook.client("glue"), self.hook.client("s3")
            name = TableName.parse(asked["table"], asked["database"], asked["catalog_id"])
            table = observe_table(glue, name)
            if table is None:
                raise InvalidCallError(
                    f"Table {name} does not exist. Expected one written with quilt_revisions."
                )
            late = look_for_late_revisions(glue, s3, table, asked["bucket"])
        for line in lines_about_late(str(name), late):
            self.log.warning(line)
        if len(late) > self.limit:
            self.log.warning("%d partitions are left for a later run (limit).", len(late) - self.limit)
        return [one.to_arguments() for one in late[: self.limit]]


def lines_about_late(table: str, late: Sequence[LateRevisions]) -> list[str]:
    """Return what a log is to say of it, line by line."""
    if not late:
        return []
    lines = [
        f"{sum(one.count for one in late)} revisions arrived after {len(late)} partitions of table {table} "
        "were written from their days. Write those again, for instance over LateRevisionsOperator:"
    ]
    for one in late[:_MOST_LOGGED]:
        start, end = one.interval.start.isoformat(), one.interval.end.isoformat()
        lines.append(f"{one.partition}: {one.count} of bucket {one.interval.bucket}, {start} to {end}")
    if len(late) > _MOST_LOGGED:
        lines.append(f"… and {len(late) - _MOST_LOGGED} more")
    return lines
