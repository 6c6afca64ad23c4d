from __future__ import annotations

import pytest

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.ctas import (
    Encoding,
    build_coerced_query,
    build_ctas,
    build_description_query,
    build_text_guard,
    build_unload,
    check_passes,
    parse_query,
    render_check,
)
from airflow_quilt_athena.exceptions import InvalidCallError

TEMPORARY = TableName("db", "tmp_quilt_x")
ORC = Encoding(FileFormat.ORC)


def test_an_awkward_location_stays_one_literal() -> None:
    folder = S3Uri("b", "t/.generations/note=it%27s 10%3A30/a1")
    sql = build_ctas(TEMPORARY, "SELECT 1 AS a", ORC, location=folder)
    assert "external_location = 's3://b/t/.generations/note=it%27s 10%3A30/a1/'" in sql
    assert "'s3://b/o''b/'" in build_ctas(TEMPORARY, "SELECT 1 AS a", ORC, location=S3Uri("b", "o'b"))
    assert "TO 's3://b/o''b/'" in build_unload("SELECT 1 AS a", ORC, location=S3Uri("b", "o'b"))


@pytest.mark.parametrize(
    ("encoding", "name", "properties"),
    [
        (ORC, "compression", {"format": "'ORC'"}),
        (Encoding(FileFormat.JSON, "gzip"), "compression", {"format": "'JSON'", "compression": "'GZIP'"}),
        (
            Encoding(FileFormat.PARQUET, "zstd", 9),
            "write_compression",
            {"format": "'PARQUET'", "write_compression": "'ZSTD'", "compression_level": "9"},
        ),
        (
            Encoding(FileFormat.TEXTFILE, field_delimiter="'"),
            "write_compression",
            {"format": "'TEXTFILE'", "field_delimiter": "''''"},
        ),
    ],
)
def test_only_what_is_asked_for_is_said_of_the_files(
    encoding: Encoding, name: str, properties: dict[str, str]
) -> None:
    assert encoding.properties(name) == properties


# --------------------------------------------------------------------------------------------- the query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT 1 AS a;", "SELECT 1 AS a"),
        ("SELECT ';' AS a ; -- done", "SELECT ';' AS a"),
        ("SELECT 1 AS a /* ; */", "SELECT 1 AS a /* ; */"),
        ("-- first\nWITH x AS (SELECT 1 AS a) SELECT * FROM x", None),
        ("(SELECT 1 AS a)", None),
        ("values 1", None),
        ("TABLE t", None),
    ],
)
def test_one_select_is_taken_without_its_semicolon(text: str, query: str | None) -> None:
    assert parse_query(text) == (query or text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1; SELECT 2", "2 statements"),
        ("-- nothing", "0 statements"),
        (" ; ;", "0 statements"),
        ("INSERT INTO t SELECT 1", "'INSERT'"),
        ("DROP TABLE t", "'DROP'"),
        ("/* SELECT */ EXPLAIN SELECT 1", "'EXPLAIN'"),
        ("SELECT 'open", "not closed"),
    ],
)
def test_other_than_one_select_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        parse_query(text)


def test_the_columns_of_a_query_are_asked_for_without_its_rows() -> None:
    asked = build_description_query("SELECT 1 AS a -- as it comes")
    assert asked == "SELECT * FROM (\nSELECT 1 AS a -- as it comes\n) WHERE false"


# ------------------------------------------------------------------------------------------ text guard


def test_a_text_table_refuses_nested_columns() -> None:
    columns = (("tags", "array<string>"), ("id", "int"), ("place", "struct<x:int>"))
    with pytest.raises(InvalidCallError, match="tags, place"):
        build_text_guard("SELECT 1", columns, (), field_delimiter=",")


def test_only_text_is_guarded_and_a_delimiter_that_is_a_line_break_is_looked_for_once() -> None:
    guarded = build_text_guard("SELECT 1", (("n", "int"), ("c", "char(2)")), (), field_delimiter="\n")
    assert '  "n",\n  CASE WHEN strpos("c", chr(10)) > 0 OR strpos("c", chr(13)) > 0 OR ' in guarded
    assert guarded.count("chr(10)") == 1
    assert "AS char(2)) ELSE" in guarded


# ----------------------------------------------------------------------------------------------- checks


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
        (["-1e-3"], True),
        (["false"], False),
        (["FALSE"], False),
        (["0"], False),
        (["0.0"], False),
        (["-0"], False),
        ([None], False),
        ([""], False),
        ([" "], False),
        (["true", "0"], False),
    ],
)
def test_a_check_passes_when_every_cell_is_true(row: list[str | None], passes: bool) -> None:
    assert check_passes([row]) is passes


def test_only_the_first_row_of_a_check_counts() -> None:
    assert check_passes([["1"], ["0"]])
    assert not check_passes([["0"], ["1"]])


def test_a_check_without_an_answer_does_not_pass() -> None:
    assert check_passes([]) is False


@pytest.mark.parametrize(
    ("hive_type", "fits"),
    [
        ("array<double>", 'typeof("a") = typeof(CAST(NULL AS array(double)))'),
        (
            "float",
            "typeof(\"a\") IN ('double', 'real', 'tinyint', 'smallint') OR "
            "typeof(\"a\") IN ('integer', 'bigint') AND \"a\" BETWEEN -16777216 AND 16777216",
        ),
    ],
)
def test_what_would_be_rounded_is_refused_by_the_statement_itself(hive_type: str, fits: str) -> None:
    sql = build_coerced_query("SELECT 1 AS a", (("a", hive_type),))
    assert f'CASE WHEN "a" IS NULL OR {fits} THEN "a" WHEN ' in sql
    assert f"a would be rounded in a column of type {hive_type}: the result has " in sql
