"""Glue as a query sees it: its calls, made under the query's caller.

Names are lower-cased before they are sent, as Athena does. What Glue refuses becomes QueryFailed with the
words Athena uses; "not there" is None where a caller can go on without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from local_athena.data.session import Clients
from local_athena.data.tables import Partition, Table, parse_partition, parse_table
from local_athena.errors import QueryFailed

# Service quotas of the batch calls (Glue API reference, read 2026-11).
MAX_BATCH_CREATE_PARTITIONS = 100
MAX_BATCH_DELETE_PARTITIONS = 25

_ACCESS_CODES = frozenset({"AccessDeniedException", "AccessDenied", "403", "UnauthorizedOperation"})
_BUSY_CODES = frozenset({"ThrottlingException", "InternalServiceException", "OperationTimeoutException"})


class EntityExists(QueryFailed):
    """Glue holds something of that name already."""


class EntityMissing(QueryFailed):
    """Glue holds nothing of that name."""


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


def _named(table_input: Mapping[str, Any]) -> dict[str, Any]:
    return {**table_input, "Name": table_input["Name"].lower()}


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
