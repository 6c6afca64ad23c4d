"""What an overwrite stages, as values, and the places and tables that only serve it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Selection
from airflow_quilt_athena.core.glue.tables import Bucketing, Columns, Table, TableName
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.ctas import Encoding
from airflow_quilt_athena.core.overwrite.journal_entry import Entry
from airflow_quilt_athena.core.overwrite.query_role import READS, Role
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.core.quilt.late import LateRevisions
from airflow_quilt_athena.core.quilt.queries import ManifestSource
from airflow_quilt_athena.core.quilt.revisions import Revision

SCRATCH = "scratch/"  # below an attempt's folder: what only serves staging


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was to see before anything was decided."""

    table: Table | None  # None: to be created from the result
    default_location: S3Uri | None  # where its database puts a table that names no place
    enforced: bool  # the workgroup decides where results go
    revisions: tuple[Revision, ...] = ()  # those of the interval that the query asks for
    late: tuple[LateRevisions, ...] = ()  # of other intervals, since the table was written from them
    notes: Mapping[str, str] = field(default_factory=dict)  # parameters of what is published
    source: ManifestSource | None = None  # what the revisions' manifests are read by


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be overwritten, and how its rows are written."""

    request: OverwriteRequest
    table: Table | None
    selection: Selection
    base: S3Uri
    encoding: Encoding
    bucketing: Bucketing | None
    unloads: bool
    query: str = field(repr=False)  # as it was given, with its tokens
    revisions: tuple[Revision, ...] = ()
    late: tuple[LateRevisions, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    source: ManifestSource | None = None
    # The revisions in groups, where one statement cannot hold them all: each is read into a table first.
    reads: tuple[tuple[Revision, ...], ...] = ()

    @property
    def describes(self) -> bool:
        """Whether the result's columns must be known before it is written.

        Where the call names columns of a table that is not there yet, a wrong name is to cost nothing. Of
        one partition's buckets the engine says so itself before it reads; those of a set it meets with the
        slices only, when the rows have been read.
        """
        if self.table is not None:
            return self.unloads
        names_columns = bool(self.request.column_comments or (self.bucketing and self.selection.is_set))
        return self.unloads or names_columns or self.encoding.file_format is FileFormat.TEXTFILE

    @property
    def basis(self) -> str:
        """Equal where the same request would be carried out by the same statements."""
        world = (self.expected_columns, self.selection.keys, self.base, self.encoding, self.bucketing)
        return hashlib.sha256(repr((*world, self.unloads, self.revisions, self.source)).encode()).hexdigest()

    @property
    def expected_columns(self) -> Columns | None:
        """The columns that the staged result must have; None when the first result decides."""
        return None if self.table is None else (*self.table.columns, *self.selection.dynamic)


def temporary_table(attempt: Attempt, database: str, role: Role) -> TableName:
    """Return the table that the statement of a role makes."""
    return attempt.temporary_table(database, role.table_ending or "")


def temporary_tables(entry: Entry) -> tuple[TableName, ...]:
    """Return the tables that the statements known to the journal make."""
    roles = (query.role for query in entry.queries)
    makers = (role for role in roles if role.table_ending is not None)
    return tuple(temporary_table(entry.attempt, entry.database, role) for role in makers)


def scratch_folder(entry: Entry) -> S3Uri | None:
    """Return the folder of what only served staging, if the attempt made one."""
    reads = any(query.role.kind in READS for query in entry.queries)
    if entry.folder is None or not (reads or entry.found is not None):
        return None
    return S3Uri.parse(entry.folder) / SCRATCH
