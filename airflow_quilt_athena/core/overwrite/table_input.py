"""What is written to Glue: a partition or a table pointed at a new place, and a table made from a result."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_quilt_athena.core.athena.hive_types import without_lengths
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import (
    BASE_PARAMETER,
    Columns,
    Table,
    find_problem,
    parse_table,
    serde_of,
    table_input,
)
from airflow_quilt_athena.core.overwrite.history import ROLLED_BACK_AT_PARAMETER, WRITTEN_AT_PARAMETER
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, note_key
from airflow_quilt_athena.core.overwrite.partition_changes import GENERATION_PARAMETER, PARAMETER_PREFIX
from airflow_quilt_athena.core.overwrite.query_role import STAGE
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.exceptions import InvalidCallError

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


@dataclass(frozen=True, slots=True)
class WriteFacts:
    """What a partition records of the write it came from."""

    query_execution_id: str
    written_by: str
    written_at: datetime
    notes: Mapping[str, str] = field(default_factory=dict)
    partition_notes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: Entry) -> WriteFacts:
        """Return the facts of an attempt that is being published."""
        written_at = entry.published_at or entry.updated_at
        return cls(
            entry.query_id(STAGE) or "", entry.task_key, written_at, entry.notes, entry.partition_notes
        )


def build_partition_input(table: Table, change: Change, facts: WriteFacts) -> dict[str, Any]:
    """Return the partition to publish: the table's own descriptor at the new location, or what is restored.

    Taking all fields from the table also heals a partition whose columns had drifted from the table's.
    Parameters that others put on the old partition stay; statistics of its files go.
    """
    if change.restored is not None:
        parameters = {**(change.restored.get("Parameters") or {}), **_rolled_back(facts)}
        return {**change.restored, "Parameters": parameters}
    # Not copied in depth: a set of thousands of partitions shares the columns of the table.
    descriptor = {**table.raw["StorageDescriptor"], "Location": change.location}
    previous = change.previous or {}
    return {
        # As Glue spells them: an integer key may have a partition 01 for the value 1.
        "Values": list(previous.get("Values") or change.values),
        "StorageDescriptor": descriptor,
        "Parameters": _parameters(previous.get("Parameters") or {}, change, facts),
    }


def build_repointed_table(table: Table, change: Change, facts: WriteFacts) -> dict[str, Any]:
    """Return the definition of a table without keys, pointed at the new location; its columns stay."""
    definition = deepcopy(table_input(table))
    descriptor = definition["StorageDescriptor"]
    descriptor["Location"] = change.location
    descriptor["Parameters"] = {**(descriptor.get("Parameters") or {}), BASE_PARAMETER: str(table.base)}
    if change.restored is None:
        parameters = _parameters(table.parameters, change, facts)
    else:
        then = change.restored.get("Parameters") or {}
        ours = {name: value for name, value in then.items() if name.startswith(PARAMETER_PREFIX)}
        parameters = {**_without_ours(table.parameters), **ours, **_rolled_back(facts)}
    definition["Parameters"] = {**parameters, BASE_PARAMETER: str(table.base)}
    return definition


def _rolled_back(facts: WriteFacts) -> dict[str, str]:
    # So that whoever comes next can say to come after it.
    return {ROLLED_BACK_AT_PARAMETER: facts.written_at.isoformat()}


def _parameters(before: Mapping[str, str], change: Change, facts: WriteFacts) -> dict[str, str]:
    ours = {
        GENERATION_PARAMETER: str(change.generation),
        PARAMETER_PREFIX + "query_id": facts.query_execution_id,
        PARAMETER_PREFIX + "rows": str(change.rows),
        PARAMETER_PREFIX + "written_by": facts.written_by,
        WRITTEN_AT_PARAMETER: facts.written_at.isoformat(),
    }
    if change.previous_location is not None:
        ours[PARAMETER_PREFIX + "previous_location"] = change.previous_location
    own = facts.partition_notes.get(note_key(change.values), {})
    return {**_without_ours(before), **facts.notes, **own, **ours}


def _without_ours(parameters: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in parameters.items()
        if name not in _STALE_PARAMETERS and not name.startswith(PARAMETER_PREFIX)
    }


def build_table_input(
    request: OverwriteRequest, staged: Table, keys: Columns, base: S3Uri, file_format: FileFormat
) -> dict[str, Any]:
    """Return the table to create, with the columns of the staged result and its way of writing rows."""
    descriptor = deepcopy(dict(staged.raw["StorageDescriptor"]))
    descriptor["Location"] = str(base.folder)
    comments = {name.lower(): text for name, text in request.column_comments.items()}
    # A length taken from the first result would cut, or refuse, the longer values of later ones.
    descriptor["Columns"] = [
        _column(name, without_lengths(hive_type), comments)
        for name, hive_type in staged.columns
        if name not in dict(keys)
    ]
    properties = {
        "EXTERNAL": "TRUE",
        "classification": "csv" if file_format is FileFormat.TEXTFILE else file_format.value.lower(),
        **({"write.compression": request.compression.upper()} if request.compression else {}),
        **({"compression_level": str(request.compression_level)} if request.compression_level else {}),
        **({"comment": request.table_comment} if request.table_comment else {}),
        **request.table_properties,
        BASE_PARAMETER: str(base.folder),
    }
    return {
        "Name": request.table.table,
        "TableType": "EXTERNAL_TABLE",
        "StorageDescriptor": descriptor,
        "PartitionKeys": [_column(name, hive_type, comments) for name, hive_type in keys],
        "Parameters": properties,
    }


def _column(name: str, hive_type: str, comments: Mapping[str, str]) -> dict[str, str]:
    comment = {"Comment": comments[name]} if name in comments else {}
    return {"Name": name, "Type": hive_type, **comment}


def refuse_unwritable_new(request: OverwriteRequest) -> None:
    """Raise InvalidCallError when a table to be made could not be read, or not be overwritten a second time.

    It is judged as it will be judged once it is there.
    """
    ours = sorted(name for name in request.table_properties if name.startswith(PARAMETER_PREFIX))
    if ours:
        raise InvalidCallError(
            f"table_properties names {', '.join(ours)}, which this package writes itself. Leave them out."
        )
    file_format = request.file_format or FileFormat.PARQUET
    staged = parse_table(
        {
            "DatabaseName": request.table.database,
            "Name": request.table.table,
            "StorageDescriptor": {
                "Columns": [],
                "SerdeInfo": {"SerializationLibrary": serde_of(file_format)},
            },
        }
    )
    anywhere = S3Uri("bucket", "folder/")
    made = build_table_input(request, staged, (), request.location or anywhere, file_format)
    problem = find_problem(parse_table({**made, "DatabaseName": request.table.database}))
    if problem is None and request.table_properties.get("EXTERNAL", "TRUE").upper() != "TRUE":
        problem = "its property EXTERNAL is not TRUE, and Athena reads external tables alone."
    if problem:
        raise InvalidCallError(
            f"Cannot make table {request.table}: {problem} (table_properties, file_format)"
        )
