"""Which tables a bucket's views are built on: our own, or those a Quilt platform keeps."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.platform_tables import losses_of
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.glue import observe_table

log = logging.getLogger(__name__)

# The columns a view needs, beside the pointers' hash.
_MANIFEST_COLUMNS = frozenset(
    {"logical_key", "physical_keys", "size", "hash", "meta", "user_meta", "message", "version"}
)
_HASH_COLUMNS = ("top_hash", "hash")


class SourceKind(Enum):
    """What views are built on."""

    AUTO = "auto"  # a platform's tables where there are any that lose nothing, else our own
    MANIFESTS = "manifests"  # our own tables over the manifests
    QUILT_TABLES = "quilt_tables"  # the tables a Quilt platform makes for itself
    ICEBERG = "iceberg"  # what a Quilt platform from 1.70 keeps beside them


def parse_source(source: str, source_database: str | None) -> SourceKind:
    """Read what the caller asks for; refuse what cannot be given."""
    try:
        kind = SourceKind(source)
    except ValueError as error:
        known = ", ".join(kind.value for kind in SourceKind)
        raise InvalidCallError(f"source is {source!r}. Expected one of {known}.") from error
    if kind is SourceKind.ICEBERG:
        raise InvalidCallError(
            "source='iceberg' is not supported yet: views on a Quilt platform's Iceberg tables. "
            "Use 'auto' or 'manifests', which read the manifests themselves."
        )
    if kind is SourceKind.QUILT_TABLES and not source_database:
        raise InvalidCallError(
            "source='quilt_tables' needs source_database, the platform's database "
            "(its stack's output UserAthenaDatabaseName)."
        )
    return kind


def find_source(
    glue: GlueClient, names: BucketNames, kind: SourceKind, *, database: str, source_database: str | None
) -> ManifestSource:
    """Return the tables to build the bucket's views on."""
    ours = ManifestSource.of_bucket(names, database)
    if kind is SourceKind.MANIFESTS or not source_database:
        return ours
    platform = _find_platform_tables(glue, names.bucket, source_database)
    if platform is not None and kind is SourceKind.AUTO and platform.losses:
        log.warning(
            "Bucket %s is read by tables of our own, because those in database %s lose some of it: %s. With "
            "source='quilt_tables' they are used all the same.",
            names.bucket,
            source_database,
            "; ".join(platform.losses),
        )
        return ours
    if platform is not None:
        for loss in platform.losses:
            log.warning("Table %s.%s loses: %s.", platform.database, platform.manifests, loss)
        return platform
    if kind is SourceKind.QUILT_TABLES:
        manifests, packages = _platform_names(names.bucket, source_database)
        raise InvalidCallError(
            f"No Quilt platform tables for bucket {names.bucket}: expected {manifests} and {packages} over "
            "its .quilt folder. Name the platform's database as source_database, or use source='auto'."
        )
    if observe_table(glue, TableName(source_database.lower(), f"{names.bucket.lower()}_package_entry")):
        log.info(
            "Database %s holds Iceberg tables for bucket %s, which are not supported yet; its views are "
            "built on the manifests.",
            source_database,
            names.bucket,
        )
    return ours


def _platform_names(bucket: str, source_database: str) -> tuple[TableName, TableName]:
    database, stem = source_database.lower(), bucket.lower()
    return TableName(database, f"{stem}_manifests"), TableName(database, f"{stem}_packages")


def _find_platform_tables(glue: GlueClient, bucket: str, source_database: str) -> ManifestSource | None:
    names = _platform_names(bucket, source_database)
    manifests, packages = (observe_table(glue, name) for name in names)
    if manifests is None or packages is None:
        return None
    columns = _columns(manifests)
    hash_column = next((name for name in _HASH_COLUMNS if name in _columns(packages)), None)
    fitting = (
        hash_column is not None
        and _MANIFEST_COLUMNS.issubset(columns)
        and _lies_at(manifests, manifests_location(bucket))
        and _lies_at(packages, packages_location(bucket))
    )
    if not fitting or hash_column is None:
        log.warning("Tables %s and %s are not over s3://%s/.quilt as expected: not used.", *names, bucket)
        return None
    return ManifestSource(
        names[0].database,
        names[0].table,
        names[1].table,
        hash_column,
        has_workflow="workflow" in columns,
        losses=losses_of(manifests),
    )


def _columns(table: Table) -> Mapping[str, Any]:
    return dict(table.columns)


def _lies_at(table: Table, location: S3Uri) -> bool:
    return table.location is not None and table.location.folder == location
