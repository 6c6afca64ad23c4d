"""A table of Glue's as a value, and whether its partitions can be overwritten. Reads nothing itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_quilt_athena.core.athena.sql import Dialect, quote_name
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.exceptions import InvalidCallError

BASE_PARAMETER = "quilt_athena.base"
GENERATIONS_FOLDER = ".generations"

Columns = tuple[tuple[str, str], ...]  # (name, Hive type), in order

# What GetTable returns and UpdateTable takes; everything else GetTable returns is Glue's own.
_TABLE_INPUT_FIELDS = (
    "Name",
    "Description",
    "Owner",
    "LastAccessTime",
    "LastAnalyzedTime",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "ViewOriginalText",
    "ViewExpandedText",
    "TableType",
    "Parameters",
    "TargetTable",
)
# The folder of an attempt: see core.overwrite.attempt_names.
_ATTEMPT = re.compile(r"(^|/)a[0-9a-f]{12}-[1-9]\d*-[0-9a-f]{8}/")
_COMPRESSION_PARAMETERS = (
    "write.compression",
    "write_compression",
    "parquet.compression",
    "orc.compress",
    "compressionType",  # awswrangler's; crawlers write "none" there, whatever the files are
)


_SERDES = {
    "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe": FileFormat.PARQUET,
    "org.apache.hadoop.hive.ql.io.orc.OrcSerde": FileFormat.ORC,
    "org.openx.data.jsonserde.JsonSerDe": FileFormat.JSON,
    "org.apache.hive.hcatalog.data.JsonSerDe": FileFormat.JSON,
    "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe": FileFormat.TEXTFILE,
}
# Properties with which a table reads what a plain CTAS of that format writes.
_HARMLESS_SERDE_PARAMETERS = {
    FileFormat.PARQUET: frozenset({"serialization.format"}),
    FileFormat.ORC: frozenset({"serialization.format"}),
    FileFormat.JSON: frozenset(
        {"serialization.format", "paths", "case.insensitive", "ignore.malformed.json"}
    ),
    FileFormat.TEXTFILE: frozenset({"serialization.format", "field.delim"}),
}


@dataclass(frozen=True, slots=True)
class TableName:
    """A table of a Glue catalog, in Glue's lower case."""

    database: str
    table: str
    catalog_id: str | None = None  # the account whose Glue catalog it is in; None is the caller's own

    @classmethod
    def parse(cls, text: str, default_database: str, catalog_id: str | None = None) -> TableName:
        """Read ``table`` or ``database.table``."""
        parts = text.strip().split(".")
        if len(parts) > 2:
            raise InvalidCallError(
                f"Table {text!r} names a catalog. Expected table or database.table; catalog_id names another "
                "account's catalog."
            )
        if not all(parts):
            raise InvalidCallError(f"Not a table's name: {text!r}. Expected table or database.table.")
        database, table = parts if len(parts) == 2 else (default_database, parts[0])
        return cls(database.lower(), table.lower(), catalog_id)

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"

    @property
    def trino(self) -> str:
        """The quoted name, for a SELECT or a CTAS."""
        return quote_name(self.database, self.table, Dialect.TRINO)


@dataclass(frozen=True, slots=True)
class Bucketing:
    """Rows with one value in ``columns`` lie in one of ``count`` files of a partition."""

    columns: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table as GetTable told of it. ``raw`` keeps every field, so that an update can send all back."""

    name: TableName
    columns: Columns
    partition_keys: Columns
    location: S3Uri | None
    parameters: Mapping[str, str]
    version: str | None
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def serde(self) -> str:
        """The class that reads and writes rows."""
        return str((self._descriptor.get("SerdeInfo") or {}).get("SerializationLibrary") or "")

    @property
    def serde_parameters(self) -> Mapping[str, str]:
        """The SerDe's own settings."""
        return dict((self._descriptor.get("SerdeInfo") or {}).get("Parameters") or {})

    @property
    def file_format(self) -> FileFormat | None:
        """The format of its files, when it is one that a CTAS writes."""
        return _SERDES.get(self.serde)

    @property
    def compression(self) -> str | None:
        """The compression recorded with the table, if any."""
        for name in _COMPRESSION_PARAMETERS:
            if (self.parameters.get(name) or "none").lower() != "none":
                return self.parameters[name].upper()
        return None

    @property
    def base(self) -> S3Uri:
        """The folder that all generations' paths come from."""
        # Tools that write a table's parameters anew mostly leave those of its descriptor.
        recorded = self.parameters.get(BASE_PARAMETER) or self._descriptor_parameters.get(BASE_PARAMETER)
        if recorded:
            return S3Uri.parse(recorded).folder
        if self.location is None:
            raise InvalidCallError(f"Table {self.name} has no location.")
        # A table without keys lies in a generation; a tool that dropped the parameter must not make us nest.
        outside, inside, _ = self.location.folder.key.partition(f"/{GENERATIONS_FOLDER}/")
        if inside:
            return S3Uri(self.location.bucket, f"{outside}/")
        if _ATTEMPT.search(self.location.folder.key):
            raise InvalidCallError(
                f"Table {self.name} is at {self.location}, a generation of this package's, and its parameter "
                f"{BASE_PARAMETER} is gone: something dropped it. Set it to the folder that the table had at "
                f"first, with ALTER TABLE {self.name} SET TBLPROPERTIES ('{BASE_PARAMETER}'='s3://…/')."
            )
        return self.location.folder

    @property
    def bucketing(self) -> Bucketing | None:
        """How rows are spread over files by hash, if they are."""
        columns = tuple(name.lower() for name in self._descriptor.get("BucketColumns") or ())
        return Bucketing(columns, int(self._descriptor["NumberOfBuckets"])) if columns else None

    @property
    def is_governed(self) -> bool:
        """Whether AWS Lake Formation decides who may use it."""
        return bool(self.raw.get("IsRegisteredWithLakeFormation"))

    @property
    def _descriptor_parameters(self) -> Mapping[str, str]:
        return self._descriptor.get("Parameters") or {}

    @property
    def _descriptor(self) -> Mapping[str, Any]:
        return self.raw.get("StorageDescriptor") or {}


