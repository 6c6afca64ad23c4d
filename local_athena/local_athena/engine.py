"""What an engine is: it answers queries, and writes their rows as files. Athena's rules stand around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from local_athena.data.data_files import Layout
from local_athena.data.file_formats import Encoding
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Column, QueryResult, Session
from local_athena.data.tables import Table


@dataclass(frozen=True, slots=True)
class Write:
    """A query whose rows are to become files below a folder; every check that needs no row has passed."""

    query: str
    columns: tuple[Column, ...]  # the query's
    location: S3Uri
    layout: Layout
    encoding: Encoding
    beside: bool = False  # the folder may hold other files


@dataclass(frozen=True, slots=True)
class Insert:
    """A query whose rows are to be added to a table."""

    sql: str  # the whole statement, without a semicolon
    query: str
    table: Table
    named: tuple[str, ...] | None  # the statement's column list; None when it has none
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class Written:
    """What was written. ``partitions`` are those that Glue may not hold yet, and where their files are."""

    rows: int
    files: Sequence[S3Uri]
    partitions: Mapping[tuple[str, ...], S3Uri] = field(default_factory=dict)


class Engine(Protocol):
    """What runs Trino SQL: DuckDB in process, or a Trino server. Raises QueryFailed in Trino's words."""

    def describe(self, sql: str, session: Session) -> tuple[Column, ...]:
        """Return the columns of a SELECT, without running it."""
        ...

    def query(self, sql: str, session: Session) -> QueryResult:
        """Run a SELECT. Execution parameters (``?``) are taken from the session."""
        ...

    def explain(self, sql: str, session: Session) -> Sequence[str]:
        """Return the lines of a plan."""
        ...

    def write(self, write: Write, session: Session) -> Written:
        """Write a query's rows as new files. Files stay when it fails, and Glue is not changed."""
        ...

    def insert(self, insert: Insert, session: Session) -> Written:
        """Write a query's rows as new files of a table, each partition's where Glue says it is.

        Checks the query's columns against the table's.
        """
        ...


def uris(files: Iterable[S3Uri]) -> tuple[str, ...]:
    """Return the manifest of a query that wrote these files."""
    return tuple(str(uri) for uri in files)
