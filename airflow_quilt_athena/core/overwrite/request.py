"""What an insert overwrite is asked to do, and what of it can be refused at once. Runs nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from airflow_quilt_athena.core.arguments import any_text, mapping, refusal, text
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.names import partition_keys
from airflow_quilt_athena.exceptions import InvalidCallError

if TYPE_CHECKING:
    from airflow_quilt_athena.core.glue.s3_uri import S3Uri
    from airflow_quilt_athena.core.glue.selection import Partition
    from airflow_quilt_athena.core.glue.tables import Columns, Table, TableName
    from airflow_quilt_athena.core.quilt.revisions import Interval

MIN_RETAIN = timedelta(minutes=30)  # the default limit of a running reader's query
MAX_RETAIN = timedelta(days=3660)
DEFAULT_RETAIN = timedelta(hours=24)
# Amazon Athena user guide, "Considerations and limitations for CTAS queries", read 2026-11.
MAX_OPEN_WRITERS = 100

# What a CTAS writes (Amazon Athena user guide, "Use compression in Athena", read 2026-11).
COMPRESSIONS = ("NONE", "SNAPPY", "ZSTD", "GZIP", "ZLIB", "LZ4", "BZIP2", "DEFLATE")
_OF_COLUMNS = {
    FileFormat.PARQUET: frozenset({"NONE", "SNAPPY", "ZSTD", "GZIP", "LZ4"}),
    FileFormat.ORC: frozenset({"NONE", "SNAPPY", "ZSTD", "ZLIB", "LZ4"}),
}
ZSTD_LEVELS = range(1, 23)
# Of a table that is made by us: what overwrites rest on, and what would make the next one be refused.
_OWN_PROPERTIES = frozenset(
    {
        "external",
        "classification",
        "table_type",
        "projection.enabled",
        "skip.header.line.count",
        "bucketing_format",
    }
)

_DURATION = re.compile(r"(\d{1,8})\s*([mhd])", re.ASCII)  # a timedelta holds no more
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Replace(Enum):
    """What is replaced."""

    PARTITIONS = "partitions"
    TABLE = "table"  # all partitions; those that the result does not have go


class OnEmpty(Enum):
    """What an empty result does."""

    PUBLISH = "publish"  # the partition becomes empty
    SKIP = "skip"  # the old data stays
    FAIL = "fail"  # the old data stays, and the task fails


class OnFailedAudit(Enum):
    """What becomes of staged rows that did not pass."""

    KEEP = "keep"  # for ``retain``, to be looked at
    DROP = "drop"


class Adopted(Enum):
    """What a sweep does with files that something else had written before the first overwrite."""

    KEEP = "keep"
    DELETE = "delete"


class Writer(Enum):
    """The statement that writes the files."""

    AUTO = "auto"  # UNLOAD where the workgroup enforces its result location, CTAS elsewhere
    CTAS = "ctas"
    UNLOAD = "unload"


@dataclass(frozen=True, slots=True)
class OverwriteRequest:
    """What the caller asks for. ``partition`` is {} for whatever the result has."""

    query: str
    table: TableName
    partition: Partition
    database: str
    workgroup: str
    replace: Replace = Replace.PARTITIONS
    partitioned_by: Columns = ()
    location: S3Uri | None = None
    file_format: FileFormat | None = None
    compression: str | None = None
    compression_level: int | None = None
    bucketed_by: tuple[str, ...] = ()
    bucket_count: int | None = None
    table_comment: str | None = None
    column_comments: Mapping[str, str] = field(default_factory=dict)
    table_properties: Mapping[str, str] = field(default_factory=dict)
    on_empty: OnEmpty = OnEmpty.PUBLISH
    min_rows: int | None = None
    checks: Mapping[str, str] = field(default_factory=dict)
    on_failed_audit: OnFailedAudit = OnFailedAudit.KEEP
    retain: timedelta = DEFAULT_RETAIN
    writer: Writer = Writer.AUTO
    max_parallel_queries: int = 5
    generations_location: S3Uri | None = None
    catalog_id: str | None = None
    kms_key_arn: str | None = None
    quilt_revisions: Interval | None = None
    # Parameters of single partitions, by ``note_key`` of their values.
    partition_notes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_parallel_queries < 1:
            raise InvalidCallError(
                f"max_parallel_queries is {self.max_parallel_queries}; expected 1 or more."
            )
        if bool(self.bucketed_by) != (self.bucket_count is not None):
            raise InvalidCallError("bucketed_by and bucket_count go together.")
        if self.bucket_count is not None and not 1 <= self.bucket_count <= MAX_OPEN_WRITERS:
            raise InvalidCallError(
                f"bucket_count is {self.bucket_count}; a query of Athena writes 1 to {MAX_OPEN_WRITERS} "
                f"buckets."
            )
        if self.compression_level is not None and (self.compression or "").upper() != "ZSTD":
            raise InvalidCallError(
                f"compression_level is {self.compression_level}, but compression is {self.compression}; "
                "only ZSTD has levels."
            )

    @property
    def fingerprint(self) -> str:
        """Equal for equal requests: a retry joins only an attempt that was asked for the same."""
        text = json.dumps(asdict(self), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def parse_retain(given: object, name: str = "retain") -> timedelta:
    """Read ``24h``, ``90m``, ``7d`` or a timedelta.

    Refuses less than 30 minutes: readers may still be at the old files.

    >>> parse_retain("24h")
    datetime.timedelta(days=1)
    """
    retain = given if isinstance(given, timedelta) else _parse_duration(name, given)
    if retain < MIN_RETAIN:
        raise InvalidCallError(
            f"{name} is {str(given)!r}, shorter than 30m, the default time limit of a query: one that "
            "still reads the old files would find them gone. Expected 30m or more."
        )
    if retain > MAX_RETAIN:
        raise refusal(name, given, f"up to {MAX_RETAIN.days} days")
    return retain


def _parse_duration(name: str, given: object) -> timedelta:
    match = _DURATION.fullmatch(given.strip().lower()) if isinstance(given, str) else None
    if match is None:
        raise refusal(name, given, "a number with m, h or d, such as 24h, or a timedelta")
    return timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})


def table_properties(name: str, value: object) -> dict[str, str]:
    """Judge the properties of a table to be made: text to text, and none that is not the caller's to set."""
    found = mapping(text, any_text, "a mapping from a property's name to its text")(name, value)
    for key in found:
        if key.startswith("quilt_athena.") or key.lower() in _OWN_PROPERTIES:
            raise InvalidCallError(
                f"{name} sets {key}, which decides how the table is written and read. Expected properties of "
                "your own; format, compression and partitions have parameters."
            )
    return found


