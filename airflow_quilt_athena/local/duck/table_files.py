"""Rows of a table's files: each read by the SerDe it was written under, brought to the table's columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_quilt_athena.local.catalog import Fields, Table
from airflow_quilt_athena.local.data_type import DataType
from airflow_quilt_athena.local.duck.delimited import DelimitedText
from airflow_quilt_athena.local.duck.hive_json import HiveJson
from airflow_quilt_athena.local.duck.layout import DataFile
from airflow_quilt_athena.local.duck.lines import text_lines
from airflow_quilt_athena.local.duck.open_csv import OpenCsv
from airflow_quilt_athena.local.duck.openx_json import OpenXJson
from airflow_quilt_athena.local.duck.pruning import Place, typed_fields
from airflow_quilt_athena.local.errors import QueryFailed
from airflow_quilt_athena.local.session import Session
from airflow_quilt_athena.local.storage import (
    AVRO_SERDE,
    HCATALOG_JSON_SERDES,
    LAZY_SIMPLE_SERDE,
    OPEN_CSV_SERDE,
    OPENX_JSON_SERDE,
    ORC_SERDE,
    PARQUET_SERDE,
)

FILE = "__file"
_LINES_A_BATCH = 20_000
_OTHER_CONTAINERS = ("SequenceFile", "RCFile", "SymlinkText")

Columns = Sequence[tuple[str, DataType]]


class LineDecoder(Protocol):
    """Reads lines of text by one SerDe's rules."""

    def decode(self, lines: Sequence[str], wanted: Sequence[str]) -> list[list[Any]]:
        """Return the values of each wanted column."""
        ...


_LINE_SERDES: Mapping[str, Callable[[Mapping[str, str], Columns], LineDecoder]] = {
    OPENX_JSON_SERDE: OpenXJson,
    LAZY_SIMPLE_SERDE: DelimitedText,
    OPEN_CSV_SERDE: OpenCsv,
    **dict.fromkeys(HCATALOG_JSON_SERDES, HiveJson),
}
# SerDes whose files name their columns; the others go by position.
_BY_NAME = frozenset({OPENX_JSON_SERDE, PARQUET_SERDE, *HCATALOG_JSON_SERDES})


@dataclass(frozen=True, slots=True)
class _Source:
    """A column of the table as a storage holds it: where, and under which name and declared type."""

    position: int
    name: str
    declared: DataType


class FileReader:
    """Reads files of one table into Arrow, with the columns wanted and the number of each row's file."""

    def __init__(self, table: Table, columns: Columns, session: Session) -> None:
        self._table = table
        self._columns = columns
        self._session = session
        self._full_name = f"{table.database}.{table.name}"

    def read(self, files: Sequence[DataFile], places: Sequence[Place]) -> Any:
        """Return a pyarrow.Table of the columns, in the table's order, and ``__file``."""
        import pyarrow as pa

        schema = pa.schema([(name, kind.arrow()) for name, kind in self._columns] + [(FILE, pa.int32())])
        groups: dict[Any, list[int]] = {}
        for number, file in enumerate(files):
            groups.setdefault(_storage_key(places[file.partition]), []).append(number)
        tables: list[Any] = []
        for numbers in groups.values():
            storage = _Storage(self._table, places[files[numbers[0]].partition], self._full_name)
            tables.extend(self._read_group(storage, [(n, files[n]) for n in numbers]))
        return pa.concat_tables([schema.empty_table(), *(t.cast(schema) for t in tables)])

    def _read_group(self, storage: _Storage, files: Sequence[tuple[int, DataFile]]) -> Iterator[Any]:
        sources = storage.sources(self._columns)
        if storage.serde in (PARQUET_SERDE, ORC_SERDE):
            return self._read_columnar(storage, files, sources)
        make = _LINE_SERDES.get(storage.serde)
        if make is None:
            raise storage.unknown()
        decoder = make(storage.parameters, storage.columns)
        return self._read_lines(storage, files, sources, decoder)

    def _body(self, file: DataFile) -> bytes:
        self._session.check()
        return self._session.clients.objects.read(file.uri.bucket, file.uri.key)

    def _read_columnar(
        self, storage: _Storage, files: Sequence[tuple[int, DataFile]], sources: Sequence[_Source | None]
    ) -> Iterator[Any]:
        from airflow_quilt_athena.local.duck.columnar import read_orc, read_parquet

        read = read_parquet if storage.serde == PARQUET_SERDE else read_orc
        wanted = [(s.position, s.name, s.declared) for s in sources if s is not None]
        for number, file in files:
            rows, columns = read(self._body(file), str(file.uri), wanted, self._session)
            yield self._assemble(columns, sources, _repeated(number, rows))

    def _read_lines(
        self,
        storage: _Storage,
        files: Sequence[tuple[int, DataFile]],
        sources: Sequence[_Source | None],
        decoder: LineDecoder,
    ) -> Iterator[Any]:
        import pyarrow as pa

        present = [source for source in sources if source is not None]
        names = [source.name for source in present]
        for numbers, lines in self._batches(storage, files):
            self._session.check()
            decoded = decoder.decode(lines, names)
            columns = [
                pa.chunked_array([arrow_array(values, source.declared.arrow())])
                for values, source in zip(decoded, present, strict=True)
            ]
            yield self._assemble(columns, sources, numbers)

    def _batches(
        self, storage: _Storage, files: Sequence[tuple[int, DataFile]]
    ) -> Iterator[tuple[Any, list[str]]]:
        """Lines of many small files at once, or of one large file a piece at a time."""
        import pyarrow as pa

        numbers: list[Any] = []
        lines: list[str] = []
        for number, file in files:
            self._session.add_scanned(file.size_bytes)
            body = self._body(file)
            found = text_lines(body, file.uri.key, str(file.uri), storage.skip_header, storage.skip_footer)
            for start in range(0, len(found), _LINES_A_BATCH):
                piece = found[start : start + _LINES_A_BATCH]
                lines += piece
                numbers.append(_repeated(number, len(piece)))
                if len(lines) >= _LINES_A_BATCH:
                    yield pa.concat_arrays(numbers), lines
                    numbers, lines = [], []
        if lines:
            yield pa.concat_arrays(numbers), lines

    def _assemble(self, columns: Sequence[Any], sources: Sequence[_Source | None], numbers: Any) -> Any:
        """Columns of a file brought to the table's types; what the file has not is NULL."""
        import pyarrow as pa

        from airflow_quilt_athena.local.duck.coercion import coerce

        remaining = iter(columns)
        found = {}
        for source, (name, kind) in zip(sources, self._columns, strict=True):
            if source is None:
                found[name] = pa.nulls(len(numbers), kind.arrow())
            else:
                found[name] = coerce(next(remaining), source.declared, kind)
        return pa.table({**found, FILE: numbers})


