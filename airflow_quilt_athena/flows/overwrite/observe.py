"""The first step of an insert overwrite: look at workgroup and table. Changes nothing."""

from __future__ import annotations

import logging

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.plan import Seen
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.athena.workgroups import look_at_workgroup, refuse_managed_results
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.databases import refuse_unusable_database
from airflow_quilt_athena.flows.aws.objects import clock_of
from airflow_quilt_athena.flows.quilt.revisions import find_revisions

log = logging.getLogger(__name__)


def look(clients: LakeClients, request: OverwriteRequest) -> Seen:
    """Return what an overwrite is planned from.

    :raises InvalidCallError: for a workgroup or a database that cannot be used.
    """
    # The first answer tells the time: nothing is dated by the worker's own clock.
    learn = clock_of(clients.s3).learn
    workgroup = look_at_workgroup(clients.athena, request.workgroup, learn)
    refuse_managed_results(workgroup, "new rows would have no place of their own")
    enforced = workgroup.enforces_location
    table = catalog.observe_table(clients.glue, request.table)
    refuse_unusable_database(clients.glue, request.table, table)
    if table is not None and table.is_governed:
        log.info(
            "Table %s is registered with Lake Formation: the caller needs SELECT, INSERT and ALTER on it, "
            "CREATE_TABLE on the database of its temporary tables, and DATA_LOCATION_ACCESS on %s.",
            table.name,
            request.generations_location or table.base,
        )
    default = None
    if table is None and request.location is None:
        default = catalog.observe_default_location(clients.glue, request.table)
    interval = request.quilt_revisions
    if interval is None:
        return Seen(table, default, enforced)
    _refuse_missing_manifests(clients, interval.bucket, request.database)
    return Seen(table, default, enforced, find_revisions(clients.s3, interval))


def _refuse_missing_manifests(clients: LakeClients, bucket: str, database: str) -> None:
    name = TableName(database.lower(), BucketNames.of(bucket).manifests)
    if catalog.observe_table(clients.glue, name) is None:
        raise InvalidCallError(
            f"quilt_revisions reads table {name}, and there is none. Expected what CreateBucketViewsOperator "
            f'makes for bucket {bucket} in that database, with source="manifests" where a Quilt platform has '
            f"tables."
        )
