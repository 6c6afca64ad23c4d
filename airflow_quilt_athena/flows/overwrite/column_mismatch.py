"""Say how a result does not fit its table, before anything is published and as fully as can be."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace

from botocore.exceptions import BotoCoreError, ClientError

from airflow_quilt_athena.core.athena.sql import is_in_code
from airflow_quilt_athena.core.glue.schema_diff import doubled_names, name_differences
from airflow_quilt_athena.core.glue.tables import Columns, Table
from airflow_quilt_athena.core.overwrite.misfits import (
    build_types_query,
    describe_misfits,
    describe_unlike,
    describe_unwritable,
    unlike_columns,
)
from airflow_quilt_athena.core.overwrite.plan import Plan
from airflow_quilt_athena.core.overwrite.positions import relocate
from airflow_quilt_athena.core.overwrite.slices import key_differences
from airflow_quilt_athena.core.overwrite.statements import Statements
from airflow_quilt_athena.core.quilt.revisions import TOKENS
from airflow_quilt_athena.exceptions import InvalidCallError, QueryFailedError, QuiltAthenaError
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from airflow_quilt_athena.flows.aws.clients import AthenaClient

log = logging.getLogger(__name__)

_NAMES_TIMEOUT_SECONDS = 120.0

# Trino's words when a statement's columns do not fit together.
_ABOUT_COLUMNS = re.compile(
    r"COLUMN_NOT_FOUND|cannot be resolved|TYPE_MISMATCH|incompatible types|different number of|is ambiguous"
    r"|AMBIGUOUS_NAME|DUPLICATE_COLUMN_NAME|MISSING_COLUMN|Incorrect timestamp precision|Anonymous row type"
    r"|Unsupported Hive type",
    re.IGNORECASE,
)

# Our own, of the guard on floating-point columns.
_ROUNDED = re.compile(r"'([^']* would be rounded in a column of type [^']*)'")


def refuse_misfits(athena: AthenaClient, plan: Plan, statements: Statements, staged: Table) -> None:
    """Raise InvalidCallError when the result's columns are not such as the table has, or may have.

    Runs a query only where a type does not fit: the staged one is that of result and table together, and the
    result's own is to be told.
    """
    expected = plan.expected_columns
    names = [name for name, _ in staged.columns]
    if expected is not None:
        unlike = unlike_columns(expected, staged.columns)
        types = _own_types(athena, plan, statements, unlike) if unlike else {}
        found = (*_name_differences(plan, expected, names), *describe_unlike(expected, staged.columns, types))
    else:
        keys = key_differences(plan.selection.dynamic, staged.columns)
        found = (*keys, *_given_twice(plan, names), *_not_there(plan, names))
    if found:
        raise InvalidCallError(_unlike(plan, found))


def _own_types(
    athena: AthenaClient, plan: Plan, statements: Statements, names: Sequence[str]
) -> dict[str, str]:
    """Return the types of the result's columns, as the engine names them; none when it cannot be asked."""
    try:
        return _ask_types(athena, plan, statements, names)
    except (QuiltAthenaError, ClientError, BotoCoreError) as trouble:  # a help, and no reason to tell less
        log.info("The types of the result cannot be asked for: %s", trouble)
        return {}


def explain_failure(
    athena: AthenaClient, plan: Plan, statements: Statements, error: QueryFailedError
) -> QuiltAthenaError:
    """Return the error to raise: the difference between result and table when that is why it failed.

    The engine names one column at most; a second query, of the result's columns alone, finds them all. Lines
    and columns that the engine names become those of the query as it was written.
    """
    told = _relocated(athena, plan, statements, error)
    rounded = _ROUNDED.search(error.reason)
    if rounded:
        return InvalidCallError(f"{_unlike(plan, (f'{rounded.group(1)}. Cast it in the query',))}\n{told}")
    if not _ABOUT_COLUMNS.search(error.reason):
        return told
    try:
        found = _find_misfits(athena, plan, statements)
    except QueryFailedError:
        return told  # the user's own query fails by itself, and the first error says why
    if not found and plan.expected_columns is None:
        return told  # nothing is known of a new table that the first error does not say
    if not found:
        found = (f"types that the engine does not bring together: {told.reason}",)
    return InvalidCallError(f"{_unlike(plan, found)}\n{told}")


