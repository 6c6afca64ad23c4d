"""Why a result's column does not fit a table's, and the cast that would do. Returns text; runs nothing.

Types are Trino's own words, as ``typeof`` prints them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from airflow_quilt_athena.core.athena.hive_types import parse_hive_type
from airflow_quilt_athena.core.athena.sql import Dialect, quote_identifier
from airflow_quilt_athena.core.glue.tables import Columns

_WHOLE = ("tinyint", "smallint", "integer", "bigint")
_DIGITS = dict(zip(_WHOLE, (3, 5, 10, 19), strict=True))
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_SIZED_TEXT = re.compile(r"(?:var)?char\((\d+)\)")
_TIMESTAMP = re.compile(r"timestamp\((\d+)\)")
_NESTED = ("row(", "array(", "map(")
_MILLISECONDS = 3  # of a timestamp in a Hive table of Athena's


def build_types_query(query: str, names: Sequence[str]) -> str:
    """Return a query of one row, the types of the columns of ``query``. It reads no row of it."""
    types = ",\n  ".join(f"typeof({_quote(name)})" for name in names)
    return (
        f'SELECT\n  {types}\nFROM (VALUES 1) AS "quilt_one" ("quilt_one")\n'
        f'LEFT JOIN (SELECT * FROM (\n{query}\n) WHERE false) AS "quilt_result" ON true'
    )


def describe_misfits(expected: Columns, found: Mapping[str, str]) -> tuple[str, ...]:
    """Return a line for each column whose type the engine does not bring to the table's by itself.

    :param found: the result's types by column name.

    >>> describe_misfits((("n", "bigint"), ("m", "bigint")), {"n": "varchar(1)", "m": "integer"})
    ('n: the table has bigint, the result varchar(1). Write CAST("n" AS bigint) AS "n"',)
    """
    lines = []
    for name, hive_type in expected:
        wanted = parse_hive_type(hive_type).trino
        if name in found and not _fits(_plain(wanted), _plain(found[name])):
            advice = _advice(name, wanted, found[name])
            lines.append(f"{name}: the table has {hive_type}, the result {found[name]}. {advice}")
    return tuple(lines)


def describe_unwritable(found: Mapping[str, str]) -> tuple[str, ...]:
    """Return a line for each column of a type that no Hive table of Athena's keeps."""
    lines = []
    for name, kind in found.items():
        plain = _plain(kind)
        wanted = _kept_instead(plain)
        if wanted is not None:
            lines.append(f"{name}: a table cannot keep {kind}. {_advice(name, wanted, kind)}")
    return tuple(lines)


def _kept_instead(found: str) -> str | None:
    stamp = _TIMESTAMP.match(found)
    if found.endswith("with time zone") and found.startswith("timestamp"):
        return "timestamp(3)"
    if stamp and int(stamp.group(1)) != _MILLISECONDS:
        return "timestamp(3)"
    return (
        "varchar"
        if found in {"json", "uuid", "ipaddress"} or found.startswith(("time(", "interval"))
        else None
    )


def unlike_columns(expected: Columns, staged: Columns) -> tuple[str, ...]:
    """Return the staged columns whose type in Glue does not mean the same as the table's."""
    found = dict(staged)
    return tuple(
        name
        for name, hive_type in expected
        if name in found and parse_hive_type(hive_type) != parse_hive_type(found[name])
    )