def parse_table(raw: Mapping[str, Any], catalog_id: str | None = None) -> Table:
    """Read the ``Table`` of a GetTable response, made with ``catalog_id``."""
    descriptor = raw.get("StorageDescriptor") or {}
    location = descriptor.get("Location")
    return Table(
        name=TableName(raw["DatabaseName"].lower(), raw["Name"].lower(), catalog_id),
        columns=_columns(descriptor.get("Columns")),
        partition_keys=_columns(raw.get("PartitionKeys")),
        location=S3Uri.parse(location) if location else None,
        parameters=dict(raw.get("Parameters") or {}),
        version=raw.get("VersionId"),
        raw=raw,
    )


def _columns(columns: Any) -> Columns:
    return tuple((column["Name"].lower(), str(column.get("Type", "")).lower()) for column in columns or ())


def table_input(table: Table) -> dict[str, Any]:
    """Return a TableInput that changes nothing: every field that may be sent, as it was read."""
    return {name: table.raw[name] for name in _TABLE_INPUT_FIELDS if table.raw.get(name) is not None}


def refuse_unwritable(table: Table) -> None:
    """Raise InvalidCallError when overwriting the table's partitions could not be seen or read back."""
    problem = find_problem(table)
    if problem:
        raise InvalidCallError(f"Cannot overwrite {table.name}: {problem}")


def find_problem(table: Table) -> str | None:
    """Return why overwriting the table's partitions could not be seen or read back, and what to do."""
    return _kind_problem(table) or _place_problem(table) or _format_problem(table)


def serde_of(file_format: FileFormat) -> str:
    """Return the class that reads and writes the rows of a table that a CTAS makes."""
    return next(serde for serde, known in _SERDES.items() if known is file_format)


def _kind_problem(table: Table) -> str | None:
    if table.raw.get("TableType") == "VIRTUAL_VIEW":
        return "it is a view. Write to the table that the view reads."
    if table.raw.get("TargetTable"):
        return "it is a link to a table of another catalog or database. Name that table itself."
    kind = (
        table.parameters.get("table_type") or table.parameters.get("spark.sql.sources.provider") or ""
    ).lower()
    if kind in {"iceberg", "delta", "hudi"}:
        return f"it is a table of type {kind}, which keeps its own snapshots. Expected a Hive table."
    if table.parameters.get("projection.enabled", "").lower() == "true":
        return (
            "its partitions are projected (projection.enabled), so Athena ignores what Glue says of them. "
            "Turn projection off and register the partitions first."
        )
    if table.bucketing and (
        table.raw["StorageDescriptor"].get("SortColumns") or _is_bucketed_by_spark(table)
    ):
        return "its buckets are sorted or Spark's, which a CTAS does not write."
    return None


def _is_bucketed_by_spark(table: Table) -> bool:
    return table.parameters.get("bucketing_format", "").lower() == "spark"


def _place_problem(table: Table) -> str | None:
    if table.location is None:
        return "it has no location."
    for what, place in (("location", table.location), (f"parameter {BASE_PARAMETER}", table.base)):
        if not place.key.strip("/"):
            return f"its {what} is the root of a bucket ({place}). Expected a folder of its own."
    return None


def _format_problem(table: Table) -> str | None:
    file_format = table.file_format
    if file_format is None:
        known = ", ".join(known.value for known in FileFormat)
        return f"its SerDe is {table.serde or 'not given'}, which a CTAS does not write. Expected {known}."
    unknown = sorted(set(table.serde_parameters) - _HARMLESS_SERDE_PARAMETERS[file_format])
    if unknown:
        return (
            f"its SerDe has the properties {', '.join(unknown)}; rows written by a CTAS might be read back "
            "differently under them."
        )
    # Hive reads a number as a character's code, and of several characters the first; a CTAS does not.
    delimiter = table.serde_parameters.get("field.delim", "\x01")
    if len(delimiter) != 1 or delimiter.isdigit() or not delimiter.isascii():
        return f"its field.delim is {delimiter!r}. Expected one ASCII character that is no digit."
    if file_format is FileFormat.TEXTFILE and table.parameters.get("skip.header.line.count", "0") != "0":
        return (
            "it skips header lines (skip.header.line.count), so the first row of each new file would be lost."
        )
    return None
