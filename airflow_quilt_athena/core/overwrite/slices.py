"""A result whose rows belong to several partitions: counted, cut into slices, told apart. Returns text.

A query of Athena writes to at most 100 partitions. So the user's query runs once, into files without
partitions; the partitions are counted there, and slices of at most 100 are written from it side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from airflow_quilt_athena.core.athena.hive_types import parse_hive_type
from airflow_quilt_athena.core.athena.sql import Dialect, quote_identifier, quote_literal
from airflow_quilt_athena.core.glue.partitions import HIVE_DEFAULT_PARTITION, unescape_value
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import identity
from airflow_quilt_athena.core.glue.tables import Bucketing, Columns, TableName
from airflow_quilt_athena.core.overwrite.journal_entry import Found
from airflow_quilt_athena.core.overwrite.request import MAX_OPEN_WRITERS
from airflow_quilt_athena.exceptions import InvalidCallError

_MAX_PREDICATE_CHARACTERS = 200_000  # leaves room in the 262,144 bytes of a statement
_PRINTABLE = re.compile(r"[\x20-\x7E]+")
_PLAIN_LITERALS = frozenset({"boolean", "tinyint", "smallint", "int", "bigint"})
_INTEGERS = ("tinyint", "smallint", "int", "bigint")


def build_count(staged: TableName, keys: Columns) -> str:
    """Return a query with a row for each partition in ``staged``: its values as text, and its rows."""
    texts = ", ".join(f"CAST({_quote(name)} AS varchar)" for name, _ in keys)
    groups = ", ".join(_quote(name) for name, _ in keys)
    return f"SELECT {texts}, count(*)\nFROM {staged.trino}\nGROUP BY {groups}"


def parse_found(keys: Columns, rows: Iterable[Sequence[str | None]]) -> tuple[Found, ...]:
    """Read the answer to ``build_count``, sorted.

    Raises InvalidCallError for values that no partition can have, or that would be read back as another.
    """
    found = (Found(_read_values(keys, row[:-1]), int(row[-1] or 0)) for row in rows)
    return tuple(sorted(found, key=lambda partition: partition.values))


def _read_values(keys: Columns, cells: Sequence[str | None]) -> tuple[str, ...]:
    return identity(keys, [_read_value(name, cell) for (name, _), cell in zip(keys, cells, strict=True)])


def _read_value(name: str, text: str | None) -> str:
    if text is None:
        return HIVE_DEFAULT_PARTITION
    if text == HIVE_DEFAULT_PARTITION or not text:
        raise InvalidCallError(
            f"The result has the value {text!r} in partition key {name}, which Hive reads back as NULL. "
            "Nothing was published. Make it NULL, or another text, in the query."
        )
    if not _PRINTABLE.fullmatch(text):
        raise InvalidCallError(
            f"The result has the value {text!r} in partition key {name}. Trino, and so Athena, writes "
            "partition values of printable ASCII characters only (0x20 to 0x7E). Nothing was published. "
            "Encode the value in the query, for instance with url_encode, or give it as a fixed value in "
            "partition."
        )
    return text


def cut_slices(
    keys: Columns, found: Sequence[Found], bucketing: Bucketing | None
) -> tuple[tuple[Found, ...], ...]:
    """Return the partitions in groups that one query can write each."""
    most = max(1, MAX_OPEN_WRITERS // (bucketing.count if bucketing else 1))
    slices: list[list[Found]] = []
    characters = 0
    for partition in found:
        length = len(_condition(keys, partition.values))
        if not slices or len(slices[-1]) == most or characters + length > _MAX_PREDICATE_CHARACTERS:
            slices.append([])
            characters = 0
        slices[-1].append(partition)
        characters += length
    return tuple(map(tuple, slices))


def build_slice(staged: TableName, columns: Columns, keys: Columns, part: Sequence[Found]) -> str:
    """Return a query for the rows of some partitions: ``columns`` first, then the keys in their own types."""
    selected = ",\n  ".join(
        [_quote(name) for name, _ in columns]
        + [f"CAST({_quote(name)} AS {parse_hive_type(kind).trino}) AS {_quote(name)}" for name, kind in keys]
    )
    conditions = "\n  OR ".join(_condition(keys, partition.values) for partition in part) or "false"
    return f"SELECT\n  {selected}\nFROM {staged.trino}\nWHERE {conditions}"


def _condition(keys: Columns, values: Sequence[str]) -> str:
    terms = (
        f"{_quote(name)} IS NULL"
        if value == HIVE_DEFAULT_PARTITION
        else f"{_quote(name)} = {_literal(value, hive_type)}"
        for (name, hive_type), value in zip(keys, values, strict=True)
    )
    return f"({' AND '.join(terms)})"


def _literal(value: str, hive_type: str) -> str:
    parsed = parse_hive_type(hive_type)
    if parsed.name in _PLAIN_LITERALS:
        return value
    quoted = quote_literal(value, Dialect.TRINO)
    return quoted if parsed.name in {"string", "varchar"} else f"CAST({quoted} AS {parsed.trino})"


def key_differences(keys: Columns, columns: Columns) -> tuple[str, ...]:
    """Return a line for each key that the result lacks, or has in a type that does not fit without loss.

    >>> key_differences((("dt", "date"), ("n", "bigint")), (("dt", "varchar(10)"), ("n", "int")))
    ('dt: the partition key is of type date, the result has varchar(10)',)
    """
    found = dict(columns)
    return tuple(
        f"{name}: the partition key is of type {kind}, the result has {found.get(name, 'no such column')}"
        for name, kind in keys
        if name not in found or not _fits(kind, found[name])
    )


def _fits(wanted: str, found: str) -> bool:
    to, of = parse_hive_type(wanted), parse_hive_type(found)
    if to.name in _INTEGERS and of.name in _INTEGERS:
        return _INTEGERS.index(of.name) <= _INTEGERS.index(to.name)
    return to == of or (to.name == "string" and of.name == "varchar")


def find_places(root: S3Uri, keys: Columns, objects: Iterable[str]) -> dict[tuple[str, ...], S3Uri]:
    """Return, from the keys of the objects below ``root``, each partition's values and folder.

    >>> find_places(S3Uri("b", "s1/"), (("k", "string"),), ["s1/k=a%2Fb/0.parquet"])
    {('a/b',): S3Uri(bucket='b', key='s1/k=a%2Fb/')}
    """
    places: dict[tuple[str, ...], S3Uri] = {}
    for key in objects:
        parts = key.removeprefix(root.key).split("/")
        if len(parts) != len(keys) + 1:
            continue  # no file of a partition
        texts = [unescape_value(part.partition("=")[2]) for part in parts[:-1]]
        places[identity(keys, texts)] = root / ("/".join(parts[:-1]) + "/")
    return places


def _quote(name: str) -> str:
    return quote_identifier(name, Dialect.TRINO)
