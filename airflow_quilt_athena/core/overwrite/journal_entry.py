"""What the journal keeps of one attempt, and the states it goes through. Values alone.

intended → submitted → staged → publishing → published → superseded → deleting, or aborted.

An entry is written before its first query starts and is enough to go on from: a worker that takes over reads
it, joins the queries and publishes what they staged. ``publishing`` holds, for each partition, where it was
and where it is to be, so that a set that was left half-published can be rolled forward, and undone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.query_role import Role

_JOURNAL_FOLDER = ".journal"


class State(Enum):
    """How far an attempt is."""

    INTENDED = "intended"  # no query is known to have started
    SUBMITTED = "submitted"  # queries are known by their ids
    STAGED = "staged"  # the result is written and counted; its slices are being written
    PUBLISHING = "publishing"  # partitions are being pointed at it, or back at it by a rollback
    PUBLISHED = "published"
    SUPERSEDED = "superseded"  # nothing points at it, for no reason that the journal knows
    DELETING = "deleting"  # a sweep has taken it
    ABORTED = "aborted"  # it never was published


# Why a set was aborted that its successor replaced whole: what it removed stays removed.
SUPERSEDED = "left half published, and replaced by the next overwrite of the same partitions"

# Why a set was aborted whose table is another one by now.
OF_FORMER_TABLE = "its table was dropped and made again"

UNFINISHED = frozenset({State.INTENDED, State.SUBMITTED, State.STAGED})


class Kind(Enum):
    """What an entry records."""

    OVERWRITE = "overwrite"
    ROLLBACK = "rollback"


class Action(Enum):
    """What happens to a partition."""

    CREATED = "created"
    REPLACED = "replaced"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Query:
    """A query of the attempt, by what it is for."""

    role: Role
    query_execution_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """A partition that the result has, by the values of the dynamic keys."""

    values: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class AdoptedFile:
    """A file that lay where Glue pointed before us. ``name`` is its key below that folder."""

    name: str
    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one partition, or to a table without keys (whose values are ())."""

    values: tuple[str, ...]
    action: Action
    location: str | None  # None: it goes
    generation: str | None
    rows: int | None
    previous_location: str | None
    previous_generation: str | None
    previous: Mapping[str, Any] | None  # the PartitionInput to restore; None where there was no partition
    adopted: str | None = None  # the folder that Glue pointed at, whose files something else had written
    restored: Mapping[str, Any] | None = None  # of a rollback: the PartitionInput to have again


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt, as the journal keeps it. Times are S3's."""

    attempt: Attempt
    task_key: str
    table: str
    database: str  # where its temporary tables are
    kind: Kind
    state: State
    fingerprint: str  # of what was asked for
    basis: str  # of what the statements are made from besides
    retain_seconds: float
    created_at: datetime
    updated_at: datetime
    base: str | None = None  # of the table whose journal this is
    folder: str | None = None  # everything the attempt stages lies below it
    notes: Mapping[str, str] = field(default_factory=dict)  # parameters of what it publishes
    partition_notes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of single partitions
    queries: tuple[Query, ...] = ()
    found: tuple[Found, ...] | None = None
    rows: int | None = None
    bytes_scanned: int = 0
    changes: tuple[Change, ...] = ()
    published_at: datetime | None = None  # when Glue began to be changed
    settled_at: datetime | None = None  # when all of it was
    keep_until: datetime | None = None  # of what never was published, or not as a whole
    # Folders that something else took Glue away from, and until when they are kept.
    marked: Mapping[str, datetime] = field(default_factory=dict)
    # By folder: what lay there when this attempt took over, if it fits in here; else what object lists it.
    adopted_files: Mapping[str, tuple[AdoptedFile, ...]] = field(default_factory=dict)
    adopted_list: str | None = None
    claimed_by: str | None = None  # the rollback that points partitions back at it
    claims: tuple[str, ...] = ()  # of a rollback: the entries that it holds on to
    doomed: tuple[str, ...] = ()  # folders that the sweep that has taken it empties
    deleted: tuple[str, ...] = ()  # folders that a sweep has emptied
    reason: str = ""  # why it was aborted
    untidy: bool = False  # what only served staging could not be removed
    revision: int = 0
    writer: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The name of the entry's object, without its ending."""
        return self.attempt.entry_name

    def query_id(self, role: Role) -> str | None:
        """Return the id of the query of a role, if one has started."""
        return next((query.query_execution_id for query in self.queries if query.role == role), None)

    def owns(self, location: str) -> bool:
        """Whether a folder holds what this attempt staged."""
        return self.folder is not None and S3Uri.parse(self.folder).contains(S3Uri.parse(location))

    def adopts(self, location: str) -> bool:
        """Whether this attempt took a partition away from a folder whose files something else had written."""
        return any(location == change.adopted for change in self.changes)

    @property
    def is_set(self) -> bool:
        """Whether several partitions are changed, so that an attempt may be left half published."""
        return len(self.changes) > 1


def note_key(values: Sequence[str]) -> str:
    """Return what the notes of a partition are kept by."""
    return json.dumps(list(values))


def journal_folder(base: S3Uri) -> S3Uri:
    """Return where a table's journal lies."""
    return base / f"{GENERATIONS_FOLDER}/{_JOURNAL_FOLDER}/"


def entry_place(base: S3Uri, name: str) -> S3Uri:
    """Return an entry's object."""
    return journal_folder(base) / f"{name}.json"


def lease_place(base: S3Uri, partition: Sequence[str] = ()) -> S3Uri:
    """Return the lease under which a table's partitions are repointed, or the one of a single partition."""
    if not partition:
        return journal_folder(base) / "lease"
    digest = hashlib.sha256(note_key(partition).encode()).hexdigest()
    return S3Uri(base.bucket, f"{partition_leases(base).key}{digest[:32]}")


def partition_leases(base: S3Uri) -> S3Uri:
    """Return what the keys of all leases of single partitions begin with."""
    return journal_folder(base) / "lease-"
