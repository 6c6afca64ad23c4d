"""Tables and partitions of Glue as values. Columns are (lower-case name, Hive type)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_athena.data.partition_names import partition_path
from local_athena.data.s3_uri import InvalidUri, S3Uri
from local_athena.data.views import VIEW_TYPE, ViewDefinition, decode_view

Fields = tuple[tuple[str, str], ...]


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

    def natural_location(self, values: Sequence[str]) -> S3Uri | None:
        """Where a partition lies when nobody says otherwise; None when the table lies nowhere in S3."""
        if self.location is None:
            return None
        return self.location / partition_path([name for name, _ in self.partition_keys], values)


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


def _fields(columns: Sequence[Mapping[str, str]] | None) -> Fields:
    return tuple((column["Name"].lower(), column.get("Type") or "string") for column in columns or ())


def _location(storage: Mapping[str, Any]) -> S3Uri | None:
    try:
        return S3Uri.parse(storage.get("Location") or "")
    except InvalidUri:
        return None  # a view, or a table elsewhere: scanning one is refused by name
