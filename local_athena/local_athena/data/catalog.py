"""Glue as a query sees it: tables, views and partitions, read and changed under the query's caller.

Names are lower-cased before they are sent, as Athena does. What Glue refuses becomes QueryFailed with the
words Athena uses; "not there" is None where a caller can go on without it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.exceptions import InvalidCallError
from local_athena.data.session import Clients, Column
from local_athena.errors import QueryFailed

VIEW_TYPE = "VIRTUAL_VIEW"
# Service quotas of the batch calls (Glue API reference, read 2026-11).
MAX_BATCH_CREATE_PARTITIONS = 100
MAX_BATCH_DELETE_PARTITIONS = 25

_VIEW_TEXT = re.compile(r"/\* Presto View: ([A-Za-z0-9+/=\s]+) \*/")
_ACCESS_CODES = frozenset({"AccessDeniedException", "AccessDenied", "403", "UnauthorizedOperation"})
_BUSY_CODES = frozenset({"ThrottlingException", "InternalServiceException", "OperationTimeoutException"})

Fields = tuple[tuple[str, str], ...]


class EntityExists(QueryFailed):
    """Glue holds something of that name already."""


class EntityMissing(QueryFailed):
    """Glue holds nothing of that name."""


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """What a view was made of; ``catalog`` and ``schema`` are where its unqualified names are looked up."""

    sql: str
    catalog: str
    schema: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view of Glue. Columns are (lower-case name, Hive type)."""

    database: str
    name: str
    columns: Fields
    partition_keys: Fields
    location: S3Uri | None
    input_format: str
    output_format: str
    serde: str
    serde_parameters: Mapping[str, str]
    parameters: Mapping[str, str]
    is_view: bool
    view: ViewDefinition | None
    comment: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def view_sql(self) -> str | None:
        """The SELECT of a view that Athena or Trino wrote."""
        return self.view.sql if self.view else None


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of Glue, with the storage descriptor it was written under, which may differ."""

    values: tuple[str, ...]
    location: S3Uri | None
    columns: Fields
    input_format: str
    serde: str
    serde_parameters: Mapping[str, str]
    parameters: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


class Catalog:
    """The Glue data catalog under one query's caller."""

    def __init__(self, clients: Clients) -> None:
        self._glue = clients.glue

    def databases(self) -> tuple[str, ...]:
        """Names of all databases the caller may list."""
        with _refusals():
            pages = list(self._glue.get_paginator("get_databases").paginate())
        return tuple(database["Name"] for page in pages for database in page["DatabaseList"])

    def get_database(self, name: str) -> Mapping[str, Any] | None:
        """Glue's Database, or None."""
        try:
            with _refusals():
                found: Mapping[str, Any] = self._glue.get_database(Name=name.lower())["Database"]
        except EntityMissing:
            return None
        return found

    def create_database(self, database_input: Mapping[str, Any]) -> None:
        """Create a database. Raises EntityExists."""
        with _refusals():
            self._glue.create_database(
                DatabaseInput={**database_input, "Name": database_input["Name"].lower()}
            )

    def update_database(self, name: str, database_input: Mapping[str, Any]) -> None:
        """Replace a database's description."""
        with _refusals():
            self._glue.update_database(Name=name.lower(), DatabaseInput=dict(database_input))

    def delete_database(self, name: str) -> None:
        """Delete a database with all its tables. Raises EntityMissing."""
        with _refusals():
            self._glue.delete_database(Name=name.lower())

    def get_table(self, database: str, name: str) -> Table | None:
        """Return the table or view, or None when it or its database is not there."""
        try:
            with _refusals():
                answer = self._glue.get_table(DatabaseName=database.lower(), Name=name.lower())
        except EntityMissing:
            return None
        return parse_table(answer["Table"])

    def list_tables(self, database: str, expression: str | None = None) -> tuple[Table, ...]:
        """Tables and views of a database whose names match Glue's ``expression``. Raises EntityMissing."""
        arguments = {"DatabaseName": database.lower()} | ({"Expression": expression} if expression else {})
        with _refusals():
            pages = list(self._glue.get_paginator("get_tables").paginate(**arguments))
        return tuple(parse_table(table) for page in pages for table in page["TableList"])

    def create_table(self, database: str, table_input: Mapping[str, Any]) -> None:
        """Create a table or view. Raises EntityExists."""
        with _refusals():
            self._glue.create_table(DatabaseName=database.lower(), TableInput=_named(table_input))

    def update_table(
        self, database: str, table_input: Mapping[str, Any], version_id: str | None = None
    ) -> None:
        """Replace a table or view; with ``version_id`` only when nobody else changed it."""
        version = {} if version_id is None else {"VersionId": version_id}
        with _refusals():
            self._glue.update_table(DatabaseName=database.lower(), TableInput=_named(table_input), **version)

    def delete_table(self, database: str, name: str) -> None:
        """Delete a table or view; its objects stay. Raises EntityMissing."""
        with _refusals():
            self._glue.delete_table(DatabaseName=database.lower(), Name=name.lower())

    def partitions(self, table: Table, expression: str | None = None) -> tuple[Partition, ...]:
        """Return the table's partitions; those that match Glue's ``expression`` when there is one."""
        arguments = {"DatabaseName": table.database, "TableName": table.name}
        if expression:
            arguments["Expression"] = expression
        with _refusals():
            pages = list(self._glue.get_paginator("get_partitions").paginate(**arguments))
        return tuple(parse_partition(partition) for page in pages for partition in page["Partitions"])

    def get_partition(self, table: Table, values: Sequence[str]) -> Partition | None:
        """One partition by its values, or None."""
        try:
            with _refusals():
                answer = self._glue.get_partition(
                    DatabaseName=table.database, TableName=table.name, PartitionValues=list(values)
                )
        except EntityMissing:
            return None
        return parse_partition(answer["Partition"])

    def create_partitions(
        self, table: Table, inputs: Sequence[Mapping[str, Any]], *, existing_ok: bool = False
    ) -> None:
        """Create partitions. One that exists stays as it is: EntityExists, unless ``existing_ok``."""
        for start in range(0, len(inputs), MAX_BATCH_CREATE_PARTITIONS):
            batch = [dict(entry) for entry in inputs[start : start + MAX_BATCH_CREATE_PARTITIONS]]
            with _refusals():
                answer = self._glue.batch_create_partition(
                    DatabaseName=table.database, TableName=table.name, PartitionInputList=batch
                )
            ignored = {"AlreadyExistsException"} if existing_ok else set()
            _raise_first(answer.get("Errors", ()), ignored, table)

    def update_partition(
        self, table: Table, values: Sequence[str], partition_input: Mapping[str, Any]
    ) -> None:
        """Replace a partition's descriptor. Raises EntityMissing."""
        with _refusals():
            self._glue.update_partition(
                DatabaseName=table.database,
                TableName=table.name,
                PartitionValueList=list(values),
                PartitionInput=dict(partition_input),
            )

    def delete_partitions(
        self, table: Table, values: Sequence[Sequence[str]], *, missing_ok: bool = False
    ) -> None:
        """Delete partitions; their objects stay. Raises EntityMissing, unless ``missing_ok``."""
        for start in range(0, len(values), MAX_BATCH_DELETE_PARTITIONS):
            batch = [{"Values": list(entry)} for entry in values[start : start + MAX_BATCH_DELETE_PARTITIONS]]
            with _refusals():
                answer = self._glue.batch_delete_partition(
                    DatabaseName=table.database, TableName=table.name, PartitionsToDelete=batch
                )
            ignored = {"EntityNotFoundException"} if missing_ok else set()
            _raise_first(answer.get("Errors", ()), ignored, table)


