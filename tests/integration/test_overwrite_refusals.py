"""What an overwrite refuses before anything is written, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_quilt_athena.exceptions import InvalidCallError
from tests.integration.lab import Lab
from tests.integration.overwriting import BASE, overwrite, overwrite_task, queries, stored, values

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        ("CREATE VIEW orders AS SELECT 1 AS id", "view"),
        (
            "CREATE EXTERNAL TABLE orders (id int) PARTITIONED BY (dt string) STORED AS PARQUET LOCATION "
            "'s3://{bucket}/warehouse/orders/' TBLPROPERTIES ('projection.enabled' = 'true')",
            "projection",
        ),
        (
            "CREATE EXTERNAL TABLE orders (id int) PARTITIONED BY (dt string) STORED AS PARQUET LOCATION "
            "'s3://{bucket}/'",
            "root of a bucket",
        ),
        (
            "CREATE EXTERNAL TABLE orders (id int) STORED AS PARQUET LOCATION 's3://{bucket}/warehouse/orders/'",
            "no partition keys",
        ),
        (
            "CREATE EXTERNAL TABLE orders (id int) PARTITIONED BY (day string) STORED AS PARQUET LOCATION "
            "'s3://{bucket}/warehouse/orders/'",
            "names dt; the keys are day",
        ),
    ],
)
def test_a_table_that_cannot_be_overwritten_is_refused(lab: Lab, ddl: str, message: str) -> None:
    lab.run(ddl.replace("{bucket}", lab.bucket))
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=message):
        overwrite(lab, "SELECT 1 AS id", location=None)
    assert lab.started() == []


def test_a_query_too_long_for_athena_is_refused(lab: Lab) -> None:
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match="262,144"):
        overwrite(lab, f"SELECT '{'x' * 262_144}' AS s")
    assert lab.started() == []


def test_a_new_table_without_a_place_is_refused(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match="Expected location"):
        overwrite(lab, values((1, "a")), location=None)


def test_a_query_that_fails_by_itself_says_why(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    with pytest.raises(AirflowFailException, match=r"(?s)no_such_column.*user error"):
        overwrite(lab, "SELECT no_such_column AS id, 'x' AS note FROM orders")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "0 statements"),
        ("SELECT 1 AS id; SELECT 2 AS id", "2 statements"),
        ("DELETE FROM orders", "begins with 'DELETE'"),
        ("INSERT INTO orders SELECT 1", "begins with 'INSERT'"),
    ],
)
def test_what_is_not_one_query_is_refused(lab: Lab, query: str, message: str) -> None:
    refuses(lab, message, query=query)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "a.b.c"}, "names a catalog"),
        ({"table": ""}, "Not a table's name"),
        (
            {"partition": {"dt": "d", "day": "d"}, "partitioned_by": ["dt"]},
            "partition names day; the keys are dt",
        ),
        ({"partition": "d", "partitioned_by": ["dt", "country"]}, "one value 'd', but the keys are dt"),
        ({"partition": {"dt": "31.01.2026"}, "partitioned_by": {"dt": "date"}}, "is not a date"),
        ({"partition": {"n": "1.5"}, "partitioned_by": {"n": "int"}}, "is not a int"),
        ({"partition": {"n": "3000000000"}, "partitioned_by": {"n": "int"}}, "is not a int"),
        ({"compression_level": 3}, "only ZSTD has levels"),
        ({"bucketed_by": ["id"]}, "bucketed_by and bucket_count go together"),
        ({"location": "s3://{bucket}/"}, "root of a bucket"),
        ({"generations_location": "s3://{bucket}/"}, "root of a bucket"),
        ({"generations_location": "s3://{bucket}/warehouse/orders/new/"}, "inside the table's folder"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(lab: Lab, arguments: dict[str, Any], message: str) -> None:
    refuses(lab, message, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replace": "everything"}, "replace is 'everything'. Expected one of partitions, table"),
        ({"on_empty": "explode"}, "on_empty is 'explode'"),
        ({"on_failed_audit": "explode"}, "on_failed_audit is 'explode'"),
        ({"writer": "hand"}, "writer is 'hand'"),
        ({"file_format": "CSV"}, "file_format is 'CSV'"),
        ({"retain": "5m"}, "shorter than 30m"),
        ({"retain": "a day"}, "Expected a number with m, h or d"),
        ({"bucketed_by": ["id"], "bucket_count": 101}, "Expected a whole number from 1 to 100"),
        ({"max_parallel_queries": 0}, "Expected a whole number of 1 or more"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused_while_its_dag_is_parsed(
    lab: Lab, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCallError) as caught:
        overwrite_task(lab, "SELECT 1 AS id", **arguments)
    assert message in str(caught.value)


def refuses(lab: Lab, message: str, query: str = "SELECT 1 AS id", **arguments: Any) -> None:
    """Expect the refusal, no query, and no object but what was there."""
    before, tables = lab.keys(), lab.tables()
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException) as caught:
        overwrite(lab, query, **{k: place(lab, v) for k, v in arguments.items()})
    assert message in str(caught.value)
    assert lab.started() == []
    assert lab.keys() == before
    assert lab.tables() == tables


def place(lab: Lab, value: Any) -> Any:
    return value.replace("{bucket}", lab.bucket) if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"partitioned_by": {"dt": "date"}}, "partitioned_by is dt (date), but table"),
        ({"file_format": "ORC"}, "file_format is ORC, but table"),
        ({"location": "s3://{bucket}/warehouse/elsewhere/"}, "does not move a table"),
        ({"bucketed_by": ["id"], "bucket_count": 4}, "no buckets"),
    ],
)
def test_what_says_otherwise_than_the_table_is_refused(
    lab: Lab, arguments: dict[str, Any], message: str
) -> None:
    overwrite(lab, values((1, "a")))
    refuses(lab, message, query=values((2, "b")), **arguments)
    assert stored(lab) == [("1", "a", "2026-01-01")]


@pytest.mark.parametrize(
    ("ddl", "message"),
    [
        (
            "CREATE EXTERNAL TABLE orders (id int) PARTITIONED BY (dt string) {serde} LOCATION '{place}'",
            "its SerDe is",
        ),
        (
            "CREATE EXTERNAL TABLE orders (id int) PARTITIONED BY (dt string) ROW FORMAT DELIMITED "
            "FIELDS TERMINATED BY ',' ESCAPED BY '|' LOCATION '{place}'",
            "properties escape.delim",
        ),
        (
            "CREATE EXTERNAL TABLE orders (id int) PARTITIONED BY (dt string) ROW FORMAT DELIMITED "
            "FIELDS TERMINATED BY ',' LOCATION '{place}' TBLPROPERTIES ('skip.header.line.count' = '1')",
            "skips header lines",
        ),
        (
            "CREATE EXTERNAL TABLE orders (id int) PARTITIONED BY (dt string) STORED AS PARQUET "
            "LOCATION '{place}' TBLPROPERTIES ('spark.sql.sources.provider' = 'delta')",
            "type delta",
        ),
    ],
)
def test_a_table_that_would_read_rows_back_otherwise_is_refused(lab: Lab, ddl: str, message: str) -> None:
    serde = "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'"
    lab.run(ddl.replace("{place}", f"s3://{lab.bucket}/{BASE}").replace("{serde}", serde))
    refuses(lab, message)


def test_a_workgroup_that_is_disabled_is_refused(lab: Lab) -> None:
    lab.client("athena").update_work_group(WorkGroup=lab.workgroup, State="DISABLED")
    refuses(lab, "is disabled")


def test_a_query_that_its_wrapping_makes_too_long_is_refused(lab: Lab) -> None:
    overwrite(lab, "SELECT 'a' AS s")
    padding = 262_144 - len("SELECT '' AS s") - 10  # fits by itself, not with what is written around it
    refuses(lab, "262,144", query=f"SELECT '{'x' * padding}' AS s")


def test_the_longest_query_that_fits_runs(lab: Lab) -> None:
    text = "x" * 200_000
    with queries(lab) as sent:
        overwrite(lab, f"SELECT length('{text}') AS n")
    assert len(sent) == 1
    assert lab.rows("SELECT n FROM orders") == [("200000",)]
