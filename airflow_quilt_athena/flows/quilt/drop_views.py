"""Take the tables and views of Quilt buckets out of Glue. Files stay: they are Quilt's. Knows no Airflow."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.plans import Plan, Step
from airflow_quilt_athena.core.quilt.drift import refuse_foreign_table, refuse_foreign_view
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import BUCKET_PARAMETER
from airflow_quilt_athena.core.quilt.ownership import Owner, RawTable, is_marked, owner_of_view, views_known
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.table_ddl import define_tables
from airflow_quilt_athena.core.quilt.views import ViewDefinition, define_views
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.glue import delete_table
from airflow_quilt_athena.flows.quilt.refresh_plan import GlueTables, observe_tables

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DropRequest:
    """Which buckets' tables and views are to go."""

    buckets: tuple[str, ...]
    database: str

    def __post_init__(self) -> None:
        if not self.buckets:
            raise InvalidCallError("No bucket whose views are to go. Expected at least one.")


def drop_bucket_views(glue: GlueTables, request: DropRequest, *, dry_run: bool = False) -> Plan:
    """Drop what ``CreateBucketViewsOperator`` makes; return the plan, carried out unless ``dry_run``.

    Views go before the tables that they read. Only what carries our mark goes; what somebody else made under
    one of the names stays, and the plan says so. What is something else altogether is refused, before
    anything is dropped.

    :raises ManualActionError: for a table over other files, or a view in a table's place.
    """
    plan = _plan(glue, request)
    log.info("Tables and views:\n%s", plan.render(applied=False))
    if dry_run:
        log.info("Dry run: nothing was changed.")
        return plan
    for step in plan.steps:
        if step.does_something:
            database, _, name = step.name.partition(".")
            delete_table(glue, TableName(database, name))
    return plan


def _plan(glue: GlueTables, request: DropRequest) -> Plan:
    found = observe_tables(glue, request.database)
    views: list[Step] = []
    tables: list[Step] = []
    for bucket in dict.fromkeys(request.buckets):
        names = BucketNames.of(bucket)
        source = ManifestSource.of_bucket(names, request.database)
        known = views_known(names, found)
        for view in define_views(names, request.database, source):
            raw = found.get(view.name)
            ours = raw is not None and _is_our_view(view, raw, names, known)
            views.append(_step("view", request.database, view.name, raw, ours=ours))
        for definition in define_tables(names):
            raw = found.get(definition.name)
            if raw is not None:
                refuse_foreign_table(definition, raw)
            ours = raw is not None and is_marked(raw)
            tables.append(_step("table", request.database, definition.name, raw, ours=ours))
        for name in names.kept_tables:
            raw = found.get(name)
            if raw is not None:
                ours = (raw.get("Parameters") or {}).get(BUCKET_PARAMETER) == bucket
                tables.append(_step("table", request.database, name, raw, ours=ours))
    return Plan((*views, *tables))


def _is_our_view(view: ViewDefinition, raw: RawTable, names: BucketNames, known: Collection[str]) -> bool:
    refuse_foreign_view(view, raw)
    return owner_of_view(view, raw, names, known) in {Owner.US, Owner.US_CHANGED_BY_HAND}


def _step(kind: str, database: str, name: str, raw: RawTable | None, *, ours: bool) -> Step:
    full = f"{database}.{name}"
    if raw is None:
        return Step.converge(kind, full, ())
    return Step.remove(kind, full) if ours else Step.keep(kind, full, "somebody else made it")
