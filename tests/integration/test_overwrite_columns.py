"""Columns of a result beside those of its table, whichever way the rows are written.

No value is rounded, cut, shortened or moved on its way: it fits as it is, or the result is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.integration.lab import Lab, Ran
from tests.integration.overwriting import (
    BASE,
    DAY,
    JOURNAL,
    data_keys,
    overwrite,
    stored,
    table,
    temporary_tables,
    values,
)

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Way:
    """A way for rows to get into one partition."""

    lab: Lab
    is_set: bool  # the partition is in the result
    arguments: dict[str, Any]

    def write(self, columns: str, **arguments: Any) -> Ran:
        """Write one row of these columns, as SQL."""
        query = f"SELECT {columns}"
        if self.is_set:
            query += ", '2026-01-01' AS dt"
        partition = {} if self.is_set else DAY
        given = {"partitioned_by": ["dt"], **self.arguments, **arguments}
        return overwrite(self.lab, query, partition, **given)

    def make_table(self, columns: str) -> None:
        """Make the table by hand."""
        self.lab.run(
            f"CREATE EXTERNAL TABLE orders ({columns}) PARTITIONED BY (dt string) STORED AS PARQUET "
            f"LOCATION 's3://{self.lab.bucket}/{BASE}'"
        )


@pytest.fixture(params=["ctas", "unload", "set"])
def way(lab: Lab, request: pytest.FixtureRequest) -> Way:
    is_set = request.param == "set"
    return Way(lab, is_set, {} if is_set else {"writer": request.param})


def hive_columns(lab: Lab) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in table(lab)["StorageDescriptor"]["Columns"]}


# -------------------------------------------------------------------------------------------------- what fits


def test_columns_are_matched_by_name_not_by_place(way: Way) -> None:
    way.write("'a' AS left_side, 'b' AS right_side")
    way.write("'B' AS right_side, 'A' AS left_side")
    assert stored(way.lab, "left_side, right_side") == [("A", "B")]


def test_names_are_matched_whatever_their_case(way: Way) -> None:
    way.write("'a' AS Customer")
    way.write("'b' AS CUSTOMER")
    assert stored(way.lab, "customer") == [("b",)]


def test_only_coercions_that_lose_nothing_are_made(way: Way) -> None:
    way.write("CAST(1 AS bigint) AS n, CAST(1 AS double) AS x, 'abc' AS s, CAST(1 AS decimal(12,2)) AS d")
    before = hive_columns(way.lab)
    way.write("CAST(2 AS integer) AS n, CAST(2.5 AS real) AS x, 'longer text' AS s, 2 AS d")
    assert stored(way.lab, "n, x, s, d") == [("2", "2.5", "longer text", "2.00")]
    assert (
        hive_columns(way.lab) == before == {"n": "bigint", "x": "double", "s": "string", "d": "decimal(12,2)"}
    )


def test_a_length_of_the_first_result_does_not_cut_later_ones(way: Way) -> None:
    way.write("CAST('abc' AS varchar(3)) AS s, ARRAY[CAST('x' AS varchar(1))] AS a")
    way.write("'a much longer text' AS s, ARRAY['as well'] AS a")
    assert stored(way.lab, "s, a") == [("a much longer text", "[as well]")]
    assert hive_columns(way.lab) == {"s": "string", "a": "array<string>"}


def test_a_column_with_a_length_takes_what_is_no_longer(way: Way) -> None:
    way.make_table("s varchar(3)")
    way.write("CAST('ab' AS varchar(2)) AS s")
    assert stored(way.lab, "s, dt") == [("ab", "2026-01-01")]


def test_nested_values_arrive_as_they_were(way: Way) -> None:
    struct = "CAST(ROW(1, ARRAY['x', NULL]) AS ROW(a integer, b array(varchar)))"
    for _ in range(2):
        way.write(f"{struct} AS n, MAP(ARRAY['k'], ARRAY[2]) AS m")
    assert stored(way.lab, "n.a, n.b[1], n.b[2], m['k']") == [("1", "x", None, "2")]


# ------------------------------------------------------------------------------------------ what does not fit

UNLIKE = {  # column: what the table was made from, what does not fit it, and the difference to be told
    "whole": ("CAST(1 AS bigint)", "CAST(1.9 AS double)", "the table has bigint, the result double"),
    "exact": ("CAST(1 AS bigint)", "CAST(1.9 AS decimal(2,1))", "the table has bigint, the result decimal"),
    "small": ("CAST(1 AS integer)", "CAST(3000000000 AS bigint)", "the table has int, the result bigint"),
    "short": ("CAST(1 AS real)", "CAST(0.1 AS double)", "the table has float, the result double"),
    "day": ("DATE '2026-01-01'", "TIMESTAMP '2026-01-01 12:34:56.000'", "the table has date, the result t"),
    "letter": ("CAST('a' AS char(1))", "'abc'", "the table has char(1), the result"),
    "scale": ("CAST(1 AS decimal(4,1))", "CAST(1.25 AS decimal(4,2))", "the table has decimal(4,1), the"),
    "digits": ("CAST(1 AS decimal(4,2))", "CAST(12345.25 AS decimal(7,2))", "the table has decimal(4,2),"),
    "text": ("'text'", "1", 'the table has string, the result integer. Write CAST("text" AS varchar)'),
    "number": ("1", "'1'", 'the table has int, the result varchar(1). Write CAST("number" AS integer)'),
    "moment": ("TIMESTAMP '2026-01-01 00:00:00.000'", "TIMESTAMP '2026-01-01 00:00:00.123456'", "timestamp"),
    "list": ("ARRAY[CAST(1 AS bigint)]", "ARRAY[CAST(1.9 AS double)]", "the table has array<bigint>,"),
    "order": ("CAST(ROW(1, 2) AS ROW(a int, b int))", "CAST(ROW(1, 2) AS ROW(b int, a int))", ""),
    "field": ("CAST(ROW(1) AS ROW(a integer))", "CAST(ROW(1) AS ROW(b integer))", ""),
    "inside": ("CAST(ROW(1) AS ROW(a bigint))", "CAST(ROW(1.9) AS ROW(a double))", "row(a double)"),
}  # fmt: skip


def test_a_value_that_would_be_changed_is_refused_with_the_difference(way: Way) -> None:
    fitting = {name: first for name, (first, _, _) in UNLIKE.items()}
    way.write(", ".join(f'{value} AS "{name}"' for name, value in fitting.items()))
    before, rows = way.lab.partitions("orders"), stored(way.lab, "*")
    for name, (_, unlike, difference) in UNLIKE.items():
        columns = ", ".join(f'{value} AS "{column}"' for column, value in (fitting | {name: unlike}).items())
        with pytest.raises(AirflowFailException, match=f"(?s)does not fit table.*{re.escape(difference)}"):
            way.write(columns)
        assert stored(way.lab, "*") == rows
        assert way.lab.partitions("orders") == before
    assert temporary_tables(way.lab) == set()


def test_a_text_longer_than_its_column_is_refused(way: Way) -> None:
    way.make_table("s varchar(3)")
    way.write("'abc' AS s")
    with pytest.raises(AirflowFailException, match=r"(?s)fit.*the table has varchar\(3\)"):
        way.write("'abcdef' AS s")
    assert stored(way.lab, "s") == [("abc",)]


OTHER_NAMES = [
    ("1 AS m, 2 AS kept", r"n \(int\): missing in the result.*m: not a column of the table"),
    ("1 AS n, 2 AS kept, 3 AS extra", "extra: not a column of the table"),
    ("1 AS n", r"kept \(int\): missing in the result"),
    ("1 AS n, 1 AS n, 2 AS kept", "n: 2 times in the result"),
    ("1 AS n, 1 AS N, 2 AS kept", "n: 2 times in the result"),
]


def test_other_columns_than_the_tables_are_refused_with_the_difference(way: Way) -> None:
    way.write("1 AS n, 2 AS kept")
    before, rows = way.lab.partitions("orders"), stored(way.lab, "*")
    for columns, difference in OTHER_NAMES:
        with pytest.raises(AirflowFailException, match=f"(?s)does not fit table.*{difference}"):
            way.write(columns)
        assert stored(way.lab, "*") == rows
        assert way.lab.partitions("orders") == before
    assert temporary_tables(way.lab) == set()


def test_two_columns_of_one_name_in_a_first_result_are_refused(way: Way) -> None:
    with pytest.raises(AirflowFailException, match=r"(?s)does not fit table.*n: 2 times in the result"):
        way.write("1 AS n, 2 AS n")
    assert way.lab.tables() == set()
    assert data_keys(way.lab) == set()


def test_a_column_without_a_name_in_a_first_result_is_refused(way: Way) -> None:
    with pytest.raises(AirflowFailException, match=r"(?i)column.*name"):
        way.write("1 + 1, 2 AS n")
    assert way.lab.tables() == set()
    assert data_keys(way.lab) == set()


# ----------------------------------------------------------------------------------------- a key with a value


@pytest.mark.parametrize("writer", ["ctas", "unload"])
def test_a_key_with_a_value_given_is_refused_in_the_result(lab: Lab, writer: str) -> None:
    overwrite(lab, values((1, "a")), writer=writer)
    with pytest.raises(AirflowFailException, match=r"(?s)fit.*dt: a partition key with a value given"):
        overwrite(lab, "SELECT 1 AS id, 'b' AS note, '2026-01-01' AS dt", writer=writer)
    assert stored(lab) == [("1", "a", "2026-01-01")]


@pytest.mark.parametrize("writer", ["ctas", "unload"])
@pytest.mark.parametrize(
    ("query", "partition"),
    [
        ("SELECT 1 AS id, '2026-01-01' AS dt", DAY),
        ("SELECT 1 AS id, '2026-01-01' AS Dt", DAY),
        ("SELECT 1 AS id, '2026-01-01' AS dt, 'ch' AS country", DAY),
        ("SELECT 1 AS id, '2026-01-01' AS dt, 'ch' AS country", {"country": "ch"}),
    ],
)
def test_a_key_with_a_value_given_is_refused_in_a_first_result_before_a_file_is_written(
    lab: Lab, writer: str, query: str, partition: dict[str, str]
) -> None:
    keys = ("dt", "country") if "country" in query else ("dt",)
    (given,) = partition
    with pytest.raises(AirflowFailException, match=f"{given}: a partition key with a value given"):
        overwrite(lab, query, partition, partitioned_by=keys, writer=writer)
    assert lab.tables() == set()
    assert {key for key in lab.keys(BASE) if not key.startswith(JOURNAL)} == set()


# ------------------------------------------------------------------------------------------- the query's text


def test_a_semicolon_or_comment_at_the_end_does_no_harm(way: Way) -> None:
    key = ", '2026-01-01' AS dt" if way.is_set else ""
    for number, tail in enumerate([";", " -- as it comes", "\n/* done */ ;\n", " -- no; not yet\n;"]):
        query = f"SELECT {number} AS id, 'a;b' AS note{key}{tail}"
        overwrite(way.lab, query, {} if way.is_set else DAY, partitioned_by=["dt"], **way.arguments)
        assert stored(way.lab, "id, note") == [(str(number), "a;b")]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("double", "CAST(9007199254740993 AS bigint)"),
        ("real", "CAST(16777217 AS integer)"),
        ("double", "CAST(DECIMAL '0.1234567890123456789' AS decimal(20,19))"),
    ],
)
def test_a_number_that_would_be_rounded_to_a_floating_one_is_refused(way: Way, kind: str, value: str) -> None:
    way.write(f"CAST(1 AS {kind}) AS n")
    with pytest.raises(AirflowFailException, match="does not fit table"):
        way.write(f"{value} AS n")
    assert stored(way.lab, "n") == [("1.0",)]
