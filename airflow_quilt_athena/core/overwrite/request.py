"""What an insert overwrite is asked to do, and what of it can be refused at once. Runs nothing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from enum import Enum

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Partition
from airflow_quilt_athena.core.glue.tables import Columns, FileFormat, Table, TableName
from airflow_quilt_athena.core.quilt.revisions import Interval
from airflow_quilt_athena.exceptions import InvalidCallError

MIN_RETAIN = timedelta(minutes=30)  # the default limit of a running reader's query
DEFAULT_RETAIN = timedelta(hours=24)
# Amazon Athena user guide, "Considerations and limitations for CTAS queries", read 2026-11.
MAX_OPEN_WRITERS = 100

_DURATION = re.compile(r"(\d+)\s*([mhd])")
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


def parse_retain(text: str) -> timedelta:
    """Read ``24h``, ``90m`` or ``7d``. Refuses less than 30 minutes: readers may still be at the old files.

    >>> parse_retain("24h")
    datetime.timedelta(days=1)
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidCallError(f"retain is {text!r}. Expected a number with m, h or d, such as 24h.")
    retain = timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})
    if retain < MIN_RETAIN:
        raise InvalidCallError(
            f"retain is {text!r}, shorter than 30m, the default time limit of a query: one that "
            "still reads the old files would find them gone."
        )
    return retain


def parse_partitioned_by(given: Mapping[str, str] | Sequence[str]) -> Columns:
    """Return partition keys with their types; a bare name is a string.

    >>> parse_partitioned_by({"dt": "date"}), parse_partitioned_by(("dt",))
    ((('dt', 'date'),), (('dt', 'string'),))
    """
    if isinstance(given, str):
        given = (given,)
    pairs = given.items() if isinstance(given, Mapping) else ((name, "string") for name in given)
    return tuple((name.strip().lower(), hive_type.strip().lower()) for name, hive_type in pairs)


def plan_format(table: Table | None, request: OverwriteRequest) -> FileFormat:
    """Return the format to write: the table's; for a new table the one asked for, or Parquet."""
    if table is None:
        return request.file_format or FileFormat.PARQUET
    if table.file_format is None:
        raise InvalidCallError(f"Table {table.name} is of no format that can be written.")
    if request.file_format not in {None, table.file_format}:
        raise InvalidCallError(
            f"file_format is {request.file_format and request.file_format.value}, but table {table.name} is "
            f"{table.file_format.value}."
        )
    return table.file_format


def refuse_other_location(table: Table, asked: S3Uri | None) -> None:
    """Raise InvalidCallError when the call places the table somewhere else than it is."""
    if asked is not None and asked.folder != table.base:
        raise InvalidCallError(
            f"location is {asked.folder}, but table {table.name} is at {table.base}. An overwrite does not "
            "move a table; leave location out, or name the place it has."
        )