def _storage_key(place: Place) -> Any:
    partition = place.partition
    if partition is None:
        return None
    parameters = tuple(sorted(partition.serde_parameters.items()))
    return partition.serde, parameters, partition.columns, partition.input_format


class _Storage:
    """How the files of a place were written: its partition's descriptor, or the table's."""

    def __init__(self, table: Table, place: Place, full_name: str) -> None:
        partition = place.partition
        own = partition is not None and bool(partition.serde)
        descriptor = partition if partition is not None and own else table
        self.serde: str = descriptor.serde
        self.parameters = {**table.parameters, **table.serde_parameters, **descriptor.serde_parameters}
        self._input_format: str = descriptor.input_format
        self._fields: Fields = (
            partition.columns if partition is not None and partition.columns else table.columns
        )
        self._table = table
        self._full_name = full_name
        self._partition = partition
        self.columns = typed_fields(self._fields, full_name)
        self.skip_header = _count(table, "skip.header.line.count")
        self.skip_footer = _count(table, "skip.footer.line.count")
        if any(name in self._input_format for name in _OTHER_CONTAINERS):
            raise self.unknown()

    def unknown(self) -> QueryFailed:
        """Say which format it is that nobody here reads."""
        if self.serde == AVRO_SERDE:
            return QueryFailed(
                f"NOT_SUPPORTED: Table '{self._full_name}' is in Avro, which the local Athena does not read",
                error_type=1004,
            )
        return QueryFailed(
            f"HIVE_UNSUPPORTED_FORMAT: Unable to read table '{self._full_name}': SerDe "
            f"'{self.serde or 'none'}' with InputFormat '{self._input_format or 'none'}' is not supported",
            error_type=1004,
        )

    def sources(self, wanted: Columns) -> list[_Source | None]:
        """Where each of the table's columns wanted is found here. Raises QueryFailed on types at odds."""
        if self._fields == self._table.columns:
            positions = {name: i for i, (name, _) in enumerate(self.columns)}
            return [_Source(positions[name], name, kind) for name, kind in wanted]
        table_positions = {name: i for i, (name, _) in enumerate(self._table.columns)}
        return [self._source(name, kind, table_positions[name]) for name, kind in wanted]

    def _source(self, name: str, kind: DataType, position: int) -> _Source | None:
        from airflow_quilt_athena.local.duck.coercion import can_coerce

        if self.serde in _BY_NAME:
            found = next((i for i, (known, _) in enumerate(self.columns) if known == name), None)
            if found is None:
                # A file may hold a column its partition was not told of; where it is read by name it counts.
                return _Source(position, name, kind) if self.serde == PARQUET_SERDE else None
            position = found
        if position >= len(self.columns):
            return None
        own_name, declared = self.columns[position]
        if not can_coerce(declared, kind):
            raise self._mismatch(name, kind, own_name, declared)
        return _Source(position, own_name, declared)

    def _mismatch(self, name: str, kind: DataType, own_name: str, declared: DataType) -> QueryFailed:
        values = self._partition.values if self._partition is not None else ()
        pairs = zip((key for key, _ in self._table.partition_keys), values, strict=False)
        partition = "/".join(f"{key}={value}" for key, value in pairs)
        return QueryFailed(
            "HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between the table and partition schemas. "
            f"The types are incompatible and cannot be coerced. The column '{name}' in table "
            f"'{self._full_name}' is declared as type '{kind.hive}', but partition '{partition}' declared "
            f"column '{own_name}' as type '{declared.hive}'.",
            error_type=1004,
        )


def _count(table: Table, parameter: str) -> int:
    text = table.parameters.get(parameter) or table.serde_parameters.get(parameter) or "0"
    try:
        return max(0, int(text))
    except ValueError as error:
        raise QueryFailed(
            f"HIVE_INVALID_METADATA: Invalid value for {parameter} property: {text}", error_type=1004
        ) from error


def _repeated(number: int, count: int) -> Any:
    import pyarrow as pa

    return pa.repeat(pa.scalar(number, pa.int32()), count)


def arrow_array(values: list[Any], kind: Any) -> Any:
    """Make an Arrow array; halves of surrogate pairs, which are no text in UTF-8, become ``?``."""
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_encodable(value) for value in values], kind)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\ufffd", "?")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_encodable(item) for item in value)
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    return value
