"""SearchTables, which moto does not offer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from local_athena.moto_fixes.moto_calls import call
from local_athena.wire.messages import Answer, AwsError, Forward, Request, build_answer

_FIELDS = {"name": "Name", "databasename": "DatabaseName", "description": "Description", "owner": "Owner"}


def search_tables(request: Request, forward: Forward) -> Answer:
    """Find tables by text and by filters, over all databases."""
    if request.operation != "SearchTables":
        return forward(request)
    document = request.json()
    found = [
        table
        for table in _all_tables(request, forward)
        if _has_text(table, document.get("SearchText")) and _passes(table, document.get("Filters") or ())
    ]
    for criterion in reversed(document.get("SortCriteria") or ()):
        field = _FIELDS.get(str(criterion.get("FieldName", "")).lower(), str(criterion.get("FieldName")))
        found.sort(key=lambda t, f=field: str(t.get(f, "")), reverse=criterion.get("Sort") == "DESC")  # type: ignore[misc]
    return build_answer({"TableList": found})


def _all_tables(request: Request, forward: Forward) -> Iterator[dict[str, Any]]:
    databases = forward(call(request, "GetDatabases", {})).json().get("DatabaseList") or ()
    for database in databases:
        tables = forward(call(request, "GetTables", {"DatabaseName": database["Name"]})).json()
        yield from tables.get("TableList") or ()


def _has_text(table: Mapping[str, Any], text: str | None) -> bool:
    """Tell whether the text stands in the table's names, description, columns or parameters."""
    if not text:
        return True
    columns = [*_columns(table), *(table.get("PartitionKeys") or ())]
    words = [str(table.get(field, "")) for field in _FIELDS.values()]
    words += [str(c.get(part, "")) for c in columns for part in ("Name", "Comment")]
    words += [str(part) for item in (table.get("Parameters") or {}).items() for part in item]
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].lower() in (word.lower() for word in words)
    return any(text.lower() in word.lower() for word in words)


def _columns(table: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return (table.get("StorageDescriptor") or {}).get("Columns") or ()


def _passes(table: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> bool:
    return all(_passes_one(table, f) for f in filters)


def _passes_one(table: Mapping[str, Any], predicate: Mapping[str, Any]) -> bool:
    """Match by word, as documented: ``link`` finds ``customer-link``, not ``xxlinkyy``."""
    key = str(predicate.get("Key", "")).lower()
    if predicate.get("Comparator") not in (None, "EQUALS") or key not in _FIELDS:
        raise AwsError(
            "InvalidInputException",
            f"The local Athena's SearchTables filters by {', '.join(_FIELDS)} with EQUALS, not {predicate}.",
        )
    value = str(table.get(_FIELDS[key], ""))
    wanted = str(predicate.get("Value", ""))
    return wanted == value or wanted in re.split(r"[-:#./\s]", value)
