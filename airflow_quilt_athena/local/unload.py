"""UNLOAD: a query's rows as files in an empty place, or in partitions; no table."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_quilt_athena.core.partitions import partition_path
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.local.ctas import check_layout, refuse_occupied
from airflow_quilt_athena.local.data_files import cut, write_pieces
from airflow_quilt_athena.local.result_columns import check_distinct, written_types
from airflow_quilt_athena.local.session import Outcome
from airflow_quilt_athena.local.statement import Statement
from airflow_quilt_athena.local.write_properties import unload_properties


def unload(statement: Statement) -> Outcome:
    """``UNLOAD (query) TO 's3://…' WITH (format = …, …)``. Rows keep the query's order inside each file."""
    session = statement.session
    cursor = statement.trino()
    cursor.expect("UNLOAD")
    query = cursor.bracketed(padded=True)
    cursor.expect("TO")
    location = cursor.string()
    properties = unload_properties(cursor, location)
    cursor.expect_end()

    columns = statement.engine.describe(query, session)
    check_distinct(columns)
    check_layout(columns, written_types(columns), properties.layout)
    if not properties.layout.keys:  # into partitions it writes beside what is there (user guide, "UNLOAD")
        refuse_occupied(statement, location, f"unload_{session.query_execution_id.replace('-', '_')}")
    rows = statement.engine.query(query, session).table
    rows = rows.rename_columns([column.name.lower() for column in columns])
    base, keys = S3Uri.parse(location), properties.layout.keys
    written = write_pieces(
        cut(rows, properties.layout),
        lambda values: base / partition_path(keys, values) if keys else base,
        properties.encoding,
        session,
        datetime.now(UTC),
    )
    return Outcome("DML", "UNLOAD", update_count=rows.num_rows, manifest=tuple(str(uri) for uri in written))