def _find_misfits(athena: AthenaClient, plan: Plan, statements: Statements) -> tuple[str, ...]:
    """Return a line for each column that does not fit, by name or else by type."""
    names, _ = _ask(athena, plan, statements.names())
    expected = plan.expected_columns
    found = _name_differences(plan, expected, names) if expected is not None else doubled_names(names)
    if expected is None:
        found = (*found, *_given_twice(plan, names))
    if found or not all(names):
        return found
    types = _ask_types(athena, plan, statements, names)
    return describe_misfits(expected, types) if expected is not None else describe_unwritable(types)


def _ask_types(
    athena: AthenaClient, plan: Plan, statements: Statements, names: Sequence[str]
) -> dict[str, str]:
    _, rows = _ask(athena, plan, build_types_query(statements.query, names))
    return {name.lower(): kind or "" for name, kind in zip(names, rows[0], strict=True)}


def _ask(athena: AthenaClient, plan: Plan, sql: str) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    request = plan.request
    status = run_query(
        athena,
        sql,
        database=request.database,
        workgroup=request.workgroup,
        timeout_seconds=_NAMES_TIMEOUT_SECONDS,
    )
    return read_rows(athena, status.query_execution_id, max_rows=1)


def _relocated(
    athena: AthenaClient, plan: Plan, statements: Statements, error: QueryFailedError
) -> QueryFailedError:
    """Return the same error, its positions counted in the query as it was written."""
    if "line " not in error.reason:
        return error
    try:
        execution = athena.get_query_execution(QueryExecutionId=error.query_execution_id)
    except (ClientError, BotoCoreError) as trouble:  # the positions are a help, and no reason to tell less
        log.info("The statement of query %s cannot be read again: %s", error.query_execution_id, trouble)
        return error
    tokens = [token for token in TOKENS if is_in_code(plan.query, token)]
    fillings = {token: Statements(replace(plan, query=token), statements.attempt).query for token in tokens}

    def moved(text: str) -> str:
        return relocate(
            text,
            sent=execution["QueryExecution"].get("Query", ""),
            query=plan.query,
            fillings=fillings,
            written=plan.request.query,
        )

    return QueryFailedError(
        moved(str(error)),
        query_execution_id=error.query_execution_id,
        state=error.state,
        reason=moved(error.reason),
        category=error.category,
        retryable=error.retryable,
        workgroup=error.workgroup,
    )


def _name_differences(plan: Plan, expected: Columns, names: Sequence[str]) -> tuple[str, ...]:
    """Return a line for each name that does not fit; of a key with a value given, what to do."""
    given = _given_twice(plan, names)
    kept = [name for name in names if name.lower() not in plan.selection.fixed]
    return (*name_differences(expected, kept), *given)


def _given_twice(plan: Plan, names: Sequence[str]) -> tuple[str, ...]:
    doubled = {name.lower() for name in names} & plan.selection.fixed.keys()
    return tuple(
        f"{name}: a partition key with a value given; leave it out of the query" for name in sorted(doubled)
    )


def _not_there(plan: Plan, names: Sequence[str]) -> tuple[str, ...]:
    """Return a line for each column that the call speaks of and a new table would not have.

    Partition keys may be commented, with a value given or not; rows are put into buckets by columns alone.
    """
    request, keys = plan.request, dict(plan.selection.keys)
    wanted = (
        ("column_comments", request.column_comments, {*names, *keys}),
        ("bucketed_by", request.bucketed_by, {*names}),
    )
    return tuple(
        f"{name}: not a column of the result, and named in {parameter}"
        for parameter, columns, known in wanted
        for name in columns
        if name.lower() not in known
    )


def _unlike(plan: Plan, found: tuple[str, ...]) -> str:
    lines = "".join(f"\n  - {line}" for line in found)
    expected = plan.expected_columns
    if expected is None:
        keys = ", ".join(f"{name} {hive_type}" for name, hive_type in plan.selection.keys)
        what = f"The new table is partitioned by: {keys}."
    else:
        what = f"Expected: {', '.join(f'{name} {hive_type}' for name, hive_type in expected)}."
    return (
        f"The result does not fit table {plan.request.table}; nothing was published. Columns are matched by "
        f"name, and no value is cast.{lines}\n{what}"
    )