def parse_table(raw: Mapping[str, Any]) -> Table:
    """Read Glue's Table (or TableInput with a DatabaseName)."""
    storage = raw.get("StorageDescriptor") or {}
    serde = storage.get("SerdeInfo") or {}
    parameters = raw.get("Parameters") or {}
    is_view = raw.get("TableType") == VIEW_TYPE
    return Table(
        database=raw.get("DatabaseName", "").lower(),
        name=raw["Name"].lower(),
        columns=_fields(storage.get("Columns")),
        partition_keys=_fields(raw.get("PartitionKeys")),
        location=_location(storage),
        input_format=storage.get("InputFormat") or "",
        output_format=storage.get("OutputFormat") or "",
        serde=serde.get("SerializationLibrary") or "",
        serde_parameters=dict(serde.get("Parameters") or {}),
        parameters=dict(parameters),
        is_view=is_view,
        view=decode_view(raw) if is_view else None,
        comment=raw.get("Description") or parameters.get("comment"),
        raw=raw,
    )


def parse_partition(raw: Mapping[str, Any]) -> Partition:
    """Read Glue's Partition."""
    storage = raw.get("StorageDescriptor") or {}
    serde = storage.get("SerdeInfo") or {}
    return Partition(
        values=tuple(raw["Values"]),
        location=_location(storage),
        columns=_fields(storage.get("Columns")),
        input_format=storage.get("InputFormat") or "",
        serde=serde.get("SerializationLibrary") or "",
        serde_parameters=dict(serde.get("Parameters") or {}),
        parameters=dict(raw.get("Parameters") or {}),
        raw=raw,
    )


