"""The Athena API: which operation does what, on which resource its caller must be allowed to do it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from local_athena.athena import metadata
from local_athena.athena.execution_store import Executions
from local_athena.athena.executions import Execution, Identity, runtime_statistics
from local_athena.athena.named_queries import NamedQueries
from local_athena.athena.prepared import PreparedStatements
from local_athena.athena.query_faults import QueryKnobs
from local_athena.athena.query_runs import QueryRuns, WriteRefusal
from local_athena.athena.request_shapes import check_request, is_athena_operation
from local_athena.athena.resources import Resources, on_everything, on_named_resource
from local_athena.athena.result_pages import ResultPages
from local_athena.athena.submissions import StatementRunner, plan_submission
from local_athena.athena.tags import Tags
from local_athena.athena.workgroups import PRIMARY, WorkGroup, WorkGroups
from local_athena.data.session import Clients
from local_athena.errors import ApiError

# More would only slow each other down on the machines this is for; the rest waits QUEUED as on Athena.
MAX_RUNNING_QUERIES = 16
# How long StopQueryExecution waits for the engine to let go before it gives a read-only query up.
STOP_GRACE_SECONDS = 1.0

Request = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    """What answers a call, and the resources (ARNs) the caller must be allowed to use it on."""

    run: Callable[[Request, Any], Answer | None]  # None: an empty answer
    resources: Callable[[Request], Iterable[str]]


class AthenaApi:
    """Athena's API without HTTP. Safe under concurrent calls.

    :param statements: classifies and runs SQL.
    :param clients_for: gives AWS as a caller may use it.
    :param authorize: raises ApiError when a caller may not do an action on a resource.
    :param knobs: latency and faults of queries, for tests.
    :param write_refusal: tells, before a query runs, why its results may not be written.
    :param max_running: queries that run at a time.
    """

    def __init__(
        self,
        statements: StatementRunner,
        clients_for: Callable[[Any], Clients],
        authorize: Callable[[Any, str, str], None],
        *,
        knobs: QueryKnobs | None = None,
        write_refusal: WriteRefusal | None = None,
        account_id: str = "123456789012",
        region: str = "us-east-1",
        partition: str = "aws",
        max_running: int = MAX_RUNNING_QUERIES,
    ) -> None:
        self._statements = statements
        self._clients_for = clients_for
        self._authorize = authorize
        arn_root = f"arn:{partition}:athena:{region}:{account_id}"
        self._workgroups = WorkGroups()
        self._tags = Tags(arn_root, self._workgroups)
        self._executions = Executions()
        self._prepared = PreparedStatements()
        self._named = NamedQueries()
        self._on = Resources(arn_root, self._executions, self._named)
        self._results = ResultPages(clients_for)
        self._runs = QueryRuns(
            statements,
            clients_for,
            self._executions,
            self._prepared,
            knobs=knobs,
            write_refusal=write_refusal,
            max_running=max_running,
        )
        self._operations = (
            self._workgroup_operations()
            | self._query_operations()
            | self._prepared_operations()
            | self._named_query_operations()
            | self._metadata_operations()
        )

    def handle(self, operation: str, request: Request, caller: Identity) -> Answer:
        """Answer one call. Timestamps are seconds since 1970. Raises ApiError for what Athena refuses."""
        known = self._operations.get(operation)
        if known is None:
            athena = "The local Athena does not offer" if is_athena_operation(operation) else "There is no"
            raise ApiError("UnknownOperationException", f"{athena} {operation}.")
        check_request(operation, request)
        for resource in known.resources(request):
            self._authorize(caller, f"athena:{operation}", resource)
        return known.run(request, caller) or {}

    def warm_up(self) -> None:
        """Load what the first call would otherwise wait for."""
        check_request("StartQueryExecution", {"QueryString": "SELECT 1"})

    def close(self) -> None:
        """Stop all queries."""
        self._runs.close()

    # --- workgroups ---------------------------------------------------------------------------------------

    def _workgroup_operations(self) -> dict[str, _Operation]:
        groups, on_group = self._workgroups, self._on.workgroup
        return {
            "CreateWorkGroup": _Operation(
                lambda request, _: groups.create(request),
                lambda request: [self._on.workgroup_arn(request["Name"])],
            ),
            "GetWorkGroup": _Operation(
                lambda request, _: {"WorkGroup": groups.get(request["WorkGroup"]).describe()}, on_group
            ),
            "UpdateWorkGroup": _Operation(lambda request, _: groups.update(request), on_group),
            "DeleteWorkGroup": _Operation(lambda request, _: self._delete_workgroup(request), on_group),
            "ListWorkGroups": _Operation(lambda request, _: groups.page(request), on_everything),
            "TagResource": _Operation(lambda request, _: self._tags.add(request), on_named_resource),
            "UntagResource": _Operation(lambda request, _: self._tags.remove(request), on_named_resource),
            "ListTagsForResource": _Operation(lambda request, _: self._tags.page(request), on_named_resource),
            "ListEngineVersions": _Operation(lambda _, __: metadata.list_engine_versions(), on_everything),
        }

    def _delete_workgroup(self, request: Request) -> Answer:
        name = self._group(request).name
        queries = self._executions.of_workgroup(name)
        full = queries or self._prepared.count(name) or self._named.of_workgroup(name)
        if full and name != PRIMARY and not request.get("RecursiveDeleteOption"):
            raise ApiError("InvalidRequestException", f"WorkGroup {name} is not empty")
        self._workgroups.delete(name)
        for query in queries:
            query.stop(grace_seconds=0)
        self._executions.forget_workgroup(name)
        self._prepared.forget_workgroup(name)
        self._named.forget_workgroup(name)
        return {}

    # --- queries ------------------------------------------------------------------------------------------

    def _query_operations(self) -> dict[str, _Operation]:
        return {
            "StartQueryExecution": _Operation(self._start, self._on.workgroup),
            "GetQueryExecution": _Operation(
                lambda request, _: {"QueryExecution": self._query(request).describe()}, self._on.query
            ),
            "BatchGetQueryExecution": _Operation(
                lambda request, _: self._batch_get_queries(request), self._on.queries
            ),
            "StopQueryExecution": _Operation(
                lambda request, _: self._query(request).stop(STOP_GRACE_SECONDS), self._on.query
            ),
            "ListQueryExecutions": _Operation(
                lambda request, _: self._executions.page(request, self._group(request).name),
                self._on.workgroup,
            ),
            "GetQueryResults": _Operation(
                lambda request, caller: self._results.get(self._query(request), request, caller),
                self._on.query,
            ),
            "GetQueryRuntimeStatistics": _Operation(
                lambda request, _: {"QueryRuntimeStatistics": runtime_statistics(self._query(request))},
                self._on.query,
            ),
        }

    def _start(self, request: Request, caller: Identity) -> Answer:
        token = request.get("ClientRequestToken")
        if token is None:
            raise ApiError("InvalidRequestException", "clientRequestToken is null or empty")
        known = self._executions.find_by_token(token, request)
        if known is not None:
            return {"QueryExecutionId": known}
        submission = plan_submission(
            request,
            workgroup=self._group(request),
            prepared=self._prepared,
            statements=self._statements,
            caller=caller,
        )
        execution, is_new = self._executions.add(submission, token, request)
        if is_new:
            self._runs.submit(execution)
        return {"QueryExecutionId": execution.id}

    def _batch_get_queries(self, request: Request) -> Answer:
        asked = request["QueryExecutionIds"]
        found = {query.id: query for query in map(self._executions.find, asked) if query is not None}
        return {
            "QueryExecutions": [query.describe() for query in found.values()],
            "UnprocessedQueryExecutionIds": [
                {
                    "QueryExecutionId": query_execution_id,
                    "ErrorCode": "INVALID_INPUT",
                    "ErrorMessage": f"QueryExecution {query_execution_id} was not found",
                }
                for query_execution_id in dict.fromkeys(asked)
                if query_execution_id not in found
            ],
        }

    # --- prepared statements ------------------------------------------------------------------------------

    def _prepared_operations(self) -> dict[str, _Operation]:
        kept, on_group = self._prepared, self._on.workgroup
        return {
            "CreatePreparedStatement": _Operation(
                lambda request, _: kept.create(*self._statement_of(request)), on_group
            ),
            "UpdatePreparedStatement": _Operation(
                lambda request, _: kept.replace(*self._statement_of(request)), on_group
            ),
            "GetPreparedStatement": _Operation(
                lambda request, _: {
                    "PreparedStatement": kept.get(
                        self._group(request).name, request["StatementName"]
                    ).describe()
                },
                on_group,
            ),
            "BatchGetPreparedStatement": _Operation(
                lambda request, _: kept.batch(self._group(request).name, request["PreparedStatementNames"]),
                on_group,
            ),
            "ListPreparedStatements": _Operation(
                lambda request, _: kept.page(request, self._group(request).name), on_group
            ),
            "DeletePreparedStatement": _Operation(
                lambda request, _: kept.delete(self._group(request).name, request["StatementName"]),
                on_group,
            ),
        }

    def _statement_of(self, request: Request) -> tuple[str, str, str, str | None]:
        return (
            self._group(request).name,
            request["StatementName"],
            request["QueryStatement"],
            request.get("Description"),
        )

    # --- named queries ------------------------------------------------------------------------------------

    def _named_query_operations(self) -> dict[str, _Operation]:
        kept, on_query = self._named, self._on.named_query
        return {
            "CreateNamedQuery": _Operation(
                lambda request, _: {"NamedQueryId": kept.create(request, self._group(request).name)},
                self._on.workgroup,
            ),
            "GetNamedQuery": _Operation(
                lambda request, _: {"NamedQuery": kept.get(request["NamedQueryId"]).describe()}, on_query
            ),
            "BatchGetNamedQuery": _Operation(
                lambda request, _: kept.batch(request["NamedQueryIds"]), self._on.named_queries
            ),
            "ListNamedQueries": _Operation(
                lambda request, _: kept.page(request, self._group(request).name), self._on.workgroup
            ),
            "UpdateNamedQuery": _Operation(lambda request, _: kept.update(request), on_query),
            "DeleteNamedQuery": _Operation(lambda request, _: kept.delete(request["NamedQueryId"]), on_query),
        }

    # --- catalogs -----------------------------------------------------------------------------------------

    def _metadata_operations(self) -> dict[str, _Operation]:
        def read(answer: Callable[[Request, Clients], Answer]) -> _Operation:
            return _Operation(
                lambda request, caller: answer(request, self._clients_for(caller)), self._on.catalog
            )

        return {
            "ListDataCatalogs": _Operation(lambda _, __: metadata.list_data_catalogs(), on_everything),
            "GetDataCatalog": read(metadata.get_data_catalog),
            "ListDatabases": read(metadata.list_databases),
            "GetDatabase": read(metadata.get_database),
            "ListTableMetadata": read(metadata.list_table_metadata),
            "GetTableMetadata": read(metadata.get_table_metadata),
        }

    # --- what a request speaks of -------------------------------------------------------------------------

    def _group(self, request: Request) -> WorkGroup:
        return self._workgroups.get(request.get("WorkGroup") or PRIMARY)

    def _query(self, request: Request) -> Execution:
        return self._executions.get(request["QueryExecutionId"])
