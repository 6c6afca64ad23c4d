"""The first step of an insert overwrite: look at workgroup and table. Changes nothing."""

from __future__ import annotations

import logging

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.plan import Seen
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.objects import clock_of
from airflow_quilt_athena.flows.quilt.revisions import find_revisions

log = logging.getLogger(__name__)


def look(clients: LakeClients, request: OverwriteRequest) -> Seen:
    """Return what an overwrite is planned from. Raises InvalidCallError for a workgroup that is disabled."""
    enforced = _is_enforced(clients, request.workgroup)
    table = catalog.observe_table(clients.glue, request.table)
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


def _is_enforced(clients: LakeClients, workgroup: str) -> bool:
    response = ask(
        lambda: clients.athena.get_work_group(WorkGroup=workgroup), f"read Athena workgroup {workgroup}"
    )
    clock_of(clients.s3).learn(response)  # the first answer: nothing is dated by the worker's own clock
    described = response["WorkGroup"]
    if described.get("State") == "DISABLED":
        raise InvalidCallError(f"Athena workgroup {workgroup} is disabled.")
    return bool((described.get("Configuration") or {}).get("EnforceWorkGroupConfiguration"))
