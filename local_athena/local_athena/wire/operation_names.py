"""Which AWS operation an HTTP request is. Reads requests; does nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from local_athena.account import DEFAULT_REGION

_TARGETS = {"AmazonAthena": "athena", "AWSGlue": "glue"}
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_FORM = "application/x-www-form-urlencoded"


class CredentialScope(NamedTuple):
    """Who signed, for where and for what; empty strings when the request is anonymous."""

    access_key_id: str
    region: str
    service: str


def read_signature(headers: Mapping[str, str], query: Mapping[str, str]) -> CredentialScope:
    """Find the credential scope of a request signed in its header or, when presigned, in its query."""
    text = headers.get("authorization", "")
    if not text and "X-Amz-Credential" in query:
        text = f"Credential={query['X-Amz-Credential']}"
    match = _CREDENTIAL.search(text)
    if match:
        return CredentialScope(*match.groups())
    return CredentialScope(query.get("AWSAccessKeyId", ""), DEFAULT_REGION, "")


def read_query(query_string: str) -> dict[str, str]:
    """Parse the query string's first values. A plus sign is a plus sign, as S3 reads it."""
    parsed = parse_qs(query_string.replace("+", "%2B"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}


def name_call(
    signature: CredentialScope,
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    body: bytes,
) -> tuple[str, str]:
    """(service, operation) of a request, as policies name them."""
    target = headers.get("x-amz-target")
    if target:
        prefix, _, operation = target.partition(".")
        return _TARGETS.get(prefix.partition("_")[0], signature.service or prefix.lower()), operation
    action = query.get("Action")
    if not action and headers.get("content-type", "").startswith(_FORM) and body:
        action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
    if action and signature.service != "s3":
        return signature.service or _service_of_unsigned(action), action
    if signature.service in ("", "s3"):
        return "s3", name_s3_operation(method, path, query, headers)
    return signature.service, f"{method} {path}"


def _service_of_unsigned(action: str) -> str:
    return "sts" if action.startswith("AssumeRole") else ""


def split_s3_path(path: str) -> tuple[str, str]:
    """(bucket, key) of a path-style S3 request; both decoded."""
    bucket, _, key = path.removeprefix("/").partition("/")
    return unquote(bucket), unquote(key)


class _Route(NamedTuple):
    operation: str
    query: tuple[tuple[str, str | None], ...]  # what must be in the query string, with which value
    headers: tuple[str, ...]
    deprecated: bool

    @property
    def weight(self) -> float:
        return len(self.query) + len(self.headers) - 0.5 * self.deprecated

    def fits(self, query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        return all(
            name in query and (value is None or query[name] == value) for name, value in self.query
        ) and all(name in headers for name in self.headers)


def name_s3_operation(method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """S3's operation, by method, by depth of the path and by sub-resource."""
    bucket, _, key = path.removeprefix("/").partition("/")
    depth = 0 if not bucket else 1 if not key else 2
    for route in _s3_routes().get((method, depth), ()):
        if route.fits(query, headers):
            return route.operation
    return f"{method}{('Service', 'Bucket', 'Object')[depth]}"


@cache
def _s3_routes() -> Mapping[tuple[str, int], tuple[_Route, ...]]:
    """S3's operations by (method, depth), those that ask for most first; read from botocore's model."""
    import botocore.session

    model = botocore.session.Session().get_service_model("s3")
    routes: dict[tuple[str, int], list[_Route]] = {}
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query_string = operation.http["requestUri"].partition("?")
        depth = {"/": 0, "/{Bucket}": 1, "/{Bucket}/{Key+}": 2}.get(path)
        if depth is None:
            continue
        required = parse_qs(query_string, keep_blank_values=True)
        fixed = {name: (values[0] or None) for name, values in required.items()}
        shape = operation.input_shape
        members: Mapping[str, Any] = shape.members if shape else {}
        needed = [members[m].serialization for m in (shape.required_members if shape else ())]
        for location in needed:
            if location.get("location") == "querystring":
                fixed.setdefault(location["name"], None)
        in_headers = tuple(s["name"].lower() for s in needed if s.get("location") == "header")
        route = _Route(name, tuple(fixed.items()), in_headers, bool(operation.deprecated))
        routes.setdefault((operation.http["method"], depth), []).append(route)
    return {place: tuple(sorted(found, key=lambda r: -r.weight)) for place, found in routes.items()}


def describe_call(service: str, operation: str, bucket: str, key: str, body: bytes) -> str:
    """Tell what the call is about, in one line: for the log and for faults that pick a certain call."""
    if service == "s3":
        keys = " ".join(_deleted_keys(body)) if operation == "DeleteObjects" else key
        return f"{bucket}/{keys}" if keys else bucket
    if service in ("glue", "athena"):
        try:
            document = json.loads(body or b"{}")
        except ValueError:
            return ""
        if not isinstance(document, dict):
            return ""
        return _describe_glue(document) if service == "glue" else _describe_athena(document)
    fields = parse_qs(body.decode(errors="replace"))
    names = ("PolicyArn", "PolicyName", "RoleName", "UserName", "GroupName", "RoleArn")
    return " ".join(fields[name][0] for name in names if name in fields)


def _describe_athena(document: Mapping[str, Any]) -> str:
    for name in ("QueryString", "QueryExecutionId", "WorkGroup", "Name"):
        if isinstance(document.get(name), str):
            return str(document[name])
    return ""


def _describe_glue(document: Mapping[str, Any]) -> str:
    inner = document.get("TableInput") or document.get("DatabaseInput") or {}
    names = (
        document.get("DatabaseName"),
        document.get("TableName") or document.get("Name") or inner.get("Name"),
    )
    return " ".join([".".join(str(n) for n in names if n), *_partition_values(document)]).strip()


def _partition_values(document: Mapping[str, Any]) -> list[str]:
    found: list[Any] = [document.get("PartitionValues"), document.get("PartitionValueList")]
    found.append((document.get("PartitionInput") or {}).get("Values"))
    for name in ("PartitionInputList", "PartitionsToDelete", "PartitionsToGet", "Entries"):
        for item in document.get(name) or ():
            found.append(item.get("PartitionValueList") or item.get("Values"))
    found.append([document["Expression"]] if document.get("Expression") else None)
    seen = dict.fromkeys("/".join(str(v) for v in values) for values in found if isinstance(values, list))
    return list(seen)


def _deleted_keys(body: bytes) -> list[str]:
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return []
    return [node.text or "" for node in root.iter() if node.tag.rpartition("}")[2] == "Key"]
