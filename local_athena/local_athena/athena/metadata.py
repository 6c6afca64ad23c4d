"""Data catalogs, databases and tables as Athena shows them: Glue's, read as the caller."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from local_athena.athena.paging import take_page
from local_athena.athena.submissions import CATALOG
from local_athena.athena.workgroups import AUTO, ENGINE_VERSION
from local_athena.data.session import Clients
from local_athena.errors import ApiError

CATALOG_NAME = "AwsDataCatalog"


def list_data_catalogs() -> dict[str, Any]:
    """Return the one catalog there is."""
    return {
        "DataCatalogsSummary": [{"CatalogName": CATALOG_NAME, "Type": "GLUE", "Status": "CREATE_COMPLETE"}]
    }


def get_data_catalog(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return the catalog named, which must be the one there is."""
    _check_catalog(request["Name"])
    return {
        "DataCatalog": {
            "Name": CATALOG_NAME,
            "Type": "GLUE",
            "Parameters": {"catalog-id": clients.account_id},
            "Status": "CREATE_COMPLETE",
        }
    }


def list_engine_versions() -> dict[str, Any]:
    """Return the engine versions a workgroup may choose."""
    return {
        "EngineVersions": [
            {"SelectedEngineVersion": selected, "EffectiveEngineVersion": ENGINE_VERSION}
            for selected in (AUTO, ENGINE_VERSION)
        ]
    }


def list_databases(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return a page of databases in the order of their names."""
    _check_catalog(request["CatalogName"])
    found = _read_all(clients.glue.get_databases, "DatabaseList")
    found.sort(key=lambda database: str(database["Name"]))
    page, more = take_page(found, request, scope="databases", position=lambda database: database["Name"])
    return {"DatabaseList": [_database(database) for database in page], **more}


def get_database(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return one database."""
    _check_catalog(request["CatalogName"])
    answer = _ask(clients.glue.get_database, Name=request["DatabaseName"].lower())
    return {"Database": _database(answer["Database"])}


def list_table_metadata(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return a page of the tables and views whose whole name matches the expression."""
    _check_catalog(request["CatalogName"])
    database = request["DatabaseName"].lower()
    try:
        wanted = re.compile(request.get("Expression") or ".*", re.IGNORECASE)
    except re.error as error:
        raise ApiError("InvalidRequestException", f"Invalid Expression: {error}") from error
    tables = _read_all(clients.glue.get_tables, "TableList", DatabaseName=database)
    found = [table for table in tables if wanted.fullmatch(table["Name"])]
    found.sort(key=lambda table: str(table["Name"]))
    page, more = take_page(
        found, request, scope=f"tables of {database}", position=lambda table: table["Name"]
    )
    return {"TableMetadataList": [_table(table) for table in page], **more}


def get_table_metadata(request: dict[str, Any], clients: Clients) -> dict[str, Any]:
    """Return one table or view."""
    _check_catalog(request["CatalogName"])
    answer = _ask(
        clients.glue.get_table,
        DatabaseName=request["DatabaseName"].lower(),
        Name=request["TableName"].lower(),
    )
    return {"TableMetadata": _table(answer["Table"])}


def _check_catalog(name: str) -> None:
    if name.lower() != CATALOG:
        raise ApiError("InvalidRequestException", f"DataCatalog {name} was not found")


def _read_all(call: Callable[..., Any], member: str, **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while True:
        answer = _ask(call, **arguments, **token)
        found.extend(answer[member])
        if not answer.get("NextToken"):
            return found
        token = {"NextToken": answer["NextToken"]}


def _ask(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Make one Glue call; its refusal becomes Athena's MetadataException."""
    from botocore.exceptions import ClientError

    try:
        answer: dict[str, Any] = call(**arguments)
    except ClientError as error:
        # PyAthena finds the cause between "Error Code: " and ";" in exactly this form.
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        message = (
            "Entity Not Found" if code == "EntityNotFoundException" else error.response["Error"]["Message"]
        )
        raise ApiError(
            "MetadataException",
            f"{message} (Service: AmazonDataCatalog; Status Code: {status}; Error Code: {code}; "
            f"Request ID: {uuid.uuid4()}; Proxy: null)",
        ) from error
    return answer


def _database(database: dict[str, Any]) -> dict[str, Any]:
    shown = {"Name": database["Name"]}
    shown |= {name: database[name] for name in ("Description", "Parameters") if database.get(name)}
    return shown


def _table(table: dict[str, Any]) -> dict[str, Any]:
    storage = table.get("StorageDescriptor") or {}
    shown: dict[str, Any] = {
        "Name": table["Name"],
        "TableType": table.get("TableType", "EXTERNAL_TABLE"),
        "Columns": [_column(column) for column in storage.get("Columns", ())],
        "PartitionKeys": [_column(column) for column in table.get("PartitionKeys", ())],
        "Parameters": {**_storage_parameters(storage), **table.get("Parameters", {})},
    }
    for name, source in (("CreateTime", "CreateTime"), ("LastAccessTime", "LastAccessTime")):
        if table.get(source) is not None:
            shown[name] = table[source].timestamp()
    return shown


def _storage_parameters(storage: dict[str, Any]) -> dict[str, str]:
    """Return what Athena adds to a table's own parameters so that its storage is seen, too."""
    serde = storage.get("SerdeInfo") or {}
    named = {
        "location": storage.get("Location"),
        "inputformat": storage.get("InputFormat"),
        "outputformat": storage.get("OutputFormat"),
        "serde.serialization.lib": serde.get("SerializationLibrary"),
    }
    own = {f"serde.param.{name}": value for name, value in (serde.get("Parameters") or {}).items()}
    return {name: value for name, value in named.items() if value} | own


def _column(column: dict[str, Any]) -> dict[str, str]:
    return {name: column[name] for name in ("Name", "Type", "Comment") if column.get(name)}
