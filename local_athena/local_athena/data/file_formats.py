"""Rows encoded as the bytes of one data file: Parquet, ORC, JSON lines, delimited text, CSV.

What a format does not compress with is refused by name, before anything is written.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

from local_athena.data.hive_storage import JSONFILE, ORC, PARQUET, TEXTFILE, Storage
from local_athena.data.line_compression import GZIP_LEVEL, LINE_SUFFIXES, compress_lines
from local_athena.errors import QueryFailed

ZSTD_LEVELS = range(1, 23)  # what Zstandard's own library takes


class FileFormat(Enum):
    """A format Athena writes and this engine does, too."""

    PARQUET = "PARQUET"
    ORC = "ORC"
    JSON = "JSON"
    TEXTFILE = "TEXTFILE"
    # Of INSERT into tables of these SerDes; no statement names them.
    OPENX_JSON = "OPENX_JSON"
    CSV = "CSV"


_OF_LINES = (FileFormat.JSON, FileFormat.TEXTFILE, FileFormat.OPENX_JSON, FileFormat.CSV)
STORAGE: Mapping[FileFormat, Storage] = MappingProxyType(
    {
        FileFormat.PARQUET: PARQUET,
        FileFormat.ORC: ORC,
        FileFormat.JSON: JSONFILE,
        FileFormat.TEXTFILE: TEXTFILE,
    }
)
# The first is what Athena takes when the statement names none (Athena user guide, "Use compression",
# read 2026-11).
COMPRESSIONS: Mapping[FileFormat, tuple[str, ...]] = MappingProxyType(
    {
        FileFormat.PARQUET: ("GZIP", "SNAPPY", "ZSTD", "NONE"),
        FileFormat.ORC: ("ZLIB", "SNAPPY", "ZSTD", "LZ4", "NONE"),
        **dict.fromkeys(_OF_LINES, tuple(LINE_SUFFIXES)),
    }
)
# The table property that names a format's compression.
COMPRESSION_PROPERTY: Mapping[FileFormat, str] = MappingProxyType(
    {
        FileFormat.PARQUET: "parquet.compression",
        FileFormat.ORC: "orc.compress",
        **dict.fromkeys(_OF_LINES, "write.compression"),
    }
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a statement's files are to be written."""

    format: FileFormat
    compression: str
    level: int | None = None
    serde_parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What the names of such files end in."""
        return LINE_SUFFIXES[self.compression] if self.format in _OF_LINES else ""


def choose_encoding(
    file_format: FileFormat,
    compression: str | None,
    level: int | None = None,
    serde_parameters: Mapping[str, str] | None = None,
) -> Encoding:
    """Check the compression and its level against the format; None is the format's own default."""
    allowed = COMPRESSIONS[file_format]
    name = allowed[0] if compression is None else compression.upper()
    if name in ("UNCOMPRESSED", ""):
        name = "NONE"
    if name not in allowed:
        raise QueryFailed(
            f"INVALID_TABLE_PROPERTY: Compression '{compression}' is not supported for format "
            f"{file_format.value}. Supported: {', '.join(allowed)}"
        )
    if level is not None and (name != "ZSTD" or level not in ZSTD_LEVELS):
        raise QueryFailed(
            f"INVALID_TABLE_PROPERTY: compression_level {level} does not fit: ZSTD takes "
            f"{ZSTD_LEVELS.start} to {ZSTD_LEVELS.stop - 1}, other compressions take none"
        )
    return Encoding(file_format, name, level, serde_parameters or {})


def parse_format(name: str) -> FileFormat:
    """Return the format of that name, as CTAS and UNLOAD write it."""
    upper = name.upper()
    if upper in ("PARQUET", "ORC", "JSON", "TEXTFILE"):
        return FileFormat[upper]
    if upper in ("AVRO", "ION"):
        raise QueryFailed(f"NOT_SUPPORTED: Format {upper} is not written by the local Athena")
    raise QueryFailed(
        f"INVALID_TABLE_PROPERTY: Invalid value for 'format': {name}. "
        "Expected PARQUET, ORC, AVRO, JSON, ION or TEXTFILE"
    )


def encode(rows: Any, encoding: Encoding) -> bytes:
    """Return the bytes of a file that holds ``rows``, a pyarrow.Table."""
    if encoding.format is FileFormat.PARQUET:
        return _parquet(rows, encoding)
    if encoding.format is FileFormat.ORC:
        return _orc(rows, encoding)
    from local_athena.data import line_formats

    write = {
        FileFormat.JSON: line_formats.json_lines,
        FileFormat.TEXTFILE: line_formats.delimited_lines,
        FileFormat.OPENX_JSON: line_formats.openx_json_lines,
        FileFormat.CSV: line_formats.csv_lines,
    }[encoding.format]
    body = write(rows, encoding.serde_parameters).encode()
    return compress_lines(body, encoding.compression, encoding.level)


def _parquet(rows: Any, encoding: Encoding) -> bytes:
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(
        rows,
        sink,
        compression=encoding.compression,
        compression_level=GZIP_LEVEL if encoding.compression == "GZIP" else encoding.level,
        store_schema=False,  # Arrow's own schema would outlive a change of the table's
    )
    return sink.getvalue()


def _orc(rows: Any, encoding: Encoding) -> bytes:
    from pyarrow import orc

    sink = io.BytesIO()
    compression = "UNCOMPRESSED" if encoding.compression == "NONE" else encoding.compression
    orc.write_table(rows, sink, compression=compression)
    return sink.getvalue()
