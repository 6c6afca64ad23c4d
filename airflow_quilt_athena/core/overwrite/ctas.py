"""Text of the statements that stage a result, for Trino. Returns text; runs nothing.

The staging query coerces the result to the table's columns with nothing but what the engine does by
itself: a typed row that is never there, UNION ALL the query's columns by name. The engine then either finds
a common type or refuses. Where the common type is wider than the table's (double for a bigint), the
temporary table's schema tells, before anything is published. A CAST would round and cut instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_quilt_athena.core.athena.hive_types import parse_hive_type
from airflow_quilt_athena.core.athena.sql import (
    SILENT,
    Dialect,
    is_in_code,
    quote_identifier,
    quote_literal,
    replace_in_code,
    split_statements,
    tokenize,
)
from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Bucketing, Columns, TableName
from airflow_quilt_athena.exceptions import InvalidCallError

RESULT = '"quilt_result"'
STAGED_TOKEN = "{staged}"
DEFAULT_TEXT_DELIMITER = "\x01"

_QUERY_STARTS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "("})


def parse_query(sql: str) -> str:
    """Return the one SELECT in ``sql``, without a semicolon at its end. Raises InvalidCallError on others."""
    statements = split_statements(sql)
    if len(statements) != 1:
        raise InvalidCallError(f"The query holds {len(statements)} statements. Expected one SELECT.")
    query = statements[0]
    first = next(token.text for token in tokenize(query) if token.kind not in SILENT)
    if first.upper() not in _QUERY_STARTS:
        raise InvalidCallError(f"The query begins with {first!r}. Expected a SELECT, WITH, VALUES or TABLE.")
    return query


@dataclass(frozen=True, slots=True)
class Encoding:
    """How rows become files."""

    file_format: FileFormat
    compression: str | None = None  # None: the engine's default for the format
    compression_level: int | None = None
    field_delimiter: str | None = None  # of TEXTFILE

    def properties(self, compression_name: str) -> dict[str, str]:
        """Return the properties of a WITH clause, as SQL."""
        texts = {"format": self.file_format.value}
        if self.compression:
            texts[compression_name] = self.compression.upper()
        if self.field_delimiter is not None:
            texts["field_delimiter"] = self.field_delimiter
        properties = {name: quote_literal(value, Dialect.TRINO) for name, value in texts.items()}
        if self.compression_level is not None:
            properties["compression_level"] = str(self.compression_level)
        return properties


def build_ctas(
    temporary: TableName,
    query: str,
    encoding: Encoding,
    *,
    location: S3Uri | None,
    partitioned_by: Sequence[str] = (),
    bucketing: Bucketing | None = None,
) -> str:
    """Return the CTAS that writes ``query`` to an empty folder; None leaves the place to the workgroup."""
    properties = encoding.properties("write_compression")
    if location is not None:
        properties["external_location"] = quote_literal(str(location.folder), Dialect.TRINO)
    if partitioned_by:
        properties["partitioned_by"] = _array(partitioned_by)
    properties |= _bucket_properties(bucketing)
    return f"CREATE TABLE {temporary.trino}\nWITH {_with(properties)}\nAS\n{query}"


def build_description(
    temporary: TableName, query: str, encoding: Encoding, bucketing: Bucketing | None = None
) -> str:
    """Return a CTAS that makes a table with the columns of ``query``, and writes nothing."""
    properties = encoding.properties("write_compression") | _bucket_properties(bucketing)
    # The new line ends a comment that the query may end with.
    return f"CREATE TABLE {temporary.trino}\nWITH {_with(properties)}\nAS\n{query}\nWITH NO DATA"


def build_unload(
    query: str, encoding: Encoding, *, location: S3Uri, partitioned_by: Sequence[str] = ()
) -> str:
    """Return the UNLOAD that writes ``query`` to the empty folder ``location``."""
    properties = encoding.properties("compression")
    if partitioned_by:
        properties["partitioned_by"] = _array(partitioned_by)
    place = quote_literal(str(location.folder), Dialect.TRINO)
    return f"UNLOAD (\n{query}\n)\nTO {place}\nWITH {_with(properties)}"


def _bucket_properties(bucketing: Bucketing | None) -> dict[str, str]:
    if bucketing is None:
        return {}
    return {"bucketed_by": _array(bucketing.columns), "bucket_count": str(bucketing.count)}


def _with(properties: Mapping[str, str]) -> str:
    lines = ",\n".join(f"  {name} = {value}" for name, value in properties.items())
    return f"(\n{lines}\n)"


def _array(names: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(quote_literal(name, Dialect.TRINO) for name in names)}]"


def build_guarded_query(query: str, keys: Columns) -> str:
    """Return ``query``, refused by the engine when its result has one of ``keys``, which have values given.

    A name that only the guard has is clear; one that the result has as well is ambiguous.
    """
    if not keys:
        return query
    names = ", ".join(_quote(name) for name, _ in keys)
    ones = ", ".join("1" for _ in keys)
    clear = " AND ".join(f"{_quote(name)} = 1" for name, _ in keys)
    return (
        f"WITH {RESULT} AS (\n{query}\n)\n"
        f'SELECT {RESULT}.*\nFROM {RESULT} CROSS JOIN (VALUES ({ones})) AS "quilt_guard" ({names})\n'
        f"WHERE {clear}"
    )


def build_coerced_query(query: str, columns: Columns) -> str:
    """Return a query with exactly ``columns``, in their order, from the columns of ``query`` by name.

    A column that ``query`` lacks, has twice, or has too many makes the engine refuse the statement.
    """
    typed = ",\n  ".join(
        f"CAST(NULL AS {parse_hive_type(hive_type).trino}) AS {_quote(name)}" for name, hive_type in columns
    )
    names = ",\n  ".join(_unrounded(name, hive_type) for name, hive_type in columns)
    nulls = ", ".join("NULL" for _ in columns)
    return (
        # The new line ends a comment that the query may end with.
        f"WITH {RESULT} AS (\n{query}\n)\n"
        f"SELECT\n  {typed}\n"
        # Never evaluated, but analysed: refuses a result with more columns than the table.
        f"WHERE false AND EXISTS (SELECT * FROM {RESULT} UNION ALL SELECT {nulls})\n"
        f"UNION ALL\nSELECT\n  {names}\nFROM {RESULT}"
    )


def _unrounded(name: str, hive_type: str) -> str:
    """Return a column as it is, but refuse what the engine would round to a floating-point type by itself.

    Whole numbers pass where every one is kept: of 53 bits in a double, of 24 in a real. Inside arrays, maps
    and structs the types must be equal.
    """
    quoted, parsed = _quote(name), parse_hive_type(hive_type)
    if not parsed.has_floats:
        return quoted
    kind = f"typeof({quoted})"
    if parsed.is_nested:
        fits = f"{kind} = typeof(CAST(NULL AS {parsed.trino}))"
    else:
        exact, limit = _EXACT[parsed.name]
        types = ", ".join(quote_literal(one, Dialect.TRINO) for one in exact)
        whole = f"{kind} IN ('integer', 'bigint') AND {quoted} BETWEEN -{limit} AND {limit}"
        fits = f"{kind} IN ({types}) OR {whole}"
    words = f"{name} would be rounded in a column of type {hive_type}: the result has "
    refusal = f"CAST({quote_literal(words, Dialect.TRINO)} || {kind} AS bigint) = 0"
    return f"CASE WHEN {quoted} IS NULL OR {fits} THEN {quoted} WHEN {refusal} THEN {quoted} END AS {quoted}"


# Types that pass, and up to where whole numbers of others are kept. A double in a real column makes a double
# column of the result, which is then refused with the difference.
_EXACT = {
    "double": (("double", "real", "tinyint", "smallint", "integer"), 2**53),
    "float": (("double", "real", "tinyint", "smallint"), 2**24),
}


def build_text_guard(query: str, columns: Columns, keys: Columns, *, field_delimiter: str) -> str:
    r"""Return ``query`` made to fail on strings that a TEXTFILE table would read back as something else.

    ``keys`` come last in the result and are no part of the files.

    Such a table knows no quoting: a delimiter or a line break inside a value moves what follows to the next
    field or row, and the text ``\N`` is read as NULL. The failing CAST names the value.
    """
    nested = [name for name, hive_type in columns if parse_hive_type(hive_type).is_nested]
    if nested:
        raise InvalidCallError(f"A TEXTFILE table cannot keep the nested columns {', '.join(nested)}.")
    bad = " OR ".join(
        [f"strpos({{0}}, chr({ord(mark)})) > 0" for mark in dict.fromkeys((field_delimiter, "\n", "\r"))]
        + [r"{0} = '\N'"]
    )
    guarded = [_guarded(name, hive_type, bad) for name, hive_type in columns]
    selected = ",\n  ".join([*guarded, *(_quote(name) for name, _ in keys)])
    return f"SELECT\n  {selected}\nFROM (\n{query}\n)"


def _guarded(name: str, hive_type: str, bad: str) -> str:
    quoted = _quote(name)
    if not _is_text(hive_type):
        return quoted
    refusal = f"CAST('cannot be kept in a TEXTFILE table: ' || {quoted} AS bigint)"
    typed = f"CAST(CAST({refusal} AS varchar) AS {parse_hive_type(hive_type).trino})"
    return f"CASE WHEN {bad.format(quoted)} THEN {typed} ELSE {quoted} END AS {quoted}"


def _is_text(hive_type: str) -> bool:
    return parse_hive_type(hive_type).name in {"string", "varchar", "char"}


def build_description_query(query: str) -> str:
    """Return a query with the columns of ``query`` and no rows, to learn their names."""
    return f"SELECT * FROM (\n{query}\n) WHERE false"


def render_check(sql: str, staged: TableName) -> str:
    """Return a check with ``{staged}`` replaced; any other brace is the user's."""
    (statement, *others) = split_statements(sql) or ("",)
    if others or not is_in_code(statement, STAGED_TOKEN):
        raise InvalidCallError(f"A check must be one SELECT over {STAGED_TOKEN}: {sql!r}")
    return replace_in_code(statement, {STAGED_TOKEN: staged.trino})


def check_passes(rows: Sequence[Sequence[str | None]]) -> bool:
    """Whether a check's answer is good: a row, and no cell in it NULL, false, zero or empty.

    These are the rules of Airflow's SQLCheckOperator.
    """
    return bool(rows) and all(_is_true(cell) for cell in rows[0])


def _is_true(cell: str | None) -> bool:
    if cell is None or cell.strip().lower() in {"", "false"}:
        return False
    try:
        return float(cell) != 0
    except ValueError:
        return True


def _quote(name: str) -> str:
    return quote_identifier(name, Dialect.TRINO)
