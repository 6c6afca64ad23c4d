"""Create and refresh the tables and views of Quilt buckets. Knows no Airflow; clients are handed in.

One look at the database tells of every object whether it is as wanted. Tables are made and mended through
Glue. Views are made by Athena, which alone can write them, with statements that replace a view in one step
and do not wait for each other. What is as wanted costs no query.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.tables import TableName, table_input
from airflow_quilt_athena.core.plans import Action, Difference, Plan, Step
from airflow_quilt_athena.core.quilt.drift import (
    compare_table,
    compare_view,
    converged_table_input,
    marks_of_view,
    refuse_foreign_table,
    refuse_foreign_view,
)
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import MAX_NEWER, define_kept_views
from airflow_quilt_athena.core.quilt.ownership import (
    CREATED_BY,
    CREATED_BY_PARAMETER,
    Owner,
    is_marked,
    owner_of_view,
    refuse_others_view,
    views_known,
)
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.table_ddl import (
    TableDefinition,
    build_table_input,
    define_tables,
    render_create_table,
)
from airflow_quilt_athena.core.quilt.views import ViewDefinition, define_views
from airflow_quilt_athena.exceptions import InvalidCallError, QueryFailedError, RetryableError
from airflow_quilt_athena.flows.athena.queries import start_query, stop_queries, wait_for_queries
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import AthenaClient, GlueClient, S3Client
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.errors import error_code
from airflow_quilt_athena.flows.aws.glue import create_table, observe_table
from airflow_quilt_athena.flows.quilt.kept import observe_kept
from airflow_quilt_athena.flows.quilt.sources import SourceKind, find_source

log = logging.getLogger(__name__)

# Athena, "Service quotas", read 2026-11: 20 DDL queries of an account may be active.
MAX_PARALLEL_QUERIES = 20
_MAX_PARALLEL_CALLS = 8  # of boto3's ten connections
_MAX_TABLES_PER_PAGE = 100  # Glue API Reference, "GetTables", read 2026-11
_MAX_TRIES = 5
_CHANGED_MEANWHILE = frozenset({"ConcurrentModificationException", "VersionMismatchException"})

RawTable = Mapping[str, Any]


class GlueTables(GlueClient, Protocol):
    """Glue's tables, one by one and a database at a time."""

    def get_tables(self, **request: Any) -> dict[str, Any]:
        """Return a page of a database's tables."""
        ...


@dataclass(frozen=True, slots=True)
class RefreshRequest:
    """Which buckets' tables and views are wanted, and where."""

    buckets: tuple[str, ...]
    database: str
    workgroup: str
    source: SourceKind = SourceKind.AUTO
    source_database: str | None = None
    materialized: bool = False  # the clean views stand on the tables that keep rows

    def __post_init__(self) -> None:
        if not self.buckets:
            raise InvalidCallError("No bucket to make views for. Expected at least one.")


@dataclass(frozen=True, slots=True)
class Refresh:
    """What has to be done, seen from one look at the database."""

    plan: Plan
    tables: tuple[tuple[TableDefinition, RawTable | None], ...]  # to be put right, with what is there now
    views: tuple[ViewDefinition, ...]  # to be made
    sources: Mapping[str, ManifestSource] = field(default_factory=dict)  # what each bucket's views stand on

    def statements(self, database: str) -> tuple[str, ...]:
        """Return what is to be done as SQL, for a log. Athena is sent only the views' part of it."""
        ddl = (render_create_table(definition, database) for definition, _ in self.tables)
        return (*ddl, *(view.sql for view in self.views))


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


# --------------------------------------------------------------------------------------------- plan


def plan_refresh(glue: GlueTables, request: RefreshRequest, s3: S3Client | None = None) -> Refresh:
    """Look at the database and say what has to be done. Changes nothing."""
    found = observe_tables(glue, request.database)
    steps: list[Step] = []
    tables: list[tuple[TableDefinition, RawTable | None]] = []
    views: list[ViewDefinition] = []
    sources: dict[str, ManifestSource] = {}
    for bucket in dict.fromkeys(request.buckets):
        names = BucketNames.of(bucket)
        source = find_source(
            glue,
            names,
            request.source,
            database=request.database,
            source_database=request.source_database,
        )
        sources[bucket] = source
        if source.losses:
            steps.append(_tell_losses(source))
        for definition in _own_tables(names, source, request.database):
            raw = found.get(definition.name)
            step = plan_table(definition, raw, request.database)
            steps.append(step)
            if step.does_something:
                tables.append((definition, raw))
        known = views_known(names, found)
        for view in _views(glue, s3, names, request, source):
            raw = found.get(view.name)
            step = plan_view(view, raw, request.database, _owner(view, raw, names, known))
            steps.append(step)
            if step.does_something:
                views.append(view)
    return Refresh(Plan(tuple(steps)), tuple(tables), tuple(views), sources)


