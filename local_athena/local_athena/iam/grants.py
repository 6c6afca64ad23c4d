"""Which permissions a call asks for: actions, resources, condition keys. Pure.

From the service authorization reference for S3, Glue, IAM, STS and SQS (read 2026-11). Athena's own calls are
authorized by the Athena API itself, which knows their workgroups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from local_athena.account import partition_of
from local_athena.wire.messages import Request


@dataclass(frozen=True, slots=True)
class Need:
    """One permission: an action on a resource, with the request's own condition keys (lower case)."""

    action: str
    resource: str
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def needs_of(request: Request) -> tuple[Need, ...]:
    """All permissions a call asks for. DeleteObjects is judged key by key, by ``delete_needs``."""
    if request.service == "s3":
        return tuple(_s3_needs(request))
    if request.service == "glue":
        return tuple(Need(request.name, r) for r in _glue_resources(request))
    if request.service in ("iam", "sts"):
        return (_query_need(request),)
    if request.service == "sqs":
        return (_queue_need(request),)
    return (Need(request.name, "*"),)


# ---------------------------------------------------------------------------------------------- S3

_S3_ACTIONS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketReplication": "PutReplicationConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
_VERSIONED_ACTIONS = {
    "GetObject": "GetObjectVersion",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectAcl": "GetObjectVersionAcl",
    "GetObjectTagging": "GetObjectVersionTagging",
    "GetObjectAttributes": "GetObjectVersionAttributes",
    "PutObjectTagging": "PutObjectVersionTagging",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
}


def s3_resource(bucket: str, key: str = "") -> str:
    """Name a bucket or an object by its ARN."""
    if not bucket:
        return "*"
    return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"


def list_need(bucket: str, prefix: str) -> Need:
    """Permission to list below a prefix."""
    return Need("s3:ListBucket", s3_resource(bucket), {"s3:prefix": (prefix,)})


def _s3_needs(request: Request) -> Iterator[Need]:
    if request.operation == "DeleteObjects":
        return
    context = _s3_context(request)
    resource = s3_resource(request.bucket, request.key)
    action = _S3_ACTIONS.get(request.operation, request.operation)
    if "versionId" in request.query:
        action = _VERSIONED_ACTIONS.get(action, action)
    yield Need(f"s3:{action}", resource, context)
    if request.operation == "GetObjectAttributes":
        yield Need("s3:GetObject", resource, context)
    if request.headers.get("if-match", "*") != "*" and action in ("PutObject", "DeleteObject"):
        yield Need("s3:GetObject", resource, context)  # to learn of an ETag is to read
    if request.operation in ("CopyObject", "UploadPartCopy"):
        yield _copy_source_need(request)
    if "x-amz-tagging" in request.headers:
        yield Need("s3:PutObjectTagging", resource, context)
    if "x-amz-acl" in request.headers and request.key:
        yield Need("s3:PutObjectAcl", resource, context)


def _s3_context(request: Request) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {}
    for name in ("prefix", "delimiter", "max-keys", "versionId"):
        if name in request.query:
            context[f"s3:{name.lower()}"] = (request.query[name],)
    if request.operation in ("ListObjects", "ListObjectsV2", "ListObjectVersions"):
        context.setdefault("s3:prefix", ("",))
    for name in ("if-match", "if-none-match"):
        if name in request.headers:
            context[f"s3:{name}"] = (request.headers[name],)
    for name, value in request.headers.items():
        if name.startswith("x-amz-") and not name.startswith("x-amz-meta-"):
            context[f"s3:{name}"] = (value,)
    return context


def _copy_source_need(request: Request) -> Need:
    source, _, query = request.headers.get("x-amz-copy-source", "").partition("?versionId=")
    bucket, _, key = unquote(source).removeprefix("/").partition("/")
    action = "GetObjectVersion" if query else "GetObject"
    return Need(f"s3:{action}", s3_resource(bucket, key))


