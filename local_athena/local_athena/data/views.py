"""The text by which Athena and Trino keep a view in Glue."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local_athena.data.session import Column
from local_athena.data.type_parser import parse_trino
from local_athena.errors import QueryFailed

VIEW_TYPE = "VIRTUAL_VIEW"

_VIEW_TEXT = re.compile(r"/\* Presto View: ([A-Za-z0-9+/=\s]+) \*/")


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """What a view was made of; ``catalog`` and ``schema`` are where its unqualified names are looked up."""

    sql: str
    catalog: str
    schema: str
    columns: tuple[Column, ...]


def encode_view(sql: str, columns: Sequence[Column], catalog: str, schema: str) -> dict[str, Any]:
    """Return the parts of a Glue TableInput that make it a view, as Athena and Trino write them.

    The caller adds Name (and Owner, Description). ``columns`` carry Trino's types.
    """
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
