"""Take the tables and views of Quilt buckets out of Glue. Files stay: they are Quilt's. Knows no Airflow."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.plans import Plan, Step
from airflow_quilt_athena.core.quilt.drift import refuse_foreign_table, refuse_foreign_view
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.kept import BUCKET_PARAMETER
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.table_ddl import define_tables
from airflow_quilt_athena.core.quilt.views import define_views
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.glue import delete_table
from airflow_quilt_athena.flows.quilt.bucket_views import GlueTables, RawTable, observe_tables

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

    Views go before the tables that they read, and with them the tables that keep the bucket's rows. What has
    one of their names and is something else is refused, before anything is dropped.

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
        for view in define_views(names, request.database, source):
            if view.name in found:
                refuse_foreign_view(view, found[view.name])
            views.append(_step("view", request.database, view.name, there=view.name in found))
        for definition in define_tables(names):
            if definition.name in found:
                refuse_foreign_table(definition, found[definition.name])
            tables.append(_step("table", request.database, definition.name, there=definition.name in found))
        tables += [
            _step_of_kept(bucket, request.database, name, found[name])
            for name in names.kept_tables
            if name in found
        ]
    return Plan((*views, *tables))


def _step_of_kept(bucket: str, database: str, name: str, raw: RawTable) -> Step:
    made_for = (raw.get("Parameters") or {}).get(BUCKET_PARAMETER)
    if made_for == bucket:
        return Step.remove("table", f"{database}.{name}")
    return Step.keep("table", f"{database}.{name}", "it was not made to keep this bucket's rows")


def _step(kind: str, database: str, name: str, *, there: bool) -> Step:
    full = f"{database}.{name}"
    return Step.remove(kind, full) if there else Step.converge(kind, full, ())
