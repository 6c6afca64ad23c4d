"""What those who run our operators are granted, as statements. Least privilege; the reasons are in the Sids.

It is the policy of a runtime role. Provisioning itself (making buckets, workgroups, policies) needs more, and
is done by somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.provisioning.arns import (
    ANYTHING,
    Account,
    Pattern,
    check_key_arn,
    check_queue_arn,
    literal,
    resource_of,
)
from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.exceptions import InvalidCallError

_DATABASE = re.compile(r"[a-z0-9_-]{1,255}")
_WORKGROUP = re.compile(r"[a-zA-Z0-9._-]{1,128}")

RESULTS_PREFIX = "results/"  # where Athena's results go in their bucket

FIND_BUCKETS = "FindQuiltBuckets"  # by which the buckets of a document are told

Statement = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be used, and where."""

    account: Account
    results: S3Uri  # the folder of Athena's results
    quilt_buckets: tuple[str, ...]
    database: str
    workgroup: str
    warehouse: S3Uri | None = None  # the folder tables may be written to
    source_database: str | None = None  # a Quilt platform's database, to be read
    kms_key_arn: str | None = None  # of results and warehouse
    lake_formation: bool = False  # data registered with Lake Formation is read
    catalog_kms_key_arn: str | None = None  # of an encrypted Data Catalog
    quilt_kms_key_arns: tuple[str, ...] = ()  # of Quilt buckets
    package_registries: tuple[str, ...] = ()  # the buckets that packages are made in
    package_sources: tuple[str, ...] = ()  # the buckets whose objects those packages name
    event_queue_arns: tuple[str, ...] = ()  # of SQS, with events of packages
    watched_buckets: tuple[str, ...] = ()  # the buckets in which watchers keep what they told

    def __post_init__(self) -> None:
        for bucket in (
            self.results.bucket,
            *self.quilt_buckets,
            *self.package_registries,
            *self.package_sources,
            *self.watched_buckets,
        ):
            check_bucket_name(bucket)
        # In an ARN a * would grant more than is named, and a capital letter nothing.
        for database in (self.database, *([self.source_database] if self.source_database else [])):
            if not _DATABASE.fullmatch(database):
                raise InvalidCallError(
                    f"Not a name for a Glue database: {database!r}. Expected a-z 0-9 _ and no upper case."
                )
        if not _WORKGROUP.fullmatch(self.workgroup):
            raise InvalidCallError(
                f"Not a name for an Athena workgroup: {self.workgroup!r}. "
                "Expected up to 128 of a-z A-Z 0-9 . _ -"
            )
        if self.warehouse is not None:
            check_warehouse(self.warehouse, self.quilt_buckets)
        for key, what in (
            (self.kms_key_arn, "kms_key_arn"),
            (self.catalog_kms_key_arn, "catalog_kms_key_arn"),
            *((key, "quilt_kms_key_arns") for key in self.quilt_kms_key_arns),
        ):
            if key is not None:
                check_key_arn(key, what)
        for arn in self.event_queue_arns:
            check_queue_arn(arn, "event_queue_arns")
        if self.package_sources and not self.package_registries:
            raise InvalidCallError(
                "package_sources is given, and package_registries is not. Expected the buckets in which "
                "packages of those objects are made."
            )


def check_warehouse(warehouse: S3Uri, quilt_buckets: Sequence[str]) -> S3Uri:
    """Return the folder that tables may be written to; raise InvalidCallError when it cannot be one."""
    literal(f"{warehouse.bucket}/{warehouse.key}", "The warehouse")
    check_bucket_name(warehouse.bucket)
    quilt = S3Uri(warehouse.bucket, ".quilt/")
    if warehouse.bucket in quilt_buckets and (warehouse.contains(quilt) or quilt.contains(warehouse)):
        raise InvalidCallError(
            f"The warehouse {warehouse} holds the packages of Quilt bucket {warehouse.bucket}, which the "
            "policy would let tasks delete. Expected a folder beside .quilt/, or better a bucket of its own."
        )
    return warehouse


def allow(sid: str, actions: Sequence[str], resources: Sequence[str], **condition: Any) -> Statement:
    """Return a statement that allows these actions on these resources, under a condition by its operator."""
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


def prefixes(*keys: str) -> dict[str, dict[str, list[str]]]:
    """Return the condition that what is listed of a bucket begins with one of these."""
    return {"StringLike": {"s3:prefix": [resource_of(key, ANYTHING) for key in keys]}}


def common_statements(grant: Grant) -> tuple[Statement, ...]:
    """Return what is granted besides the Quilt buckets."""
    return (
        *_athena_statements(grant),
        *_glue_statements(grant),
        *_results_statements(grant),
        *_warehouse_statements(grant),
        *_kms_statements(grant),
        *_lake_formation_statements(grant),
    )


def _athena_statements(grant: Grant) -> tuple[Statement, ...]:
    actions = (
        "athena:BatchGetQueryExecution",
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:GetWorkGroup",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
    )
    workgroup = grant.account.arn("athena", "workgroup/", grant.workgroup)
    return (allow("RunWatchAndStopQueriesInOneWorkgroup", actions, [workgroup]),)


