"""The real engine: Trino SQL run, and its files written, by a Trino server on the local Glue and S3."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from local_athena.data.catalog import Catalog
from local_athena.data.partition_names import unescape
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Clients, Column, QueryResult, Session
from local_athena.data.tables import Table
from local_athena.data.type_parser import parse_trino
from local_athena.data.types import UnknownTypeError
from local_athena.engine import Insert, Write, Written
from local_athena.errors import QueryFailed
from local_athena.sql_text import tokenize
from local_athena.trino.client import TrinoAnswer, TrinoClient
from local_athena.trino.configuration import CATALOG, SCRATCH
from local_athena.trino.permissions import check_reads, check_write
from local_athena.trino.tables import SCHEMA, codec, scratch_ctas, scratch_name, scratch_table
from local_athena.trino.values import build_column

_NODES_TIMEOUT_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 0.1


class TrinoEngine:
    """Runs Trino SQL on a server, which reads and writes as the account's root user, not as the caller."""

    def __init__(self, client: TrinoClient) -> None:
        self._client = client
        self._has_schema = False

    def warm_up(self) -> None:
        """Write and read a table until that works: a server answers some seconds before its nodes do."""
        nobody: Any = None
        session = Session("warm-up", "default", Clients(nobody, nobody, "", ""), output_prefix="")
        self._make_schema(session)
        self._client.run(f"CREATE TABLE {SCHEMA}.ready AS SELECT 1 AS a", session)
        deadline = time.monotonic() + _NODES_TIMEOUT_SECONDS
        while True:
            try:
                self._client.run(f"SELECT a FROM {SCHEMA}.ready", session)
            except QueryFailed as error:
                if not error.reason.startswith("NO_NODES_AVAILABLE") or time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_EVERY_SECONDS)
            else:
                return

    def _make_schema(self, session: Session) -> None:
        if not self._has_schema:
            self._client.run(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}", _detached(session))
            self._has_schema = True

    def describe(self, sql: str, session: Session) -> tuple[Column, ...]:
        """Return the columns of a SELECT, without running it."""
        if session.parameters:  # DESCRIBE OUTPUT does not know their types
            answer = self._client.run(f"SELECT * FROM ({sql}\n) LIMIT 0", session)
            return _columns(sql, answer.columns)
        answer = self._client.describe(sql, session)
        return _columns(sql, [(str(row[0]), str(row[4])) for row in answer.rows])

    def query(self, sql: str, session: Session) -> QueryResult:
        """Run a SELECT; ``?`` are taken from the session's parameters."""
        import pyarrow as pa

        check_reads(self._client, sql, session)
        answer = self._client.run(sql, session)
        columns = _columns(sql, answer.columns)
        arrays = [
            build_column([row[index] for row in answer.rows], parse_trino(column.type))
            for index, column in enumerate(columns)
        ]
        return QueryResult(columns, pa.Table.from_arrays(arrays, names=[column.name for column in columns]))

    def explain(self, sql: str, session: Session) -> Sequence[str]:
        """Return the lines of a plan, for ``EXPLAIN [ANALYZE] SELECT``."""
        answer = self._client.run(sql, session)
        return [line for row in answer.rows for line in str(row[0]).splitlines()]

    def write(self, write: Write, session: Session) -> Written:
        """Have Trino write a query's rows as new files."""
        check_reads(self._client, write.query, session)
        check_write(write.location, session)
        self._make_schema(session)
        name = scratch_name(session.query_execution_id)
        properties = {f"{SCRATCH}.compression_codec": codec(write.encoding)}
        try:
            if write.beside:  # the folder of a CTAS must be empty for Trino, too
                self._client.run(scratch_table(name, write), replace(session, parameters=()))
                answer = self._client.run(f"INSERT INTO {name} {write.query}", session, properties)
            else:
                answer = self._client.run(scratch_ctas(name, write), session, properties)
        finally:
            with contextlib.suppress(QueryFailed):  # the table shows nowhere
                self._client.run(f"DROP TABLE IF EXISTS {name}", _detached(session))
        files = _files_of(answer, [write.location], session)
        _own(files, session)
        return Written(_count(answer), files, _partitions(files, write))

    def insert(self, insert: Insert, session: Session) -> Written:
        """Have Trino write a query's rows as new files of a table; it makes the partitions in Glue itself."""
        catalog, table = Catalog(session.clients), insert.table
        check_reads(self._client, insert.query, session)
        if table.location is not None:
            check_write(table.location, session)
        before = _places(catalog, table)
        properties = {f"{CATALOG}.compression_codec": codec(insert.encoding)}
        answer = self._client.run(insert.sql, session, properties)
        after = _places(catalog, table)
        folders = [table.location, *after.values()]
        files = _files_of(answer, [folder for folder in folders if folder is not None], session)
        _own(files, session)
        created = {v: place for v, place in after.items() if v not in before and place is not None}
        if session.late_failure is not None:  # then no partition may show
            catalog.delete_partitions(table, list(created), missing_ok=True)
        return Written(_count(answer), files, created)


def _detached(session: Session) -> Session:
    """Return a session for what must be done whether or not the query was stopped."""
    return Session(session.query_execution_id, "default", session.clients, session.output_prefix)


def _columns(sql: str, columns: Sequence[tuple[str, str]]) -> tuple[Column, ...]:
    """Name the types as they are named here, and tell which columns have no name of their own."""
    words: frozenset[str] | None = None
    found = []
    for index, (name, kind) in enumerate(columns):
        named = name != f"_col{index}"
        if not named:
            words = words or frozenset(token.text.strip('"').lower() for token in tokenize(sql))
            named = name in words
        try:
            found.append(Column(name, parse_trino(kind).trino, named))
        except UnknownTypeError as error:
            raise QueryFailed(f"NOT_SUPPORTED: The local Athena does not know the type {kind}") from error
    return tuple(found)


def _count(answer: TrinoAnswer) -> int:
    return int(answer.rows[0][0]) if answer.rows else 0


def _files_of(answer: TrinoAnswer, folders: Sequence[S3Uri], session: Session) -> tuple[S3Uri, ...]:
    """Find the files that a query wrote: Trino puts the query's id into their names."""
    found: dict[S3Uri, None] = {}
    for folder in dict.fromkeys(folder.folder for folder in folders):
        for stored in session.clients.objects.list(folder.bucket, folder.key):
            if answer.query_id in stored.key.rpartition("/")[2]:
                found[S3Uri(folder.bucket, stored.key)] = None
    return tuple(found)


def _own(files: Sequence[S3Uri], session: Session) -> None:
    """Remember the files as the query's, and have S3 encrypt them as it asks: Trino has one way."""
    session.files.extend(map(str, files))
    if session.encryption is None:
        return
    objects = session.clients.objects
    for uri in files:
        objects.write(uri.bucket, uri.key, objects.read(uri.bucket, uri.key), session.encryption)


def _partitions(files: Sequence[S3Uri], write: Write) -> Mapping[tuple[str, ...], S3Uri]:
    """Read the partitions' values off their folders."""
    if not write.layout.keys:
        return {}
    base = write.location.folder
    found = {}
    for uri in files:
        path = uri.key.removeprefix(base.key).rpartition("/")[0]
        values = tuple(unescape(part.partition("=")[2]) for part in path.split("/"))
        found[values] = base / path
    return found


def _places(catalog: Catalog, table: Table) -> dict[tuple[str, ...], S3Uri | None]:
    if not table.partition_keys:
        return {}
    return {partition.values: partition.location for partition in catalog.partitions(table)}
