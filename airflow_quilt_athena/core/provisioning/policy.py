"""The IAM policy of those who run our operators, as documents. Least privilege; the reasons are in the Sids.

It is the policy of a runtime role. Provisioning itself (making buckets, workgroups, policies) needs more, and
is done by somebody else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.exceptions import InvalidCallError

# IAM user guide, "IAM and AWS STS quotas", read 2026-11. White space does not count.
MAX_DOCUMENT_CHARACTERS = 6144

_ACCOUNT_ID = re.compile(r"\d{12}", re.ASCII)
_DATABASE = re.compile(r"[a-z0-9_-]{1,255}")
_WORKGROUP = re.compile(r"[a-zA-Z0-9._-]{1,128}")
_WILD = re.compile(r"[*?$]")
_POLICY_NAME = re.compile(r"[\w+=,.@-]{1,120}", re.ASCII)  # 128, less the room for a number

RESULTS_PREFIX = "results/"  # where Athena's results go in their bucket

Statement = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """Where resources live: the parts their ARNs share."""

    partition: str  # aws, aws-cn or aws-us-gov
    region: str
    account_id: str

    def __post_init__(self) -> None:
        if not _ACCOUNT_ID.fullmatch(self.account_id):
            raise InvalidCallError(f"Not an AWS account: {self.account_id!r}. Expected 12 digits.")

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def s3_arn(self, bucket: str, key_pattern: str | None = None) -> str:
        """Return the ARN of a bucket, or of the objects whose keys fit the pattern."""
        return f"arn:{self.partition}:s3:::{bucket}" + ("" if key_pattern is None else f"/{key_pattern}")

    def policy_arn(self, name: str) -> str:
        """Return the ARN of a managed policy of this account."""
        return f"arn:{self.partition}:iam::{self.account_id}:policy/{name}"


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

    def __post_init__(self) -> None:
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
        if self.warehouse is not None and _WILD.search(self.warehouse.key):
            raise InvalidCallError(f"The warehouse {self.warehouse} holds a wildcard of IAM: one of * ? $")


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """One managed policy."""

    name: str
    statements: tuple[Statement, ...]

    @property
    def document(self) -> dict[str, Any]:
        """The document as IAM takes it."""
        return {"Version": "2012-10-17", "Statement": list(self.statements)}


def build_policies(name: str, grant: Grant) -> tuple[PolicyDocument, ...]:
    """Return the documents that hold the grant: ``name``, and ``name-2``, … for buckets that do not fit.

    Buckets are sorted, so that the order they are named in does not change a document.
    """
    if not _POLICY_NAME.fullmatch(name):
        raise InvalidCallError(
            f"Not a policy name: {name!r}. Expected up to 120 letters, digits and characters of _+=,.@-"
        )
    common = _common_statements(grant)
    contents: list[tuple[Statement, ...]] = []
    waiting = tuple(sorted(set(grant.quilt_buckets)))
    while waiting or not contents:
        head = () if contents else common
        taken = _how_many_fit(grant.account, head, waiting)
        if not taken and (waiting or count_characters(head) > MAX_DOCUMENT_CHARACTERS):
            raise InvalidCallError(
                f"The policy {name} does not fit {MAX_DOCUMENT_CHARACTERS} characters even without buckets. "
                "Shorten the names of the database, the workgroup and the warehouse."
            )
        contents.append((*head, *_bucket_statements(grant.account, waiting[:taken])))
        waiting = waiting[taken:]
    return tuple(
        PolicyDocument(policy_name(name, number), statements)
        for number, statements in enumerate(contents, start=1)
    )


def policy_name(name: str, number: int) -> str:
    """Return the name of the first, second, … policy."""
    return name if number == 1 else f"{name}-{number}"


def count_characters(statements: Sequence[Statement]) -> int:
    """Return how many characters IAM counts in a document of these statements."""
    text = json.dumps(PolicyDocument("", tuple(statements)).document)
    return len(re.sub(r"\s", "", text))


def _how_many_fit(account: Account, head: tuple[Statement, ...], buckets: tuple[str, ...]) -> int:
    for number in range(len(buckets), -1, -1):
        statements = (*head, *_bucket_statements(account, buckets[:number]))
        if count_characters(statements) <= MAX_DOCUMENT_CHARACTERS:
            return number
    return 0


def _allow(sid: str, actions: Sequence[str], resources: Sequence[str], **condition: Any) -> Statement:
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**statement, "Condition": condition} if condition else statement


def _prefixes(*keys: str) -> dict[str, dict[str, list[str]]]:
    return {"StringLike": {"s3:prefix": [f"{key}*" for key in keys]}}


def _common_statements(grant: Grant) -> tuple[Statement, ...]:
    return (
        *_athena_statements(grant),
        *_glue_statements(grant),
        *_results_statements(grant),
        *_warehouse_statements(grant),
        *_kms_statements(grant),
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
    workgroup = grant.account.arn("athena", f"workgroup/{grant.workgroup}")
    return (_allow("RunWatchAndStopQueriesInOneWorkgroup", actions, [workgroup]),)


def _glue_statements(grant: Grant) -> tuple[Statement, ...]:
    read = ["glue:GetDatabase", "glue:GetTable"]
    lists = ["glue:GetTables", "glue:BatchGetPartition", "glue:GetPartition", "glue:GetPartitions"]
    write = ["glue:CreateTable", "glue:UpdateTable"]
    ours = _tables(grant, "*_quilt_*")
    statements = [
        _allow("ReadTheDefinitionsOfOneDatabase", [*read, *lists], _tables(grant, "*")),
        # Athena user guide, "Access to databases and tables in the AWS Glue Data Catalog", read 2026-11.
        _allow(
            "AthenaItselfLooksForTheDefaultDatabase",
            ["glue:GetDatabase"],
            [grant.account.arn("glue", "catalog"), grant.account.arn("glue", "database/default")],
        ),
    ]
    if grant.source_database:
        platform = _tables(grant, "*", grant.source_database)
        statements.append(_allow("ReadTheDefinitionsOfTheQuiltPlatform", read, platform))
    if grant.warehouse is None:
        statements.append(_allow("CreateAndRefreshQuiltTablesAndViews", write, ours))
    else:
        write_partitions = [
            "glue:BatchCreatePartition",
            "glue:BatchDeletePartition",
            "glue:BatchUpdatePartition",
            "glue:CreatePartition",
            "glue:UpdatePartition",
        ]
        statements.append(
            _allow("CreateTablesAndRepointTheirPartitions", [*write, *write_partitions], _tables(grant, "*"))
        )
    statements.append(_allow("DropOnlyQuiltViewsAndTemporaryTables", ["glue:DeleteTable"], ours))
    return tuple(statements)


def _tables(grant: Grant, pattern: str, database: str | None = None) -> list[str]:
    database = database or grant.database
    resources = ("catalog", f"database/{database}", f"table/{database}/{pattern}")
    return [grant.account.arn("glue", resource) for resource in resources]


def _results_statements(grant: Grant) -> tuple[Statement, ...]:
    bucket, key = grant.results.bucket, grant.results.folder.key
    objects = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
    return (
        _allow("FindTheResultsBucket", ["s3:GetBucketLocation"], [grant.account.s3_arn(bucket)]),
        _allow("ListResults", ["s3:ListBucket"], [grant.account.s3_arn(bucket)], **_prefixes(key)),
        _allow("WriteAndReadResults", objects, [grant.account.s3_arn(bucket, f"{key}*")]),
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
        _allow("FindTheWarehouse", ["s3:GetBucketLocation"], [grant.account.s3_arn(bucket)]),
        _allow("ListTheWarehouse", ["s3:ListBucket"], [grant.account.s3_arn(bucket)], **_prefixes(key)),
        _allow("WriteReadAndCleanTheWarehouse", objects, [grant.account.s3_arn(bucket, f"{key}*")]),
    )


def _kms_statements(grant: Grant) -> tuple[Statement, ...]:
    if grant.kms_key_arn is None:
        return ()
    actions = ["kms:Decrypt", "kms:GenerateDataKey"]
    return (_allow("EncryptAndDecryptResultsAndTables", actions, [grant.kms_key_arn]),)


def _bucket_statements(account: Account, buckets: Sequence[str]) -> tuple[Statement, ...]:
    if not buckets:
        return ()
    folders = (manifests_location, packages_location)
    objects = [account.s3_arn(bucket, f"{at(bucket).key}*") for bucket in buckets for at in folders]
    roots = [account.s3_arn(bucket) for bucket in buckets]
    # Whether there is a registry of the other version, which the views do not read.
    prefixes = _prefixes(*(at(buckets[0]).key for at in folders), ".quilt/v2/")
    return (
        _allow("FindQuiltBuckets", ["s3:GetBucketLocation"], roots),
        _allow("ListManifestsAndPointers", ["s3:ListBucket"], roots, **prefixes),
        _allow("ReadManifestsAndPointersNotTheirObjects", ["s3:GetObject"], objects),
    )
