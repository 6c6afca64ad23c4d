"""Sets of partitions: the result says which ones it has. Expected rows are the Python values put in."""

from __future__ import annotations

import math
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from tests.integration.lab import Lab, Rows
from tests.integration.overwriting import (
    BASE,
    actions,
    data_keys,
    literal,
    overwrite,
    queries,
    registered,
    select,
    sorted_rows,
    stored,
    sweep_later,
    table,
    temporary_tables,
)

pytestmark = pytest.mark.integration

KEYS = ["dt", "country"]
COLUMNS = "id, dt, country"

OLD = [(1, "d1", "ch"), (2, "d1", "de"), (3, "d2", "ch"), (4, "d2", "de")]


def write_old(lab: Lab) -> None:
    overwrite(lab, select(COLUMNS, OLD), {}, partitioned_by=KEYS)
    assert stored(lab, COLUMNS) == sorted_rows(OLD)


# ----------------------------------------------------------------------------------------------- which ones


def test_below_a_prefix_vanished_partitions_go_and_new_ones_come(lab: Lab) -> None:
    write_old(lab)
    ran = overwrite(lab, select("id, country", [(5, "de"), (6, "fr")]), {"dt": "d1"})
    assert stored(lab, COLUMNS) == sorted_rows([(5, "d1", "de"), (6, "d1", "fr"), *OLD[2:]])
    assert registered(lab).keys() == {("d1", "de"), ("d1", "fr"), ("d2", "ch"), ("d2", "de")}
    assert actions(ran) == {("d1", "ch"): "removed", ("d1", "de"): "replaced", ("d1", "fr"): "created"}
    assert ran.result["rows"] == 2
    assert temporary_tables(lab) == set()


def test_a_removed_partition_says_where_it_was(lab: Lab) -> None:
    write_old(lab)
    before = registered(lab)
    ran = overwrite(lab, select("id, country", [(5, "de")]), {"dt": "d1"})
    (gone,) = [found for found in ran.result["partitions"] if found["action"] == "removed"]
    assert gone["values"] == {"dt": "d1", "country": "ch"}
    assert gone["previous_location"] == f"s3://{lab.bucket}/{before['d1', 'ch']}"
    assert gone["previous_generation"] in before["d1", "ch"]
    assert (gone["location"], gone["generation"], gone["rows"]) == (None, None, None)


def test_the_second_key_alone_may_be_given(lab: Lab) -> None:
    write_old(lab)
    overwrite(lab, select("id, dt", [(5, "d2"), (6, "d3")]), {"country": "ch"})
    expected = [(2, "d1", "de"), (4, "d2", "de"), (5, "d2", "ch"), (6, "d3", "ch")]
    assert stored(lab, COLUMNS) == sorted_rows(expected)
    assert registered(lab).keys() == {("d1", "de"), ("d2", "de"), ("d2", "ch"), ("d3", "ch")}


def test_without_a_prefix_no_other_partition_changes(lab: Lab) -> None:
    write_old(lab)
    before = registered(lab)
    ran = overwrite(lab, select(COLUMNS, [(5, "d1", "ch"), (6, "d3", "fr")]), {})
    assert stored(lab, COLUMNS) == sorted_rows([(5, "d1", "ch"), (6, "d3", "fr"), *OLD[1:]])
    assert actions(ran) == {("d1", "ch"): "replaced", ("d3", "fr"): "created"}
    untouched = before.keys() - {("d1", "ch")}
    assert {values: registered(lab)[values] for values in untouched} == {v: before[v] for v in untouched}


def test_the_whole_table_may_be_replaced(lab: Lab) -> None:
    write_old(lab)
    ran = overwrite(lab, select(COLUMNS, [(5, "d1", "ch"), (6, "d3", "fr")]), {}, replace="table")
    assert stored(lab, COLUMNS) == sorted_rows([(5, "d1", "ch"), (6, "d3", "fr")])
    assert registered(lab).keys() == {("d1", "ch"), ("d3", "fr")}
    assert sorted(actions(ran).values()) == ["created", "removed", "removed", "removed", "replaced"]


def test_replacing_the_table_beside_a_partition_is_refused(lab: Lab) -> None:
    write_old(lab)
    with pytest.raises(AirflowFailException, match=r"replace is .table., but partition names"):
        overwrite(lab, select("id, country", [(5, "de")]), {"dt": "d1"}, replace="table")
    assert stored(lab, COLUMNS) == sorted_rows(OLD)


