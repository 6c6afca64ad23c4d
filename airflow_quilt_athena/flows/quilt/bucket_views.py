"""Create and refresh the tables and views of Quilt buckets. Knows no Airflow; clients are handed in.

One look at the database tells of every object whether it is as wanted. Tables are made and mended through
Glue. Views are made by Athena, which alone can write them, with statements that replace a view in one step
and do not wait for each other. What is as wanted costs no query.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.tables import Table, TableName, parse_table, table_input
from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.core.quilt.drift import (
    compare_table,
    converged_table_input,
    marks_of_view,
    refuse_foreign_table,
)
from airflow_quilt_athena.core.quilt.ownership import CREATED_BY, CREATED_BY_PARAMETER
from airflow_quilt_athena.core.quilt.table_ddl import TableDefinition, build_table_input
from airflow_quilt_athena.core.quilt.views import ViewDefinition
from airflow_quilt_athena.exceptions import QueryFailedError, RetryableError
from airflow_quilt_athena.flows.athena.queries import start_query, stop_queries, wait_for_queries
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import AthenaClient, GlueClient, S3Client
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.errors import error_code
from airflow_quilt_athena.flows.aws.glue import create_table, observe_table
from airflow_quilt_athena.flows.aws.side_by_side import side_by_side
from airflow_quilt_athena.flows.quilt.refresh_plan import (
    GlueTables,
    RawTable,
    Refresh,
    RefreshRequest,
    observe_tables,
    plan_refresh,
)

log = logging.getLogger(__name__)

# Athena, "Service quotas", read 2026-11: 20 DDL queries of an account may be active.
MAX_PARALLEL_QUERIES = 20
_MAX_TRIES = 5
_CHANGED_MEANWHILE = frozenset({"ConcurrentModificationException", "VersionMismatchException"})


# Waits for the queries that make the views named; raises when one fails.
WaitForViews = Callable[[Sequence[str], Sequence[ViewDefinition]], object]


def refresh_bucket_views(
    athena: AthenaClient,
    glue: GlueTables,
    request: RefreshRequest,
    *,
    timeout_seconds: float,
    s3: S3Client | None = None,
) -> Plan:
    """Bring the tables and views of the buckets to what is wanted; return what was done.

    :param s3: to list registries by, where the views are to stand on tables that keep rows.
    """

    def wait(query_execution_ids: Sequence[str], _: Sequence[ViewDefinition]) -> None:
        wait_for_queries(athena, query_execution_ids, timeout_seconds=timeout_seconds)

    refresh = plan_refresh(glue, request, s3)
    apply_tables(glue, request.database, refresh)
    views = refresh.views
    for remaining in reversed(range(_MAX_TRIES)):
        try:
            apply_views(athena, glue, request, views, wait=wait)
            break
        except QueryFailedError as error:
            if not remaining or not is_overtaken(error):
                raise
            log.info("Somebody else made one of the views at the same time; looking again. %s", error)
            views = plan_refresh(glue, request, s3).views
    return refresh.plan


def is_overtaken(error: QueryFailedError) -> bool:
    """Whether a view could not be made because another refresh was making it at that moment.

    CREATE OR REPLACE VIEW finds no view, and then one; the same statement replaces it.
    """
    return "ALREADY_EXISTS" in error.reason or "already exists" in error.reason.lower()


# -------------------------------------------------------------------------------------------- apply


def apply_tables(glue: GlueClient, database: str, refresh: Refresh) -> None:
    """Create and mend the tables, side by side."""
    side_by_side(lambda work: _put_table(glue, database, *work), refresh.tables)


def _put_table(glue: GlueClient, database: str, definition: TableDefinition, raw: RawTable | None) -> None:
    for _ in range(_MAX_TRIES):
        if raw is None:
            marked = build_table_input(definition, {CREATED_BY_PARAMETER: CREATED_BY})
            if create_table(glue, TableName(database, definition.name), marked):
                return
        else:
            refuse_foreign_table(definition, raw)
            wanted = converged_table_input(definition, raw)
            if not compare_table(definition, raw) or _update(glue, database, wanted, raw):
                return
        # Somebody else came first: look again.
        table = observe_table(glue, TableName(database, definition.name))
        raw = None if table is None else table.raw
    raise _never_at_rest(database, definition.name)


def apply_views(
    athena: AthenaClient,
    glue: GlueTables,
    request: RefreshRequest,
    views: Sequence[ViewDefinition],
    *,
    wait: WaitForViews,
) -> None:
    """Make the views by Athena, as many side by side as it takes, and mark them."""
    for batch in in_batches(views, MAX_PARALLEL_QUERIES):
        wait(_start(athena, request, batch), batch)
        mark_views(glue, request.database, {view.name: view.digest for view in batch})


def _start(athena: AthenaClient, request: RefreshRequest, views: Sequence[ViewDefinition]) -> tuple[str, ...]:
    started: dict[str, str] = {}

    def start(view: ViewDefinition) -> None:
        started[view.name] = start_query(
            athena, view.sql, database=request.database, workgroup=request.workgroup
        )
        log.info("Athena query %s makes view %s.%s", started[view.name], request.database, view.name)

    try:
        side_by_side(start, views)
    except BaseException:  # also a task being killed: nobody else would stop these
        stop_queries(athena, tuple(started.values()))
        raise
    return tuple(started[view.name] for view in views)


def mark_views(glue: GlueTables, database: str, digests: Mapping[str, str]) -> None:
    """Record with each view, named with the hash of its statement, that it is as wanted."""
    found = observe_tables(glue, database, digests)

    def mark(item: tuple[str, str]) -> None:
        raw = found.get(item[0])
        _mark_view(glue, database, *item, None if raw is None else parse_table(raw))

    side_by_side(mark, digests.items())


def _mark_view(
    glue: GlueClient, database: str, name: str, statement_digest: str, found: Table | None
) -> None:
    for _ in range(_MAX_TRIES):
        table, found = found or observe_table(glue, TableName(database, name)), None
        if table is None:
            raise RetryableError(
                f"View {database}.{name} vanished just after it was made. Run the task again."
            )
        marked = {
            **table_input(table),
            "Parameters": marks_of_view(statement_digest, table.raw),
        }
        if _update(glue, database, marked, table.raw, archive=False):
            return
    raise _never_at_rest(database, name)


def _update(
    glue: GlueClient, database: str, definition: Mapping[str, Any], raw: RawTable, *, archive: bool = True
) -> bool:
    """Replace a definition; False when it is not the one read any more.

    :param archive: whether Glue keeps the old definition as a version.
    """
    request: dict[str, Any] = {
        "DatabaseName": database,
        "TableInput": dict(definition),
        "SkipArchive": not archive,
    }
    if raw.get("VersionId") is not None:
        request["VersionId"] = raw["VersionId"]

    def update() -> bool:
        try:
            glue.update_table(**request)
        except ClientError as error:
            if error_code(error) in _CHANGED_MEANWHILE:
                return False
            raise
        return True

    return ask(update, f"change {database}.{definition['Name']} in Glue")


def _never_at_rest(database: str, name: str) -> RetryableError:
    return RetryableError(f"{database}.{name} is being changed by others without pause. Run the task again.")
