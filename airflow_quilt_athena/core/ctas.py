"""Text of the CTAS that stages a result, for Trino. Returns text; runs nothing.

The staging query coerces the result to the table's columns with nothing but what the engine does by
itself: a typed row that is never there, UNION ALL the query's columns by name. The engine then either finds
a common type or refuses. Where the common type is wider than the table's (double for a bigint), the
temporary table's schema tells, before anything is published. A CAST would round and cut instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_quilt_athena.core.hive_types import parse_hive_type
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.core.sql import (
    SILENT,
    Dialect,
    quote_identifier,
    quote_literal,
    split_statements,
    tokenize,
)
from airflow_quilt_athena.core.tables import Columns, FileFormat, TableName
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


def build_ctas(
    temporary: TableName,
    query: str,
    *,
    location: S3Uri,
    file_format: FileFormat,
    compression: str | None = None,
    field_delimiter: str | None = None,
) -> str:
    """Return the CTAS that writes ``query`` to the empty folder ``location``."""
    properties = {"format": file_format.value, "external_location": str(location.folder)}
    if compression:
        properties["write_compression"] = compression.upper()
    if field_delimiter is not None:
        properties["field_delimiter"] = field_delimiter
    lines = ",\n".join(
        f"  {name} = {quote_literal(value, Dialect.TRINO)}" for name, value in properties.items()
    )
    return f"CREATE TABLE {temporary.trino}\nWITH (\n{lines}\n)\nAS\n{query}"


def build_coerced_query(query: str, columns: Columns) -> str:
    """Return a query with exactly ``columns``, in their order, from the columns of ``query`` by name.

    A column that ``query`` lacks, has twice, or has too many makes the engine refuse the statement.
    """
    typed = ",\n  ".join(
        f"CAST(NULL AS {parse_hive_type(hive_type).trino}) AS {_quote(name)}" for name, hive_type in columns
    )
    names = ",\n  ".join(_quote(name) for name, _ in columns)
    nulls = ", ".join("NULL" for _ in columns)
    return (
        # The new line ends a comment that the query may end with.
        f"WITH {RESULT} AS (\n{query}\n)\n"
        f"SELECT\n  {typed}\n"
        # Never evaluated, but analysed: refuses a result with more columns than the table.
        f"WHERE false AND EXISTS (SELECT * FROM {RESULT} UNION ALL SELECT {nulls})\n"
        f"UNION ALL\nSELECT\n  {names}\nFROM {RESULT}"
    )


def build_text_guard(query: str, columns: Columns, *, field_delimiter: str) -> str:
    r"""Return ``query`` made to fail on strings that a TEXTFILE table would read back as something else.

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
    selected = ",\n  ".join(
        _guarded(_quote(name), bad) if _is_text(hive_type) else _quote(name) for name, hive_type in columns
    )
    return f"SELECT\n  {selected}\nFROM (\n{query}\n)"


def _guarded(quoted: str, bad: str) -> str:
    refusal = f"CAST(CAST('cannot be kept in a TEXTFILE table: ' || {quoted} AS bigint) AS varchar)"
    return f"CASE WHEN {bad.format(quoted)} THEN {refusal} ELSE {quoted} END AS {quoted}"


def _is_text(hive_type: str) -> bool:
    return parse_hive_type(hive_type).name in {"string", "varchar", "char"}


def build_description_query(query: str) -> str:
    """Return a query with the columns of ``query`` and no rows, to learn their names."""
    return f"SELECT * FROM (\n{query}\n) WHERE false"


def render_check(sql: str, staged: TableName) -> str:
    """Return a check with ``{staged}`` replaced; any other brace is the user's."""
    (statement, *others) = split_statements(sql) or ("",)
    if others or STAGED_TOKEN not in statement:
        raise InvalidCallError(f"A check must be one SELECT over {STAGED_TOKEN}: {sql!r}")
    return statement.replace(STAGED_TOKEN, staged.trino)


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
