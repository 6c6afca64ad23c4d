"""From a StartQueryExecution call to a submission: what it means, or why it is refused."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from local_athena.athena.executions import Identity, Submission
from local_athena.athena.prepared import Deallocate, Execute, Prepare, PreparedStatements, parse_command
from local_athena.athena.result_files import place_results
from local_athena.athena.workgroups import WorkGroup, check_output_location
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Outcome, Session
from local_athena.errors import ApiError, QueryFailed

CATALOG = "awsdatacatalog"
DEFAULT_DATABASE = "default"
# Athena User Guide, "Service Quotas": the query string, encoded in UTF-8 (read 2026-11).
MAX_QUERY_BYTES = 262_144
NO_OUTPUT_LOCATION = (
    "No output location provided. You did not provide an output location for  your query results. "
    "Either specify an S3 bucket location or enable Athena managed query results in your workgroup settings."
)


class StatementRunner(Protocol):
    """What tells kinds of statements apart and runs them."""

    def classify(self, sql: str) -> tuple[str, str]:
        """Return statement type and substatement type. Raises QueryFailed or ApiError for no statement."""
        ...

    def execute(self, sql: str, session: Session) -> Outcome:
        """Run one statement."""
        ...


def plan_submission(
    request: Mapping[str, Any],
    *,
    workgroup: WorkGroup,
    prepared: PreparedStatements,
    statements: StatementRunner,
    caller: Identity,
) -> Submission:
    """Return what the call starts. Raises ApiError for what Athena refuses before there is a query."""
    started = time.monotonic()
    query: str = request["QueryString"]
    if len(query.encode()) > MAX_QUERY_BYTES:
        raise _refused(f"Query string is longer than {MAX_QUERY_BYTES} bytes.")
    if workgroup.state != "ENABLED":
        raise _refused(f"WorkGroup {workgroup.name} is disabled.")
    if not workgroup.runs_here:
        raise _refused(
            f"The local Athena runs no queries in WorkGroup {workgroup.name}: it has managed results, "
            "Identity Center or another engine."
        )
    context = request.get("QueryExecutionContext") or {}
    check_catalog(context.get("Catalog", CATALOG))
    folder, configuration = resolve_results(workgroup, request.get("ResultConfiguration") or {})
    planned = time.monotonic()
    plan = _plan_statement(
        query, tuple(request.get("ExecutionParameters") or ()), workgroup, prepared, statements
    )
    planning_seconds = time.monotonic() - planned
    query_execution_id = str(uuid.uuid4())
    place = place_results(folder, query_execution_id, plan.substatement_type)
    return Submission(
        query_execution_id=query_execution_id,
        caller=caller,
        query=query,
        statement=plan.statement,
        parameters=plan.parameters,
        statement_type=plan.statement_type,
        substatement_type=plan.substatement_type,
        workgroup=workgroup.name,
        database=_database(context),
        place=place,
        result_configuration={**configuration, "OutputLocation": str(place.output)},
        context=context,
        engine_version=workgroup.engine_version,
        execution_parameters=tuple(request.get("ExecutionParameters") or ()),
        reuse=request.get("ResultReuseConfiguration") or {},
        enforced=workgroup.enforced,
        scan_cutoff_bytes=workgroup.scan_cutoff_bytes,
        refusal=plan.refusal,
        preprocessing_seconds=time.monotonic() - started - planning_seconds,
        planning_seconds=planning_seconds,
    )


def check_catalog(name: str) -> None:
    """Refuse any catalog but the account's Glue catalog."""
    if name.lower() != CATALOG:
        raise _refused(f"DataCatalog {name} was not found")


def resolve_results(workgroup: WorkGroup, requested: Mapping[str, Any]) -> tuple[S3Uri, dict[str, Any]]:
    """Return the folder of the results and the ResultConfiguration in force.

    A workgroup that enforces its settings has the only word, also when it names no place.
    """
    own = workgroup.result_configuration
    if workgroup.enforced:
        chosen = dict(own)
    elif "OutputLocation" in requested:
        chosen = dict(requested)
    else:
        chosen = {**own, **requested}
    if not chosen.get("OutputLocation"):
        raise _refused(NO_OUTPUT_LOCATION)
    return check_output_location(chosen["OutputLocation"]), chosen


def _database(context: Mapping[str, Any]) -> str:
    # awswrangler sends `db` in back-ticks for Hive statements, and Athena takes it.
    return str(context.get("Database", DEFAULT_DATABASE)).strip("`").lower()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What runs, what it is called, and the failure that is known before it does."""

    statement: str
    parameters: tuple[str, ...]
    statement_type: str = "DML"
    substatement_type: str = "SELECT"
    refusal: QueryFailed | None = None


def _plan_statement(
    query: str,
    sent: tuple[str, ...],
    workgroup: WorkGroup,
    prepared: PreparedStatements,
    statements: StatementRunner,
) -> _Plan:
    statement, parameters = query, sent
    try:
        command = parse_command(query)
        if isinstance(command, Prepare):
            return _Plan(query, sent, "UTILITY", "PREPARE")
        if isinstance(command, Deallocate):
            return _Plan(query, sent, "UTILITY", "DEALLOCATE")
        if isinstance(command, Execute):
            statement, parameters = _expand(command, sent, workgroup, prepared)
        return _Plan(statement, parameters, *statements.classify(statement))
    except QueryFailed as refusal:
        return _Plan(statement, parameters, refusal=refusal)


def _expand(
    command: Execute, sent: tuple[str, ...], workgroup: WorkGroup, prepared: PreparedStatements
) -> tuple[str, tuple[str, ...]]:
    found = prepared.find(workgroup.name, command.name)
    if found is None:
        raise QueryFailed(
            f"NOT_FOUND: Prepared statement {command.name} was not found in WorkGroup {workgroup.name}",
            error_type=1000,
        )
    if command.parameters and sent:
        raise QueryFailed(
            "INVALID_PARAMETER_USAGE: Values are given by USING and by ExecutionParameters: use one of them",
            error_type=1000,
        )
    return found.statement, command.parameters or sent


def _refused(message: str) -> ApiError:
    return ApiError("InvalidRequestException", message)
