from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from airflow_quilt_athena.core.attempts import Attempt
from airflow_quilt_athena.core.overwrite import (
    OverwriteRequest,
    WriteFacts,
    build_partition_input,
    build_table_input,
    parse_partitioned_by,
    parse_retain,
    plan_format,
    plan_generation,
    plan_keys,
    plan_values,
    refuse_keys_as_columns,
    refuse_other_location,
)
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.core.schema import differences, name_differences
from airflow_quilt_athena.core.tables import FileFormat, Table, TableName, parse_table, refuse_unwritable
from airflow_quilt_athena.exceptions import InvalidCallError

ATTEMPT = Attempt("dag/task/-1/run/0", "1f2e3d4c")
PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
CSV = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
BASE = S3Uri("lake", "sales/orders/")


def glue_table(**changes: Any) -> dict[str, Any]:
    table: dict[str, Any] = {
        "DatabaseName": "sales",
        "Name": "orders",
        "VersionId": "3",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "dt", "Type": "string"}],
        "Parameters": {"owner": "me"},
        "StorageDescriptor": {
            "Columns": [{"Name": "id", "Type": "bigint"}, {"Name": "note", "Type": "string"}],
            "Location": "s3://lake/sales/orders",
            "InputFormat": "in",
            "OutputFormat": "out",
            "SerdeInfo": {"SerializationLibrary": PARQUET, "Parameters": {"serialization.format": "1"}},
        },
    }
    descriptor = table["StorageDescriptor"]
    descriptor |= changes.pop("descriptor", {})
    return table | changes


def table(**changes: Any) -> Table:
    return parse_table(glue_table(**changes))


def request(**changes: Any) -> OverwriteRequest:
    arguments: dict[str, Any] = {
        "query": "SELECT 1",
        "table": TableName("sales", "orders"),
        "partition": {"dt": "2026-01-01"},
        "database": "sales",
        "workgroup": "wg",
    }
    return OverwriteRequest(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TableType": "VIRTUAL_VIEW"}, "view"),
        ({"TargetTable": {"Name": "x"}}, "link"),
        ({"Parameters": {"table_type": "ICEBERG"}}, "iceberg"),
        ({"Parameters": {"projection.enabled": "true"}}, "projection"),
        ({"descriptor": {"BucketColumns": ["id"]}}, "bucketed"),
        ({"descriptor": {"Location": "s3://lake"}}, "root of a bucket"),
        ({"descriptor": {"Location": "s3://lake/"}}, "root of a bucket"),
        ({"Parameters": {"quilt_athena.base": "s3://lake/"}}, "root of a bucket"),
        ({"descriptor": {"Location": None}}, "no location"),
        ({"descriptor": {"SerdeInfo": {"SerializationLibrary": "org.OpenCSVSerde"}}}, "OpenCSVSerde"),
        (
            {
                "descriptor": {
                    "SerdeInfo": {"SerializationLibrary": CSV, "Parameters": {"escape.delim": "\\"}}
                }
            },
            "escape.delim",
        ),
        (
            {
                "descriptor": {"SerdeInfo": {"SerializationLibrary": CSV}},
                "Parameters": {"skip.header.line.count": "1"},
            },
            "header",
        ),
    ],
)
def test_a_table_whose_partitions_cannot_be_overwritten_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCallError, match=f"(?s)sales.orders.*{message}"):
        refuse_unwritable(table(**changes))


def test_a_plain_hive_table_is_not_refused() -> None:
    refuse_unwritable(table())


@pytest.mark.parametrize("value", [None, "", "None", "  "])
def test_a_partition_without_a_value_is_refused(value: Any) -> None:
    with pytest.raises(InvalidCallError, match="dt"):
        plan_values((("dt", "string"),), {"dt": value})


@pytest.mark.parametrize(
    ("hive_type", "value", "canonical"),
    [
        ("string", "01", "01"),
        ("int", "01", "1"),
        ("date", date(2026, 1, 2), "2026-01-02"),
        ("bigint", 7, "7"),
        ("string", "a b/c'd=e%f:g", "a b/c'd=e%f:g"),
    ],
)
def test_values_are_canonical_for_their_type(hive_type: str, value: Any, canonical: str) -> None:
    assert plan_values((("k", hive_type),), {"K": value}) == (canonical,)


