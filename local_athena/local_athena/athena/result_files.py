"""Result files as Athena writes them below the output location: where they lie, and their bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Column, Row

ROWS_PER_CHUNK = 2_000
UPDATE_COUNT_COLUMN = Column("rows", "bigint")

# Names of the files, by what the statement is. SELECT's is the only CSV file; statements that write data
# have no result file of their own, only a manifest and metadata beside the name given here.
_WRITERS = {"INSERT": "{id}", "UNLOAD": "{id}", "CREATE_TABLE_AS_SELECT": "tables/{id}"}

# What Athena reports as precision for types that have none of their own.
_PRECISION = {
    "tinyint": 3,
    "smallint": 5,
    "integer": 10,
    "bigint": 19,
    "float": 17,
    "double": 17,
    "varchar": 2_147_483_647,
    "char": 1,
    "varbinary": 1_073_741_824,
    "time": 3,
    "time with time zone": 3,
    "timestamp": 3,
    "timestamp with time zone": 3,
    "decimal": 38,
}
_NAMES = {"real": "float", "int": "integer"}
_SIZED = re.compile(r"(varchar|char|decimal)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_DIGITS = re.compile(r"\s*\(\s*\d+\s*\)")


@dataclass(frozen=True, slots=True)
class ResultPlace:
    """Where one query's files go."""

    folder: S3Uri
    name: str  # of the result file below the folder

    @property
    def output(self) -> S3Uri:
        """What GetQueryExecution shows as OutputLocation."""
        return self.folder / self.name

    @property
    def metadata(self) -> S3Uri:
        """The file that describes the columns."""
        return self.folder / f"{self.name}.metadata"

    @property
    def manifest(self) -> S3Uri:
        """The file that lists the files a query wrote."""
        return self.folder / f"{self.name}-manifest.csv"

    @property
    def is_csv(self) -> bool:
        """Whether the result file holds quoted values."""
        return self.name.endswith(".csv")

    @property
    def is_text(self) -> bool:
        """Whether the result file holds lines."""
        return self.name.endswith(".txt")


def place_results(folder: S3Uri, query_execution_id: str, substatement_type: str) -> ResultPlace:
    """Return where the files of a query go."""
    if substatement_type == "SELECT":
        return ResultPlace(folder, f"{query_execution_id}.csv")
    template = _WRITERS.get(substatement_type, "{id}.txt")
    return ResultPlace(folder, template.format(id=query_execution_id))


def announce_columns(substatement_type: str, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns of the result: those that write rows announce a count of them."""
    return (UPDATE_COUNT_COLUMN,) if substatement_type in _WRITERS else columns


def has_header(substatement_type: str) -> bool:
    """Whether the first row holds the names of the columns."""
    return substatement_type in {"SELECT", "EXPLAIN"}


def encode_csv(
    columns: Iterable[Column], rows: Iterable[Row], check: Callable[[], None]
) -> tuple[bytes, int]:
    """Return a ``.csv`` file and its number of rows; ``check`` is called now and then to stop the work."""
    body = bytearray(_csv_line(tuple(column.name for column in columns)).encode())
    count = 0
    for chunk in _chunks(rows):
        check()
        body += "".join(map(_csv_line, chunk)).encode()
        count += len(chunk)
    return bytes(body), count


def encode_text(header: Iterable[Column], rows: Iterable[Row]) -> tuple[bytes, int]:
    """Return a ``.txt`` file and its number of rows. Cells are joined by tabs; the last line has no end."""
    lines = ["\t".join("" if cell is None else cell for cell in row) for row in rows]
    head = ["\t".join(column.name for column in header)] if header else []
    return "\n".join(head + lines).encode(), len(lines)


def encode_manifest(uris: Iterable[str]) -> bytes:
    """Return a manifest: one URI to a line."""
    return "".join(f"{uri}\n" for uri in uris).encode()


def _csv_line(row: Row) -> str:
    there = [cell for cell in row if cell is not None]
    plain = '","'.join(there)
    if len(there) == len(row) and plain.count('"') == 2 * (len(row) - 1):
        return f'"{plain}"\n'  # nothing to double, nothing NULL: most rows, in a third of the time
    cells = ["" if cell is None else '"' + cell.replace('"', '""') + '"' for cell in row]
    return ",".join(cells) + "\n"


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == ROWS_PER_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def column_info(column: Column) -> dict[str, Any]:
    """Return a column as GetQueryResults announces it."""
    name, precision, scale = _name_type(column.type)
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": column.name,
        "Label": column.name,
        "Type": name,
        "Precision": precision,
        "Scale": scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": name in {"varchar", "char"},
    }


def _name_type(text: str) -> tuple[str, int, int]:
    """Return the base name, precision and scale of a type written as Trino does."""
    lowered = text.strip().lower()
    sized = _SIZED.fullmatch(lowered)
    if sized:
        return sized[1], int(sized[2]), int(sized[3] or 0)
    name = lowered.partition("(")[0].strip()
    if name in {"time", "timestamp"}:  # timestamp(3) with time zone
        name = _DIGITS.sub("", lowered)
    name = _NAMES.get(name, name)
    return name, _PRECISION.get(name, 0), 0


def encode_metadata(
    query_execution_id: str, substatement_type: str, columns: Iterable[Column], update_count: int | None
) -> bytes:
    """Return a ``.metadata`` file.

    Athena does not document it. It is Protocol Buffers with the field numbers that burtcorp/athena-jdbc
    reads (AthenaMetaDataParser): 1 the query, 2 and 3 the kind and count of an update, 4 one column each.
    """
    message = _text(1, query_execution_id)
    if update_count is not None and substatement_type in _WRITERS:
        message += _text(2, substatement_type.replace("_AS_SELECT", "").replace("_", " "))
        message += _number(3, update_count)
    for column in columns:
        info = column_info(column)
        content = _text(1, info["CatalogName"]) + _text(4, info["Name"]) + _text(5, info["Label"])
        content += _text(6, info["Type"]) + _number(7, info["Precision"]) + _number(8, info["Scale"])
        content += _number(9, 3) + _number(10, int(info["CaseSensitive"]))
        message += _bytes(4, content)
    return message


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
