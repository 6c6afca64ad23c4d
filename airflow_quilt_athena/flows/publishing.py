"""The second half of an insert overwrite: audit what was staged, and point the partition at it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from airflow_quilt_athena.core.ctas import check_passes, render_check
from airflow_quilt_athena.core.overwrite import (
    Action,
    PublishedPartition,
    WriteFacts,
    build_partition_input,
    build_table_input,
    location_of,
    refuse_keys_as_columns,
)
from airflow_quilt_athena.core.tables import Table, refuse_unwritable
from airflow_quilt_athena.exceptions import AuditFailedError, InvalidCallError, RetryableError
from airflow_quilt_athena.flows import glue as catalog
from airflow_quilt_athena.flows.clients import AthenaClient, GlueClient
from airflow_quilt_athena.flows.completion import run_query
from airflow_quilt_athena.flows.query_results import read_rows, read_update_count
from airflow_quilt_athena.flows.staging import Staging, refuse_unlike_columns

log = logging.getLogger(__name__)

_MAX_TRIES_TO_PUBLISH = 5


@dataclass(frozen=True, slots=True)
class Auditor:
    """Runs the queries of an audit and remembers their ids and what they scanned."""

    athena: AthenaClient
    staging: Staging
    timeout_seconds: float
    query_execution_ids: list[str]

    def count_rows(self, query_execution_id: str) -> int:
        """Return how many rows were staged: as Athena counted them, or counted again where it did not."""
        count = read_update_count(self.athena, query_execution_id)
        if count is not None:
            return count
        rows = self._ask(f"SELECT count(*) FROM {self.staging.temporary.trino}")
        return int(rows[0][0] or 0)

    def run_checks(self) -> None:
        """Run the user's checks against the staged rows. Raises AuditFailedError for the first that fails."""
        for name, check in self.staging.request.checks.items():
            rows = self._ask(render_check(check, self.staging.temporary))
            if not check_passes(rows):
                answer = rows[0] if rows else "no row"
                raise AuditFailedError(
                    f"Check {name!r} did not pass: it answered {answer}. {kept(self.staging)}\n"
                    f"The check: {check}"
                )
            log.info("Check %r passed.", name)

    def _ask(self, sql: str) -> list[tuple[str | None, ...]]:
        request = self.staging.request
        status = run_query(
            self.athena,
            sql,
            database=request.database,
            workgroup=request.workgroup,
            timeout_seconds=self.timeout_seconds,
            on_start=self.query_execution_ids.append,
        )
        return read_rows(self.athena, status.query_execution_id, max_rows=1)[1]


def kept(staging: Staging) -> str:
    """Say, for an error, what became of old and new data."""
    return f"The old data is as it was; the new files were kept, unpublished, at {staging.generation}."


def refuse_few_rows(staging: Staging, rows: int) -> None:
    """Raise AuditFailedError when fewer rows were staged than the call asks for."""
    wanted = staging.request.min_rows
    if wanted is not None and rows < wanted:
        raise AuditFailedError(
            f"The query gave {rows} rows for {staging.partition} of table {staging.request.table}; at least "
            f"{wanted} were wanted (min_rows). {kept(staging)}"
        )


def refuse_misfits(staging: Staging, staged: Table) -> None:
    """Raise InvalidCallError when the staged columns are not such as the table has, or may have."""
    if staging.table is not None:
        refuse_unlike_columns(staging.table, staged)
    else:
        refuse_keys_as_columns(staged, staging.keys)


def ensure_table(glue: GlueClient, staging: Staging, staged: Table) -> Table:
    """Return the table to publish in: created from the staged result when there was none."""
    if staging.table is not None:
        return catalog.record_base(glue, staging.table)
    request = staging.request
    definition = build_table_input(request, staged, staging.keys, staging.base, staging.file_format)
    created = catalog.create_table(glue, request.table.database, definition)
    table = catalog.observe_table(glue, request.table)
    if table is None:
        raise RetryableError(f"Table {request.table} vanished right after it was created.")
    if created:
        log.info("Created table %s at %s.", table.name, table.base)
        return table
    # Another run created it first: what was planned for a new table must fit the one there now is.
    refuse_unwritable(table)
    refuse_unlike_columns(table, staged)
    if (table.partition_keys, table.base) != (staging.keys, staging.base):
        raise InvalidCallError(
            f"Table {table.name} was created meanwhile, at {table.base} with keys {table.partition_keys}; "
            f"expected {staging.base} and {staging.keys}."
        )
    return catalog.record_base(glue, table)


def publish_partition(
    glue: GlueClient, table: Table, staging: Staging, *, query_execution_id: str, rows: int, now: datetime
) -> PublishedPartition:
    """Create the partition, or point it at the new generation; in one step that readers see whole.

    Looks before it acts again: a create whose answer was lost has happened.
    """
    facts = WriteFacts(query_execution_id, rows, staging.attempt.task_key, now)
    for _ in range(_MAX_TRIES_TO_PUBLISH):
        previous = catalog.observe_partition(glue, table, staging.values)
        partition = build_partition_input(
            table,
            staging.values if previous is None else tuple(previous["Values"]),
            staging.generation,
            attempt=staging.attempt,
            facts=facts,
            previous=previous,
        )
        change = catalog.create_partition if previous is None else catalog.update_partition
        if change(glue, table, partition) or _is_published(glue, table, staging):
            action = Action.CREATED if previous is None else Action.REPLACED
            return PublishedPartition(
                staging.partition,
                str(staging.generation),
                staging.attempt.name,
                location_of(previous),
                action,
            )
    raise RetryableError(
        f"Partition {staging.partition} of table {table.name} is being created and removed by others without "
        f"pause. {kept(staging)} Run the task again."
    )


def _is_published(glue: GlueClient, table: Table, staging: Staging) -> bool:
    location = location_of(catalog.observe_partition(glue, table, staging.values))
    return location == str(staging.generation)
