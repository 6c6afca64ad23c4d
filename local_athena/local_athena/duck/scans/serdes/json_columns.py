"""SQL of DuckDB for columns of OpenX JSON, and for which lines it would read otherwise than the SerDe.

Each test errs on the safe side: what only looks odd is read by OpenXJson, slower and to the same end. One
thing is let pass: where an object below the top has one and the same key twice, OpenXJson takes the last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes.hive_values import INTEGER_BITS
from local_athena.duck.scans.serdes.openx_json import OpenXJson

# DuckDB takes a comma before a closing bracket; the SerDe does not.
_TRAILING_COMMA = r",\s*[}\]]"
# A number that is not written as it is kept, or a character DuckDB escapes in its own way.
_ODD_INSIDE = r"[:\[,]-?(?:[0-9]*[.eE]|[0-9]{18}|[nNiI]+[aAnN])|\\u|</"
# A key with a letter that may be an upper-case one, or a quote that hides where keys end.
_CASED_KEY = r'"[^"]*[A-Z\x{80}-\x{10FFFF}][^"]*":|\\"'
_TEXTS = r'^\[(?:(?:"[^"\\]*"|null)(?:,(?:"[^"\\]*"|null))*)?\]$'
_TEXT_FIELDS = r'^\{(?:"[^"\\]*":(?:"[^"\\]*"|null)(?:,"[^"\\]*":(?:"[^"\\]*"|null))*)?\}$'

# Moments as they usually are. (A question mark would be taken for the value: see ColumnSql.)
_DAY = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
_TIME = "[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{3}|)"

PLAIN_OBJECT = "json_valid(line) AND starts_with(line, '{')"
# Of a file's content: it has a key with letters that may be upper-case ones.
HAS_CASED_KEY = """regexp_matches(content, '"[^"]*[A-Z\\x{80}-\\x{10FFFF}][^"]*"\\s*:|\\\\"[^"]*":')"""
# Keys are told apart by the text before their colon: not where a blank or an escaped quote is in the way.
UNCLEAR_KEY = """regexp_matches(line, '"[\\t ]+:|\\\\"[^"]*"[\\t ]*:')"""
MAY_HAVE_UNCLEAR_KEY = (
    """contains(content, '\\"') OR contains(content, ' :') OR contains(content, chr(9) || ':')"""
)


@dataclass(frozen=True, slots=True)
class ColumnSql:
    """SQL about one column; ``?`` stands for the JSON found for it.

    ``value`` is its value, ``odd`` is true where DuckDB would read it otherwise than the SerDe, ``cased``
    where it is a JSON text whose keys have still to be made lower case.
    """

    value: str
    odd: str
    cased: str = "false"


def column_sql(kind: DataType, decoder: OpenXJson) -> ColumnSql | None:
    """Return the SQL for a column of that type; None for types that DuckDB would read otherwise."""
    if kind.trino == "varchar":
        return _text(decoder)
    if kind.name in INTEGER_BITS:
        return _scalar(f"TRY_CAST((? ->> '$') AS {kind.duckdb})", "BIGINT", "UBIGINT")
    if kind.name == "double":
        return _scalar("TRY_CAST((? ->> '$') AS DOUBLE)", "BIGINT", "UBIGINT", "DOUBLE")
    if kind.name == "boolean":
        return _scalar("(? ->> '$') = 'true'", "BOOLEAN")
    if kind.name == "date":
        return _moment("DATE", f"^{_DAY}$")
    if kind.name == "timestamp" and not decoder.has_formats:
        return _moment("TIMESTAMP", f"^{_DAY}( |T){_TIME}$|^{_DAY}T{_TIME}Z$")
    if kind.trino == "array(varchar)":
        return _shaped(_TEXTS, '["VARCHAR"]')
    names = [name for name, _ in kind.fields] if kind.name == "row" else []
    if names and all(child.trino == "varchar" for child in kind.children) and not decoder.renames(names):
        return _shaped(_TEXT_FIELDS, json.dumps(dict.fromkeys(names, "VARCHAR")), cased=decoder.lowers)
    return None


def _scalar(value: str, *types: str) -> ColumnSql:
    return ColumnSql(value, f"json_type(?) NOT IN ({', '.join(map(literal, [*types, 'NULL']))})")


def _moment(target: str, usual: str) -> ColumnSql:
    """Days past a month's end run over for the SerDe; DuckDB has none of them."""
    value = f"TRY_CAST((? ->> '$') AS {target})"
    odd = f"json_type(?) <> 'VARCHAR' OR NOT regexp_matches(? ->> '$', {literal(usual)}) OR {value} IS NULL"
    return ColumnSql(value, f"json_type(?) <> 'NULL' AND ({odd})")


