from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.partitions import HIVE_DEFAULT_PARTITION, partition_path
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import identity
from airflow_quilt_athena.core.glue.tables import Bucketing, TableName
from airflow_quilt_athena.core.overwrite.journal_entry import Found
from airflow_quilt_athena.core.overwrite.slices import (
    build_count,
    build_slice,
    cut_slices,
    find_places,
    key_differences,
    parse_found,
)
from airflow_quilt_athena.exceptions import InvalidCallError

STAGED = TableName("s", "staged")
STRING = (("k", "string"),)

# ------------------------------------------------------------------------------------------ what was counted


def test_the_answer_is_read_by_value_and_null_is_hives_own() -> None:
    keys = (("d", "date"), ("n", "int"), ("x", "decimal(6,2)"))
    rows: list[list[str | None]] = [["2026-01-02", "7", "1.50"], ["2026-01-01", None, "2.00"]]
    assert parse_found(keys, [[*row, "3"] for row in rows]) == (
        Found(("2026-01-01", HIVE_DEFAULT_PARTITION, "2"), 3),
        Found(("2026-01-02", "7", "1.5"), 3),
    )


@pytest.mark.parametrize("value", ["", HIVE_DEFAULT_PARTITION])
def test_a_value_that_hive_reads_back_as_null_is_refused(value: str) -> None:
    with pytest.raises(InvalidCallError, match=r"partition key k, which Hive reads back as NULL"):
        parse_found(STRING, [[value, "1"]])


@pytest.mark.parametrize("value", ["Zürich", "a\tb", "line\n", "\x7f", "日本"])
def test_a_value_that_trino_does_not_write_is_refused_before_anything_is_published(value: str) -> None:
    with pytest.raises(InvalidCallError, match=r"printable ASCII.*Nothing was published"):
        parse_found(STRING, [["ok", "1"], [value, "1"]])


def test_every_printable_ascii_character_may_be_in_a_value() -> None:
    value = "".join(map(chr, range(0x20, 0x7F)))
    assert parse_found(STRING, [[value, "1"]]) == (Found((value,), 1),)


# ------------------------------------------------------------------------------------------- cut in slices

VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=6)
LONG = st.integers(1, 5).map(lambda times: "v" * 60_000 * times)


@given(
    st.lists(st.one_of(VALUES, LONG), max_size=40),
    st.integers(0, 250),
    st.one_of(st.none(), st.integers(1, 100)),
)
def test_slices_hold_each_partition_once_in_order_and_no_more_than_a_query_writes(
    texts: list[str], more: int, buckets: int | None
) -> None:
    found = [Found((text,), 1) for text in (*texts, *map(str, range(more)))]
    bucketing = Bucketing(("id",), buckets) if buckets else None
    slices = cut_slices(STRING, found, bucketing)
    assert [partition for part in slices for partition in part] == found
    for part in slices:
        assert len(part) >= 1
        assert len(part) * (buckets or 1) <= 100
        # one long value is a slice of its own; several fit into a statement
        assert len(part) == 1 or len(build_slice(STAGED, (), STRING, part)) < 262_144


@pytest.mark.parametrize(
    ("count", "buckets", "slices"),
    [(0, None, 0), (1, None, 1), (100, None, 1), (101, None, 2), (300, None, 3), (9, 25, 3), (2, 100, 2)],
)
def test_as_few_slices_as_can_be_are_cut(count: int, buckets: int | None, slices: int) -> None:
    found = [Found((str(number),), 1) for number in range(count)]
    assert len(cut_slices(STRING, found, Bucketing(("id",), buckets) if buckets else None)) == slices


# --------------------------------------------------- an engine finds the rows that Python finds, and no other

KEYS = (("k", "string"), ("n", "int"), ("d", "date"), ("x", "decimal(6,2)"), ("b", "boolean"))
ROW = st.tuples(
    st.none() | st.sampled_from(["a", "A", "it's", "a'' OR 'a'='a", "NULL", "%", "_", "a/b", " ", "1", "--"]),
    st.none() | st.integers(-2, 2),
    st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 2)),
    st.none() | st.sampled_from([Decimal("1.50"), Decimal("1.05"), Decimal("-1.00"), Decimal("0.00")]),
    st.none() | st.booleans(),
)


