from __future__ import annotations

import pytest

from airflow_quilt_athena.core.ctas import (
    build_coerced_query,
    build_ctas,
    build_text_guard,
    check_passes,
    parse_query,
    render_check,
)
from airflow_quilt_athena.core.hive_types import parse_hive_type, without_lengths
from airflow_quilt_athena.core.s3 import S3Uri
from airflow_quilt_athena.core.tables import FileFormat, TableName
from airflow_quilt_athena.exceptions import InvalidCallError

TEMPORARY = TableName("db", "tmp_quilt_x")


def test_the_statement_that_stages_reads_as_written_here() -> None:
    query = build_coerced_query("SELECT b, a FROM t -- as it comes", (("a", "bigint"), ("b", "string")))
    sql = build_ctas(
        TEMPORARY,
        query,
        location=S3Uri("bucket", "t/.generations/dt=2026-01-01/a1"),
        file_format=FileFormat.PARQUET,
        compression="zstd",
    )
    assert (
        sql
        == '''\
CREATE TABLE "db"."tmp_quilt_x"
WITH (
  format = 'PARQUET',
  external_location = 's3://bucket/t/.generations/dt=2026-01-01/a1/',
  write_compression = 'ZSTD'
)
AS
WITH "quilt_result" AS (
SELECT b, a FROM t -- as it comes
)
SELECT
  CAST(NULL AS bigint) AS "a",
  CAST(NULL AS varchar) AS "b"
WHERE false AND EXISTS (SELECT * FROM "quilt_result" UNION ALL SELECT NULL, NULL)
UNION ALL
SELECT
  "a",
  "b"
FROM "quilt_result"'''
    )


def test_an_awkward_location_stays_one_literal() -> None:
    folder = S3Uri("b", "t/.generations/note=it%27s 10%3A30/a1")
    sql = build_ctas(TEMPORARY, "SELECT 1 AS a", location=folder, file_format=FileFormat.ORC)
    assert "external_location = 's3://b/t/.generations/note=it%27s 10%3A30/a1/'" in sql
    quoted = build_ctas(TEMPORARY, "SELECT 1 AS a", location=S3Uri("b", "o'b"), file_format=FileFormat.ORC)
    assert "'s3://b/o''b/'" in quoted


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT 1 AS a;", "SELECT 1 AS a"),
        ("SELECT ';' AS a ; -- done", "SELECT ';' AS a"),
        ("-- first\nWITH x AS (SELECT 1 AS a) SELECT * FROM x", None),
        ("(SELECT 1 AS a)", None),
        ("values 1", None),
    ],
)
def test_one_select_is_taken_without_its_semicolon(text: str, query: str | None) -> None:
    assert parse_query(text) == (query or text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1; SELECT 2", "2 statements"),
        ("-- nothing", "0 statements"),
        ("INSERT INTO t SELECT 1", "'INSERT'"),
        ("DROP TABLE t", "'DROP'"),
        ("SELECT 'open", "not closed"),
    ],
)
def test_other_than_one_select_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        parse_query(text)


@pytest.mark.parametrize(
    ("hive", "trino"),
    [
        ("string", "varchar"),
        ("int", "integer"),
        ("INTEGER", "integer"),
        ("float", "real"),
        ("binary", "varbinary"),
        ("timestamp", "timestamp(3)"),
        ("decimal(12,3)", "decimal(12,3)"),
        ("decimal", "decimal(10,0)"),
        ("varchar( 5 )", "varchar(5)"),
        ("array<array<int>>", "array(array(integer))"),
        ("map<string,struct<a:int,b:date>>", 'map(varchar, row("a" integer, "b" date))'),
        ("struct<odd name:int>", 'row("odd name" integer)'),
    ],
)
def test_a_hive_type_is_named_in_trinos_words(hive: str, trino: str) -> None:
    assert parse_hive_type(hive).trino == trino


@pytest.mark.parametrize(
    "text", ["", "uniontype<int,string>", "array<int", "map<int>", "struct<int>", "int int", "varchar"]
)
def test_a_type_that_cannot_be_written_is_refused(text: str) -> None:
    with pytest.raises(InvalidCallError, match="cannot be written"):
        parse_hive_type(text)


def test_lengths_of_the_first_result_do_not_bind_later_ones() -> None:
    assert without_lengths("varchar(3)") == "string"
    assert without_lengths("struct<a:varchar(3),b:char(2)>") == "struct<a:string,b:char(2)>"


def test_a_text_table_refuses_nested_columns() -> None:
    with pytest.raises(InvalidCallError, match="tags"):
        build_text_guard("SELECT 1", (("tags", "array<string>"),), field_delimiter=",")


def test_only_the_exact_token_of_a_check_is_replaced() -> None:
    rendered = render_check("SELECT '{x}' <> '' AND count(*) > 0 FROM {staged};", TEMPORARY)
    assert rendered == "SELECT '{x}' <> '' AND count(*) > 0 FROM \"db\".\"tmp_quilt_x\""


@pytest.mark.parametrize("sql", ["", "SELECT 1", "SELECT 1 FROM {staged}; SELECT 2"])
def test_a_check_that_looks_at_nothing_is_refused(sql: str) -> None:
    with pytest.raises(InvalidCallError, match="staged"):
        render_check(sql, TEMPORARY)


@pytest.mark.parametrize(
    ("row", "passes"),
    [
        (["true"], True),
        (["12"], True),
        (["x", "0.5"], True),
        (["false"], False),
        (["0"], False),
        (["0.0"], False),
        ([None], False),
        ([""], False),
        (["true", "0"], False),
    ],
)
def test_a_check_passes_when_every_cell_is_true(row: list[str | None], passes: bool) -> None:
    assert check_passes([row]) is passes


def test_a_check_without_an_answer_does_not_pass() -> None:
    assert check_passes([]) is False