def _glue_statements(grant: Grant) -> tuple[Statement, ...]:
    read = ["glue:GetDatabase", "glue:GetTable"]
    lists = ["glue:GetTables", "glue:BatchGetPartition", "glue:GetPartition", "glue:GetPartitions"]
    write = ["glue:CreateTable", "glue:UpdateTable"]
    ours = _tables(grant, Pattern("*_quilt_*"))
    statements = [
        allow("ReadTheDefinitionsOfOneDatabase", [*read, *lists], _tables(grant, ANYTHING)),
        # Athena user guide, "Access to databases and tables in the AWS Glue Data Catalog", read 2026-11.
        allow(
            "AthenaItselfLooksForTheDefaultDatabase",
            ["glue:GetDatabase"],
            [grant.account.arn("glue", "catalog"), grant.account.arn("glue", "database/default")],
        ),
    ]
    if grant.source_database:
        platform = _tables(grant, ANYTHING, grant.source_database)
        statements.append(allow("ReadTheDefinitionsOfTheQuiltPlatform", read, platform))
    if grant.warehouse is None:
        statements.append(allow("CreateAndRefreshQuiltTablesAndViews", write, ours))
    else:
        write_partitions = [
            "glue:BatchCreatePartition",
            "glue:BatchDeletePartition",
            "glue:BatchUpdatePartition",
            "glue:CreatePartition",
            "glue:UpdatePartition",
        ]
        tables = _tables(grant, ANYTHING)
        statements.append(allow("CreateTablesAndRepointTheirPartitions", [*write, *write_partitions], tables))
    statements.append(allow("DropOnlyQuiltViewsAndTemporaryTables", ["glue:DeleteTable"], ours))
    return tuple(statements)


def _tables(grant: Grant, pattern: Pattern, database: str | None = None) -> list[str]:
    database = database or grant.database
    return [
        grant.account.arn("glue", "catalog"),
        grant.account.arn("glue", "database/", database),
        grant.account.arn("glue", "table/", database, "/", pattern),
    ]


def _results_statements(grant: Grant) -> tuple[Statement, ...]:
    bucket, key = grant.results.bucket, grant.results.folder.key
    objects = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    return (
        allow("FindTheResultsBucket", ["s3:GetBucketLocation"], [grant.account.s3_arn(bucket)]),
        allow("ListResults", ["s3:ListBucket"], [grant.account.s3_arn(bucket)], **prefixes(key)),
        allow("WriteAndReadResults", objects, [grant.account.s3_arn(bucket, key, ANYTHING)]),
    )


def _warehouse_statements(grant: Grant) -> tuple[Statement, ...]:
    if grant.warehouse is None:
        return ()
    bucket, key = grant.warehouse.bucket, grant.warehouse.folder.key
    objects = [
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
    ]
    # A prefix of "" is asked for when the warehouse is a whole bucket, and "*" allows it.
    return (
        allow("FindTheWarehouse", ["s3:GetBucketLocation"], [grant.account.s3_arn(bucket)]),
        allow("ListTheWarehouse", ["s3:ListBucket"], [grant.account.s3_arn(bucket)], **prefixes(key)),
        allow("WriteReadAndCleanTheWarehouse", objects, [grant.account.s3_arn(bucket, key, ANYTHING)]),
    )


def _kms_statements(grant: Grant) -> tuple[Statement, ...]:
    use = ["kms:Decrypt", "kms:GenerateDataKey"]
    statements = []
    if grant.kms_key_arn is not None:
        key = [resource_of(grant.kms_key_arn)]
        statements.append(allow("EncryptAndDecryptResultsAndTables", use, key))
    if grant.catalog_kms_key_arn is not None:
        # AWS Glue developer guide, "Encrypting your Data Catalog", read 2026-11.
        key = [resource_of(grant.catalog_kms_key_arn)]
        statements.append(allow("ReadAndWriteTheEncryptedDataCatalog", [*use, "kms:Encrypt"], key))
    if grant.quilt_kms_key_arns:
        keys = [resource_of(key) for key in sorted(set(grant.quilt_kms_key_arns))]
        statements.append(allow("DecryptQuiltBuckets", ["kms:Decrypt"], keys))
    return tuple(statements)


def _lake_formation_statements(grant: Grant) -> tuple[Statement, ...]:
    if not grant.lake_formation:
        return ()
    # It knows no resource: what may be read is said by Lake Formation's own grants.
    action = ["lakeformation:GetDataAccess"]
    return (allow("ReadWhatLakeFormationGrants", action, [ANYTHING]),)


def bucket_statements(account: Account, buckets: Sequence[str]) -> tuple[Statement, ...]:
    """Return what is granted on Quilt buckets: their manifests and pointers."""
    if not buckets:
        return ()
    folders = (manifests_location, packages_location)
    objects = [account.s3_arn(bucket, at(bucket).key, ANYTHING) for bucket in buckets for at in folders]
    roots = [account.s3_arn(bucket) for bucket in buckets]
    # Whether there is a registry of the other version, which the views do not read.
    listed = prefixes(*(at(buckets[0]).key for at in folders), ".quilt/v2/")
    return (
        allow(FIND_BUCKETS, ["s3:GetBucketLocation"], roots),
        allow("ListManifestsAndPointers", ["s3:ListBucket"], roots, **listed),
        allow("ReadManifestsAndPointersNotTheirObjects", ["s3:GetObject"], objects),
    )
