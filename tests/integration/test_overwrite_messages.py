"""What a failed overwrite tells: the user's own lines, column, types and cast, and what to run first."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_quilt_athena.operators.rollback_partitions import RollbackPartitionsOperator
from tests.integration.lab import Lab
from tests.integration.overwriting import overwrite, queries, stored, values

COLUMNS = "id bigint, note string, at timestamp, place struct<x:int,y:string>"
GOOD = {
    "id": "1",
    "note": "'a'",
    "at": "TIMESTAMP '2026-01-01 00:00:00'",
    "place": "CAST(ROW(1, 'y') AS row(x integer, y varchar))",
}


@pytest.fixture
def table(lab: Lab) -> Lab:
    place = f"s3://{lab.bucket}/warehouse/orders/"
    lab.run(
        f"CREATE EXTERNAL TABLE orders ({COLUMNS}) PARTITIONED BY (dt string) STORED AS PARQUET "
        f"LOCATION '{place}'"
    )
    return lab


def query(**columns: str) -> str:
    return "SELECT " + ",\n  ".join(f"{value} AS {name}" for name, value in {**GOOD, **columns}.items())


def told(lab: Lab, sql: str, **arguments: object) -> str:
    with pytest.raises(AirflowFailException) as caught:
        overwrite(lab, sql, **arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("SELECT 1 AS id,\n  nope AS note", "line 2:3:"),
        ("\n\n   SELECT 1 AS id,\n  nope AS note", "line 4:3:"),
        ("-- first\nSELECT 1 AS id, 'a' AS note\nFROM\n  nowhere;\n", "line 4:3:"),
        ("SELECT 1 AS id,\nFROM x", "line 2:1:"),
    ],
)
@pytest.mark.parametrize("partition", [{"dt": "2026-01-01"}, {}])
def test_lines_and_columns_are_those_of_the_query_as_it_was_written(
    table: Lab, sql: str, place: str, partition: object
) -> None:
    message = told(table, sql, partition=partition, partitioned_by=["dt"])
    assert place in message
    assert message.count("line ") == 1


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (
            {"id": "'x'"},
            'id: the table has bigint, the result varchar(1). Write CAST("id" AS bigint) AS "id"',
        ),
        (
            {"id": "1.5"},
            'id: the table has bigint, the result decimal(2,1). Write CAST("id" AS bigint) AS "id"',
        ),
        ({"id": "1E0"}, 'id: the table has bigint, the result double. Write CAST("id" AS bigint) AS "id"'),
        (
            {"at": "TIMESTAMP '2026-01-01 00:00:00.123456'"},
            'at: the table has timestamp, the result timestamp(6). Write CAST("at" AS timestamp(3)) AS "at"',
        ),
        (
            {"place": "CAST(ROW('y', 1) AS row(y varchar, x integer))"},
            'Its fields are in another order. Write CAST(ROW("place"."x", "place"."y") AS '
            'row("x" integer, "y" varchar)) AS "place"',
        ),
        ({"dt": "'2026-01-01'"}, "dt: a partition key with a value given; leave it out of the query"),
    ],
)
def test_what_does_not_fit_names_the_column_both_types_and_the_cast(
    table: Lab, columns: dict[str, str], line: str
) -> None:
    message = told(table, query(**columns))
    assert line in message
    assert "not a column of the table" not in message
    assert table.partitions("orders") == []


def test_the_cast_that_is_told_makes_the_row_fit(table: Lab) -> None:
    swapped = query(place="CAST(ROW('y', 1) AS row(y varchar, x integer))", id="'7'")
    cast = (
        'SELECT CAST("id" AS bigint) AS "id", note, at, CAST(ROW("place"."x", "place"."y") AS '
        f'row("x" integer, "y" varchar)) AS "place" FROM (\n{swapped})'
    )
    overwrite(table, cast)
    assert table.rows("SELECT id, place.x, place.y FROM orders") == [("7", "1", "y")]


@pytest.mark.parametrize(
    ("column", "line"),
    [
        ("TIMESTAMP '2026-01-01 00:00:00.123456'", 'c: a table cannot keep timestamp(6). Write CAST("c" AS'),
        ("current_timestamp", "AT TIME ZONE 'UTC' AS timestamp(3)) AS \"c\""),
        ("json_parse('{}')", 'c: a table cannot keep json. Write json_format("c") AS "c"'),
    ],
)
def test_what_no_new_table_keeps_is_named_with_its_column_and_cast(lab: Lab, column: str, line: str) -> None:
    assert line in told(lab, f"SELECT 1 AS id, {column} AS c")


@pytest.mark.parametrize("partition", [{"dt": "2026-01-31"}, {}], ids=["one partition", "a set"])
@pytest.mark.parametrize(
    "argument", [{"column_comments": {"gone": "x"}}, {"bucketed_by": ["gone"], "bucket_count": 2}]
)
def test_columns_that_a_new_table_will_not_have_are_refused_before_a_row_is_read(
    lab: Lab, argument: dict[str, object], partition: dict[str, str]
) -> None:
    key = "" if partition else ", '2026-01-31' AS dt"
    with queries(lab) as sent:
        message = told(lab, f"SELECT 1 AS id{key}", partition=partition, partitioned_by=["dt"], **argument)
    assert "gone" in message
    assert lab.tables() == set()
    reading = [one for one in sent if "WITH NO DATA" not in one and "WHERE false" not in one]
    # The engine itself refuses buckets of a column that is not there, before it reads.
    assert len(reading) == (1 if partition and "bucketed_by" in argument else 0)


def test_a_comment_on_a_column_that_a_table_does_not_have_is_refused_before_a_query(table: Lab) -> None:
    table.aws.clear_calls()
    assert "column_comments names gone" in told(table, query(), column_comments={"gone": "x"})
    assert table.started() == []


def test_a_missing_view_or_workgroup_says_which_operator_to_run_first(lab: Lab) -> None:
    message = told(lab, "SELECT pkg_name AS note FROM acme_quilt_entries")
    assert "Run CreateBucketViewsOperator" in message
    message = told(lab, "SELECT 1 AS id", workgroup="nowhere")
    assert "nowhere" in message
    assert "Run ProvisionQuiltAthenaOperator" in message


def test_a_database_that_is_not_there_is_refused_before_a_query(lab: Lab) -> None:
    lab.aws.clear_calls()
    message = told(lab, "SELECT 1 AS id", table="gone.orders")
    assert "no database gone" in message
    assert lab.started() == []


def test_a_rollback_of_what_never_was_names_table_and_partition(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    task = RollbackPartitionsOperator(
        task_id="r", table="orders", database=lab.database, partitions={"dt": "1999-01-01"}
    )
    with pytest.raises(AirflowFailException, match=rf"1999-01-01.*{lab.database}\.orders"):
        lab.run_task(task)
    assert stored(lab) == [("1", "a", "2026-01-01")]
