"""The decisions of an insert overwrite: which partition, where to stage, what to publish. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from airflow_quilt_athena.core.attempts import Attempt
from airflow_quilt_athena.core.hive_types import without_lengths
from airflow_quilt_athena.core.partitions import canonical_value, partition_path
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.core.tables import BASE_PARAMETER, Columns, FileFormat, Table, TableName
from airflow_quilt_athena.exceptions import InvalidCallError

GENERATIONS_FOLDER = ".generations"
MIN_RETAIN = timedelta(minutes=30)  # the default limit of a running reader's query

# Price of 1 TB scanned in most regions (Amazon Athena pricing, read 2026-11); a query counts 10 MB at least.
_DOLLARS_PER_TERABYTE = 5.0
_MIN_BILLED_BYTES = 10_000_000

_OURS = "quilt_athena."
# Statistics of the files that a partition no longer holds.
_STALE_PARAMETERS = frozenset(
    {
        "numFiles",
        "numRows",
        "rawDataSize",
        "totalSize",
        "recordCount",
        "averageRecordSize",
        "objectCount",
        "sizeKey",
        "COLUMN_STATS_ACCURATE",
        "transient_lastDdlTime",
    }
)
_NUMBERS = frozenset({"tinyint", "smallint", "int", "integer", "bigint"})
_DURATION = re.compile(r"(\d+)\s*([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class OnEmpty(Enum):
    """What an empty result does."""

    PUBLISH = "publish"  # the partition becomes empty
    SKIP = "skip"  # the old data stays
    FAIL = "fail"  # the old data stays, and the task fails


class Action(Enum):
    """What an overwrite did to a partition."""

    CREATED = "created"
    REPLACED = "replaced"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class OverwriteRequest:
    """What the caller asks for. ``partition`` is a mapping key → value, or the value of the only key."""

    query: str
    table: TableName
    partition: Mapping[str, object] | str
    database: str
    workgroup: str
    partitioned_by: Columns = ()
    location: S3Uri | None = None
    file_format: FileFormat | None = None
    compression: str | None = None
    table_properties: Mapping[str, str] = field(default_factory=dict)
    on_empty: OnEmpty = OnEmpty.PUBLISH
    min_rows: int | None = None
    checks: Mapping[str, str] = field(default_factory=dict)
    generations_location: S3Uri | None = None


@dataclass(frozen=True, slots=True)
class PublishedPartition:
    """A partition that an overwrite changed."""

    values: Mapping[str, str]
    location: str | None
    generation: str | None
    previous_location: str | None
    action: Action

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "values": dict(self.values),
            "location": self.location,
            "generation": self.generation,
            "previous_location": self.previous_location,
            "action": self.action.value,
        }


@dataclass(frozen=True, slots=True)
class WriteFacts:
    """What a partition records of the write it came from."""

    query_execution_id: str
    rows: int
    written_by: str
    written_at: datetime


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


def plan_keys(table: Table | None, request: OverwriteRequest) -> Columns:
    """Return the partition keys: the table's, or for a new table what the call says of them."""
    asked = request.partitioned_by
    if table is None:
        if asked or isinstance(request.partition, str):
            keys = asked
        else:
            keys = tuple((str(name).lower(), "string") for name in request.partition)
        if not keys:
            raise InvalidCallError(
                f"Table {request.table} does not exist, and no partition keys are given for it. "
                'Expected partitioned_by, such as ("dt",) or {"dt": "date"}.'
            )
        return keys
    if not table.partition_keys:
        raise InvalidCallError(
            f"Table {table.name} has no partition keys; only partitions can be overwritten."
        )
    if asked and asked != table.partition_keys:
        raise InvalidCallError(
            f"partitioned_by is {_describe(asked)}, but table {table.name} is partitioned by "
            f"{_describe(table.partition_keys)}."
        )
    return table.partition_keys


def plan_values(keys: Columns, partition: Mapping[str, object] | str) -> tuple[str, ...]:
    """Return the canonical value of each key, in the keys' order.

    Raises InvalidCallError for values None, "" and "None", for keys the table does not have, and for keys
    without a value.
    """
    names = [name for name, _ in keys]
    if isinstance(partition, str):
        if len(names) > 1:
            canonical_value(partition, "string")  # a value that is none is the worse mistake: tell it first
            raise InvalidCallError(
                f"partition is the one value {partition!r}, but the keys are {_describe(keys)}. "
                "Expected a mapping from each key to its value."
            )
        given: dict[str, object] = {names[0]: partition}
    else:
        given = {str(name).strip().lower(): value for name, value in partition.items()}
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidCallError(f"partition names {', '.join(unknown)}; the keys are {_describe(keys)}.")
    missing = [name for name in names if name not in given]
    if missing:
        raise InvalidCallError(
            f"partition gives no value for {', '.join(missing)}. Partitions found in the result are not "
            f"supported; expected a value for each of {_describe(keys)}."
        )
    return tuple(_key_value(name, given[name], hive_type) for name, hive_type in keys)


def _key_value(name: str, value: object, hive_type: str) -> str:
    try:
        return canonical_value(value, hive_type)
    except InvalidCallError as error:
        raise InvalidCallError(f"Partition key {name}: {error}") from error


