"""Athena's properties of a CTAS or UNLOAD as Trino's own, of a table that is there only to be written."""

from __future__ import annotations

from local_athena.data.file_formats import Encoding, FileFormat
from local_athena.engine import Write
from local_athena.errors import QueryFailed
from local_athena.sql_text import Dialect, quote_identifier, quote_literal
from local_athena.trino.configuration import SCRATCH

SCHEMA = f"{SCRATCH}.athena"

_CODECS = {"GZIP": "GZIP", "ZLIB": "GZIP", "SNAPPY": "SNAPPY", "LZ4": "LZ4", "ZSTD": "ZSTD", "NONE": "NONE"}


def scratch_name(query_execution_id: str) -> str:
    """Return the name of the table that a query writes through."""
    return f"{SCHEMA}.q_{query_execution_id.replace('-', '_')}"


def codec(encoding: Encoding) -> str:
    """Return Trino's name of a compression. Its level is Trino's own."""
    found = _CODECS.get(encoding.compression)
    if found is None:
        raise QueryFailed(f"NOT_SUPPORTED: Trino does not write files compressed with {encoding.compression}")
    return found


def scratch_ctas(name: str, write: Write) -> str:
    """Return the statement that writes the query's rows into a folder that is empty."""
    return f"CREATE TABLE {name} {_properties(write)} AS {write.query}"


def scratch_table(name: str, write: Write) -> str:
    """Return the statement that makes the table without rows, over whatever is in its folder."""
    columns = ", ".join(
        f"{quote_identifier(column.name, Dialect.TRINO)} {column.type}" for column in write.columns
    )
    return f"CREATE TABLE {name} ({columns}) {_properties(write)}"


def _properties(write: Write) -> str:
    layout, encoding = write.layout, write.encoding
    properties = {"format": _text(encoding.format.value), "external_location": _text(str(write.location))}
    if layout.keys:
        properties["partitioned_by"] = _array(layout.keys)
    if layout.bucket_count:
        properties["bucketed_by"] = _array(layout.bucket_columns)
        properties["bucket_count"] = str(layout.bucket_count)
    delimiter = encoding.serde_parameters.get("field.delim")
    if encoding.format is FileFormat.TEXTFILE and delimiter is not None:
        properties["textfile_field_separator"] = _text(delimiter)
    return f"WITH ({', '.join(f'{name} = {value}' for name, value in properties.items())})"


def _array(names: tuple[str, ...]) -> str:
    return f"ARRAY[{', '.join(map(_text, names))}]"


def _text(text: str) -> str:
    return quote_literal(text, Dialect.TRINO)