def parse_partitioned_by(given: Mapping[str, str] | Sequence[str]) -> Columns:
    """Return partition keys with their types; a bare name is a string.

    >>> parse_partitioned_by({"dt": "date"}), parse_partitioned_by(("dt",))
    ((('dt', 'date'),), (('dt', 'string'),))
    """
    return partition_keys("partitioned_by", given)


def plan_format(table: Table | None, request: OverwriteRequest) -> FileFormat:
    """Return the format to write: the table's; for a new table the one asked for, or Parquet."""
    if table is None:
        return _refuse_compression(request.file_format or FileFormat.PARQUET, request)
    if table.file_format is None:
        raise InvalidCallError(f"Table {table.name} is of no format that can be written.")
    if request.file_format not in {None, table.file_format}:
        raise InvalidCallError(
            f"file_format is {request.file_format and request.file_format.value}, but table {table.name} is "
            f"{table.file_format.value}."
        )
    return _refuse_compression(table.file_format, request)


def _refuse_compression(file_format: FileFormat, request: OverwriteRequest) -> FileFormat:
    known = _OF_COLUMNS.get(file_format)
    if known and request.compression and request.compression.upper() not in known:
        raise InvalidCallError(
            f"compression is {request.compression}, which {file_format.value} files cannot have. Expected "
            f"one of {', '.join(sorted(known))}."
        )
    return file_format


def refuse_other_location(table: Table, asked: S3Uri | None) -> None:
    """Raise InvalidCallError when the call places the table somewhere else than it is."""
    if asked is not None and asked.folder != table.base:
        raise InvalidCallError(
            f"location is {asked.folder}, but table {table.name} is at {table.base}. An overwrite does not "
            "move a table; leave location out, or name the place it has."
        )


def refuse_unknown_columns(table: Table, request: OverwriteRequest) -> None:
    """Raise InvalidCallError when the call comments on columns that the table does not have."""
    known = {name for name, _ in (*table.columns, *table.partition_keys)}
    unknown = sorted({name.lower() for name in request.column_comments} - known)
    if unknown:
        raise InvalidCallError(
            f"column_comments names {', '.join(unknown)}; table {table.name} has the columns "
            f"{', '.join(sorted(known))}."
        )
