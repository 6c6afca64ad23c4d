"""Rows of a table's files: each read by the SerDe it was written under, brought to the table's columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import duckdb

from local_athena.data.hive_storage import (
    HCATALOG_JSON_SERDES,
    LAZY_SIMPLE_SERDE,
    OPEN_CSV_SERDE,
    OPENX_JSON_SERDE,
    ORC_SERDE,
    PARQUET_SERDE,
)
from local_athena.data.session import Session
from local_athena.data.tables import Table
from local_athena.duck.scans.listing import DataFile
from local_athena.duck.scans.place_storage import Columns, PlaceStorage, Source, storage_key
from local_athena.duck.scans.pruning import Place
from local_athena.duck.scans.serdes.delimited import DelimitedText
from local_athena.duck.scans.serdes.fast_json import Text, can_read, read_texts
from local_athena.duck.scans.serdes.hive_json import HiveJson
from local_athena.duck.scans.serdes.lines import text_of_file
from local_athena.duck.scans.serdes.open_csv import OpenCsv
from local_athena.duck.scans.serdes.openx_json import OpenXJson

FILE = "__file"
_LINES_A_BATCH = 20_000

NumberedFiles = Sequence[tuple[int, DataFile]]


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


class FileReader:
    """Reads files of one table into Arrow, with the columns wanted and the number of each row's file."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, table: Table, columns: Columns, session: Session
    ) -> None:
        self._con = con
        self._table = table
        self._columns = columns
        self._session = session

    def read(self, files: Sequence[DataFile], places: Sequence[Place]) -> Any:
        """Return a pyarrow.Table of the columns, in the table's order, and ``__file``."""
        import pyarrow as pa

        schema = pa.schema([(name, kind.arrow()) for name, kind in self._columns] + [(FILE, pa.int32())])
        groups: dict[Any, list[int]] = {}
        for number, file in enumerate(files):
            groups.setdefault(storage_key(places[file.partition]), []).append(number)
        tables: list[Any] = []
        for numbers in groups.values():
            storage = PlaceStorage(self._table, places[files[numbers[0]].partition])
            tables.extend(self._read_group(storage, [(n, files[n]) for n in numbers]))
        return pa.concat_tables([schema.empty_table(), *(t.cast(schema) for t in tables)])

    def _read_group(self, storage: PlaceStorage, files: NumberedFiles) -> Iterator[Any]:
        sources = storage.sources(self._columns)
        present = [source for source in sources if source is not None]
        for numbers, columns in self._rows(storage, files, present):
            yield self._assemble(columns, sources, numbers)

    def _rows(
        self, storage: PlaceStorage, files: NumberedFiles, wanted: Sequence[Source]
    ) -> Iterator[tuple[Any, Sequence[Any]]]:
        """Yield (numbers of the rows' files, the columns wanted), piece by piece."""
        if storage.serde in (PARQUET_SERDE, ORC_SERDE):
            return self._columnar_rows(storage, files, wanted)
        make = _LINE_SERDES.get(storage.serde)
        if make is None:
            raise storage.unknown()
        decoder = make(storage.parameters, storage.columns)
        columns = [(source.name, source.declared) for source in wanted]
        texts = self._texts(storage, files)
        if isinstance(decoder, OpenXJson) and can_read(columns, decoder):
            own = partial(OpenXJson, storage.parameters, storage.columns)
            return read_texts(self._con, texts, columns, own)
        return self._decoded_rows(texts, columns, decoder)

    def _body(self, file: DataFile) -> bytes:
        self._session.check()
        return self._session.clients.objects.read(file.uri.bucket, file.uri.key)

    def _columnar_rows(
        self, storage: PlaceStorage, files: NumberedFiles, wanted: Sequence[Source]
    ) -> Iterator[tuple[Any, Sequence[Any]]]:
        from local_athena.duck.scans.columnar import read_orc, read_parquet

        read = read_parquet if storage.serde == PARQUET_SERDE else read_orc
        columns = [(source.position, source.name, source.declared) for source in wanted]
        for number, file in files:
            rows, found = read(self._body(file), str(file.uri), columns, self._session)
            yield _repeated(number, rows), found

    def _texts(self, storage: PlaceStorage, files: NumberedFiles) -> Iterator[Text]:
        for number, file in files:
            self._session.add_scanned(file.size_bytes)
            text = text_of_file(self._body(file), file.uri, storage.skip_header, storage.skip_footer)
            if text is not None:
                yield Text(number, text)

    def _decoded_rows(
        self, texts: Iterator[Text], columns: Columns, decoder: LineDecoder
    ) -> Iterator[tuple[Any, Sequence[Any]]]:
        names = [name for name, _ in columns]
        for numbers, lines in _batches(texts):
            self._session.check()
            # Trino looks into no line of which it needs nothing, also where it could not be read.
            yield numbers, decoder.decode(lines, names) if names else []

    def _assemble(self, columns: Sequence[Any], sources: Sequence[Source | None], numbers: Any) -> Any:
        """Columns of files brought to the table's types; what the files have not is NULL."""
        import pyarrow as pa

        from local_athena.duck.scans.column_coercion import coerce

        remaining = iter(columns)
        found = {}
        for source, (name, kind) in zip(sources, self._columns, strict=True):
            if source is None:
                found[name] = pa.nulls(len(numbers), kind.arrow())
                continue
            column = next(remaining)
            if isinstance(column, list):
                column = pa.chunked_array([arrow_array(column, source.declared.arrow())])
            found[name] = coerce(column, source.declared, kind)
        return pa.table({**found, FILE: numbers})


def _batches(texts: Iterator[Text]) -> Iterator[tuple[Any, list[str]]]:
    """Yield the lines of many small files at once, or of one large file a piece at a time."""
    import pyarrow as pa

    numbers: list[int] = []
    lines: list[str] = []
    for text in texts:
        found = text.content.split("\n")
        for start in range(0, len(found), _LINES_A_BATCH):
            piece = found[start : start + _LINES_A_BATCH]
            lines += piece
            numbers += [text.file] * len(piece)
            if len(lines) >= _LINES_A_BATCH:
                yield pa.array(numbers, pa.int32()), lines
                numbers, lines = [], []
    if lines:
        yield pa.array(numbers, pa.int32()), lines


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