def _as_kept(value: Any) -> str:
    """Return the text of a value in Hive, by Hive's rules written down anew."""
    if value is None:
        return "__HIVE_DEFAULT_PARTITION__"
    if isinstance(value, Decimal):
        return str(value).rstrip("0").rstrip(".")
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture(scope="module")
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA s")
        connection.execute(
            "CREATE TABLE s.staged (id integer, k varchar, n integer, d date, x decimal(6,2), b boolean)"
        )
        yield connection


@settings(max_examples=60)
@given(rows=st.lists(ROW, max_size=12), choice=st.integers(0))
def test_a_slice_has_exactly_the_rows_of_its_partitions(
    engine: duckdb.DuckDBPyConnection, rows: list[Any], choice: int
) -> None:
    engine.execute("DELETE FROM s.staged")
    if rows:
        numbered = [[number, *row] for number, row in enumerate(rows)]
        engine.executemany("INSERT INTO s.staged VALUES (?, ?, ?, ?, ?, ?)", numbered)
    kept = [tuple(map(_as_kept, row)) for row in rows]
    counted = engine.execute(build_count(STAGED, KEYS)).fetchall()
    found = parse_found(KEYS, [[*cells, str(count)] for *cells, count in counted])
    assert {partition.values: partition.rows for partition in found} == Counter(kept)

    part = [partition for number, partition in enumerate(found) if choice >> number & 1]
    chosen = {partition.values for partition in part}
    query = build_slice(STAGED, (("id", "int"),), KEYS, part)
    assert sorted(engine.execute(query).fetchall(), key=lambda row: row[0]) == [
        (number, *row) for number, row in enumerate(rows) if kept[number] in chosen
    ]


# ------------------------------------------------------------------------------------- where it was written


@given(st.dictionaries(st.tuples(VALUES, st.integers(-99, 99)), st.integers(1, 2), max_size=5))
def test_every_partition_is_found_where_the_engine_wrote_it(written: dict[tuple[str, int], int]) -> None:
    keys = (("k", "string"), ("n", "int"))
    root = S3Uri("b", "t/.generations/a1/s1/")
    folders = {
        values: f"{root.key}{partition_path(['k', 'n'], [values[0], str(values[1])])}/" for values in written
    }
    objects = [f"{folders[values]}{number}" for values, count in written.items() for number in range(count)]
    beside = [f"{root.key}_SUCCESS", f"{root.key}k=1_$folder$", f"{root.key}k=1/n=2/deeper/x"]
    assert find_places(root, keys, [*objects, *beside]) == {
        (text, str(number)): S3Uri("b", folder) for (text, number), folder in folders.items()
    }


def test_folders_are_known_by_their_values_however_the_engine_spells_them() -> None:
    keys = (("n", "int"), ("k", "string"))
    places = find_places(S3Uri("b", "s1/"), keys, [f"s1/n=01/k={HIVE_DEFAULT_PARTITION}/x"])
    assert list(places) == [("1", HIVE_DEFAULT_PARTITION)] == [identity(keys, ("1", HIVE_DEFAULT_PARTITION))]
    assert unquote(str(places["1", HIVE_DEFAULT_PARTITION])) == f"s3://b/s1/n=01/k={HIVE_DEFAULT_PARTITION}/"


# ------------------------------------------------------------------------------- keys in the result's types


@pytest.mark.parametrize(
    ("wanted", "found", "fits"),
    [
        ("string", "varchar(3)", True),
        ("string", "string", True),
        ("bigint", "tinyint", True),
        ("int", "integer", True),
        ("int", "bigint", False),
        ("string", "int", False),
        ("string", "char(3)", False),
        ("varchar(3)", "varchar(4)", False),
        ("date", "timestamp", False),
        ("date", "date", True),
        ("decimal(4,2)", "decimal(4,1)", False),
    ],
)
def test_a_key_takes_what_fits_without_loss(wanted: str, found: str, fits: bool) -> None:
    assert (key_differences((("k", wanted),), (("k", found),)) == ()) is fits


def test_a_key_that_the_result_lacks_is_told() -> None:
    assert key_differences((("dt", "date"),), (("day", "date"),)) == (
        "dt: the partition key is of type date, the result has no such column",
    )
