"""The text of a journal entry, written and read: JSON, and nothing of it is believed unread."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import AdoptedFile, Entry, Found, Kind, Query, State
from airflow_quilt_athena.core.overwrite.journal_packing import (
    Json,
    Packing,
    Unpacking,
    maybe,
    read_number,
    read_text,
    read_texts,
)
from airflow_quilt_athena.core.overwrite.query_role import Role
from airflow_quilt_athena.exceptions import ManualActionError

_FORMAT = 2
_TEXTS = ("task_key", "table", "database", "fingerprint", "basis", "reason", "writer")
_MAYBE_TEXTS = ("base", "folder", "claimed_by", "adopted_list")
_TIMES = ("created_at", "updated_at", "published_at", "settled_at", "keep_until")
_TEXT_LISTS = ("claims", "doomed", "deleted")


class UnreadableEntry(ManualActionError):
    """An object in the journal is no entry that this version knows."""


# ------------------------------------------------------------------------------------------------ writing


def render_entry(entry: Entry) -> bytes:
    """Return an entry as JSON."""
    return json.dumps(_document(entry), sort_keys=True, separators=(",", ":")).encode()


def _document(entry: Entry) -> Json:
    packing = Packing(entry)
    return {
        "format": _FORMAT,
        "attempt": [entry.attempt.digest, entry.attempt.number, entry.attempt.nonce],
        "kind": entry.kind.value,
        "state": entry.state.value,
        **{name: getattr(entry, name) for name in (*_TEXTS, *_MAYBE_TEXTS)},
        **{name: _time(getattr(entry, name)) for name in _TIMES},
        **{name: list(getattr(entry, name)) for name in _TEXT_LISTS},
        "retain_seconds": entry.retain_seconds,
        "rows": entry.rows,
        "bytes_scanned": entry.bytes_scanned,
        "revision": entry.revision,
        "untidy": entry.untidy,
        "queries": [[query.role.text, query.query_execution_id] for query in entry.queries],
        "found": None if entry.found is None else [[list(f.values), f.rows] for f in entry.found],
        "marked": {place: until.isoformat() for place, until in entry.marked.items()},
        "notes": dict(entry.notes),
        "partition_notes": {values: dict(notes) for values, notes in entry.partition_notes.items()},
        "adopted_files": {
            folder: [[file.name, file.etag, file.size_bytes] for file in files]
            for folder, files in entry.adopted_files.items()
        },
        "changes": [packing.change(change) for change in entry.changes],
        "root": packing.root,
        "generations": list(packing.generations),
        "descriptors": packing.descriptors,
        "parameters": packing.parameters,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


# ------------------------------------------------------------------------------------------------ reading


def parse_entry(text: bytes, place: str, name: str, base: S3Uri) -> Entry:
    """Read the entry of a name from the journal of a base.

    :raises UnreadableEntry: when it is none that this version knows, or one of another name or base: copied
        here, it tells of files that are not this table's.
    """
    try:
        entry = _parse(json.loads(text))
        _refuse_foreign(entry, name, base)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise _unreadable(place, repr(error)[:200]) from error
    return entry


def _unreadable(place: str, why: str) -> UnreadableEntry:
    return UnreadableEntry(
        f"Journal entry {place} cannot be read: {why}. Expected one of format {_FORMAT}, written for this "
        "place. Nothing that it tells of was changed; look at it by hand, or use the version that wrote it."
    )


def _refuse_foreign(entry: Entry, name: str, base: S3Uri) -> None:
    if entry.name != name:
        raise ValueError(f"it is a copy of entry {entry.name}")
    if entry.base != str(base.folder):
        raise ValueError(f"it was written for a table at {entry.base}")
    if entry.folder is not None:
        folder = S3Uri.parse(entry.folder)
        if folder.name != entry.attempt.name:
            raise ValueError(f"its folder {folder} is not of attempt {entry.attempt.name}")
        if base.contains(folder) and not (base / f"{GENERATIONS_FOLDER}/").contains(folder):
            raise ValueError(f"its folder {folder} is among the table's own files")


def _parse(document: Json) -> Entry:
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']}")
    digest, number, nonce = document["attempt"]
    unpacking = Unpacking(document)
    return Entry(
        attempt=Attempt(read_text(digest), read_number(number), read_text(nonce)),
        kind=Kind(document["kind"]),
        state=State(document["state"]),
        **_fields(document),
        retain_seconds=float(document["retain_seconds"]),
        rows=maybe(read_number, document["rows"]),
        bytes_scanned=read_number(document["bytes_scanned"]),
        revision=read_number(document["revision"]),
        untidy=document["untidy"] is True,
        queries=tuple(
            Query(Role.parse(read_text(role)), read_text(id_)) for role, id_ in document["queries"]
        ),
        found=maybe(_found, document["found"]),
        marked={read_text(place): _moment(until) for place, until in document["marked"].items()},
        notes=_notes(document.get("notes", {})),
        partition_notes={
            read_text(values): _notes(notes) for values, notes in document.get("partition_notes", {}).items()
        },
        adopted_files={
            read_text(folder): tuple(
                AdoptedFile(read_text(n), read_text(etag), read_number(size)) for n, etag, size in files
            )
            for folder, files in document["adopted_files"].items()
        },
        changes=tuple(unpacking.change(packed) for packed in document["changes"]),
    )


def _fields(document: Json) -> Any:
    return {
        **{name: read_text(document[name]) for name in _TEXTS},
        **{name: maybe(read_text, document[name]) for name in _MAYBE_TEXTS},
        **{name: maybe(_moment, document[name]) for name in _TIMES},
        **{name: read_texts(document[name]) for name in _TEXT_LISTS},
    }


def _notes(given: Mapping[str, Any]) -> dict[str, str]:
    return {read_text(name): read_text(value) for name, value in given.items()}


def _found(given: Sequence[Any]) -> tuple[Found, ...]:
    return tuple(Found(read_texts(values), read_number(rows)) for values, rows in given)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} is in no time zone")
    return moment


# --------------------------------------------------------------------------------- lists of adopted files


def render_adopted(files: Mapping[str, Sequence[AdoptedFile]]) -> bytes:
    """Return a list of adopted files too long for its entry: a JSON line for each."""
    lines = (
        json.dumps([folder, file.name, file.etag, file.size_bytes])
        for folder, found in files.items()
        for file in found
    )
    return "\n".join(lines).encode()


def parse_adopted(text: bytes, place: str) -> dict[str, tuple[AdoptedFile, ...]]:
    """Read such a list. Raises UnreadableEntry when it is none."""
    files: dict[str, list[AdoptedFile]] = {}
    try:
        for line in text.splitlines():
            folder, name, etag, size_bytes = json.loads(line)
            files.setdefault(read_text(folder), []).append(
                AdoptedFile(read_text(name), read_text(etag), read_number(size_bytes))
            )
    except (RecursionError, TypeError, ValueError) as error:
        raise _unreadable(place, repr(error)[:200]) from error
    return {folder: tuple(found) for folder, found in files.items()}
