"""What the tables and views of Quilt buckets lack: one look at the database, and what has to be done."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.plans import Action, Difference, Plan, Step
from airflow_quilt_athena.core.quilt.drift import (
    compare_table,
    compare_view,
    refuse_foreign_table,
    refuse_foreign_view,
)
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import MAX_NEWER
from airflow_quilt_athena.core.quilt.kept_views import define_kept_views
from airflow_quilt_athena.core.quilt.ownership import (
    Owner,
    is_marked,
    owner_of_view,
    refuse_others_view,
    views_known,
)
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.table_ddl import TableDefinition, define_tables, render_create_table
from airflow_quilt_athena.core.quilt.views import ViewDefinition, define_views
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import GlueClient, S3Client
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.errors import error_code
from airflow_quilt_athena.flows.quilt.kept import find_kept_tables, observe_kept
from airflow_quilt_athena.flows.quilt.sources import SourceKind, find_source

log = logging.getLogger(__name__)


_MAX_TABLES_PER_PAGE = 100  # Glue API Reference, "GetTables", read 2026-11
_MAX_EXPRESSION = 2048  # likewise
RawTable = Mapping[str, Any]


class GlueTables(GlueClient, Protocol):
    """Glue's tables, one by one and a database at a time."""

    def get_tables(self, *_: Any, **request: Any) -> dict[str, Any]:
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
    always_fresh: bool = True  # and read what these do not hold, whenever it came

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
    if len(find_kept_tables(glue, names, request.database)) < len(names.kept_tables):
        raise InvalidCallError(
            f"The views of bucket {names.bucket} cannot stand on {' and '.join(names.kept_tables)} in "
            f"database {request.database}: they are not there. Run MaterializeQuiltTablesOperator first, or "
            "leave materialized out."
        )
    if request.always_fresh:
        return define_kept_views(names, request.database, source)
    if s3 is None:
        raise TypeError("A client of S3 is needed for views that name what the tables do not hold.")
    seen = observe_kept(glue, s3, names, request.database)
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


def observe_tables(glue: GlueTables, database: str, names: Collection[str] = ()) -> dict[str, RawTable]:
    """Return every table and view of the database by name, 100 to a call.

    :param names: only these, where they are so few that Glue takes them as one expression (2,048 characters).
    """
    found: dict[str, RawTable] = {}
    request: dict[str, Any] = {"DatabaseName": database, "MaxResults": _MAX_TABLES_PER_PAGE}
    expression = "|".join(names)
    if 0 < len(expression) <= _MAX_EXPRESSION:
        request["Expression"] = expression
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
