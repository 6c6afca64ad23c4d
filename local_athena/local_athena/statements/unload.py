"""UNLOAD: a query's rows as files in an empty place, or in partitions; no table."""

from __future__ import annotations

from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Outcome
from local_athena.engine import Write, uris
from local_athena.statements.ctas import check_layout, refuse_occupied
from local_athena.statements.query_columns import check_distinct, written_types
from local_athena.statements.statement import Statement
from local_athena.statements.write_properties import unload_properties


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
    beside = bool(properties.layout.keys)  # what is there (user guide, "UNLOAD")
    if not beside:
        refuse_occupied(statement, location, f"unload_{session.query_execution_id.replace('-', '_')}")
    layout, encoding = properties.layout, properties.encoding
    write = Write(query, columns, S3Uri.parse(location), layout, encoding, beside)
    written = statement.engine.write(write, session)
    return Outcome("DML", "UNLOAD", update_count=written.rows, manifest=uris(written.files))
