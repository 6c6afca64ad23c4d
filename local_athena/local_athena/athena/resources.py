"""The resources (ARNs) that a call is about, on which its caller must be allowed to do it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local_athena.athena.execution_store import Executions
from local_athena.athena.metadata import CATALOG_NAME
from local_athena.athena.named_queries import NamedQueries
from local_athena.athena.workgroups import PRIMARY

Request = dict[str, Any]


class Resources:
    """Finds what a request is about, by the names and ids in it. Raises ApiError where there is nothing."""

    def __init__(self, arn_root: str, executions: Executions, named: NamedQueries) -> None:
        self._arn_root = arn_root
        self._executions = executions
        self._named = named

    def workgroup_arn(self, name: str) -> str:
        """Return the ARN of a workgroup, whether there is one or not."""
        return f"{self._arn_root}:workgroup/{name}"

    def workgroup(self, request: Request) -> Iterable[str]:
        """Return the workgroup that is named, or the primary one."""
        return [self.workgroup_arn(request.get("WorkGroup") or PRIMARY)]

    def query(self, request: Request) -> Iterable[str]:
        """Return the workgroup of a query."""
        return [self.workgroup_arn(self._executions.get(request["QueryExecutionId"]).submission.workgroup)]

    def queries(self, request: Request) -> Iterable[str]:
        """Return the workgroups of those queries that there are."""
        found = map(self._executions.find, request["QueryExecutionIds"])
        return {self.workgroup_arn(query.submission.workgroup) for query in found if query is not None}

    def named_query(self, request: Request) -> Iterable[str]:
        """Return the workgroup of a named query."""
        return [self.workgroup_arn(self._named.get(request["NamedQueryId"]).workgroup)]

    def named_queries(self, request: Request) -> Iterable[str]:
        """Return the workgroups of those named queries that there are."""
        found = map(self._named.find, request["NamedQueryIds"])
        return {self.workgroup_arn(query.workgroup) for query in found if query is not None}

    def catalog(self, request: Request) -> Iterable[str]:
        """Return the data catalog that is named; its own in the case Athena writes it."""
        name = request.get("CatalogName") or request["Name"]
        shown = CATALOG_NAME if name.lower() == CATALOG_NAME.lower() else name
        return [f"{self._arn_root}:datacatalog/{shown}"]


def on_everything(_: Request) -> Iterable[str]:
    """Return what stands for all resources: the call names none."""
    return ["*"]


def on_named_resource(request: Request) -> Iterable[str]:
    """Return the resource whose ARN the request brings."""
    return [request["ResourceARN"]]