def build_value_expression(keys: Columns, values: tuple[str, ...]) -> str | None:
    """Return Glue's condition for partitions that may have these values; None when all keys are text.

    Values of text keys are left out: they are compared exactly, and need no quoting of Glue's then.

    >>> build_value_expression((("n", "int"), ("d", "date"), ("s", "string")), ("1", "2026-01-31", "x"))
    "n = 1 AND d = '2026-01-31'"
    """
    conditions = [
        f"{name} = {value}"
        if hive_type in _NUMBERS or hive_type.startswith("decimal")
        else f"{name} = '{value}'"
        for (name, hive_type), value in zip(keys, values, strict=True)
        if not _is_text(hive_type)
    ]
    return " AND ".join(conditions) or None


def is_same_partition(keys: Columns, registered: Sequence[str], values: tuple[str, ...]) -> bool:
    """Whether a partition's registered values mean ``values``, which are canonical.

    >>> is_same_partition((("n", "int"),), ["01"], ("1",))
    True
    """
    try:
        meant = tuple(
            canonical_value(value, hive_type) for (_, hive_type), value in zip(keys, registered, strict=True)
        )
    except InvalidCallError:
        return False  # registered under something that is no value of the key's type, such as NULL
    return meant == values


def _is_text(hive_type: str) -> bool:
    return hive_type == "string" or hive_type.startswith(("varchar", "char"))


def plan_generation(
    base: S3Uri, keys: Columns, values: tuple[str, ...], attempt: Attempt, elsewhere: S3Uri | None
) -> S3Uri:
    """Return the fresh folder of one attempt at one partition.

    It lies in a dot-folder of the table's base, where neither a listing of the table nor MSCK REPAIR nor a
    tool that deletes the partition's natural folder meets it.
    """
    root = base / f"{GENERATIONS_FOLDER}/"
    if elsewhere is not None:
        if not elsewhere.key.strip("/"):
            raise InvalidCallError(f"generations_location is the root of a bucket: {elsewhere}.")
        if base.contains(elsewhere) and not root.contains(elsewhere):
            raise InvalidCallError(
                f"generations_location {elsewhere} lies inside the table's folder {base}, where a reader of "
                "the whole table would find every generation. Expected a place outside."
            )
        root = elsewhere.folder
    path = partition_path([name for name, _ in keys], values)
    return root / f"{path}/{attempt.name}/"


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


def build_partition_input(
    table: Table,
    values: tuple[str, ...],
    location: S3Uri,
    *,
    attempt: Attempt,
    facts: WriteFacts,
    previous: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the partition to publish: the table's own descriptor at ``location``.

    Taking all fields from the table also heals a partition whose columns had drifted from the table's.
    Parameters that others put on the old partition stay; statistics of its files go.
    """
    descriptor = deepcopy(dict(table.raw["StorageDescriptor"]))
    descriptor["Location"] = str(location.folder)
    kept = {
        name: value
        for name, value in ((previous or {}).get("Parameters") or {}).items()
        if name not in _STALE_PARAMETERS and not name.startswith(_OURS)
    }
    ours = {
        "generation": attempt.name,
        "query_id": facts.query_execution_id,
        "rows": str(facts.rows),
        "written_by": facts.written_by,
        "written_at": facts.written_at.isoformat(timespec="seconds"),
    }
    before = location_of(previous)
    if before is not None:
        ours["previous_location"] = before
    parameters = {**kept, **{_OURS + name: value for name, value in ours.items()}}
    return {"Values": list(values), "StorageDescriptor": descriptor, "Parameters": parameters}


def location_of(partition: Mapping[str, Any] | None) -> str | None:
    """Return where a partition's files lie."""
    if partition is None:
        return None
    location = (partition.get("StorageDescriptor") or {}).get("Location")
    return str(location) if location else None


def refuse_keys_as_columns(staged: Table, keys: Columns) -> None:
    """Raise InvalidCallError when the result holds a partition key whose value the call gives."""
    doubled = [name for name, _ in staged.columns if name in dict(keys)]
    if doubled:
        raise InvalidCallError(
            f"The result has the columns {', '.join(doubled)}, which are partition keys with a value given. "
            "Leave them out of the query: the partition holds their value."
        )


def build_table_input(
    request: OverwriteRequest, staged: Table, keys: Columns, base: S3Uri, file_format: FileFormat
) -> dict[str, Any]:
    """Return the table to create, with the columns of the staged result and its way of writing rows."""
    descriptor = deepcopy(dict(staged.raw["StorageDescriptor"]))
    descriptor["Location"] = str(base.folder)
    # A length taken from the first result would cut, or refuse, the longer values of later ones.
    descriptor["Columns"] = [
        {"Name": name, "Type": without_lengths(hive_type)} for name, hive_type in staged.columns
    ]
    properties = {
        "EXTERNAL": "TRUE",
        "classification": "csv" if file_format is FileFormat.TEXTFILE else file_format.value.lower(),
        **({"write.compression": request.compression.upper()} if request.compression else {}),
        **request.table_properties,
        BASE_PARAMETER: str(base.folder),
    }
    return {
        "Name": request.table.table,
        "TableType": "EXTERNAL_TABLE",
        "StorageDescriptor": descriptor,
        "PartitionKeys": [{"Name": name, "Type": hive_type} for name, hive_type in keys],
        "Parameters": properties,
    }


def estimate_dollars(bytes_scanned: int) -> float:
    """Return what a query that scanned this much costs in most regions.

    >>> estimate_dollars(2_000_000_000_000)
    10.0
    """
    billed = max(bytes_scanned, _MIN_BILLED_BYTES)
    return round(billed / 1e12 * _DOLLARS_PER_TERABYTE, 6)


def _describe(keys: Columns) -> str:
    return ", ".join(f"{name} ({hive_type})" for name, hive_type in keys)