def encode_view(sql: str, columns: Sequence[Column], catalog: str, schema: str) -> dict[str, Any]:
    """Return the parts of a Glue TableInput that make it a view, as Athena and Trino write them.

    The caller adds Name (and Owner, Description). ``columns`` carry Trino's types.
    """
    from local_athena.data.type_parser import parse_trino

    definition = {
        "originalSql": sql,
        "catalog": catalog.lower(),
        "schema": schema.lower(),
        "columns": [{"name": column.name, "type": column.type} for column in columns],
    }
    data = base64.b64encode(json.dumps(definition, ensure_ascii=False).encode()).decode("ascii")
    hive_columns = [
        {"Name": column.name.lower(), "Type": parse_trino(column.type).hive} for column in columns
    ]
    return {
        "TableType": VIEW_TYPE,
        "ViewOriginalText": f"/* Presto View: {data} */",
        "ViewExpandedText": "/* Presto View */",
        # Athena cannot read a view whose PartitionKeys are absent.
        "PartitionKeys": [],
        "Parameters": {"comment": "Presto View", "presto_view": "true"},
        "StorageDescriptor": {"Columns": hive_columns, "Location": "", "SerdeInfo": {}},
    }


def decode_view(raw: Mapping[str, Any]) -> ViewDefinition | None:
    """Read a view that Athena or Trino wrote; None for Hive's and Spark's, whose text is not Trino's SQL."""
    match = _VIEW_TEXT.fullmatch((raw.get("ViewOriginalText") or "").strip())
    if match is None:
        return None
    try:
        definition = json.loads(base64.b64decode(match.group(1)))
        columns = tuple(Column(column["name"], column["type"]) for column in definition["columns"])
        sql = definition["originalSql"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        name = f"{raw.get('DatabaseName', '')}.{raw.get('Name', '')}"
        raise QueryFailed(
            f"INVALID_VIEW: Invalid view JSON: view '{name}' cannot be read: {error}"
        ) from error
    catalog = definition.get("catalog") or "awsdatacatalog"
    return ViewDefinition(sql, catalog, definition.get("schema") or raw.get("DatabaseName", ""), columns)


def _named(table_input: Mapping[str, Any]) -> dict[str, Any]:
    return {**table_input, "Name": table_input["Name"].lower()}


def _fields(columns: Sequence[Mapping[str, str]] | None) -> Fields:
    return tuple((column["Name"].lower(), column.get("Type") or "string") for column in columns or ())


def _location(storage: Mapping[str, Any]) -> S3Uri | None:
    try:
        return S3Uri.parse(storage.get("Location") or "")
    except InvalidCallError:
        return None  # a view, or a table elsewhere: scanning one is refused by name


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise refusal(error) from error


def refusal(error: ClientError) -> QueryFailed:
    """Return the failure of a query whose call to Glue was refused, in Athena's words."""
    detail = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code, message = detail.get("Code", ""), detail.get("Message", "")
    status = metadata.get("HTTPStatusCode", 400)
    if code in _ACCESS_CODES or status == 403:
        action = f"glue:{error.operation_name}"
        if action not in message:
            message = f"The caller is not authorized to perform: {action}. {message}".rstrip()
        text = f"{message} {_trailer('AccessDeniedException', 400, metadata)}"
        return QueryFailed(f"Insufficient permissions to execute the query. {text}", error_type=1000)
    text = f"{message} {_trailer(code, status, metadata)}"
    if code == "AlreadyExistsException":
        return EntityExists(text, error_type=1000)
    if code == "EntityNotFoundException":
        return EntityMissing(text, error_type=1000)
    if code in _BUSY_CODES or status >= 500:
        return QueryFailed(text, category=1, error_type=204, retryable=True)
    return QueryFailed(text, error_type=1000)


def _trailer(code: str, status: int, metadata: Mapping[str, Any]) -> str:
    return (
        f"(Service: AmazonDataCatalog; Status Code: {status}; Error Code: {code}; "
        f"Request ID: {metadata.get('RequestId', '')}; Proxy: null)"
    )


def _raise_first(errors: Sequence[Mapping[str, Any]], ignored: set[str], table: Table) -> None:
    for entry in errors:
        detail = entry.get("ErrorDetail", {})
        code = detail.get("ErrorCode", "")
        if code in ignored:
            continue
        values = entry.get("PartitionValues", [])
        text = (
            f"Partition {values} of {table.database}.{table.name}: {code}: {detail.get('ErrorMessage', '')}"
        )
        kinds = {"AlreadyExistsException": EntityExists, "EntityNotFoundException": EntityMissing}
        raise kinds.get(code, QueryFailed)(text, error_type=1000)