def test_a_set_may_read_what_it_replaces(lab: Lab) -> None:
    write_old(lab)
    overwrite(lab, "SELECT id * 10 AS id, country FROM orders WHERE dt = 'd1'", {"dt": "d1"})
    assert stored(lab, COLUMNS) == sorted_rows([(10, "d1", "ch"), (20, "d1", "de"), *OLD[2:]])


# ------------------------------------------------------------------------------------------------- how many


@pytest.mark.parametrize("count", [101, 250])
def test_the_query_runs_once_however_many_partitions_it_has(lab: Lab, count: int) -> None:
    marker = f"sequence(1, {2 * count})"
    query = f"SELECT n AS id, 'p' || CAST(n % {count} AS varchar) AS k FROM UNNEST({marker}) AS t (n)"
    with queries(lab) as sent:
        first = overwrite(lab, query, {}, partitioned_by=["k"])
    slices = math.ceil(count / 100)
    assert len([sql for sql in sent if marker in sql]) == 1
    assert len(sent) == len(first.result["query_execution_ids"]) == 3 + slices
    expected = sorted_rows([(f"p{n}", 2, n + n + count if n else 3 * count) for n in range(count)])
    assert lab.rows("SELECT k, count(*), sum(id) FROM orders GROUP BY k") == expected

    with queries(lab) as sent:
        second = overwrite(lab, query.replace("SELECT n", "SELECT -n"), {})
    assert len([sql for sql in sent if marker in sql]) == 1
    assert len(sent) == 2 + slices
    assert set(actions(second).values()) == {"replaced"}
    expected = sorted_rows([(f"p{n}", 2, -(n + n + count if n else 3 * count)) for n in range(count)])
    assert lab.rows("SELECT k, count(*), sum(id) FROM orders GROUP BY k") == expected
    assert {found["rows"] for found in second.result["partitions"]} == {2}


# ---------------------------------------------------------------------------------------------------- values

AWKWARD = [
    "two words",
    "a/b",
    "a:b",
    "a=b",
    "100%",
    "%3A",
    "it's",
    'say "hi"',
    "#1?*",
    "a\\b",
    "{staged}",
    " x ",
]


def test_awkward_values_of_a_dynamic_key_name_one_partition_each(lab: Lab) -> None:
    for factor in (1, 10):
        rows = [(number * factor, value) for number, value in enumerate(AWKWARD)]
        overwrite(lab, select("id, k", rows), {}, partitioned_by=["k"])
        assert stored(lab, "id, k") == sorted_rows(rows)
    assert registered(lab).keys() == {(value,) for value in AWKWARD}
    for number, value in enumerate(AWKWARD):
        assert lab.rows(f"SELECT id FROM orders WHERE k = {literal(value)}") == [(str(number * 10),)]


def test_rows_without_a_value_are_one_partition(lab: Lab) -> None:
    for factor in (1, 10):
        rows = [
            (factor, None, "ch"),
            (2 * factor, "d1", None),
            (3 * factor, None, None),
            (4 * factor, "d1", "ch"),
        ]
        overwrite(lab, select(COLUMNS, rows), {}, partitioned_by=KEYS)
        assert stored(lab, COLUMNS) == sorted_rows(rows)
    assert lab.rows("SELECT id FROM orders WHERE dt IS NULL AND country = 'ch'") == [("10",)]
    assert len(registered(lab)) == 4


def test_a_partition_without_a_value_vanishes_as_others_do(lab: Lab) -> None:
    overwrite(lab, select("id, country", [(1, None), (2, "ch")]), {"dt": "d1"}, partitioned_by=KEYS)
    overwrite(lab, select("id, country", [(3, "ch")]), {"dt": "d1"})
    assert stored(lab, COLUMNS) == sorted_rows([(3, "d1", "ch")])
    assert registered(lab).keys() == {("d1", "ch")}


