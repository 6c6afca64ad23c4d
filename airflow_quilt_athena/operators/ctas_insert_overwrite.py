"""Replace partitions of an Athena table with the result of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException, Asset

from airflow_quilt_athena.core import names
from airflow_quilt_athena.core.arguments import (
    Judge,
    any_text,
    choice,
    count,
    mapping,
    one_of,
    optional,
    several,
    text,
    upper,
)
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.overwrite.request import (
    COMPRESSIONS,
    MAX_OPEN_WRITERS,
    ZSTD_LEVELS,
    OnEmpty,
    OnFailedAudit,
    OverwriteRequest,
    Replace,
    Writer,
    parse_retain,
    table_properties,
)
from airflow_quilt_athena.core.quilt.chosen_by import By
from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.links import AthenaQueryLink, S3DataLink, push_data_link, push_query_link
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.lake import lake_clients, task_key_of
from airflow_quilt_athena.operators.late_revisions import lines_about_late
from airflow_quilt_athena.operators.partition_of_run import Partition, resolve_partition
from airflow_quilt_athena.operators.waiting import WAITING_ARGUMENTS, QuiltAthenaWaitingOperator

if TYPE_CHECKING:
    from airflow_quilt_athena.core.quilt.late import LateRevisions
    from airflow_quilt_athena.core.quilt.revisions import Interval
    from airflow_quilt_athena.flows.aws.clients import LakeClients
    from airflow_quilt_athena.flows.overwrite.insert_overwrite import Overwrite
    from airflow_quilt_athena.flows.overwrite.overwrite_result import OverwriteResult


# Other keys are for parse_interval to refuse.
_OF_INTERVAL: dict[str, Judge[object]] = {
    "bucket": names.bucket,
    "start": names.moment,
    "end": names.moment,
    "by": choice(By),
    "source_database": names.database,
}


def _interval(name: str, value: object) -> Interval:
    from airflow_quilt_athena.core.quilt.revisions import parse_interval

    given = mapping(text, lambda _, one: one, "a mapping with bucket, start and end")(name, value)
    return parse_interval(
        {
            key: _OF_INTERVAL[key](f"{name}[{key!r}]", one) if key in _OF_INTERVAL else one
            for key, one in given.items()
        }
    )


class CtasInsertOverwriteOperator(QuiltAthenaWaitingOperator):
    """Overwrite partitions of a Hive table on Athena, or a table without partitions, with a query's result.

    The result is written to a new folder and checked there; Glue then points the partitions at it, each in
    one step. Readers see the old rows or the new ones, whole. A run that fails or is killed leaves the old
    rows, and running again ends in the same state: a retry joins the queries that its lost worker left
    running.

    Columns are matched by name. Nothing is cast but by the engine itself; missing, extra and unlike columns
    are refused with the difference shown. A table that does not exist is made from the first result.

    A set of partitions changes one by one, each whole, and is complete when the task succeeds. Such a set may
    have more than 100 partitions: the query runs once, and slices of its result are written side by side.

    :param query: one SELECT, or the name of a ``.sql`` file. Keys with a value given are left out of it; the
        others are columns of it. It may read what it replaces. (templated)
    :param table: ``table``, or ``database.table``. (templated)
    :param partition: a value for each partition key, as a mapping, or the value of the only key. Keys that a
        mapping leaves out are taken from the result, and partitions of the given ones that the result does
        not have are removed. ``{}`` replaces the partitions that the result has, and removes none. None takes
        the run's: its partition key, partition date, ``partition`` in its configuration, the start of its
        data interval or its logical date. A table without keys is replaced whole. (templated)
    :param replace: ``partitions``, or ``table``: with ``partition={}``, partitions that the result does not
        have are removed.
    :param database: where names in the query without a database are looked up. (templated)
    :param workgroup: the Athena workgroup. (templated)
    :param partitioned_by: the partition keys of a table to be made: names, for strings, or a mapping from
        name to Hive type.
    :param location: where a table to be made lies; without one, in its database's location. (templated)
    :param file_format: PARQUET, ORC, JSON or TEXTFILE; None is the table's, and PARQUET for a new one.
    :param compression: e.g. SNAPPY, ZSTD, GZIP; None is what the table says, or the engine's default.
    :param compression_level: of ZSTD, 1 to 22; None is what the table says, or the engine's default.
    :param bucketed_by: the bucket columns of a table to be made.
    :param bucket_count: the number of its buckets.
    :param table_comment: the comment of a table to be made.
    :param column_comments: comments of its columns, by name.
    :param table_properties: properties of a table to be made.
    :param on_empty: what a result without rows does: ``publish`` empties what is replaced, ``skip`` leaves it
        and skips the task, ``fail`` leaves it and fails the task.
    :param min_rows: fail, and publish nothing, when there are fewer rows.
    :param checks: by name, one SELECT each over ``{staged}``, the new rows. A check passes when its first row
        holds no NULL, false, zero or empty cell. (templated)
    :param on_failed_audit: what becomes of new rows that did not pass: ``keep`` for ``retain``, or ``drop``.
    :param retain: how long the replaced files are kept at least, to be read to the end or gone back to:
        ``24h``, ``90m``, ``7d``, or a timedelta; no less than 30 minutes. A later overwrite of the same
        partitions removes them, or ``SweepGenerationsOperator``.
    :param writer: the statement that writes: ``ctas``, ``unload``, or ``auto``: UNLOAD where the workgroup
        enforces its result location, CTAS elsewhere.
    :param max_parallel_queries: how many queries of this task may run side by side.
    :param generations_location: where new folders are made, instead of below the table's own. (templated)
    :param catalog_id: the account whose Glue catalog the table is in; None is the caller's own. Temporary
        tables are made in ``database``, of the caller's own catalog. (templated)
    :param kms_key_arn: the key that encrypts what is written; None leaves it to workgroup and bucket.
        (templated)
    :param quilt_revisions: ``{"bucket": …, "start": …, "end": …}``: the query may then use ``{revisions}``
        and ``{entries}`` as tables, with the columns of the bucket's views of those names. They hold the
        revisions made from ``start`` on and before ``end`` (dates or times, UTC; without an end, in the day
        from ``start`` on), and read the manifests of those alone, whatever the history of the bucket. Its
        manifests table must be in ``database``. With ``"by": "arrival"`` they hold the revisions whose
        pointers came into the bucket in that time, whenever they were made. With ``"source_database"`` the
        tables of a Quilt platform there may be read instead: where they lose nothing, or where there are no
        others. (templated)
    :param partition_format: how a date of the run becomes a partition value.

    Its XCom: ``query_execution_ids``, ``state``, ``outcome`` (published or skipped), ``rows``,
    ``bytes_scanned``, ``estimated_cost_usd``, ``table`` and ``partitions``, for each its values, action
    (created, replaced, removed), rows, location, generation, and the previous ones of both. Asset events of
    its outlets carry the same. With ``quilt_revisions`` it has ``late_revisions`` as well: for each partition
    from whose interval more revisions have arrived since it was written, ``partition``, ``quilt_revisions``
    and ``revisions``, their number. ``LateRevisionsOperator`` gives the same to map over.

    .. code-block:: python

        CtasInsertOverwriteOperator(
            task_id="orders",
            query="SELECT id, amount FROM raw_orders WHERE day = DATE '{{ partition_key }}'",
            table="sales.orders",
            partition={"dt": "{{ partition_key }}"},
            partitioned_by={"dt": "date"},
            location="s3://warehouse/sales/orders/",
        )
    """

    template_fields: Sequence[str] = (
        "query",
        "table",
        "partition",
        "database",
        "workgroup",
        "location",
        "checks",
        "generations_location",
        "catalog_id",
        "kms_key_arn",
        "quilt_revisions",
        *AWS_TEMPLATE_FIELDS,
    )
    template_ext: Sequence[str] = (".sql",)
    file_field: ClassVar[str | None] = "query"
    arguments: ClassVar[Mapping[str, Judge[Any]]] = {
        **WAITING_ARGUMENTS,
        "query": any_text,
        "table": names.table,
        "partition": optional(names.partition),
        "replace": choice(Replace),
        "database": names.database,
        "workgroup": names.workgroup,
        "partitioned_by": names.partition_keys,
        "location": optional(names.folder),
        "file_format": optional(upper(choice(FileFormat))),
        "compression": optional(upper(one_of(*COMPRESSIONS))),
        "compression_level": optional(count(ZSTD_LEVELS.start, ZSTD_LEVELS.stop - 1)),
        "bucketed_by": several(names.column),
        "bucket_count": optional(count(1, MAX_OPEN_WRITERS)),
        "table_comment": optional(text),
        "column_comments": optional(mapping(names.column, text, "a mapping from column to comment")),
        "table_properties": optional(table_properties),
        "on_empty": choice(OnEmpty),
        "min_rows": optional(count()),
        "checks": optional(mapping(text, text, "a mapping from a check's name to its SQL")),
        "on_failed_audit": choice(OnFailedAudit),
        "retain": lambda name, value: parse_retain(value, name),
        "writer": choice(Writer),
        "max_parallel_queries": count(1),
        "generations_location": optional(names.folder),
        "catalog_id": optional(names.catalog),
        "kms_key_arn": optional(names.key_arn),
        "quilt_revisions": optional(_interval),
        "partition_format": names.date_format,
    }
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "query": "sql",
        "partition": "json",
        "checks": "json",
    }
    operator_extra_links = (AthenaQueryLink(), S3DataLink())
    overwrite_rtif_after_execution = True  # the UI then shows the statement as it was sent
    ui_color = "#e8f3ec"

    def __init__(
        self,
        *,
        query: str,
        table: str,
        partition: Mapping[str, Any] | str | None = None,
        replace: str = "partitions",
        database: str = "quilt_query",
        workgroup: str = "quilt-query",
        partitioned_by: Mapping[str, str] | Sequence[str] = (),
        location: str | None = None,
        file_format: str | None = None,
        compression: str | None = None,
        compression_level: int | None = None,
        bucketed_by: Sequence[str] = (),
        bucket_count: int | None = None,
        table_comment: str | None = None,
        column_comments: Mapping[str, str] | None = None,
        table_properties: Mapping[str, str] | None = None,
        on_empty: str = "publish",
        min_rows: int | None = None,
        checks: Mapping[str, str] | None = None,
        on_failed_audit: str = "keep",
        retain: str | timedelta = "24h",
        writer: str = "auto",
        max_parallel_queries: int = 5,
        generations_location: str | None = None,
        catalog_id: str | None = None,
        kms_key_arn: str | None = None,
        quilt_revisions: Mapping[str, Any] | None = None,
        partition_format: str = "%Y-%m-%d",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.table = table
        self.partition = partition
        self.replace = replace
        self.database = database
        self.workgroup = workgroup
        self.partitioned_by = partitioned_by
        self.location = location
        self.file_format = file_format
        self.compression = compression
        self.compression_level = compression_level
        self.bucketed_by = bucketed_by
        self.bucket_count = bucket_count
        self.table_comment = table_comment
        self.column_comments = column_comments
        self.table_properties = table_properties
        self.on_empty = on_empty
        self.min_rows = min_rows
        self.checks = checks
        self.on_failed_audit = on_failed_audit
        self.retain = retain
        self.writer = writer
        self.max_parallel_queries = max_parallel_queries
        self.generations_location = generations_location
        self.catalog_id = catalog_id
        self.kms_key_arn = kms_key_arn
        self.quilt_revisions = quilt_revisions
        self.partition_format = partition_format
        self.judge_constants()

    def execute(self, context: Any) -> dict[str, Any]:
        """Overwrite, or go on with what an earlier try of this task began."""
        from airflow_quilt_athena.flows.overwrite.insert_overwrite import Overwrite
        from airflow_quilt_athena.flows.overwrite.observe import look

        with errors_as_airflow_sees_them():
            # First of all: what else was rendered for a run without a partition is wrong as well.
            given = {} if self.partition is None else self._resolve_partition(context)
            request = self._request(given)
            seen = look(self._clients, request)
            # A table without keys has no partition that a run could be of.
            if self.partition is None and (seen.table is None or seen.table.partition_keys):
                request = self._request(self._resolve_partition(context))
            overwrite = Overwrite(self._clients, request, task_key_of(context["ti"]), seen=seen)
            self._log_statement(overwrite)
            return self._go_on(context, overwrite)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when the queries that were deferred for are done."""
        from airflow_quilt_athena.flows.overwrite.insert_overwrite import Overwrite

        with errors_as_airflow_sees_them():
            carry = event["carry"]
            request = self._request(carry["partition"])
            overwrite = Overwrite(
                self._clients, request, task_key_of(context["ti"]), attempt=carry["attempt"]
            )
            return self._go_on(context, overwrite, event)

    def _go_on(
        self, context: Any, overwrite: Overwrite, event: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Work, and wait in between; may defer, and then never returns."""
        self.query = overwrite.sql
        carry = {"partition": overwrite.plan.request.partition, "attempt": overwrite.attempt}
        deadline = self.find_deadline(context) if event is None else float(event["deadline"])
        try:
            if event is not None:
                self.resume_wait(event)
            while isinstance(reached := overwrite.advance(), tuple):
                self._running = list(reached)  # from here on, being killed stops them
                self._push_links(context, overwrite, reached[0])
                self.wait(reached, deadline=deadline, carry=carry)
            return self._report(context, reached, overwrite.plan.late)
        except QuiltAthenaError as error:
            raise overwrite.abandon(error) from error

    @property
    def _clients(self) -> LakeClients:
        return lake_clients(self.hook)

    def _resolve_partition(self, context: Any) -> Partition:
        return resolve_partition(self.partition, context, date_format=self.partition_format)

    def _request(self, partition: Partition) -> OverwriteRequest:
        from airflow_quilt_athena.core.glue.tables import TableName

        asked = self.judge_arguments()
        return OverwriteRequest(
            query=asked["query"],
            table=TableName.parse(asked["table"], asked["database"], asked["catalog_id"]),
            partition=partition,
            database=asked["database"],
            workgroup=asked["workgroup"],
            replace=asked["replace"],
            partitioned_by=asked["partitioned_by"],
            location=asked["location"],
            file_format=asked["file_format"],
            compression=asked["compression"],
            compression_level=asked["compression_level"],
            bucketed_by=asked["bucketed_by"],
            bucket_count=asked["bucket_count"],
            table_comment=asked["table_comment"],
            column_comments=asked["column_comments"] or {},
            table_properties=asked["table_properties"] or {},
            on_empty=asked["on_empty"],
            min_rows=asked["min_rows"],
            checks=asked["checks"] or {},
            on_failed_audit=asked["on_failed_audit"],
            retain=asked["retain"],
            writer=asked["writer"],
            max_parallel_queries=asked["max_parallel_queries"],
            generations_location=asked["generations_location"],
            catalog_id=asked["catalog_id"],
            kms_key_arn=asked["kms_key_arn"],
            quilt_revisions=asked["quilt_revisions"],
        )

    def _log_statement(self, overwrite: Overwrite) -> None:
        plan, folder = overwrite.plan, overwrite.statements.folder
        self.log.info("Overwriting %s of %s, staged at %s", plan.selection.title, plan.request.table, folder)
        self.log.info("::group::SQL as sent\n%s", overwrite.sql)
        self.log.info("::endgroup::")

    def _push_links(self, context: Any, overwrite: Overwrite, query_execution_id: str) -> None:
        region = self.hook.client("athena").meta.region_name
        push_query_link(context, region, query_execution_id)
        push_data_link(context, region, overwrite.statements.folder)

    def _report(self, context: Any, result: OverwriteResult, late: Sequence[LateRevisions]) -> dict[str, Any]:
        from airflow_quilt_athena.flows.overwrite.insert_overwrite import SKIPPED

        facts = result.as_dict()
        if self.quilt_revisions:
            facts["late_revisions"] = [one.as_dict() for one in late]
            for line in lines_about_late(result.table, late):
                self.log.warning(line)
        if result.outcome == SKIPPED:
            # A skipped task returns nothing; what it found is worth an XCom all the same.
            context["ti"].xcom_push(key="return_value", value=facts)
            raise AirflowSkipException(f"The query gave no rows; {result.table} stays as it was.")
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(facts)
        return facts
