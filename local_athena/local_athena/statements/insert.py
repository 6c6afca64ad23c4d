"""INSERT INTO: rows appended as new files, each partition's at its own location; new partitions in Glue."""

from __future__ import annotations

from local_athena.data.file_formats import COMPRESSION_PROPERTY, Encoding, FileFormat, choose_encoding
from local_athena.data.hive_storage import (
    HCATALOG_JSON_SERDES,
    LAZY_SIMPLE_SERDE,
    OPEN_CSV_SERDE,
    OPENX_JSON_SERDE,
    ORC_SERDE,
    PARQUET_SERDE,
)
from local_athena.data.session import Outcome
from local_athena.data.tables import Table
from local_athena.engine import Insert, uris
from local_athena.errors import QueryFailed
from local_athena.statements.hive_create import iceberg_refused
from local_athena.statements.hive_partitions import partition_input
from local_athena.statements.statement import Statement
from local_athena.statements.token_cursor import GLUE_CATALOG, Cursor, QualifiedName

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
    whole = cursor.padded_rest()
    cursor.expect("INSERT", "INTO")
    name = cursor.qualified_name()
    named = _column_names(cursor)
    query = cursor.padded_rest()

    table = _target(statement, name)
    encoding = _encoding(table)
    written = statement.engine.insert(Insert(whole, query, table, named, encoding), session)
    session.check_late()
    created = [partition_input(table, values, str(place)) for values, place in written.partitions.items()]
    # Two queries may find the same partition missing; both wrote to its natural place.
    statement.catalog.create_partitions(table, created, existing_ok=True)
    return Outcome("DML", "INSERT", update_count=written.rows, manifest=uris(written.files))


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