@pytest.mark.parametrize(
    ("hive_type", "cells", "texts", "predicate", "found"),
    [
        ("date", ["DATE '2026-01-31'", "DATE '2026-02-01'", "NULL"], ["2026-01-31", "2026-02-01", None],
         "k > DATE '2026-01-31'", [1]),
        ("int", ["CAST(7 AS integer)", "-1", "NULL"], ["7", "-1", None], "k < 0", [1]),
        ("bigint", ["CAST(3000000000 AS bigint)", "5", "NULL"], ["3000000000", "5", None], "k > 5", [0]),
        ("boolean", ["true", "false", "NULL"], ["true", "false", None], "NOT k", [1]),
        ("decimal(4,2)", ["CAST(1.5 AS decimal(4,2))", "CAST(2 AS decimal(4,2))", "NULL"],
         ["1.50", "2.00", None], "k < 2", [0]),
    ],
)  # fmt: skip
def test_typed_keys_of_a_result_are_partitions_by_type(
    lab: Lab, hive_type: str, cells: list[str], texts: list[str | None], predicate: str, found: list[int]
) -> None:
    for factor in (1, 10):
        rows = ", ".join(f"({number * factor}, {cell})" for number, cell in enumerate(cells))
        query = f"SELECT * FROM (VALUES {rows}) AS t (id, k)"
        ran = overwrite(lab, query, {}, partitioned_by={"k": hive_type})
        expected = [(number * factor, text) for number, text in enumerate(texts)]
        assert stored(lab, "id, k") == sorted_rows(expected)
    assert set(actions(ran).values()) == {"replaced"}
    assert len(registered(lab)) == len(cells)
    assert lab.rows(f"SELECT id FROM orders WHERE {predicate}") == sorted_rows([(n * 10,) for n in found])


def test_a_key_takes_smaller_whole_numbers(lab: Lab) -> None:
    overwrite(lab, "SELECT 1 AS id, CAST(7 AS smallint) AS k", {}, partitioned_by={"k": "bigint"})
    assert stored(lab, "id, k") == [("1", "7")]
    assert table(lab)["PartitionKeys"] == [{"Name": "k", "Type": "bigint"}]


@pytest.mark.parametrize("partition", [{}, {"dt": "d1"}])
def test_another_spelling_of_a_value_is_replaced_not_doubled(lab: Lab, partition: dict[str, str]) -> None:
    keys = {"dt": "string", "k": "int"}
    dt = "" if partition else "'d1' AS dt, "
    overwrite(lab, f"SELECT 1 AS id, {dt}1 AS k", partition, partitioned_by=keys)
    (found,) = lab.partitions("orders")
    glue = lab.client("glue")
    lab.run("ALTER TABLE orders DROP PARTITION (dt = 'd1', k = 1)")
    spelled = {"Values": ["d1", "01"], "StorageDescriptor": found["StorageDescriptor"]}
    glue.create_partition(DatabaseName=lab.database, TableName="orders", PartitionInput=spelled)
    assert stored(lab, "id, dt, k") == [("1", "d1", "1")]
    ran = overwrite(lab, f"SELECT 2 AS id, {dt}1 AS k", partition)
    assert stored(lab, "id, dt, k") == [("2", "d1", "1")]
    assert actions(ran) == {("d1", "1"): "replaced"}
    assert registered(lab).keys() == {("d1", "01")}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("Zürich", "printable ASCII"),
        ("東京", "printable ASCII"),
        ("a\tb", "printable ASCII"),
        ("", "reads back as NULL"),
        ("__HIVE_DEFAULT_PARTITION__", "reads back as NULL"),
    ],
)
def test_a_value_that_no_partition_can_have_is_refused_and_leaves_nothing(
    lab: Lab, value: str, reason: str
) -> None:
    overwrite(lab, select("id, k", [(1, "a")]), {}, partitioned_by=["k"])
    before, files = registered(lab), lab.keys(BASE)
    with pytest.raises(AirflowFailException, match=rf"(?s)partition key k.*{reason}"):
        overwrite(lab, select("id, k", [(2, "a"), (3, value)]), {})
    assert stored(lab, "id, k") == [("1", "a")]
    assert registered(lab) == before
    assert temporary_tables(lab) == set()
    sweep_later(lab)
    assert lab.keys(BASE) == files
    assert stored(lab, "id, k") == [("1", "a")]


def test_a_first_result_with_a_value_that_no_partition_can_have_makes_no_table(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match="printable ASCII"):
        overwrite(lab, select("id, k", [(3, "Zürich")]), {}, partitioned_by=["k"])
    assert lab.tables() == set()


def test_a_value_outside_ascii_may_be_given(lab: Lab) -> None:
    for number in (1, 2):
        overwrite(lab, f"SELECT {number} AS id", {"k": "Zürich"})
    assert stored(lab, "id, k") == [("2", "Zürich")]


# ------------------------------------------------------------------------------------------- empty results

NO_ROWS = "SELECT 1 AS id, 'd1' AS dt, 'ch' AS country WHERE 1 = 0"
NO_ROWS_BELOW = "SELECT 1 AS id, 'ch' AS country WHERE 1 = 0"


