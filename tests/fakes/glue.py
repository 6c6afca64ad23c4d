"""Glue small enough to read: databases, tables with versions, partitions by their values."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.unit.athena_fake import client_error

Values = tuple[str, ...]
_TERM = re.compile(r"""^\(?\s*"?(\w+)"?\s*=\s*'((?:[^']|'')*)'\s*\)?$""")


@dataclass
class FakeTable:
    definition: dict[str, Any]
    made_at: datetime
    version: int = 0
    partitions: dict[Values, dict[str, Any]] = field(default_factory=dict)


@dataclass(eq=False)
class FakeGlue:
    """Answers as AWS documents. Names of parameters are Glue's."""

    databases: dict[str, dict[str, FakeTable]] = field(default_factory=dict)
    page_size: int = 100
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    # ------------------------------------------------------------------------------------------- tables

    def get_database(self, **request: Any) -> dict[str, Any]:
        self._database(request["Name"])
        return {"Database": {"Name": request["Name"]}}

    def get_databases(self, **request: Any) -> dict[str, Any]:
        return self._page("DatabaseList", [{"Name": name} for name in sorted(self.databases)], request)

    def get_table(self, **request: Any) -> dict[str, Any]:
        table = self._table(request["DatabaseName"], request["Name"])
        return {"Table": self._told(request["DatabaseName"], table)}

    def get_tables(self, **request: Any) -> dict[str, Any]:
        tables = self._database(request["DatabaseName"])
        pattern = request.get("Expression", "*")
        names = [name for name in sorted(tables) if fnmatch.fnmatchcase(name, pattern)]
        told = [self._told(request["DatabaseName"], tables[name]) for name in names]
        return self._page("TableList", told, request)

    def create_table(self, **request: Any) -> dict[str, Any]:
        tables, definition = self._database(request["DatabaseName"]), deepcopy(request["TableInput"])
        if definition["Name"] in tables:
            raise client_error("AlreadyExistsException")
        tables[definition["Name"]] = FakeTable(definition, self.now)
        return {}

    def update_table(self, **request: Any) -> dict[str, Any]:
        definition = deepcopy(request["TableInput"])
        table = self._table(request["DatabaseName"], definition["Name"])
        if request.get("VersionId", str(table.version)) != str(table.version):
            raise client_error("ConcurrentModificationException")
        table.definition, table.version = definition, table.version + 1
        return {}

    def delete_table(self, **request: Any) -> dict[str, Any]:
        self._table(request["DatabaseName"], request["Name"])
        del self.databases[request["DatabaseName"]][request["Name"]]
        return {}

    # --------------------------------------------------------------------------------------- partitions

    def get_partition(self, **request: Any) -> dict[str, Any]:
        table, values = self._of(request), tuple(request["PartitionValues"])
        if values not in table.partitions:
            raise client_error("EntityNotFoundException")
        return {"Partition": deepcopy(table.partitions[values])}

    def get_partitions(self, **request: Any) -> dict[str, Any]:
        table = self._of(request)
        keys = [key["Name"] for key in table.definition.get("PartitionKeys", ())]
        wanted = _terms(request.get("Expression"))
        found = [
            deepcopy(one)
            for values, one in sorted(table.partitions.items())
            if all(dict(zip(keys, values, strict=True))[name] == value for name, value in wanted.items())
        ]
        segment = request.get("Segment")
        if segment is not None:
            found = [
                one
                for number, one in enumerate(found)
                if number % segment["TotalSegments"] == segment["SegmentNumber"]
            ]
        if request.get("ExcludeColumnSchema"):
            for one in found:
                one["StorageDescriptor"].pop("Columns", None)
        return self._page("Partitions", found, request)

    def batch_get_partition(self, **request: Any) -> dict[str, Any]:
        table = self._of(request)
        wanted = [tuple(one["Values"]) for one in request["PartitionsToGet"]]
        assert len(wanted) <= 1000
        found = [deepcopy(table.partitions[values]) for values in wanted if values in table.partitions]
        return {"Partitions": found, "UnprocessedKeys": []}

    def create_partition(self, **request: Any) -> dict[str, Any]:
        if self._create(self._of(request), request["PartitionInput"]):
            return {}
        raise client_error("AlreadyExistsException")

    def update_partition(self, **request: Any) -> dict[str, Any]:
        if self._update(self._of(request), request["PartitionValueList"], request["PartitionInput"]):
            return {}
        raise client_error("EntityNotFoundException")

    def delete_partition(self, **request: Any) -> dict[str, Any]:
        if self._of(request).partitions.pop(tuple(request["PartitionValues"]), None) is None:
            raise client_error("EntityNotFoundException")
        return {}

    def batch_create_partition(self, **request: Any) -> dict[str, Any]:
        table, inputs = self._of(request), request["PartitionInputList"]
        assert len(inputs) <= 100
        refused = [one["Values"] for one in inputs if not self._create(table, one)]
        return _errors("PartitionValues", refused, "AlreadyExistsException")

    def batch_update_partition(self, **request: Any) -> dict[str, Any]:
        table, entries = self._of(request), request["Entries"]
        assert len(entries) <= 100
        refused = [
            one["PartitionValueList"]
            for one in entries
            if not self._update(table, one["PartitionValueList"], one["PartitionInput"])
        ]
        return _errors("PartitionValueList", refused, "EntityNotFoundException")

    def batch_delete_partition(self, **request: Any) -> dict[str, Any]:
        table, listed = self._of(request), [tuple(one["Values"]) for one in request["PartitionsToDelete"]]
        assert len(listed) <= 25
        refused = [list(values) for values in listed if table.partitions.pop(values, None) is None]
        return _errors("PartitionValues", refused, "EntityNotFoundException")

    # ------------------------------------------------------------------------------------------- inside

    def _create(self, table: FakeTable, given: Mapping[str, Any]) -> bool:
        values = tuple(given["Values"])
        if values in table.partitions:
            return False
        table.partitions[values] = deepcopy(dict(given))
        return True

    def _update(self, table: FakeTable, values: Sequence[str], given: Mapping[str, Any]) -> bool:
        if tuple(values) not in table.partitions:
            return False
        del table.partitions[tuple(values)]
        table.partitions[tuple(given["Values"])] = deepcopy(dict(given))
        return True

    def _database(self, name: str) -> dict[str, FakeTable]:
        if name not in self.databases:
            raise client_error("EntityNotFoundException")
        return self.databases[name]

    def _table(self, database: str, name: str) -> FakeTable:
        if name not in self._database(database):
            raise client_error("EntityNotFoundException")
        return self.databases[database][name]

    def _of(self, request: Mapping[str, Any]) -> FakeTable:
        return self._table(request["DatabaseName"], request["TableName"])

    def _told(self, database: str, table: FakeTable) -> dict[str, Any]:
        return {
            **deepcopy(table.definition),
            "DatabaseName": database,
            "VersionId": str(table.version),
            "CatalogId": "123456789012",
            "CreateTime": table.made_at,
        }

    def _page(self, name: str, items: list[Any], request: Mapping[str, Any]) -> dict[str, Any]:
        start = int(request.get("NextToken") or 0)
        end = start + min(self.page_size, request.get("MaxResults") or self.page_size)
        more = {"NextToken": str(end)} if end < len(items) else {}
        return {name: items[start:end], **more}


def _terms(expression: str | None) -> dict[str, str]:
    """Read an expression of equalities of text keys, which is all that the fake knows."""
    terms: dict[str, str] = {}
    for term in re.split(r"\s+AND\s+", expression or "", flags=re.IGNORECASE) if expression else ():
        match = _TERM.match(term.strip())
        assert match, f"the fake Glue cannot read {expression!r}"
        terms[match[1]] = match[2].replace("''", "'")
    return terms


def _errors(field_name: str, refused: Sequence[Sequence[str]], code: str) -> dict[str, Any]:
    detail = {"ErrorCode": code, "ErrorMessage": "as told"}
    return {"Errors": [{field_name: list(values), "ErrorDetail": detail} for values in refused]}
