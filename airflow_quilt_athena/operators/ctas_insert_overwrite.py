"""Replace a partition of an Athena table with the result of a query."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar, TypeVar

from airflow.providers.common.compat.sdk import AirflowSkipException, Asset

from airflow_quilt_athena.core.attempts import Attempt
from airflow_quilt_athena.core.overwrite import (
    OnEmpty,
    OverwriteRequest,
    parse_partitioned_by,
    parse_retain,
)
from airflow_quilt_athena.core.query_states import QueryStatus
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.core.tables import FileFormat, TableName
from airflow_quilt_athena.exceptions import InvalidCallError, QueryFailedError
from airflow_quilt_athena.flows.insert_overwrite import OverwriteResult, abandon, finish, prepare, start
from airflow_quilt_athena.flows.staging import Staging
from airflow_quilt_athena.hooks.quilt_athena import AWS_TEMPLATE_FIELDS
from airflow_quilt_athena.links import AthenaQueryLink, S3DataLink, push_data_link, push_query_link
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.partition_of_run import Partition, resolve_partition
from airflow_quilt_athena.operators.waiting import QuiltAthenaWaitingOperator

Choice = TypeVar("Choice", bound=Enum)


class CtasInsertOverwriteOperator(QuiltAthenaWaitingOperator):
    """Overwrite one partition of a Hive table on Athena with a query's result.

    The result is written to a new folder, checked there, and one Glue write points the partition at it.
    Readers see the old rows or the new ones, whole. A run that fails or is killed leaves the old rows, and
    running again ends in the same state.

    Columns are matched by name. Nothing is cast but by the engine itself; missing, extra and unlike columns
    are refused with the difference shown. A table that does not exist is made from the first result.

    :param query: one SELECT, or the name of a ``.sql`` file. Partition keys are left out of it. (templated)
    :param table: ``table``, or ``database.table``. (templated)
    :param partition: a value for each partition key, as a mapping, or the value of the only key. None takes
        the run's: its partition key, partition date, ``partition`` in its configuration, the start of its
        data interval or its logical date. (templated)
    :param replace: what is replaced: ``partitions``.
    :param database: where names in the query without a database are looked up. (templated)
    :param workgroup: the Athena workgroup; it must not enforce its result location. (templated)
    :param partitioned_by: the partition keys of a table to be made: names, for strings, or a mapping from
        name to Hive type.
    :param location: where a table to be made lies; without one, in its database's location. (templated)
    :param file_format: PARQUET, ORC, JSON or TEXTFILE; None is the table's, and PARQUET for a new one.
    :param compression: e.g. SNAPPY, ZSTD, GZIP; None is what the table says, or the engine's default.
    :param table_properties: properties of a table to be made.
    :param on_empty: what a result without rows does: ``publish`` empties the partition, ``skip`` leaves it
        and skips the task, ``fail`` leaves it and fails the task.
    :param min_rows: fail, and publish nothing, when there are fewer rows.
    :param checks: by name, one SELECT each over ``{staged}``, the new rows. A check passes when its first row
        holds no NULL, false, zero or empty cell. (templated)
    :param retain: how long the replaced files are kept at least: ``24h``, ``90m``, ``7d``; no less than 30
        minutes. Nothing removes them yet.
    :param writer: how the files are written: ``auto`` or ``ctas``.
    :param max_parallel_queries: how many slices of a result may be written side by side. A static
        partition, the only kind there is yet, is written by one query.
    :param generations_location: where new folders are made, instead of below the table's own. (templated)
    :param quilt_revisions: not supported yet.
    :param partition_format: how a date of the run becomes a partition value.

    Its XCom: ``query_execution_ids``, ``state``, ``outcome`` (published or skipped), ``rows``,
    ``bytes_scanned``, ``estimated_cost_usd``, ``table`` and ``partitions``, for each its values, location,
    generation, previous location and action. Asset events of its outlets carry the same.

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
        "quilt_revisions",
        *AWS_TEMPLATE_FIELDS,
    )
    template_ext: Sequence[str] = (".sql",)
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
        table_properties: Mapping[str, str] | None = None,
        on_empty: str = "publish",
        min_rows: int | None = None,
        checks: Mapping[str, str] | None = None,
        retain: str = "24h",
        writer: str = "auto",
        max_parallel_queries: int = 5,
        generations_location: str | None = None,
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
        self.table_properties = table_properties
        self.on_empty = on_empty
        self.min_rows = min_rows
        self.checks = checks
        self.retain = retain
        self.writer = writer
        self.max_parallel_queries = max_parallel_queries
        self.generations_location = generations_location
        self.quilt_revisions = quilt_revisions
        self.partition_format = partition_format

    def execute(self, context: Any) -> dict[str, Any]:
        """Overwrite the partition."""
        with errors_as_airflow_sees_them():
            self._refuse_what_is_not_there()
            partition = resolve_partition(self.partition, context, date_format=self.partition_format)
            submission = uuid.uuid4().hex[:8]
            staging = self._prepare(context, partition, submission)
            self._log_statement(staging)
            query_execution_id = start(self.hook.client("athena"), staging)
            self._running = [query_execution_id]
            self._push_links(context, staging, query_execution_id)
            statuses = self._wait_or_abandon(
                staging,
                lambda: self.wait(
                    [query_execution_id],
                    deadline=self.find_deadline(context),
                    carry={"partition": partition, "submission": submission},
                ),
            )
            return self._finish(context, staging, statuses)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when the query that was deferred for is done."""
        with errors_as_airflow_sees_them():
            staging = self._prepare(context, event["carry"]["partition"], event["carry"]["submission"])
            statuses = self._wait_or_abandon(staging, lambda: self.resume_wait(event))
            return self._finish(context, staging, statuses)

    def _refuse_what_is_not_there(self) -> None:
        unsupported = {
            f'replace="{self.replace}"': self.replace != "partitions",
            f'writer="{self.writer}"': self.writer not in {"auto", "ctas"},
            "quilt_revisions": self.quilt_revisions is not None,
            "partition={}, partitions as found in the result,": self.partition == {},
        }
        for what, asked in unsupported.items():
            if asked:
                raise InvalidCallError(f"{what} is not supported. Nothing was written.")
        parse_retain(self.retain)

    def _request(self, partition: Partition) -> OverwriteRequest:
        return OverwriteRequest(
            query=self.query,
            table=TableName.parse(self.table, self.database),
            partition=partition,
            database=self.database,
            workgroup=self.workgroup,
            partitioned_by=parse_partitioned_by(self.partitioned_by),
            location=_uri(self.location),
            file_format=_choice(FileFormat, "file_format", self.file_format and self.file_format.upper()),
            compression=self.compression,
            table_properties=dict(self.table_properties or {}),
            on_empty=_choice(OnEmpty, "on_empty", self.on_empty) or OnEmpty.PUBLISH,
            min_rows=self.min_rows,
            checks=dict(self.checks or {}),
            generations_location=_uri(self.generations_location),
        )

    def _prepare(self, context: Any, partition: Partition, submission: str) -> Staging:
        attempt = Attempt(_task_key(context["ti"]), submission)
        athena, glue = self.hook.client("athena"), self.hook.client("glue")
        return prepare(athena, glue, self._request(partition), attempt)

    def _log_statement(self, staging: Staging) -> None:
        table, generation = staging.request.table, staging.generation
        self.log.info("Overwriting %s of %s, staged at %s", staging.partition, table, generation)
        self.log.info("::group::SQL as sent\n%s", staging.sql)
        self.log.info("::endgroup::")

    def _push_links(self, context: Any, staging: Staging, query_execution_id: str) -> None:
        region = self.hook.client("athena").meta.region_name
        push_query_link(context, region, query_execution_id)
        push_data_link(context, region, staging.generation)

    def _wait_or_abandon(
        self, staging: Staging, wait: Callable[[], tuple[QueryStatus, ...]]
    ) -> tuple[QueryStatus, ...]:
        try:
            return wait()
        except QueryFailedError as error:
            self.query = staging.sql
            raise abandon(self.hook.client("athena"), self.hook.client("glue"), staging, error) from error

    def _finish(self, context: Any, staging: Staging, statuses: Sequence[QueryStatus]) -> dict[str, Any]:
        self.query = staging.sql
        result = finish(
            self.hook.client("athena"),
            self.hook.client("glue"),
            staging,
            statuses[0],
            timeout_seconds=self.timeout_seconds,
            now=datetime.now(UTC),
        )
        return self._report(context, result)

    def _report(self, context: Any, result: OverwriteResult) -> dict[str, Any]:
        facts = result.as_dict()
        if result.outcome == "skipped":
            # A skipped task returns nothing; what it found is worth an XCom all the same.
            context["ti"].xcom_push(key="return_value", value=facts)
            raise AirflowSkipException(f"The query gave no rows; {result.table} stays as it was.")
        for outlet in self.outlets:
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(facts)
        return facts


def _task_key(ti: Any) -> str:
    # max_tries rises when a task is cleared, and not when it is retried.
    return f"{ti.dag_id}/{ti.task_id}/{ti.map_index}/{ti.run_id}/{ti.max_tries}"


def _uri(text: str | None) -> S3Uri | None:
    return S3Uri.parse(text) if text else None


def _choice(choices: type[Choice], name: str, value: str | None) -> Choice | None:
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError as error:
        known = ", ".join(str(choice.value) for choice in choices)
        raise InvalidCallError(f"{name} is {value!r}. Expected one of {known}.") from error
