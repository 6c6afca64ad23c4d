"""Whether a table or view in Glue is as wanted, and whether it is ours to change. Pure: reads what was read.

A view carries two marks. ``quilt_athena.wanted`` is the hash of the statement that made it;
``quilt_athena.seen`` is the hash of what Glue held afterwards. Athena writes a view's definition in its own
words, so the statement cannot be compared with it; but a definition that is still the one seen, made by the
statement still wanted, needs no query to be known as unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.plans import Difference
from airflow_quilt_athena.core.quilt.identifiers import views_beside
from airflow_quilt_athena.core.quilt.ownership import (
    CREATED_BY,
    CREATED_BY_PARAMETER,
    MADE_WITH_PARAMETER,
    VIRTUAL_VIEW,
    made_with,
    view_sql,
)
from airflow_quilt_athena.core.quilt.table_ddl import EXTERNAL_TABLE, TableDefinition, build_table_input
from airflow_quilt_athena.core.quilt.views import ViewDefinition
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError

WANTED_PARAMETER = "quilt_athena.wanted"
SEEN_PARAMETER = "quilt_athena.seen"

_LONGEST_TEXT_SHOWN = 200
# Properties that change what is read from text files, or where it is read.
_MISLEADING_PARAMETERS = ("skip.", "projection.", "storage.location.", "textinputformat.")

RawTable = Mapping[str, Any]


# ------------------------------------------------------------------------------------------- tables


def refuse_foreign_table(definition: TableDefinition, raw: RawTable) -> None:
    """Raise ManualActionError unless ``raw`` is a table over the same files, which may be mended."""
    problem = _table_problem(definition, raw)
    if problem:
        raise ManualActionError(
            f"Cannot use {raw['DatabaseName']}.{raw['Name']} as a Quilt table: {problem}. Expected an "
            f"external table at {definition.location}, or none. Rename or drop it, or name another database."
        )


def _table_problem(definition: TableDefinition, raw: RawTable) -> str | None:
    kind = raw.get("TableType")
    if kind != EXTERNAL_TABLE:
        return "it is a view" if kind == VIRTUAL_VIEW else f"it is of type {kind}"
    table_format = (raw.get("Parameters") or {}).get("table_type")
    if table_format:
        return f"it is an {table_format} table"
    location = raw.get("StorageDescriptor", {}).get("Location") or "nowhere"
    if not _is_at(location, definition.location):
        return f"its location is {location}"
    return "it has partition keys" if raw.get("PartitionKeys") else None


def _is_at(location: str, wanted: S3Uri) -> bool:
    try:
        return S3Uri.parse(location).folder == wanted
    except InvalidCallError:  # not a place in S3
        return False


def compare_table(definition: TableDefinition, raw: RawTable) -> tuple[Difference, ...]:
    """Return what has to change for the table to read what it should."""
    wanted = _facts(build_table_input(definition, {}))
    found = _facts(raw)
    return tuple(
        Difference(setting, found.get(setting), wanted.get(setting))
        for setting in sorted({*wanted, *found})
        if found.get(setting) != wanted.get(setting)
    )


def _facts(table: RawTable) -> dict[str, str]:
    descriptor = table.get("StorageDescriptor") or {}
    serde = descriptor.get("SerdeInfo") or {}
    facts = {
        "columns": ", ".join(f"{c['Name']} {c.get('Type', '')}" for c in descriptor.get("Columns") or ()),
        "location": descriptor.get("Location") or "",
        "input format": descriptor.get("InputFormat") or "",
        "output format": descriptor.get("OutputFormat") or "",
        "serde": serde.get("SerializationLibrary") or "",
    }
    for name, value in (serde.get("Parameters") or {}).items():
        if name != "serialization.format":  # says nothing to either SerDe, and each writer has its own
            facts[f"serde property {name}"] = value
    for name, value in (table.get("Parameters") or {}).items():
        if name.startswith(_MISLEADING_PARAMETERS):
            facts[f"table property {name}"] = value
    return facts


def converged_table_input(definition: TableDefinition, raw: RawTable) -> dict[str, Any]:
    """Return the TableInput that mends ``raw``, with other people's properties as they were found."""
    kept = {
        name: value
        for name, value in (raw.get("Parameters") or {}).items()
        if not name.startswith(_MISLEADING_PARAMETERS)
    }
    table_input = build_table_input(definition, kept)
    for field in ("Owner", "Retention", "Description"):
        if raw.get(field) is not None:
            table_input[field] = raw[field]
    return table_input


# -------------------------------------------------------------------------------------------- views


def refuse_foreign_view(view: ViewDefinition, raw: RawTable) -> None:
    """Raise ManualActionError unless ``raw`` is a view, which may be replaced."""
    if raw.get("TableType") != VIRTUAL_VIEW:
        raise ManualActionError(
            f"Cannot make view {raw['DatabaseName']}.{view.name}: there is a table of that name "
            f"({raw.get('TableType')}). Expected a view, or nothing. Rename or drop the table, or choose "
            "another database."
        )


def digest_of_view(raw: RawTable) -> str:
    """Return the hash of a view's definition as Glue holds it."""
    columns = (raw.get("StorageDescriptor") or {}).get("Columns") or ()
    definition = (
        raw.get("TableType"),
        raw.get("ViewOriginalText"),
        raw.get("ViewExpandedText"),
        [(column["Name"], column.get("Type")) for column in columns],
    )
    return hashlib.sha256(json.dumps(definition).encode()).hexdigest()


def compare_view(view: ViewDefinition, raw: RawTable) -> tuple[Difference, ...]:
    """Return what has to change for the view to be the one wanted."""
    parameters = raw.get("Parameters") or {}
    wanted, seen = parameters.get(WANTED_PARAMETER), parameters.get(SEEN_PARAMETER)
    by_us = f"statement {view.digest[:12]}"
    if wanted is None or seen is None:
        return (Difference("definition", f"not by this package: {_sql_of(raw)}", by_us),)
    if seen != digest_of_view(raw):
        return (Difference("definition", f"changed by hand: {_sql_of(raw)}", by_us),)
    if wanted != view.digest:
        return (Difference("definition", f"statement {wanted[:12]}", by_us),)
    return ()


def marks_of_view(statement_digest: str, raw: RawTable) -> dict[str, str]:
    """Return the parameters of a view just made by the statement with that hash."""
    return {
        **(raw.get("Parameters") or {}),
        WANTED_PARAMETER: statement_digest,
        SEEN_PARAMETER: digest_of_view(raw),
        CREATED_BY_PARAMETER: CREATED_BY,
        MADE_WITH_PARAMETER: made_with(views_beside(raw["Name"])),
    }


def _sql_of(raw: RawTable) -> str:
    """Return a view's SQL, shortened for a log; its text as it is when it is not Presto's."""
    text = view_sql(raw) or str(raw.get("ViewOriginalText") or "")
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST_TEXT_SHOWN else flat[: _LONGEST_TEXT_SHOWN - 1] + "…"