def test_values_come_in_the_order_of_the_keys() -> None:
    assert plan_values((("a", "string"), ("b", "int")), {"b": 2, "a": "x"}) == ("x", "2")


def test_a_bare_value_is_that_of_the_only_key() -> None:
    assert plan_values((("dt", "date"),), "2026-01-01") == ("2026-01-01",)
    with pytest.raises(InvalidCallError, match="mapping"):
        plan_values((("a", "string"), ("b", "string")), "x")


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ({"dt": "x", "country": "ch"}, "names country"),
        ({}, "no value for dt"),
        ({"dt": "2026-02-30"}, "not a date"),
    ],
)
def test_keys_that_do_not_fit_are_refused(partition: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        plan_values((("dt", "date"),), partition)


def test_the_keys_of_a_new_table_are_strings_unless_told_otherwise() -> None:
    assert plan_keys(None, request()) == (("dt", "string"),)
    assert plan_keys(None, request(partitioned_by=parse_partitioned_by({"dt": "date"}))) == (("dt", "date"),)
    assert plan_keys(None, request(partitioned_by=parse_partitioned_by("dt"))) == (("dt", "string"),)


def test_a_new_table_without_keys_is_refused() -> None:
    with pytest.raises(InvalidCallError, match="partitioned_by"):
        plan_keys(None, request(partition="2026-01-01"))


def test_keys_other_than_the_tables_are_refused() -> None:
    with pytest.raises(InvalidCallError, match=r"dt \(date\).*dt \(string\)"):
        plan_keys(table(), request(partitioned_by=(("dt", "date"),)))
    with pytest.raises(InvalidCallError, match="no partition keys"):
        plan_keys(table(PartitionKeys=[]), request())


def test_a_generation_lies_in_a_dot_folder_of_the_base_and_in_no_partition_folder() -> None:
    keys = (("dt", "string"), ("note", "string"))
    generation = plan_generation(BASE, keys, ("2026-01-01", "a/b: c"), ATTEMPT, None)
    assert str(generation) == (
        f"s3://lake/sales/orders/.generations/dt=2026-01-01/note=a%2Fb%3A c/{ATTEMPT.name}/"
    )
    assert ATTEMPT.name[0].isalpha()


def test_generations_may_lie_elsewhere_but_not_where_readers_of_the_table_look() -> None:
    keys = (("dt", "string"),)
    elsewhere = plan_generation(BASE, keys, ("x",), ATTEMPT, S3Uri("other", "gen"))
    assert str(elsewhere) == f"s3://other/gen/dt=x/{ATTEMPT.name}/"
    for place in (S3Uri("lake", "sales/orders/gen/"), S3Uri("other")):
        with pytest.raises(InvalidCallError, match="generations_location"):
            plan_generation(BASE, keys, ("x",), ATTEMPT, place)


def test_two_attempts_of_one_task_share_nothing() -> None:
    other = Attempt(ATTEMPT.task_key, "2")
    same = Attempt(ATTEMPT.task_key, ATTEMPT.submission)

    def names(attempt: Attempt) -> list[str]:
        return [attempt.name, str(attempt.temporary_table("db")), attempt.token("SELECT 1")]

    assert names(same) == names(ATTEMPT)
    assert not set(names(other)) & set(names(ATTEMPT))


def test_the_token_changes_with_the_sql_and_is_of_athenas_length() -> None:
    assert ATTEMPT.token("SELECT 1") != ATTEMPT.token("SELECT 2")
    assert 32 <= len(ATTEMPT.token("SELECT 1")) <= 128


def test_a_published_partition_takes_every_field_from_the_table() -> None:
    previous = {
        "Values": ["2026-01-01"],
        "StorageDescriptor": {"Location": "s3://lake/old/", "Columns": [{"Name": "drifted", "Type": "int"}]},
        "Parameters": {"numRows": "5", "quilt_athena.rows": "5", "team": "blue"},
    }
    facts = WriteFacts("q1", 7, "dag/task", datetime(2026, 1, 2, tzinfo=UTC))
    location = S3Uri("lake", "sales/orders/.generations/dt=2026-01-01/a1/")
    built = build_partition_input(
        table(), ("2026-01-01",), location, attempt=ATTEMPT, facts=facts, previous=previous
    )
    expected_descriptor = glue_table()["StorageDescriptor"] | {"Location": str(location)}
    assert built == {
        "Values": ["2026-01-01"],
        "StorageDescriptor": expected_descriptor,
        "Parameters": {
            "team": "blue",
            "quilt_athena.generation": ATTEMPT.name,
            "quilt_athena.previous_location": "s3://lake/old/",
            "quilt_athena.query_id": "q1",
            "quilt_athena.rows": "7",
            "quilt_athena.written_by": "dag/task",
            "quilt_athena.written_at": "2026-01-02T00:00:00+00:00",
        },
    }


def test_a_created_table_has_the_results_columns_without_lengths() -> None:
    staged = table(
        Name="tmp",
        PartitionKeys=[],
        descriptor={"Columns": [{"Name": "code", "Type": "varchar(3)"}], "Location": "s3://lake/gen/"},
    )
    asked = request(table_properties={"team": "blue"}, compression="zstd")
    built = build_table_input(asked, staged, (("dt", "date"),), BASE, FileFormat.PARQUET)
    assert built["Name"] == "orders"
    assert built["StorageDescriptor"]["Columns"] == [{"Name": "code", "Type": "string"}]
    assert built["StorageDescriptor"]["Location"] == str(BASE)
    assert built["PartitionKeys"] == [{"Name": "dt", "Type": "date"}]
    assert built["Parameters"]["quilt_athena.base"] == str(BASE)
    assert built["Parameters"]["team"] == "blue"
    assert parse_table({**built, "DatabaseName": "sales"}).compression == "ZSTD"


def test_a_partition_key_among_the_results_columns_is_refused() -> None:
    staged = table(descriptor={"Columns": [{"Name": "DT", "Type": "string"}]})
    with pytest.raises(InvalidCallError, match="dt"):
        refuse_keys_as_columns(staged, (("dt", "string"),))


def test_a_format_or_place_other_than_the_tables_is_refused() -> None:
    assert plan_format(table(), request()) is FileFormat.PARQUET
    assert plan_format(None, request()) is FileFormat.PARQUET
    with pytest.raises(InvalidCallError, match=r"ORC.*PARQUET"):
        plan_format(table(), request(file_format=FileFormat.ORC))
    refuse_other_location(table(), S3Uri("lake", "sales/orders"))
    with pytest.raises(InvalidCallError, match="s3://lake/sales/orders2/"):
        refuse_other_location(table(), S3Uri("lake", "sales/orders2"))


def test_column_differences_are_all_shown() -> None:
    expected = (("a", "int"), ("b", "struct<x:int,y:string>"), ("c", "string"), ("d", "date"))
    found = (("b", "struct<y:string,x:int>"), ("a", "INTEGER"), ("c", "double"), ("e", "int"))
    lines = "\n".join(differences(expected, found))
    assert "d (date): missing" in lines
    assert "e: not a column" in lines
    assert "b: the table has struct<x:int,y:string>" in lines
    assert "c: the table has string, the result double" in lines
    assert "a:" not in lines
    assert name_differences((("a", "int"),), ["A"]) == ()


@pytest.mark.parametrize(
    ("text", "retain"),
    [("24h", timedelta(days=1)), ("30m", timedelta(minutes=30)), ("7d", timedelta(days=7))],
)
def test_a_retention_is_read(text: str, retain: timedelta) -> None:
    assert parse_retain(text) == retain


@pytest.mark.parametrize("text", ["29m", "0h", "1w", "soon", ""])
def test_a_retention_shorter_than_a_readers_query_is_refused(text: str) -> None:
    with pytest.raises(InvalidCallError, match="retain"):
        parse_retain(text)


@pytest.mark.parametrize("text", ["", ".", "a.", "catalog.db.table"])
def test_a_table_of_another_catalog_or_no_table_is_refused(text: str) -> None:
    with pytest.raises(InvalidCallError, match="table"):
        TableName.parse(text, "db")


def test_a_table_name_is_in_glues_lower_case() -> None:
    assert str(TableName.parse("Orders", "Sales")) == "sales.orders"
    assert str(TableName.parse("X.Orders", "Sales")) == "x.orders"