def delete_needs(bucket: str, objects: list[tuple[str, str | None]]) -> list[Need]:
    """One permission for each (key, version id) of a DeleteObjects call, in its order."""
    return [
        Need(f"s3:{'DeleteObjectVersion' if version else 'DeleteObject'}", s3_resource(bucket, key))
        for key, version in objects
    ]


# -------------------------------------------------------------------------------------------- Glue

_CATALOG_CALLS = (
    "Database",
    "Table",
    "Partition",
    "UserDefinedFunction",
    "ColumnStatistics",
)


def _glue_resources(request: Request) -> Iterator[str]:
    """Name the catalog, and every resource down to the one asked for.

    "All operations performed on a Data Catalog resource require permission on the resource and all the
    ancestors of that resource" (Glue developer guide, "Specifying resource ARNs", read 2026-11).
    """
    if not any(word in request.operation for word in _CATALOG_CALLS):
        yield "*"
        return
    document = request.json()
    region = request.caller.region
    base = (
        f"arn:{partition_of(region)}:glue:{region}:{document.get('CatalogId') or request.caller.account_id}"
    )
    yield f"{base}:catalog"
    database = _glue_database(request.operation, document)
    if not database:
        return
    yield f"{base}:database/{database}"
    for table in _glue_tables(request.operation, document):
        yield f"{base}:table/{database}/{table}"
    if request.operation == "DeleteDatabase":  # deleting asks for permission on all that is below
        yield f"{base}:userDefinedFunction/{database}/*"


def _glue_database(operation: str, document: Mapping[str, Any]) -> str:
    if operation.endswith("Database"):
        name = document.get("Name") or (document.get("DatabaseInput") or {}).get("Name")
    else:
        name = document.get("DatabaseName")
    return str(name or "").lower()


def _glue_tables(operation: str, document: Mapping[str, Any]) -> list[str]:
    if operation in ("GetTables", "DeleteDatabase"):
        return ["*"]
    if operation == "BatchDeleteTable":
        return [str(name).lower() for name in document.get("TablesToDelete") or ()]
    if operation.endswith("Database"):
        return []
    inner = document.get("TableInput") or {}
    name = document.get("TableName") or document.get("Name") or inner.get("Name")
    return [str(name).lower()] if name else []


# ------------------------------------------------------------------------------------- IAM and STS


def _query_need(request: Request) -> Need:
    fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    context = {"iam:policyarn": (fields["PolicyArn"],)} if "PolicyArn" in fields else {}
    if "ExternalId" in fields:
        context["sts:externalid"] = (fields["ExternalId"],)
    account = request.caller.account_id
    about = {
        "RoleArn": fields.get("RoleArn", ""),
        "RoleName": f"arn:aws:iam::{account}:role/{fields.get('RoleName')}",
        "GroupName": f"arn:aws:iam::{account}:group/{fields.get('GroupName')}",
        "UserName": f"arn:aws:iam::{account}:user/{fields.get('UserName')}",
        "PolicyArn": fields.get("PolicyArn", ""),
    }
    if request.operation in ("CreatePolicy", "GetPolicy") and "PolicyName" in fields:
        path = fields.get("Path", "/")
        return Need(request.name, f"arn:aws:iam::{account}:policy{path}{fields['PolicyName']}", context)
    resource = next((arn for name, arn in about.items() if name in fields), "*")
    return Need(request.name, resource, context)


# --------------------------------------------------------------------------------------------- SQS


def _queue_need(request: Request) -> Need:
    """Judge a batch as what it is a batch of; a queue's name is the end of its URL."""
    name = str(request.json().get("QueueUrl") or request.json().get("QueueName") or "").rpartition("/")[2]
    region, account = request.caller.region, request.caller.account_id
    resource = f"arn:{partition_of(region)}:sqs:{region}:{account}:{name}" if name else "*"
    return Need(request.name.removesuffix("Batch"), resource)
