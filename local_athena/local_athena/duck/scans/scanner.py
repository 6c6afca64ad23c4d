"""Tables of Glue as views of a DuckDB connection, holding the rows of the files a query has to read.

Objects are read in memory, through the caller's own S3 each time: a cache would serve what the caller may
not read, and the store is in this process anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from local_athena.data.catalog import Catalog
from local_athena.data.session import Session
from local_athena.data.tables import Table
from local_athena.data.types import VARCHAR, DataType
from local_athena.duck.scans.listing import DataFile, data_files
from local_athena.duck.scans.partition_projection import is_projected, projected_places
from local_athena.duck.scans.pruning import (
    PATH,
    Place,
    quoted,
    speaks_of_path,
    surviving,
    typed_fields,
    typed_values,
)
from local_athena.duck.scans.table_files import FileReader
from local_athena.errors import QueryFailed


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A table as a query names it.

    ``columns`` are those it uses (None is all). ``filters`` are conjuncts in DuckDB's SQL that speak only of
    partition keys and ``"$path"``, by unqualified quoted names.
    """

    alias: str
    table: Table
    columns: frozenset[str] | None = None
    filters: tuple[str, ...] = ()
    wants_path: bool = False


@dataclass(slots=True)
class _Scan:
    """The requests of one query that read the same files of one table."""

    table: Table
    filters: tuple[str, ...]
    requests: list[ScanRequest] = field(default_factory=list)

    @property
    def columns(self) -> frozenset[str]:
        """The columns any of them uses, partition keys left out."""
        every = frozenset(name for name, _ in self.table.columns)
        used = [every if request.columns is None else request.columns & every for request in self.requests]
        return frozenset().union(*used)


class Scanner:
    """Binds tables to connections. Holds nothing between queries."""

    def bind(self, con: duckdb.DuckDBPyConnection, requests: Sequence[ScanRequest], session: Session) -> None:
        """Create a view for each request, named by its alias. Raises QueryFailed."""
        scans: dict[tuple[str, str, tuple[str, ...]], _Scan] = {}
        for request in requests:
            key = (request.table.database, request.table.name, tuple(sorted(set(request.filters))))
            scans.setdefault(key, _Scan(request.table, key[2])).requests.append(request)
        for number, scan in enumerate(scans.values()):
            self._bind_scan(con, scan, f"__scan_{number}_{id(scan)}", session)

    def _bind_scan(self, con: duckdb.DuckDBPyConnection, scan: _Scan, name: str, session: Session) -> None:
        refuse_unreadable(scan.table)
        full_name = f"{scan.table.database}.{scan.table.name}"
        keys = typed_fields(scan.table.partition_keys, full_name)
        columns = [field for field in typed_fields(scan.table.columns, full_name) if field[0] in scan.columns]
        places = _places(con, scan, keys, session)
        files = _files(con, scan, keys, places, session)
        rows = FileReader(con, scan.table, columns, session).read(files, places)
        con.register(name, _with_keys(rows, files, places, keys))
        for request in scan.requests:
            _create_view(con, request, name, [*columns, *keys])


def refuse_unreadable(table: Table) -> None:
    """Raise QueryFailed for what is in Glue but is no table of files to us."""
    name = f"{table.database}.{table.name}"
    if table.is_view:
        raise QueryFailed(
            f"NOT_SUPPORTED: View '{name}' is a Hive view: the local Athena reads Athena's and Trino's"
        )
    for parameter in ("table_type", "spark.sql.sources.provider"):
        kind = table.parameters.get(parameter, "").lower()
        if kind in ("iceberg", "delta", "hudi"):
            raise QueryFailed(
                f"NOT_SUPPORTED: Table '{name}' is of {kind.title()}, which the local Athena does not read"
            )
    if table.location is None:
        place = (table.raw.get("StorageDescriptor") or {}).get("Location") or "nowhere"
        raise QueryFailed(f"HIVE_UNKNOWN_ERROR: Table '{name}' does not lie in S3: {place}", error_type=1004)


def _places(
    con: duckdb.DuckDBPyConnection, scan: _Scan, keys: Sequence[tuple[str, DataType]], session: Session
) -> list[Place]:
    """Find the table's location, or those of the partitions no filter rules out."""
    table = scan.table
    assert table.location is not None  # refuse_unreadable
    if not keys:
        return [Place(table.location)]
    filters = [condition for condition in scan.filters if not speaks_of_path(condition)]
    if is_projected(table):
        return projected_places(con, table, keys, filters)
    places = []
    for partition in Catalog(session.clients).partitions(table):
        if partition.location is None or len(partition.values) != len(keys):
            raise QueryFailed(
                f"HIVE_INVALID_METADATA: Partition {list(partition.values)} of {table.database}.{table.name} "
                "has no location in S3, or not one value for each partition key",
                error_type=1004,
            )
        places.append(Place(partition.location, typed_values(partition.values, keys), partition))
    candidates = [(name, kind, [place.values[i] for place in places]) for i, (name, kind) in enumerate(keys)]
    return [places[position] for position in surviving(con, candidates, filters)]


def _files(
    con: duckdb.DuckDBPyConnection,
    scan: _Scan,
    keys: Sequence[tuple[str, DataType]],
    places: Sequence[Place],
    session: Session,
) -> list[DataFile]:
    files: list[DataFile] = []
    for number, place in enumerate(places):
        session.check()
        files.extend(data_files(session.clients.objects, place.location, number))
    filters = [condition for condition in scan.filters if speaks_of_path(condition)]
    candidates: list[tuple[str, DataType, Sequence[Any]]] = [(PATH, VARCHAR, [str(f.uri) for f in files])]
    candidates += [
        (name, kind, [places[f.partition].values[i] for f in files]) for i, (name, kind) in enumerate(keys)
    ]
    return [files[position] for position in surviving(con, candidates, filters)]


def _with_keys(
    rows: Any, files: Sequence[DataFile], places: Sequence[Place], keys: Sequence[tuple[str, DataType]]
) -> Any:
    """Put the partition keys and ``"$path"`` in place of the number of each row's file."""
    import pyarrow as pa

    numbers = rows.column("__file").combine_chunks()
    if isinstance(numbers, pa.ChunkedArray):
        numbers = pa.concat_arrays(numbers.chunks) if numbers.num_chunks else pa.array([], numbers.type)
    found = rows.drop_columns(["__file"])
    for index, (name, kind) in enumerate(keys):
        values = pa.array([places[f.partition].values[index] for f in files], kind.arrow())
        found = found.append_column(name, values.take(numbers))
    paths = pa.array([str(f.uri) for f in files], pa.string())
    return found.append_column(PATH, pa.DictionaryArray.from_arrays(numbers, paths))


def _create_view(
    con: duckdb.DuckDBPyConnection, request: ScanRequest, source: str, columns: Sequence[tuple[str, DataType]]
) -> None:
    used: Mapping[str, DataType] = {
        name: kind for name, kind in columns if request.columns is None or name in request.columns
    }
    selected = [f"CAST({quoted(name)} AS {kind.duckdb}) AS {quoted(name)}" for name, kind in used.items()]
    if request.wants_path or not selected:
        selected.append(quoted(PATH))
    view, selection = quoted(request.alias), ", ".join(selected)
    con.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT {selection} FROM {quoted(source)}")
