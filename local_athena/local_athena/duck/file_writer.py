"""What writes files for an engine that has no writer of its own: rows in memory, encoded by pyarrow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from local_athena.data.catalog import Catalog
from local_athena.data.data_files import Layout, cut, write_pieces
from local_athena.data.partition_names import partition_path
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Column, QueryResult, Session
from local_athena.data.tables import Table
from local_athena.data.type_parser import parse_hive, parse_trino
from local_athena.data.types import DataType
from local_athena.duck.insert_coercions import can_insert, coerce
from local_athena.engine import Insert, Write, Written
from local_athena.errors import QueryFailed


class FileWriter(ABC):
    """The half of an engine that writes, on the half that answers queries."""

    @abstractmethod
    def describe(self, sql: str, session: Session) -> tuple[Column, ...]:
        """Return the columns of a SELECT, without running it."""

    @abstractmethod
    def query(self, sql: str, session: Session) -> QueryResult:
        """Run a SELECT."""

    def write(self, write: Write, session: Session) -> Written:
        """Write a query's rows as new files."""
        return _write_rows(self.query(write.query, session).table, write, session)

    def insert(self, insert: Insert, session: Session) -> Written:
        """Write a query's rows as new files of a table."""
        target = _Target(insert, self.describe(insert.query, session))
        return target.add(self.query(insert.query, session).table, session)


def _write_rows(rows: Any, write: Write, session: Session) -> Written:
    rows = rows.rename_columns([column.name.lower() for column in write.columns])
    keys, base = write.layout.keys, write.location
    pieces = cut(rows, write.layout)
    places = {p.values: base / partition_path(keys, p.values) if keys else base for p in pieces}
    files = write_pieces(pieces, places.__getitem__, write.encoding, session, datetime.now(UTC))
    return Written(rows.num_rows, files, places if keys else {})


class _Target:
    """The columns that an INSERT fills, and what it may fill them with."""

    def __init__(self, insert: Insert, columns: Sequence[Column]) -> None:
        """``columns`` are the query's. Refuses those that do not fit the table's."""
        table = insert.table
        self._insert = insert
        self._fields = {field: parse_hive(kind) for field, kind in (*table.columns, *table.partition_keys)}
        self._chosen = _chosen(insert.named, self._fields)
        self._sources = tuple(parse_trino(column.type) for column in columns)
        _check_types([self._fields[field] for field in self._chosen], self._sources, columns)

    def add(self, rows: Any, session: Session) -> Written:
        """Write a pyarrow.Table of the query's rows into the table's folders."""
        table = self._insert.table
        layout = Layout(tuple(key for key, _ in table.partition_keys))
        pieces = cut(_in_table_order(rows, self._chosen, self._sources, self._fields), layout)
        catalog = Catalog(session.clients)
        places: dict[tuple[str, ...], S3Uri] = {}
        created: dict[tuple[str, ...], S3Uri] = {}
        for piece in pieces:
            known = catalog.get_partition(table, piece.values) if table.partition_keys else None
            if known is not None and known.location is not None:
                places[piece.values] = known.location
                continue
            places[piece.values] = _new_place(table, piece.values)
            if table.partition_keys:
                created[piece.values] = places[piece.values]
        encoding = self._insert.encoding
        files = write_pieces(pieces, places.__getitem__, encoding, session, datetime.now(UTC))
        return Written(rows.num_rows, files, created)


def _new_place(table: Table, values: tuple[str, ...]) -> S3Uri:
    place = table.natural_location(values) if values else table.location
    if place is None:
        raise QueryFailed(
            f"HIVE_INVALID_METADATA: Table '{table.database}.{table.name}' has no location in S3"
        )
    return place


def _chosen(named: tuple[str, ...] | None, fields: Mapping[str, DataType]) -> tuple[str, ...]:
    if named is None:
        return tuple(fields)
    for index, field in enumerate(named):
        if field not in fields:
            raise QueryFailed(
                f"COLUMN_NOT_FOUND: line 1:1: Insert column name does not exist in target table: {field}"
            )
        if field in named[:index]:
            raise QueryFailed(
                f"DUPLICATE_COLUMN_NAME: line 1:1: Insert column name is specified more than once: {field}"
            )
    return named


def _check_types(targets: Sequence[DataType], sources: Sequence[DataType], columns: Sequence[Column]) -> None:
    fits = len(targets) == len(sources) and all(map(can_insert, sources, targets))
    if not fits:
        wanted = ", ".join(kind.trino for kind in targets)
        given = ", ".join(column.type for column in columns)
        raise QueryFailed(
            "TYPE_MISMATCH: line 1:1: Insert query has mismatched column types: "
            f"Table: [{wanted}], Query: [{given}]"
        )


def _in_table_order(
    rows: Any, chosen: Sequence[str], sources: Sequence[DataType], fields: Mapping[str, DataType]
) -> Any:
    """Return the rows as the table's columns; those the statement does not name are NULL."""
    import pyarrow as pa

    given = {
        field: coerce(column.combine_chunks(), source, fields[field])
        for field, column, source in zip(chosen, rows.columns, sources, strict=True)
    }
    arrays = {
        field: given[field] if field in given else pa.nulls(rows.num_rows, kind.arrow())
        for field, kind in fields.items()
    }
    return pa.table(arrays)
