"""Glue folds names of databases, tables and columns to lower case; moto keeps them as sent.

Databases and tables: Glue web API, DatabaseInput and TableInput, "folded to lowercase when it is stored".
Columns: not written there, but seen on a real catalog (apache/flink-connector-aws, pull request 206). Names
of fields within a struct keep their case. All read 2026-11.
"""

from __future__ import annotations

from typing import Any

from local_athena.wire.messages import Answer, Forward, Request

_CATALOG_WORDS = ("Database", "Table", "Partition", "ColumnStatistics")


def fold_names(request: Request, forward: Forward) -> Answer:
    """Fold every name a catalog call brings."""
    if not any(word in request.operation for word in _CATALOG_WORDS):
        return forward(request)
    document = request.json()
    for name in ("DatabaseName", "TableName", "Name"):
        _fold(document, name)
    if isinstance(document.get("TablesToDelete"), list):
        document["TablesToDelete"] = [name.lower() for name in document["TablesToDelete"]]
    for inner in (document.get("DatabaseInput"), document.get("TableInput"), document.get("PartitionInput")):
        _fold_input(inner)
    for item in document.get("PartitionInputList") or ():
        _fold_input(item)
    for entry in document.get("Entries") or ():
        _fold_input(entry.get("PartitionInput"))
    return forward(request.with_json(document))


def _fold(document: dict[str, Any], name: str) -> None:
    if isinstance(document.get(name), str):
        document[name] = document[name].lower()


def _fold_input(document: dict[str, Any] | None) -> None:
    if not document:
        return
    _fold(document, "Name")
    columns = (document.get("StorageDescriptor") or {}).get("Columns") or ()
    for column in (*columns, *(document.get("PartitionKeys") or ())):
        _fold(column, "Name")
