"""Whether and how an overwrite is carried out: refused or decided from what was seen. Runs nothing."""

from __future__ import annotations

from dataclasses import replace

from airflow_quilt_athena.core.athena.sql import MAX_QUERY_BYTES, is_in_code
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Bucketing, Table, refuse_unwritable
from airflow_quilt_athena.core.overwrite.asked_partitions import plan_keys, plan_selection
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.ctas import Encoding, parse_query
from airflow_quilt_athena.core.overwrite.plan import Plan, Seen
from airflow_quilt_athena.core.overwrite.request import (
    MAX_OPEN_WRITERS,
    OverwriteRequest,
    Writer,
    plan_format,
    refuse_other_location,
    refuse_unknown_columns,
)
from airflow_quilt_athena.core.overwrite.statements import Statements
from airflow_quilt_athena.core.overwrite.table_input import refuse_unwritable_new
from airflow_quilt_athena.core.quilt.revisions import ENTRIES_TOKEN, REVISIONS_TOKEN, TOKENS, cut_revisions
from airflow_quilt_athena.exceptions import InvalidCallError

_MAX_READ_BYTES = 200_000  # leaves room in the 262,144 bytes of a statement


def plan_overwrite(seen: Seen, request: OverwriteRequest) -> Plan:
    """Return what to do.

    :raises InvalidCallError: for everything that can be known to fail, before anything is written.
    """
    query = parse_query(request.query)
    table = seen.table
    if table is not None:
        refuse_unwritable(table)
        refuse_other_location(table, request.location)
        refuse_unknown_columns(table, request)
    else:
        refuse_unwritable_new(request)
    selection = plan_selection(plan_keys(table, request), request)
    file_format = plan_format(table, request)
    unloads = seen.enforced if request.writer is Writer.AUTO else request.writer is Writer.UNLOAD
    plan = Plan(
        request,
        table,
        selection,
        base=table.base if table is not None else _new_base(seen, request),
        encoding=_plan_encoding(table, request, file_format),
        bucketing=_plan_bucketing(table, request),
        unloads=unloads,
        query=query,
        revisions=seen.revisions,
        late=seen.late,
        notes=seen.notes,
        source=seen.source,
    )
    _refuse_writer(plan, seen)
    _refuse_tokens(plan)
    return _plan_reads(plan)


def _new_base(seen: Seen, request: OverwriteRequest) -> S3Uri:
    base = request.location or seen.default_location
    if base is None:
        raise InvalidCallError(
            f"Table {request.table} does not exist, and database {request.table.database} has no location to "
            "put it in. Expected location, such as s3://bucket/warehouse/table/."
        )
    return base.folder


def _plan_encoding(table: Table | None, request: OverwriteRequest, file_format: FileFormat) -> Encoding:
    level, delimiter = request.compression_level, None
    compression = request.compression or (table.compression if table else None)
    if table is not None:
        if file_format is FileFormat.TEXTFILE:
            delimiter = table.serde_parameters.get("field.delim")
        if not request.compression and table.parameters.get("compression_level", "").isdigit():
            level = int(table.parameters["compression_level"])
    return Encoding(file_format, compression, level, delimiter)


def _plan_bucketing(table: Table | None, request: OverwriteRequest) -> Bucketing | None:
    asked = None
    if request.bucket_count is not None:
        asked = Bucketing(tuple(name.lower() for name in request.bucketed_by), request.bucket_count)
    if table is None:
        return asked
    if asked not in {None, table.bucketing}:
        raise InvalidCallError(
            f"The call asks for {asked}, but table {table.name} has {table.bucketing or 'no buckets'}. Leave "
            "bucketed_by and bucket_count out; the table's are taken."
        )
    return table.bucketing


def _refuse_writer(plan: Plan, seen: Seen) -> None:
    workgroup = plan.request.workgroup
    if seen.enforced and not plan.unloads:
        raise InvalidCallError(
            f'writer is "ctas", but Athena workgroup {workgroup} enforces its result location, so that a '
            'CTAS may not choose its own. Expected writer="unload" or "auto", or a workgroup that does not.'
        )
    if plan.unloads and plan.bucketing:
        why = f"workgroup {workgroup} enforces its location" if seen.enforced else 'writer is "unload"'
        raise InvalidCallError(
            f"Table {plan.request.table} is bucketed, and {why}: UNLOAD writes no buckets. Use a workgroup "
            'that does not enforce its result location, with writer="auto".'
        )
    if plan.bucketing and plan.bucketing.count > MAX_OPEN_WRITERS:
        raise InvalidCallError(
            f"Table {plan.request.table} has {plan.bucketing.count} buckets; a query of Athena writes at "
            f"most {MAX_OPEN_WRITERS}."
        )


def _refuse_tokens(plan: Plan) -> None:
    used = [token for token in TOKENS if is_in_code(plan.query, token)]
    if used and plan.request.quilt_revisions is None:
        raise InvalidCallError(
            f"The query uses {' and '.join(used)}, which quilt_revisions makes available. Expected "
            'quilt_revisions={"bucket": …, "start": …, "end": …}.'
        )
    if plan.request.quilt_revisions is not None and not used:
        raise InvalidCallError(
            f"quilt_revisions is given, but the query uses neither {REVISIONS_TOKEN} nor {ENTRIES_TOKEN}."
        )


def _plan_reads(plan: Plan) -> Plan:
    """Refuse a statement that is too long, and a check that is none, before there is anything to clean.

    A query that is too long for the revisions it names has them read into tables first.
    """
    size_bytes = _size_as_sent(plan)
    if size_bytes > MAX_QUERY_BYTES and plan.revisions:
        plan = replace(plan, reads=cut_revisions(plan.revisions, _MAX_READ_BYTES))
        size_bytes = _size_as_sent(plan)
    if size_bytes > MAX_QUERY_BYTES:
        raise InvalidCallError(
            f"The query is {size_bytes:,} bytes long as it would be sent; Athena takes {MAX_QUERY_BYTES:,}."
        )
    return plan


def _size_as_sent(plan: Plan) -> int:
    statements = Statements(plan, Attempt("0" * 12, 1, "0" * 8))
    for name in plan.request.checks:
        statements.check(name)
    return len(statements.stage(plan.expected_columns or ()).encode())
