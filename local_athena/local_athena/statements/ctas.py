"""CREATE TABLE AS SELECT: the query's rows as files, and a Glue table over them.

Order: every check that needs no row, the query, the files, Glue. What fails before the last step leaves no
table; files already written stay, as Athena documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_athena.data.catalog import EntityExists
from local_athena.data.data_files import Layout
from local_athena.data.file_formats import COMPRESSION_PROPERTY, STORAGE
from local_athena.data.hive_storage import Storage
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Column, Outcome
from local_athena.data.tables import parse_table
from local_athena.data.types import DataType
from local_athena.engine import Write, uris
from local_athena.errors import SCHEMA_ERROR, USER_ERROR, QueryFailed
from local_athena.statements.hive_partitions import partition_input
from local_athena.statements.query_columns import check_named, written_types
from local_athena.statements.statement import Statement
from local_athena.statements.write_properties import WriteProperties, ctas_properties

_ENFORCED = (
    "The Create Table As Select query failed because it was submitted with an 'external_location' property "
    "to an Athena Workgroup that enforces a centralized output location for all queries. Please remove the "
    "'external_location' property and resubmit the query."
)


@dataclass(frozen=True, slots=True)
class _Ctas:
    """What the statement says."""

    database: str
    name: str
    if_not_exists: bool
    properties: WriteProperties
    query: str
    with_data: bool


def create_table_as(statement: Statement) -> Outcome:
    """``CREATE TABLE [IF NOT EXISTS] name [WITH (…)] AS query [WITH [NO] DATA]``."""
    session, ctas = statement.session, _read(statement)
    if _target_exists(statement, ctas):
        return Outcome("DDL", "CREATE_TABLE_AS_SELECT", update_count=0)
    columns = statement.engine.describe(ctas.query, session)
    check_named(columns)
    kinds = written_types(columns)
    check_layout(columns, kinds, ctas.properties.layout)
    location = ctas.properties.location or f"{session.output_prefix}tables/{session.query_execution_id}"
    refuse_occupied(statement, location, f"{ctas.database}.{ctas.name}")

    table_input = _table_input(ctas, columns, kinds, location, session.query_execution_id)
    if not ctas.with_data:
        _publish(statement, ctas.database, table_input, {})
        return Outcome("DDL", "CREATE_TABLE_AS_SELECT", update_count=0)
    layout, encoding = ctas.properties.layout, ctas.properties.encoding
    write = Write(ctas.query, columns, S3Uri.parse(location), layout, encoding)
    written = statement.engine.write(write, session)
    _publish(statement, ctas.database, table_input, written.partitions)
    manifest = uris(written.files)
    return Outcome("DDL", "CREATE_TABLE_AS_SELECT", update_count=written.rows, manifest=manifest)


def _read(statement: Statement) -> _Ctas:
    cursor = statement.trino()
    cursor.expect("CREATE", "TABLE")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    database, name = statement.resolve(cursor.qualified_name())
    properties = ctas_properties(cursor)
    cursor.expect("AS")
    with_data = not cursor.cut_tail("WITH", "NO", "DATA")
    cursor.cut_tail("WITH", "DATA")
    return _Ctas(database, name, if_not_exists, properties, cursor.padded_rest(), with_data)


def _target_exists(statement: Statement, ctas: _Ctas) -> bool:
    """Tell whether the table is there and may be; refuse a target that cannot be made."""
    if ctas.properties.location is not None and statement.session.enforced:
        raise QueryFailed(_ENFORCED, error_type=USER_ERROR)
    if statement.catalog.get_table(ctas.database, ctas.name) is not None:
        if ctas.if_not_exists:
            return True
        raise _exists(ctas.database, ctas.name)
    if statement.catalog.get_database(ctas.database) is None:
        raise QueryFailed(
            f"SCHEMA_NOT_FOUND: line 1:1: Schema '{ctas.database}' does not exist", error_type=SCHEMA_ERROR
        )
    return False


def _publish(
    statement: Statement,
    database: str,
    table_input: dict[str, Any],
    places: Mapping[tuple[str, ...], S3Uri],
) -> None:
    statement.session.check()
    statement.session.check_late()
    try:
        statement.catalog.create_table(database, table_input)
    except EntityExists as error:  # somebody was quicker
        raise _exists(database, table_input["Name"]) from error
    table = parse_table({**table_input, "DatabaseName": database})
    partitions = [partition_input(table, values, str(place)) for values, place in places.items()]
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
    ctas: _Ctas, columns: Sequence[Column], kinds: Sequence[DataType], location: str, query_id: str
) -> dict[str, Any]:
    layout, encoding = ctas.properties.layout, ctas.properties.encoding
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
        "Name": ctas.name,
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