@pytest.mark.parametrize(
    ("query", "partition", "arguments", "left"),
    [
        (NO_ROWS_BELOW, {"dt": "d1"}, {}, OLD[2:]),
        (NO_ROWS, {}, {}, OLD),
        (NO_ROWS, {}, {"replace": "table"}, []),
    ],
    ids=["prefix", "no prefix", "table"],
)
def test_an_empty_result_removes_what_it_would_have_replaced(
    lab: Lab, query: str, partition: dict[str, str], arguments: dict[str, Any], left: Rows
) -> None:
    write_old(lab)
    ran = overwrite(lab, query, partition, **arguments)
    assert stored(lab, COLUMNS) == sorted_rows(left)
    assert registered(lab).keys() == {(dt, country) for _, dt, country in left}
    assert ran.result["rows"] == 0
    assert ran.result["outcome"] == "published"
    assert set(actions(ran).values()) <= {"removed"}


@pytest.mark.parametrize(("query", "partition"), [(NO_ROWS_BELOW, {"dt": "d1"}), (NO_ROWS, {})])
def test_an_empty_set_may_be_skipped_or_fail(lab: Lab, query: str, partition: dict[str, str]) -> None:
    write_old(lab)
    before = registered(lab)
    with pytest.raises(AirflowSkipException):
        overwrite(lab, query, partition, on_empty="skip")
    with pytest.raises(AirflowFailException, match="no rows"):
        overwrite(lab, query, partition, on_empty="fail")
    assert stored(lab, COLUMNS) == sorted_rows(OLD)
    assert registered(lab) == before
    assert temporary_tables(lab) == set()


@pytest.mark.parametrize(
    ("query", "partition"),
    [
        (NO_ROWS, {}),
        (NO_ROWS_BELOW, {"dt": "d1"}),
        ("SELECT 1 AS id WHERE 1 = 0", {"dt": "d1", "country": "ch"}),
    ],
    ids=["no prefix", "prefix", "partition"],
)
def test_an_empty_first_result_makes_the_table(lab: Lab, query: str, partition: dict[str, str]) -> None:
    overwrite(lab, query, partition, partitioned_by=KEYS)
    assert stored(lab, COLUMNS) == []
    assert [column["Name"] for column in table(lab)["StorageDescriptor"]["Columns"]] == ["id"]
    assert [column["Name"] for column in table(lab)["PartitionKeys"]] == KEYS
    write_old(lab)


# ------------------------------------------------------------------------------------------------ new tables


@pytest.mark.parametrize("file_format", ["PARQUET", "ORC", "JSON", "TEXTFILE"])
def test_a_new_table_of_any_format_is_made_from_a_set(lab: Lab, file_format: str) -> None:
    query = (
        "SELECT * FROM (VALUES (1, 'ä, \"b\"', 1.5e0, DATE '2026-01-02', 'k1'), (2, NULL, NULL, NULL, 'k2')) "
        "AS t (n, s, x, d, k)"
    )
    expected = sorted_rows([(1, 'ä, "b"', 1.5, "2026-01-02", "k1"), (2, None, None, None, "k2")])
    for clears in range(2):
        ran = overwrite(lab, query, {}, partitioned_by=["k"], file_format=file_format, clears=clears)
        assert stored(lab, "n, s, x, d, k") == expected
    assert set(actions(ran).values()) == {"replaced"}
    assert temporary_tables(lab) == set()


def test_the_rows_that_were_cut_into_slices_are_not_left(lab: Lab) -> None:
    write_old(lab)
    folders = tuple(registered(lab).values())
    assert all(key.startswith(folders) for key in data_keys(lab))


def test_keys_may_be_anywhere_in_the_result(lab: Lab) -> None:
    overwrite(lab, select("country, id, dt", [("ch", 1, "d1")]), {}, partitioned_by=KEYS)
    assert stored(lab, COLUMNS) == [("1", "d1", "ch")]


@pytest.mark.parametrize(
    ("query", "difference"),
    [
        (
            "SELECT 1 AS id, '2026-01-01' AS dt",
            r"dt: the partition key is of type date, the result has varchar",
        ),
        ("SELECT 1 AS id", "dt: the partition key is of type date, the result has no such column"),
        ("SELECT 1 AS id, TIMESTAMP '2026-01-01 01:00:00.000' AS dt", "date, the result has timestamp"),
    ],
)
def test_a_key_of_another_type_than_declared_is_refused(lab: Lab, query: str, difference: str) -> None:
    with pytest.raises(AirflowFailException, match=f"(?s)does not fit.*{difference}"):
        overwrite(lab, query, {}, partitioned_by={"dt": "date"})
    assert lab.tables() == set()


def test_a_table_of_keys_alone_is_refused(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match=r"(?i)column"):
        overwrite(lab, "SELECT 'a' AS k", {}, partitioned_by=["k"])
    assert lab.tables() == set()
