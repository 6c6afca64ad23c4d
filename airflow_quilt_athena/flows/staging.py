"""The first half of an insert overwrite: look, refuse what cannot work, write the text that stages."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from airflow_quilt_athena.core.attempts import Attempt
from airflow_quilt_athena.core.ctas import (
    DEFAULT_TEXT_DELIMITER,
    build_coerced_query,
    build_ctas,
    build_description_query,
    build_text_guard,
    parse_query,
    render_check,
)
from airflow_quilt_athena.core.overwrite import (
    OverwriteRequest,
    plan_format,
    plan_generation,
    plan_keys,
    plan_values,
    refuse_other_location,
)
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.core.schema import differences, name_differences
from airflow_quilt_athena.core.tables import Columns, FileFormat, Table, TableName, refuse_unwritable
from airflow_quilt_athena.exceptions import InvalidCallError, QueryFailedError
from airflow_quilt_athena.flows import glue as catalog
from airflow_quilt_athena.flows.clients import AthenaClient, GlueClient
from airflow_quilt_athena.flows.completion import MAX_QUERY_BYTES, run_query
from airflow_quilt_athena.flows.patience import ask
from airflow_quilt_athena.flows.query_results import read_rows

_DESCRIBE_TIMEOUT_SECONDS = 120.0

# Trino's words when a statement's columns do not fit together.
_ABOUT_COLUMNS = re.compile(
    r"COLUMN_NOT_FOUND|cannot be resolved|TYPE_MISMATCH|incompatible types|different number of|is ambiguous"
    r"|AMBIGUOUS_NAME|DUPLICATE_COLUMN_NAME|MISSING_COLUMN|Incorrect timestamp precision|Anonymous row type",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Staging:
    """What is about to be staged, and where."""

    request: OverwriteRequest
    attempt: Attempt
    table: Table | None  # None: to be created from the result
    keys: Columns
    values: tuple[str, ...]
    base: S3Uri
    generation: S3Uri
    temporary: TableName
    file_format: FileFormat
    sql: str = field(repr=False)

    @property
    def partition(self) -> dict[str, str]:
        """The partition's values by key."""
        return {name: value for (name, _), value in zip(self.keys, self.values, strict=True)}

    @property
    def token(self) -> str:
        """The client request token of the statement."""
        return self.attempt.token(self.sql)


def prepare(athena: AthenaClient, glue: GlueClient, request: OverwriteRequest, attempt: Attempt) -> Staging:
    """Look at workgroup and table and return what to stage. Changes nothing.

    :raises InvalidCallError: for everything that can be known to fail, before anything is written.
    """
    query = parse_query(request.query)
    temporary = attempt.temporary_table(request.table.database)
    for check in request.checks.values():
        render_check(check, temporary)
    _refuse_enforcing(athena, request.workgroup)
    table = catalog.observe_table(glue, request.table)
    if table is not None:
        refuse_unwritable(table)
        refuse_other_location(table, request.location)
    keys = plan_keys(table, request)
    values = plan_values(keys, request.partition)
    base = table.base if table is not None else _new_base(glue, request)
    generation = plan_generation(base, keys, values, attempt, request.generations_location)
    file_format = plan_format(table, request)
    sql = _build_sql(query, table, request, temporary, generation, file_format)
    return Staging(request, attempt, table, keys, values, base, generation, temporary, file_format, sql)


def _refuse_enforcing(athena: AthenaClient, workgroup: str) -> None:
    response = ask(lambda: athena.get_work_group(WorkGroup=workgroup), f"read Athena workgroup {workgroup}")
    described = response["WorkGroup"]
    if described.get("State") == "DISABLED":
        raise InvalidCallError(f"Athena workgroup {workgroup} is disabled.")
    if (described.get("Configuration") or {}).get("EnforceWorkGroupConfiguration"):
        raise InvalidCallError(
            f"Athena workgroup {workgroup} enforces its result location, so that a CTAS may not choose its "
            "own. Turn EnforceWorkGroupConfiguration off or use another workgroup; writing by UNLOAD, which "
            "such a workgroup allows, comes with a later version."
        )


def _new_base(glue: GlueClient, request: OverwriteRequest) -> S3Uri:
    base = request.location or catalog.observe_default_location(glue, request.table)
    if not base.key.strip("/"):
        raise InvalidCallError(
            f"Table {request.table} would lie at the root of a bucket ({base}). Expected a folder of its own."
        )
    return base.folder


def _build_sql(
    query: str,
    table: Table | None,
    request: OverwriteRequest,
    temporary: TableName,
    generation: S3Uri,
    file_format: FileFormat,
) -> str:
    compression = request.compression or (table.compression if table else None)
    delimiter = None
    if table is not None:
        delimiter = table.serde_parameters.get("field.delim")
        query = build_coerced_query(query, table.columns)
        if file_format is FileFormat.TEXTFILE:
            mark = delimiter or DEFAULT_TEXT_DELIMITER
            query = build_text_guard(query, table.columns, field_delimiter=mark)
    sql = build_ctas(
        temporary,
        query,
        location=generation,
        file_format=file_format,
        compression=compression,
        field_delimiter=delimiter if file_format is FileFormat.TEXTFILE else None,
    )
    size_bytes = len(sql.encode())
    if size_bytes > MAX_QUERY_BYTES:
        raise InvalidCallError(
            f"The query is {size_bytes:,} bytes long as it would be sent; Athena takes {MAX_QUERY_BYTES:,}."
        )
    return sql


def refuse_unlike_columns(table: Table, staged: Table) -> None:
    """Raise InvalidCallError when the staged columns are not the table's, showing each difference."""
    found = differences(table.columns, staged.columns)
    if found:
        raise InvalidCallError(_unlike(table, found))


def explain_failure(
    athena: AthenaClient, staging: Staging, error: QueryFailedError
) -> InvalidCallError | None:
    """Return the difference between result and table when that is why the statement failed, else None.

    The engine names one column at most; a second query, of the result's columns alone, finds them all.
    """
    if staging.table is None or not _ABOUT_COLUMNS.search(error.reason):
        return None
    request = staging.request
    query = build_description_query(parse_query(request.query))
    try:
        status = run_query(
            athena,
            query,
            database=request.database,
            workgroup=request.workgroup,
            timeout_seconds=_DESCRIBE_TIMEOUT_SECONDS,
        )
    except QueryFailedError:
        return None  # the user's own query fails by itself, and the first error says why
    names, _ = read_rows(athena, status.query_execution_id, max_rows=0)
    found = name_differences(staging.table.columns, names)
    keys = [name for name, _ in staging.keys if name in {name.lower() for name in names}]
    if keys:
        found = (*found, f"{', '.join(keys)}: a partition key with a value given; leave it out of the query")
    if not found:
        found = (f"types that the engine does not bring together: {error.reason}",)
    return InvalidCallError(f"{_unlike(staging.table, found)}\n{error}")


def _unlike(table: Table, found: tuple[str, ...]) -> str:
    columns = ", ".join(f"{name} {hive_type}" for name, hive_type in table.columns)
    lines = "".join(f"\n  - {line}" for line in found)
    return (
        f"The result does not fit table {table.name}; nothing was published. Columns are matched by name, "
        f"and no value is cast.{lines}\nThe table has: {columns}."
    )