def describe_unlike(
    expected: Columns, staged: Columns, result: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return a line for each staged column whose type in Glue does not mean the same as the table's.

    The engine has brought both together in a type that is wider than the table's, and often than the
    result's: a bigint and a decimal(2,1) make a decimal(20,1).

    :param result: the result's own types by column name, where they are known.
    """
    types, found, lines = dict(expected), dict(staged), []
    for name in unlike_columns(expected, staged):
        wanted, made = (parse_hive_type(kind).trino for kind in (types[name], found[name]))
        own = (result or {}).get(name)
        advice = _advice(name, wanted, own or made)
        lines.append(f"{name}: the table has {types[name]}, the result {own or found[name]}. {advice}")
    return tuple(lines)


def _advice(name: str, wanted: str, found: str) -> str:
    """Return what to write in the query, as a sentence."""
    quoted, plain = _quote(name), _plain(found)
    if wanted.startswith("row(") and plain.startswith("row("):
        return _row_advice(quoted, wanted, plain)
    if plain.startswith(_NESTED) or plain == "json":
        if wanted == "varchar":
            inner = quoted if plain == "json" else f"CAST({quoted} AS json)"
            return f"Write json_format({inner}) AS {quoted}"
        return f"Make it {wanted} in the query; no cast alone does"
    if wanted.startswith(_NESTED):
        return (
            f"Make it {wanted} in the query, or CAST(json_parse({quoted}) AS {wanted}) where it is JSON text"
        )
    if (wanted, plain) == ("varchar", "varbinary"):
        return f"Write from_utf8({quoted}) AS {quoted}"
    if wanted == "varbinary":
        return f"Write to_utf8({quoted}) AS {quoted}"
    if plain.endswith("with time zone"):
        return f"Write CAST({quoted} AT TIME ZONE 'UTC' AS {wanted}) AS {quoted}"
    return f"Write CAST({quoted} AS {wanted}) AS {quoted}"


def _row_advice(quoted: str, wanted: str, found: str) -> str:
    """Return the cast of a row, which goes by position: fields in other places are named one by one."""
    names = [_plain(name) for name, _ in _fields(_plain(wanted))]
    there = [name for name, _ in _fields(found)]
    if sorted(names) != sorted(there):
        return f"Its fields are {', '.join(there)}; expected {', '.join(names)}"
    if names == there:
        return f"Write CAST({quoted} AS {wanted}) AS {quoted}"
    inside = ", ".join(f"{quoted}.{_quote(name)}" for name in names)
    return f"Its fields are in another order. Write CAST(ROW({inside}) AS {wanted}) AS {quoted}"


def _fits(wanted: str, found: str) -> bool:
    """Whether the engine makes ``wanted`` of ``found`` by itself, and nothing wider of both."""
    if wanted == found or found == "unknown":
        return True
    if wanted.startswith(_NESTED) or found.startswith(_NESTED):
        return False
    if wanted in _WHOLE and found in _WHOLE:
        return _WHOLE.index(found) <= _WHOLE.index(wanted)
    if wanted == "varchar":
        return _SIZED_TEXT.fullmatch(found) is not None
    if wanted in {"double", "real"}:  # the guard on rounding has a message of its own
        return found in {"real", *_WHOLE} and (wanted == "double" or found != "bigint")
    if wanted == "timestamp(3)":
        stamp = _TIMESTAMP.fullmatch(found)
        return found == "date" or (stamp is not None and int(stamp.group(1)) <= _MILLISECONDS)
    return _fits_sized(wanted, found)


def _fits_sized(wanted: str, found: str) -> bool:
    text = _SIZED_TEXT.fullmatch(wanted)
    if text:
        other = _SIZED_TEXT.fullmatch(found)
        return other is not None and int(other.group(1)) <= int(text.group(1))
    decimal = _DECIMAL.fullmatch(wanted)
    if decimal:
        precision, scale = map(int, decimal.groups())
        other = _DECIMAL.fullmatch(found)
        digits, places = map(int, other.groups()) if other else (_DIGITS.get(found, 99), 0)
        return places <= scale and digits - places <= precision - scale
    return False


def _plain(kind: str) -> str:
    """Return a type in one spelling, without quotes and blanks that mean nothing."""
    return re.sub(r"\s*([(),])\s*", r"\1", kind.replace('"', "").lower()).strip()


def _fields(row: str) -> list[tuple[str, str]]:
    """Return the fields of a row type, as name and type."""
    parts = list(_split(row.removeprefix("row(").removesuffix(")")))
    return [(part.partition(" ")[0], part.partition(" ")[2]) for part in parts]


def _split(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for position, mark in enumerate(text):
        depth += (mark == "(") - (mark == ")")
        if mark == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]


def _quote(name: str) -> str:
    return quote_identifier(name, Dialect.TRINO)
