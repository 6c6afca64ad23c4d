"""The first step of an insert overwrite: look at workgroup and table. Changes nothing."""

from __future__ import annotations

import logging

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.plan import Seen
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.late import COVERED_PARAMETER, Covered, LateRevisions
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import AthenaClient, LakeClients
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.quilt.late import late_among, read_covered
from airflow_quilt_athena.flows.quilt.revisions import find_revisions, list_pointers

log = logging.getLogger(__name__)


def look(clients: LakeClients, request: OverwriteRequest) -> Seen:
    """Return what an overwrite is planned from. Raises InvalidCallError for a workgroup that is disabled."""
    enforced = _is_enforced(clients.athena, request.workgroup)
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
    seen = list_pointers(clients.s3, interval.bucket)
    covered = Covered.of(interval, request.partition, seen.looked_at, seen.pointers)
    late: tuple[LateRevisions, ...] = ()
    if table is not None:
        # What this run itself is about to write is written from what there is now.
        others = (one for one in read_covered(clients.glue, table) if one.asked != covered.asked)
        late = late_among(others, interval.bucket, seen.pointers)
    return Seen(
        table,
        default,
        enforced,
        find_revisions(clients.s3, interval, seen),
        late=late,
        notes={COVERED_PARAMETER: covered.render()},
    )


def _refuse_missing_manifests(clients: LakeClients, bucket: str, database: str) -> None:
    name = TableName(database.lower(), BucketNames.of(bucket).manifests)
    if catalog.observe_table(clients.glue, name) is None:
        raise InvalidCallError(
            f"quilt_revisions reads table {name}, and there is none. Expected what CreateBucketViewsOperator "
            f'makes for bucket {bucket} in that database, with source="manifests" where a Quilt platform has '
            f"tables."
        )


def _is_enforced(athena: AthenaClient, workgroup: str) -> bool:
    response = ask(lambda: athena.get_work_group(WorkGroup=workgroup), f"read Athena workgroup {workgroup}")
    described = response["WorkGroup"]
    if described.get("State") == "DISABLED":
        raise InvalidCallError(f"Athena workgroup {workgroup} is disabled.")
    return bool((described.get("Configuration") or {}).get("EnforceWorkGroupConfiguration"))
