"""Say how a result does not fit its table, before anything is published and as fully as can be."""

from __future__ import annotations

import re

from airflow_quilt_athena.core.glue.schema_diff import differences, doubled_names, name_differences
from airflow_quilt_athena.core.glue.tables import Table
from airflow_quilt_athena.core.overwrite.plan import Plan, Statements
from airflow_quilt_athena.core.overwrite.slices import key_differences
from airflow_quilt_athena.exceptions import InvalidCallError, QueryFailedError
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from airflow_quilt_athena.flows.aws.clients import AthenaClient

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


def refuse_misfits(plan: Plan, staged: Table) -> None:
    """Raise InvalidCallError when the result's columns are not such as the table has, or may have."""
    expected = plan.expected_columns
    if expected is not None:
        found = differences(expected, staged.columns)
    else:
        names = {name for name, _ in staged.columns}
        found = (*key_differences(plan.selection.dynamic, staged.columns), *_given_twice(plan, names))
    if found:
        raise InvalidCallError(_unlike(plan, found))


def explain_failure(
    athena: AthenaClient, plan: Plan, statements: Statements, error: QueryFailedError
) -> InvalidCallError | None:
    """Return the difference between result and table when that is why the statement failed, else None.

    The engine names one column at most; a second query, of the result's columns alone, finds them all.
    """
    rounded = _ROUNDED.search(error.reason)
    if rounded:
        return InvalidCallError(f"{_unlike(plan, (f'{rounded.group(1)}. Cast it in the query',))}\n{error}")
    if not _ABOUT_COLUMNS.search(error.reason):
        return None
    request = plan.request
    try:
        status = run_query(
            athena,
            statements.names(),
            database=request.database,
            workgroup=request.workgroup,
            timeout_seconds=_NAMES_TIMEOUT_SECONDS,
        )
    except QueryFailedError:
        return None  # the user's own query fails by itself, and the first error says why
    names, _ = read_rows(athena, status.query_execution_id, max_rows=0)
    expected = plan.expected_columns
    found = name_differences(expected, names) if expected is not None else doubled_names(names)
    found = (*found, *_given_twice(plan, {name.lower() for name in names}))
    if not found and expected is None:
        return None  # nothing is known of a new table that the first error does not say
    if not found:
        found = (f"types that the engine does not bring together: {error.reason}",)
    return InvalidCallError(f"{_unlike(plan, found)}\n{error}")


def _given_twice(plan: Plan, names: set[str]) -> tuple[str, ...]:
    doubled = [name for name in plan.selection.fixed if name in names]
    return tuple(f"{name}: a partition key with a value given; leave it out of the query" for name in doubled)


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
