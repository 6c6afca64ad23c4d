"""How the files of a place were written: the SerDe, its parameters, and the columns it was told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local_athena.data.hive_storage import AVRO_SERDE, HCATALOG_JSON_SERDES, OPENX_JSON_SERDE, PARQUET_SERDE
from local_athena.data.tables import Fields, Table
from local_athena.data.types import DataType
from local_athena.duck.scans.pruning import Place, typed_fields
from local_athena.errors import QueryFailed

_OTHER_CONTAINERS = ("SequenceFile", "RCFile", "SymlinkText")
# SerDes whose files name their columns; the others go by position.
_BY_NAME = frozenset({OPENX_JSON_SERDE, PARQUET_SERDE, *HCATALOG_JSON_SERDES})

Columns = Sequence[tuple[str, DataType]]


@dataclass(frozen=True, slots=True)
class Source:
    """A column of the table as a storage holds it: where, and under which name and declared type."""

    position: int
    name: str
    declared: DataType


def storage_key(place: Place) -> Any:
    """Return what places of one storage have in common; None for the table's own."""
    partition = place.partition
    if partition is None:
        return None
    parameters = tuple(sorted(partition.serde_parameters.items()))
    return partition.serde, parameters, partition.columns, partition.input_format


class PlaceStorage:
    """How the files of a place were written: its partition's descriptor, or the table's."""

    def __init__(self, table: Table, place: Place) -> None:
        partition = place.partition
        own = partition is not None and bool(partition.serde)
        descriptor = partition if partition is not None and own else table
        self.serde: str = descriptor.serde
        self.parameters = {**table.parameters, **table.serde_parameters, **descriptor.serde_parameters}
        self._input_format: str = descriptor.input_format
        self._fields: Fields = (
            partition.columns if partition is not None and partition.columns else table.columns
        )
        self._table = table
        self._full_name = f"{table.database}.{table.name}"
        self._partition = partition
        self.columns = typed_fields(self._fields, self._full_name)
        self.skip_header = _count(table, "skip.header.line.count")
        self.skip_footer = _count(table, "skip.footer.line.count")
        if any(name in self._input_format for name in _OTHER_CONTAINERS):
            raise self.unknown()

    def unknown(self) -> QueryFailed:
        """Say which format it is that nobody here reads."""
        if self.serde == AVRO_SERDE:
            return QueryFailed(
                f"NOT_SUPPORTED: Table '{self._full_name}' is in Avro, which the local Athena does not read",
                error_type=1004,
            )
        return QueryFailed(
            f"HIVE_UNSUPPORTED_FORMAT: Unable to read table '{self._full_name}': SerDe "
            f"'{self.serde or 'none'}' with InputFormat '{self._input_format or 'none'}' is not supported",
            error_type=1004,
        )

    def sources(self, wanted: Columns) -> list[Source | None]:
        """Where each of the table's columns wanted is found here. Raises QueryFailed on types at odds."""
        if self._fields == self._table.columns:
            positions = {name: i for i, (name, _) in enumerate(self.columns)}
            return [Source(positions[name], name, kind) for name, kind in wanted]
        table_positions = {name: i for i, (name, _) in enumerate(self._table.columns)}
        return [self._source(name, kind, table_positions[name]) for name, kind in wanted]

    def _source(self, name: str, kind: DataType, position: int) -> Source | None:
        from local_athena.duck.scans.column_coercion import can_coerce

        if self.serde in _BY_NAME:
            found = next((i for i, (known, _) in enumerate(self.columns) if known == name), None)
            if found is None:
                # A file may hold a column its partition was not told of; where it is read by name it counts.
                return Source(position, name, kind) if self.serde == PARQUET_SERDE else None
            position = found
        if position >= len(self.columns):
            return None
        own_name, declared = self.columns[position]
        if not can_coerce(declared, kind):
            raise self._mismatch(name, kind, own_name, declared)
        return Source(position, own_name, declared)

    def _mismatch(self, name: str, kind: DataType, own_name: str, declared: DataType) -> QueryFailed:
        values = self._partition.values if self._partition is not None else ()
        pairs = zip((key for key, _ in self._table.partition_keys), values, strict=False)
        partition = "/".join(f"{key}={value}" for key, value in pairs)
        return QueryFailed(
            "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas. "
            f"The types are incompatible and cannot be coerced. The column '{name}' in table "
            f"'{self._full_name}' is declared as type '{kind.hive}', but partition '{partition}' declared "
            f"column '{own_name}' as type '{declared.hive}'.",
            error_type=1004,
        )


def _count(table: Table, parameter: str) -> int:
    text = table.parameters.get(parameter) or table.serde_parameters.get(parameter) or "0"
    try:
        return max(0, int(text))
    except ValueError as error:
        raise QueryFailed(
            f"HIVE_INVALID_METADATA: Invalid value for {parameter} property: {text}", error_type=1004
        ) from error