def _text(decoder: OpenXJson) -> ColumnSql:
    nested = "json_type(?) IN ('OBJECT', 'ARRAY')"
    odd = f"json_type(?) = 'DOUBLE' OR ({nested} AND {_matches(_ODD_INSIDE)})"
    cased = f"{nested} AND {_matches(_CASED_KEY)}" if decoder.lowers else "false"
    return ColumnSql("? ->> '$'", odd, cased)


def _shaped(pattern: str, shape: str, *, cased: bool = False) -> ColumnSql:
    odd = f"NOT {_matches(pattern)}"
    if cased:
        odd += f" OR {_matches(_CASED_KEY)}"
    return ColumnSql(f"from_json(?, {literal(shape)})", f"json_type(?) <> 'NULL' AND ({odd})")


def _matches(pattern: str) -> str:
    # The parameter mark is replaced later: a pattern must not hold one.
    return f"regexp_matches(CAST(? AS VARCHAR), {literal(pattern).replace('?', _MARK)})"


_MARK = "\0"


def lines_sql(
    source: str,
    columns: Sequence[tuple[str, DataType]],
    spelling: Mapping[str, str],
    odd_keys: str,
    decoder: OpenXJson,
) -> str:
    """Return SQL over ``source`` (file, line) for the columns of plain lines and the text of odd ones.

    ``spelling`` says under which key each column is found, if under any; ``odd_keys`` is a condition on
    ``plain``. Columns of the result: file, c0, c1, …, k0, k1, … (keys of c0 still to be lowered), odd_line.
    """
    pointers, values, odd, cased = [], [], [], []
    for index, (name, kind) in enumerate(columns):
        if name not in spelling:
            values.append(f"CAST(NULL AS {kind.duckdb}) AS c{index}")
            cased.append(f"false AS k{index}")
            continue
        pointers.append(literal("/" + spelling[name].replace("~", "~0").replace("/", "~1")))
        sql = column_sql(kind, decoder)
        assert sql is not None  # asked before
        place = f"found[{len(pointers)}]"
        values.append(f"CASE WHEN odd THEN NULL ELSE {_filled(sql.value, place)} END AS c{index}")
        odd.append(f"({_filled(sql.odd, place)})")
        cased.append(f"NOT odd AND coalesce({_filled(sql.cased, place)}, false) AS k{index}")
    comma = f"regexp_matches(line, {literal(_TRAILING_COMMA)})"
    found = f"json_extract(plain, [{', '.join(pointers)}])" if pointers else "CAST([] AS JSON[])"
    # An empty object stands in for lines that DuckDB's functions would fail on.
    return f"""
        WITH lines AS MATERIALIZED (
            SELECT file, line,
                CASE WHEN {PLAIN_OBJECT} AND NOT {comma} THEN line ELSE '{{}}' END AS plain,
                line <> '{{}}' AND plain = '{{}}' OR {odd_keys} AS strange
            FROM {source}
        ), parsed AS MATERIALIZED (
            SELECT file, line, strange, {found} AS found FROM lines
        ), judged AS MATERIALIZED (
            SELECT file, line, found, strange OR coalesce({" OR ".join(odd) or "false"}, false) AS odd
            FROM parsed
        )
        SELECT {", ".join(["file", *values, *cased])}, CASE WHEN odd THEN line END AS odd_line FROM judged
    """


def _filled(sql: str, place: str) -> str:
    return sql.replace("?", place).replace(_MARK, "?")


def literal(text: str) -> str:
    """Return a text as a DuckDB string."""
    return "'" + text.replace("'", "''") + "'"