def _views(
    glue: GlueTables, s3: S3Client | None, names: BucketNames, request: RefreshRequest, source: ManifestSource
) -> tuple[ViewDefinition, ...]:
    if not request.materialized:
        return define_views(names, request.database, source)
    if s3 is None:
        raise TypeError("A client of S3 is needed for views that stand on tables that keep rows.")
    seen = observe_kept(glue, s3, names, request.database)
    if not seen.are_there:
        raise InvalidCallError(
            f"The views of bucket {names.bucket} cannot stand on {' and '.join(names.kept_tables)} in "
            f"database {request.database}: they are not there. Run MaterializeQuiltTablesOperator first, or "
            "leave materialized out."
        )
    if seen.newer.count > MAX_NEWER:
        log.warning(
            "Bucket %s has %d revisions that its tables do not keep yet, more than views can name (%d): its "
            "views read all manifests until MaterializeQuiltTablesOperator has run.",
            names.bucket,
            seen.newer.count,
            MAX_NEWER,
        )
        return define_views(names, request.database, source)
    return define_kept_views(names, request.database, source, seen.newer)


def _tell_losses(source: ManifestSource) -> Step:
    details = tuple(Difference("loses", None, loss) for loss in source.losses)
    return Step("source", f"{source.database}.{source.manifests}", Action.UNCHANGED, details)


def _own_tables(names: BucketNames, source: ManifestSource, database: str) -> tuple[TableDefinition, ...]:
    return define_tables(names) if source == ManifestSource.of_bucket(names, database) else ()


def plan_table(definition: TableDefinition, raw: RawTable | None, database: str) -> Step:
    """Return the step for one table. Raises ManualActionError when its name is taken by something else."""
    name = f"{database}.{definition.name}"
    if raw is None:
        return Step.create("table", name, [Difference("location", None, str(definition.location))])
    refuse_foreign_table(definition, raw)
    differences = compare_table(definition, raw)
    if differences and not is_marked(raw):
        adopted = Difference("adopt", "made by somebody else, over the same files", "mended by us")
        differences = (adopted, *differences)
    return Step.converge("table", name, differences)


def _owner(view: ViewDefinition, raw: RawTable | None, names: BucketNames, known: Collection[str]) -> Owner:
    return Owner.US if raw is None else owner_of_view(view, raw, names, known)


def plan_view(view: ViewDefinition, raw: RawTable | None, database: str, owner: Owner = Owner.US) -> Step:
    """Return the step for one view. Raises ManualActionError when its name is taken by a table, or others."""
    name = f"{database}.{view.name}"
    if raw is None:
        return Step.create("view", name)
    refuse_foreign_view(view, raw)
    refuse_others_view(view, raw, owner)
    differences = compare_view(view, raw)
    if owner is Owner.SEEDS:
        differences = (Difference("adopt", owner.value, "replaced by ours"), *differences)
    return Step.converge("view", name, differences)


def observe_tables(glue: GlueTables, database: str) -> dict[str, RawTable]:
    """Return every table and view of the database by name, 100 to a call."""
    found: dict[str, RawTable] = {}
    request: dict[str, Any] = {"DatabaseName": database, "MaxResults": _MAX_TABLES_PER_PAGE}
    while True:
        page = ask(lambda: _get_tables(glue, request), f"list the tables of database {database} in Glue")
        found.update((table["Name"].lower(), table) for table in page["TableList"])
        if not page.get("NextToken"):
            return found
        request["NextToken"] = page["NextToken"]


def _get_tables(glue: GlueTables, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return glue.get_tables(**request)
    except ClientError as error:
        if error_code(error) == "EntityNotFoundException":
            raise InvalidCallError(
                f"Database {request['DatabaseName']} does not exist. Create it, for instance with "
                "ProvisionQuiltAthenaOperator, or name another one."
            ) from error
        raise


# -------------------------------------------------------------------------------------------- apply


def apply_tables(glue: GlueClient, database: str, refresh: Refresh) -> None:
    """Create and mend the tables, side by side."""
    _side_by_side(lambda work: _put_table(glue, database, *work), refresh.tables)


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
        _side_by_side(start, views)
    except BaseException:  # also a task being killed: nobody else would stop these
        stop_queries(athena, tuple(started.values()))
        raise
    return tuple(started[view.name] for view in views)


def mark_views(glue: GlueClient, database: str, digests: Mapping[str, str]) -> None:
    """Record with each view, named with the hash of its statement, that it is as wanted."""
    _side_by_side(lambda item: _mark_view(glue, database, *item), digests.items())


def _mark_view(glue: GlueClient, database: str, name: str, statement_digest: str) -> None:
    for _ in range(_MAX_TRIES):
        table = observe_table(glue, TableName(database, name))
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


def _side_by_side(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Do the work for each item, a few at a time; the first failure is raised when all are through."""
    with ThreadPoolExecutor(_MAX_PARALLEL_CALLS) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
