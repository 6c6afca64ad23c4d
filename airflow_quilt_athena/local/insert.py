"""INSERT INTO: rows appended as new files, each partition's at its own location; new partitions in Glue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.local.catalog import Table
from airflow_quilt_athena.local.coercions import can_insert, coerce
from airflow_quilt_athena.local.cursor import GLUE_CATALOG, Cursor, QualifiedName
from airflow_quilt_athena.local.data_files import Layout, Piece, cut, write_pieces
from airflow_quilt_athena.local.data_type import DataType
from airflow_quilt_athena.local.errors import QueryFailed
from airflow_quilt_athena.local.formats import COMPRESSION_PROPERTY, Encoding, FileFormat, choose_encoding
from airflow_quilt_athena.local.hive_create import iceberg_refused
from airflow_quilt_athena.local.hive_partitions import natural_location, partition_input
from airflow_quilt_athena.local.session import Column, Outcome
from airflow_quilt_athena.local.statement import Statement
from airflow_quilt_athena.local.storage import (
    HCATALOG_JSON_SERDES,
    LAZY_SIMPLE_SERDE,
    OPEN_CSV_SERDE,
    OPENX_JSON_SERDE,
    ORC_SERDE,
    PARQUET_SERDE,
)
from airflow_quilt_athena.local.type_reader import parse_hive, parse_trino

_FORMAT_OF_SERDE = {
    PARQUET_SERDE: FileFormat.PARQUET,
    ORC_SERDE: FileFormat.ORC,
    OPENX_JSON_SERDE: FileFormat.OPENX_JSON,
    LAZY_SIMPLE_SERDE: FileFormat.TEXTFILE,
    OPEN_CSV_SERDE: FileFormat.CSV,
    **dict.fromkeys(HCATALOG_JSON_SERDES, FileFormat.JSON),
}
_QUERY_STARTS = ("SELECT", "WITH", "VALUES", "TABLE", "(")


def insert_into(statement: Statement) -> Outcome:
    """``INSERT INTO name [(column, …)] query``."""
    session = statement.session
    cursor = statement.trino()
    cursor.expect("INSERT", "INTO")
    name = cursor.qualified_name()
    named = _column_names(cursor)
    query = cursor.padded_rest()

    table = _target(statement, name)
    encoding = _encoding(table)
    fields = {field: parse_hive(kind) for field, kind in (*table.columns, *table.partition_keys)}
    chosen = _chosen(named, fields)
    columns = statement.engine.describe(query, session)
    sources = tuple(parse_trino(column.type) for column in columns)
    _check_types([fields[field] for field in chosen], sources, columns)
    rows = statement.engine.query(query, session).table
    pieces = cut(
        _in_table_order(rows, chosen, sources, fields), Layout(tuple(k for k, _ in table.partition_keys))
    )
    return _append(statement, table, pieces, encoding, rows.num_rows)


def _append(
    statement: Statement, table: Table, pieces: Sequence[Piece], encoding: Encoding, count: int
) -> Outcome:
    places: dict[tuple[str, ...], S3Uri] = {}
    created: list[dict[str, Any]] = []
    for piece in pieces:
        known = statement.catalog.get_partition(table, piece.values) if table.partition_keys else None
        if known is not None and known.location is not None:
            places[piece.values] = known.location
            continue
        places[piece.values] = _new_place(table, piece.values)
        if table.partition_keys:
            created.append(partition_input(table, piece.values, str(places[piece.values])))
    written = write_pieces(pieces, places.__getitem__, encoding, statement.session, datetime.now(UTC))
    statement.session.check_late()
    # Two queries may find the same partition missing; both wrote to its natural place.
    statement.catalog.create_partitions(table, created, existing_ok=True)
    return Outcome("DML", "INSERT", update_count=count, manifest=tuple(str(uri) for uri in written))


def _new_place(table: Table, values: tuple[str, ...]) -> S3Uri:
    if table.location is None:
        raise QueryFailed(
            f"HIVE_INVALID_METADATA: Table '{table.database}.{table.name}' has no location in S3"
        )
    return natural_location(table, values) if values else table.location


def _column_names(cursor: Cursor) -> tuple[str, ...] | None:
    """Return the column list, unless the bracket opens the query."""
    if not cursor.at("(") or any(cursor.at("(", word) for word in _QUERY_STARTS):
        return None
    cursor.expect("(")
    names = [cursor.identifier()]
    while cursor.take(","):
        names.append(cursor.identifier())
    cursor.expect(")")
    return tuple(names)


def _target(statement: Statement, name: QualifiedName) -> Table:
    database, table_name = statement.resolve(name)
    table = statement.catalog.get_table(database, table_name)
    if table is None:
        raise QueryFailed(
            f"TABLE_NOT_FOUND: line 1:13: Table '{GLUE_CATALOG}.{database}.{table_name}' does not exist"
        )
    if table.is_view:
        raise QueryFailed("NOT_SUPPORTED: line 1:1: Inserting into views is not supported")
    if table.parameters.get("table_type", "").upper() == "ICEBERG":
        raise iceberg_refused()
    if table.raw["StorageDescriptor"].get("BucketColumns"):
        raise QueryFailed(
            f"NOT_SUPPORTED: Inserting into bucketed table '{database}.{table_name}' is not supported"
        )
    return table


def _encoding(table: Table) -> Encoding:
    file_format = _FORMAT_OF_SERDE.get(table.serde)
    if file_format is None or "SequenceFile" in table.output_format:
        raise QueryFailed(
            f"HIVE_UNSUPPORTED_FORMAT: Output format {table.output_format} with SerDe {table.serde} is not "
            "supported for INSERT INTO"
        )
    if file_format is FileFormat.CSV and any(kind != "string" for _, kind in table.columns):
        raise QueryFailed("NOT_SUPPORTED: Hive CSV storage format only supports VARCHAR (unbounded)")
    parameters = {key.lower(): value for key, value in table.parameters.items()}
    compression = parameters.get("write.compression") or parameters.get(COMPRESSION_PROPERTY[file_format])
    return choose_encoding(file_format, compression, serde_parameters=table.serde_parameters)


def _chosen(named: tuple[str, ...] | None, fields: dict[str, DataType]) -> tuple[str, ...]:
    if named is None:
        return tuple(fields)
    for index, field in enumerate(named):
        if field not in fields:
            raise QueryFailed(
                f"COLUMN_NOT_FOUND: line 1:1: Insert column name does not exist in target table: {field}"
            )
        if field in named[:index]:
            raise QueryFailed(
                f"DUPLICATE_COLUMN_NAME: line 1:1: Insert column name is specified more than once: {field}"
            )
    return named


def _check_types(targets: Sequence[DataType], sources: Sequence[DataType], columns: Sequence[Column]) -> None:
    fits = len(targets) == len(sources) and all(map(can_insert, sources, targets))
    if not fits:
        wanted = ", ".join(kind.trino for kind in targets)
        given = ", ".join(column.type for column in columns)
        raise QueryFailed(
            "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: "
            f"Table: [{wanted}], Query: [{given}]"
        )


def _in_table_order(
    rows: Any, chosen: Sequence[str], sources: Sequence[DataType], fields: dict[str, DataType]
) -> Any:
    """Return the rows as the table's columns; those the statement does not name are NULL."""
    import pyarrow as pa

    given = {
        field: coerce(column.combine_chunks(), source, fields[field])
        for field, column, source in zip(chosen, rows.columns, sources, strict=True)
    }
    arrays = {
        field: given[field] if field in given else pa.nulls(rows.num_rows, kind.arrow())
        for field, kind in fields.items()
    }
    return pa.table(arrays)
