"""The text of a journal entry: JSON in which what many partitions share stands once.

A set of 5,000 partitions of a table with 200 columns stays below 2 MB: definitions are stored as what differs
from a few shared ones, and places as what follows a common root.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import (
    Action,
    AdoptedFile,
    Change,
    Entry,
    Found,
    Kind,
    Query,
    State,
)
from airflow_quilt_athena.core.overwrite.query_role import Role
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError

_FORMAT = 2
_OF_EACH_PARTITION = ("quilt_athena.rows", "quilt_athena.previous_location", "quilt_athena.keeps")
_INSIDE = "./"  # a place below the changes' common root
_LITERAL = "="  # a text that only looks like one
_TEXTS = ("task_key", "table", "database", "fingerprint", "basis", "reason", "writer")
_MAYBE_TEXTS = ("base", "folder", "claimed_by", "adopted_list")
_TIMES = ("created_at", "updated_at", "published_at", "settled_at", "keep_until")
_TEXT_LISTS = ("claims", "doomed", "deleted")

Json = dict[str, Any]


class UnreadableEntry(ManualActionError):
    """An object in the journal is no entry that this version knows."""


# ------------------------------------------------------------------------------------------------ writing


def render_entry(entry: Entry) -> bytes:
    """Return an entry as JSON."""
    return json.dumps(_document(entry), sort_keys=True, separators=(",", ":")).encode()


def _document(entry: Entry) -> Json:
    packing = _Packing(entry)
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


class _Packing:
    """What the changes of one entry share."""

    def __init__(self, entry: Entry) -> None:
        places = {place for c in entry.changes for place in (c.location, c.previous_location) if place}
        first, last = min(places, default=""), max(places, default="")
        # What the first and the last of sorted texts begin with, all begin with.
        root = "".join(
            a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
        )
        self.root = root[: root.rfind("/") + 1]
        self.generations: dict[str, int] = {}
        self.descriptors: list[Json] = []
        self.parameters: list[Json] = []
        self._of_parameters: dict[frozenset[tuple[str, Any]], int] = {}

    def change(self, change: Change) -> Json:
        packed = {
            "action": change.action.value,
            "values": list(change.values),
            "at": self._place(change.location),
            "of": self._generation(change.generation),
            "rows": change.rows,
            "was_at": self._place(change.previous_location),
            "was_of": self._generation(change.previous_generation),
            "was": self._definition(change.previous),
            "again": self._definition(change.restored),
            "adopted": self._place(change.adopted),
        }
        return {name: value for name, value in packed.items() if value is not None}

    def _place(self, place: str | None) -> str | None:
        if place is None:
            return None
        if self.root and place.startswith(self.root):
            return f"{_INSIDE}{place[len(self.root) :]}"
        return f"{_LITERAL}{place}" if place.startswith((_INSIDE, _LITERAL)) else place

    def _generation(self, name: str | None) -> int | None:
        return None if name is None else self.generations.setdefault(name, len(self.generations))

    def _definition(self, given: Mapping[str, Any] | None) -> list[Any] | None:
        """Return values, location, parameters of its own, and the numbers of what is shared."""
        if given is None:
            return None
        descriptor, parameters = given.get("StorageDescriptor"), given.get("Parameters")
        own, shared = self._parameters(parameters)
        location = None if descriptor is None else descriptor.get("Location")
        return [given.get("Values"), self._place(location), own, self._descriptor(descriptor), shared]

    def _descriptor(self, descriptor: Mapping[str, Any] | None) -> int | None:
        if descriptor is None:
            return None
        rest = {name: value for name, value in descriptor.items() if name != "Location"}
        for number, known in enumerate(reversed(self.descriptors), start=1):
            if (
                known == rest
            ):  # cheap where parts are one and the same object, as they are when they were read
                return len(self.descriptors) - number
        self.descriptors.append(rest)
        return len(self.descriptors) - 1

    def _parameters(self, parameters: Mapping[str, Any] | None) -> tuple[Json, int | None]:
        if parameters is None:
            return {}, None
        own = {name: self._place(parameters[name]) for name in _OF_EACH_PARTITION if name in parameters}
        rest = {name: value for name, value in parameters.items() if name not in own}
        key = frozenset(rest.items())
        number = self._of_parameters.setdefault(key, len(self.parameters))
        if number == len(self.parameters):
            self.parameters.append(rest)
        return own, number


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
    except InvalidCallError as error:
        raise _unreadable(place, str(error)[:200]) from error
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
    unpacking = _Unpacking(document)
    return Entry(
        attempt=Attempt(_text(digest), _number(number), _text(nonce)),
        kind=Kind(document["kind"]),
        state=State(document["state"]),
        **_fields(document),
        retain_seconds=float(document["retain_seconds"]),
        rows=_maybe(_number, document["rows"]),
        bytes_scanned=_number(document["bytes_scanned"]),
        revision=_number(document["revision"]),
        untidy=document["untidy"] is True,
        queries=tuple(Query(Role.parse(_text(role)), _text(id_)) for role, id_ in document["queries"]),
        found=_maybe(_found, document["found"]),
        marked={_text(place): _moment(until) for place, until in document["marked"].items()},
        notes=_notes(document.get("notes", {})),
        partition_notes={
            _text(values): _notes(notes) for values, notes in document.get("partition_notes", {}).items()
        },
        adopted_files={
            _text(folder): tuple(AdoptedFile(_text(n), _text(etag), _number(size)) for n, etag, size in files)
            for folder, files in document["adopted_files"].items()
        },
        changes=tuple(unpacking.change(packed) for packed in document["changes"]),
    )


def _fields(document: Json) -> Any:
    return {
        **{name: _text(document[name]) for name in _TEXTS},
        **{name: _maybe(_text, document[name]) for name in _MAYBE_TEXTS},
        **{name: _maybe(_moment, document[name]) for name in _TIMES},
        **{name: _texts(document[name]) for name in _TEXT_LISTS},
    }


def _notes(given: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in given.items()}


def _found(given: Sequence[Any]) -> tuple[Found, ...]:
    return tuple(Found(_texts(values), _number(rows)) for values, rows in given)


class _Unpacking:
    def __init__(self, document: Json) -> None:
        self._root = _text(document["root"])
        self._generations = _texts(document["generations"])
        self._descriptors: list[Json] = [dict(one) for one in document["descriptors"]]
        self._parameters: list[Json] = [dict(one) for one in document["parameters"]]

    def change(self, packed: Json) -> Change:
        return Change(
            values=_texts(packed["values"]),
            action=Action(packed["action"]),
            location=self._uri(packed.get("at")),
            generation=self._generation(packed.get("of")),
            rows=_maybe(_number, packed.get("rows")),
            previous_location=self._uri(packed.get("was_at")),
            previous_generation=self._generation(packed.get("was_of")),
            previous=self._definition(packed.get("was")),
            restored=self._definition(packed.get("again")),
            adopted=self._uri(packed.get("adopted")),
        )

    def _place(self, packed: str | None) -> str | None:
        if packed is None:
            return None
        if _text(packed).startswith(_INSIDE):
            return self._root + packed.removeprefix(_INSIDE)
        return packed.removeprefix(_LITERAL)

    def _uri(self, packed: str | None) -> str | None:
        place = self._place(packed)
        return place if place is None else str(S3Uri.parse(place))

    def _generation(self, number: int | None) -> str | None:
        return None if number is None else self._generations[number]

    def _definition(self, packed: list[Any] | None) -> Json | None:
        if packed is None:
            return None
        values, location, own, descriptor, parameters = packed
        definition: Json = {} if values is None else {"Values": [_text(value) for value in values]}
        if descriptor is not None:
            place = self._place(location)
            definition["StorageDescriptor"] = {
                **self._descriptors[descriptor],
                **({} if place is None else {"Location": place}),
            }
        if parameters is not None:
            shared = self._parameters[parameters]
            definition["Parameters"] = {**shared, **{name: self._place(text) for name, text in own.items()}}
        return definition


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.50} is not text")
    return value


def _texts(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(map(_text, values))


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r:.50} is not a number")
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} is in no time zone")
    return moment


def _maybe(parse: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else parse(value)


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
            files.setdefault(_text(folder), []).append(
                AdoptedFile(_text(name), _text(etag), _number(size_bytes))
            )
    except (RecursionError, TypeError, ValueError) as error:
        raise _unreadable(place, repr(error)[:200]) from error
    return {folder: tuple(found) for folder, found in files.items()}
