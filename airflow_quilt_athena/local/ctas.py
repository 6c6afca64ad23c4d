"""CREATE TABLE AS SELECT: the query's rows as files, and a Glue table over them.

Order: every check that needs no row, the query, the files, Glue. What fails before the last step leaves no
table; files already written stay, as Athena documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_quilt_athena.core.partitions import partition_path
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.local.catalog import EntityExists, Table, parse_table
from airflow_quilt_athena.local.data_files import Layout, cut, write_pieces
from airflow_quilt_athena.local.data_type import DataType
from airflow_quilt_athena.local.errors import QueryFailed
from airflow_quilt_athena.local.formats import COMPRESSION_PROPERTY, STORAGE
from airflow_quilt_athena.local.hive_partitions import partition_input
from airflow_quilt_athena.local.result_columns import check_named, written_types
from airflow_quilt_athena.local.session import Column, Outcome
from airflow_quilt_athena.local.statement import Statement
from airflow_quilt_athena.local.storage import Storage
from airflow_quilt_athena.local.write_properties import WriteProperties, ctas_properties

_ENFORCED = (
    "The Create Table As Select query failed because it was submitted with an 'external_location' property "
    "to an Athena Workgroup that enforces a centralized output location for all queries. Please remove the "
    "'external_location' property and resubmit the query."
)


def create_table_as(statement: Statement) -> Outcome:
    """``CREATE TABLE [IF NOT EXISTS] name [WITH (…)] AS query [WITH [NO] DATA]``."""
    session = statement.session
    cursor = statement.trino()
    cursor.expect("CREATE", "TABLE")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    database, name = statement.resolve(cursor.qualified_name())
    properties = ctas_properties(cursor)
    cursor.expect("AS")
    with_data = not cursor.cut_tail("WITH", "NO", "DATA")
    cursor.cut_tail("WITH", "DATA")
    query = cursor.padded_rest()

    if properties.location is not None and session.enforced:
        raise QueryFailed(_ENFORCED)
    if statement.catalog.get_table(database, name) is not None:
        if if_not_exists:
            return Outcome("DDL", "CREATE_TABLE_AS_SELECT", update_count=0)
        raise _exists(database, name)
    if statement.catalog.get_database(database) is None:
        raise QueryFailed(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist")

    columns = statement.engine.describe(query, session)
    check_named(columns)
    kinds = written_types(columns)
    check_layout(columns, kinds, properties.layout)
    location = properties.location or f"{session.output_prefix}tables/{session.query_execution_id}"
    refuse_occupied(statement, location, f"{database}.{name}")

    table_input = _table_input(name, columns, kinds, location, properties, session.query_execution_id)
    table = parse_table({**table_input, "DatabaseName": database})
    written: tuple[S3Uri, ...] = ()
    partitions: list[dict[str, Any]] = []
    count = 0
    if with_data:
        rows = statement.engine.query(query, session).table
        rows = rows.rename_columns([column.name.lower() for column in columns])
        count = rows.num_rows
        pieces = cut(rows, properties.layout)
        keys = properties.layout.keys
        base = S3Uri.parse(location)
        places = {piece.values: _place(base, keys, piece.values) for piece in pieces}
        written = write_pieces(pieces, places.__getitem__, properties.encoding, session, datetime.now(UTC))
        partitions = [partition_input(table, values, str(at)) for values, at in places.items() if values]
    _publish(statement, table, table_input, partitions)
    manifest = tuple(str(uri) for uri in written)
    return Outcome("DDL", "CREATE_TABLE_AS_SELECT", update_count=count, manifest=manifest)


def _place(base: S3Uri, keys: Sequence[str], values: Sequence[str]) -> S3Uri:
    return base / partition_path(keys, values) if keys else base


def _publish(
    statement: Statement, table: Table, table_input: dict[str, Any], partitions: list[dict[str, Any]]
) -> None:
    try:
        statement.catalog.create_table(table.database, table_input)
    except EntityExists as error:  # somebody was quicker
        raise _exists(table.database, table.name) from error
    statement.catalog.create_partitions(table, partitions)


def _exists(database: str, name: str) -> QueryFailed:
    return QueryFailed(
        f"TABLE_ALREADY_EXISTS: line 1:1: Destination table '{database}.{name}' already exists"
    )


def check_layout(columns: Sequence[Column], kinds: Sequence[DataType], layout: Layout) -> None:
    """Refuse partition keys that are not the last columns, in order, or of a type no folder can name."""
    names = [column.name.lower() for column in columns]
    for what, wanted in (("Partition", layout.keys), ("Bucketing", layout.bucket_columns)):
        missing = [name for name in wanted if name not in names]
        if missing:
            raise QueryFailed(
                f"INVALID_TABLE_PROPERTY: {what} columns [{', '.join(missing)}] not present in schema"
            )
    keys = list(layout.keys)
    if not keys:
        return
    if len(keys) >= len(names):
        raise QueryFailed("INVALID_TABLE_PROPERTY: Table contains only partition columns")
    if names[-len(keys) :] != keys:
        raise QueryFailed(
            "HIVE_COLUMN_ORDER_MISMATCH: Partition keys must be the last columns in the table and in the "
            f"same order as the table properties: [{', '.join(keys)}]"
        )
    if set(keys) & set(layout.bucket_columns):
        raise QueryFailed("INVALID_TABLE_PROPERTY: Bucketing columns cannot be partition columns")
    for name, kind in zip(keys, kinds[-len(keys) :], strict=True):
        if kind.children or kind.name == "varbinary":
            raise QueryFailed(f"NOT_SUPPORTED: Unsupported type [{kind.trino}] for partition: {name}")


def refuse_occupied(statement: Statement, location: str, table: str) -> None:
    """Refuse a target folder that holds anything."""
    uri = S3Uri.parse(location).folder
    if statement.session.clients.objects.list(uri.bucket, uri.key):
        raise QueryFailed(
            f"HIVE_PATH_ALREADY_EXISTS: Target directory for table '{table}' already exists: {location}. "
            f"You may need to manually clean the data at location '{location}' before retrying. "
            "Athena will not delete data in your account."
        )


def _table_input(
    name: str,
    columns: Sequence[Column],
    kinds: Sequence[DataType],
    location: str,
    properties: WriteProperties,
    query_id: str,
) -> dict[str, Any]:
    layout, encoding = properties.layout, properties.encoding
    plain = STORAGE[encoding.format]
    storage = Storage(plain.serde, plain.input_format, plain.output_format, encoding.serde_parameters)
    fields = [
        {"Name": column.name.lower(), "Type": kind.hive} for column, kind in zip(columns, kinds, strict=True)
    ]
    split = len(fields) - len(layout.keys)
    descriptor = storage.descriptor(fields[:split], location)
    if layout.bucket_count:
        descriptor |= {"BucketColumns": list(layout.bucket_columns), "NumberOfBuckets": layout.bucket_count}
    return {
        "Name": name,
        "Owner": "hadoop",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": fields[split:],
        "StorageDescriptor": descriptor,
        "Parameters": {
            "EXTERNAL": "TRUE",
            "has_encrypted_data": "false",
            "trino_query_id": query_id,
            COMPRESSION_PROPERTY[encoding.format]: encoding.compression,
        },
    }
