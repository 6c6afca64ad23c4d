"""The first step of an insert overwrite: look at workgroup and table. Changes nothing."""

from __future__ import annotations

import logging

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.plan import Seen
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.late import COVERED_PARAMETER, Covered, LateRevisions
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import Interval
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.athena.workgroups import look_at_workgroup, refuse_managed_results
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.databases import refuse_unusable_database
from airflow_quilt_athena.flows.aws.objects import clock_of
from airflow_quilt_athena.flows.quilt.late import late_among, read_covered
from airflow_quilt_athena.flows.quilt.revisions import find_revisions, list_pointers
from airflow_quilt_athena.flows.quilt.sources import SourceKind, find_source

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
    source = _find_source(clients, interval, request.database.lower())
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
        source=source,
    )


def _find_source(clients: LakeClients, interval: Interval, database: str) -> ManifestSource:
    """Return the tables that the interval's manifests are read by. Raises InvalidCallError without any."""
    names, platform = BucketNames.of(interval.bucket), interval.source_database
    source = find_source(clients.glue, names, SourceKind.AUTO, database=database, source_database=platform)
    ours = ManifestSource.of_bucket(names, database)
    if (
        source != ours
        or catalog.observe_table(clients.glue, TableName(database, names.manifests)) is not None
    ):
        return source
    if platform is not None:
        return find_source(
            clients.glue, names, SourceKind.QUILT_TABLES, database=database, source_database=platform
        )
    raise InvalidCallError(
        f"quilt_revisions reads table {database}.{names.manifests}, and there is none. Expected what "
        f"CreateBucketViewsOperator makes for bucket {interval.bucket} in that database; or, where a Quilt "
        "platform keeps tables, its database as source_database in quilt_revisions."
    )
