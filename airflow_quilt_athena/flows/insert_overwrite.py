"""Insert overwrite of one partition: look → write → audit → publish → clean. Knows no Airflow.

The result is staged in a fresh folder by a CTAS, checked there, and one Glue write then points the partition
at it. No query and no delete touches live data: whatever fails, and wherever, the old rows stay as they were.

``prepare`` may be repeated with the same attempt, so waiting may happen in another process:
prepare → start → (wait) → finish, or abandon when the query failed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_quilt_athena.core.attempts import Attempt
from airflow_quilt_athena.core.overwrite import (
    OnEmpty,
    OverwriteRequest,
    PublishedPartition,
    estimate_dollars,
)
from airflow_quilt_athena.core.query_states import QueryStatus
from airflow_quilt_athena.exceptions import (
    AuditFailedError,
    QueryFailedError,
    QuiltAthenaError,
    RetryableError,
)
from airflow_quilt_athena.flows import glue as catalog
from airflow_quilt_athena.flows.clients import AthenaClient, GlueClient
from airflow_quilt_athena.flows.completion import OnProgress, start_query, wait_for_queries
from airflow_quilt_athena.flows.publishing import (
    Auditor,
    ensure_table,
    kept,
    publish_partition,
    refuse_few_rows,
    refuse_misfits,
)
from airflow_quilt_athena.flows.staging import Staging, explain_failure, prepare

__all__ = ["OverwriteResult", "abandon", "finish", "insert_overwrite", "prepare", "start"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OverwriteResult:
    """What an overwrite did. ``outcome`` is ``published``, or ``skipped`` for an empty result told to be."""

    query_execution_ids: tuple[str, ...]
    state: str
    outcome: str
    rows: int
    bytes_scanned: int
    table: str
    partitions: tuple[PublishedPartition, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, for an XCom or an asset event."""
        return {
            "query_execution_ids": list(self.query_execution_ids),
            "state": self.state,
            "outcome": self.outcome,
            "rows": self.rows,
            "bytes_scanned": self.bytes_scanned,
            "estimated_cost_usd": estimate_dollars(self.bytes_scanned),
            "table": self.table,
            "partitions": [partition.as_dict() for partition in self.partitions],
        }


def start(athena: AthenaClient, staging: Staging) -> str:
    """Start the statement that stages and return its query execution id. Safe to repeat for one attempt."""
    return start_query(
        athena,
        staging.sql,
        database=staging.request.database,
        workgroup=staging.request.workgroup,
        token=staging.token,
    )


def finish(
    athena: AthenaClient,
    glue: GlueClient,
    staging: Staging,
    status: QueryStatus,
    *,
    timeout_seconds: float,
    now: datetime,
) -> OverwriteResult:
    """Audit and publish what ``status``'s query staged, and remove the temporary table.

    :raises AuditFailedError: when a check does not pass; nothing is published then.
    :raises InvalidCallError: when the result's columns are not the table's; nothing is published then.
    """
    try:
        return _finish(athena, glue, staging, status, timeout_seconds=timeout_seconds, now=now)
    finally:
        _drop_temporary(glue, staging)


def _finish(
    athena: AthenaClient,
    glue: GlueClient,
    staging: Staging,
    status: QueryStatus,
    *,
    timeout_seconds: float,
    now: datetime,
) -> OverwriteResult:
    query_execution_id = status.query_execution_id
    auditor = Auditor(athena, staging, timeout_seconds, [query_execution_id])
    rows = auditor.count_rows(query_execution_id)
    staged = catalog.observe_table(glue, staging.temporary)
    if staged is None:
        raise RetryableError(
            f"Query {query_execution_id} succeeded, but its table {staging.temporary} is gone: another "
            f"attempt, or a sweep, took it. {kept(staging)} Run the task again."
        )
    refuse_misfits(staging, staged)
    publish = _audit(auditor, staging, rows)
    partitions: tuple[PublishedPartition, ...] = ()
    if publish:
        table = ensure_table(glue, staging, staged)
        published = publish_partition(
            glue, table, staging, query_execution_id=query_execution_id, rows=rows, now=now
        )
        log.info(
            "Partition %s of %s: %s, %s rows.", staging.partition, table.name, published.action.value, rows
        )
        partitions = (published,)
    return OverwriteResult(
        tuple(auditor.query_execution_ids),
        status.state.value,
        "published" if publish else "skipped",
        rows,
        status.bytes_scanned,
        str(staging.request.table),
        partitions,
    )


def _audit(auditor: Auditor, staging: Staging, rows: int) -> bool:
    """Whether to publish. Raises AuditFailedError when the staged rows must not be seen."""
    on_empty = staging.request.on_empty
    if rows == 0 and on_empty is OnEmpty.SKIP:
        log.info("The query gave no rows: partition %s stays as it was.", staging.partition)
        return False
    if rows == 0 and on_empty is OnEmpty.FAIL:
        raise AuditFailedError(
            f"The query gave no rows for {staging.partition} of table {staging.request.table}, and "
            f'on_empty is "fail". {kept(staging)}'
        )
    refuse_few_rows(staging, rows)
    auditor.run_checks()
    return True


def abandon(
    athena: AthenaClient, glue: GlueClient, staging: Staging, error: QueryFailedError
) -> QuiltAthenaError:
    """Clean up after a query that did not succeed; return the error to raise, as telling as can be."""
    _drop_temporary(glue, staging)
    return explain_failure(athena, staging, error) or error


def insert_overwrite(
    athena: AthenaClient,
    glue: GlueClient,
    request: OverwriteRequest,
    attempt: Attempt,
    *,
    timeout_seconds: float,
    poll_interval_seconds: float | None = None,
    on_progress: OnProgress | None = None,
) -> OverwriteResult:
    """Overwrite one partition, from looking to cleaning, in this process."""
    staging = prepare(athena, glue, request, attempt)
    query_execution_id = start(athena, staging)
    try:
        (status,) = wait_for_queries(
            athena,
            (query_execution_id,),
            timeout_seconds=timeout_seconds,
            poll_interval_seconds=poll_interval_seconds,
            on_progress=on_progress,
        )
    except QueryFailedError as error:
        raise abandon(athena, glue, staging, error) from error
    return finish(athena, glue, staging, status, timeout_seconds=timeout_seconds, now=datetime.now(UTC))


def _drop_temporary(glue: GlueClient, staging: Staging) -> None:
    try:
        catalog.delete_table(glue, staging.temporary)
    except QuiltAthenaError as error:
        # The work is done, or its own error is on its way: a leftover definition must not hide either.
        log.warning("Temporary table %s could not be removed: %s", staging.temporary, error)
