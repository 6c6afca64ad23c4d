"""Athena's statements are told apart by their first words; what nobody claims fails."""

from __future__ import annotations

import pytest

from local_athena.errors import ApiError, QueryFailed
from local_athena.statements.dispatch import Statements
from support.statement_lab import CannedEngine, Lab


def classify(sql: str) -> tuple[str, str]:
    return Statements(CannedEngine()).classify(sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", ("DML", "SELECT")),
        ('  \n-- /* {"app": "dbt"} */\nselect 1;', ("DML", "SELECT")),
        ("/* a; b */ WITH x AS (SELECT 1) SELECT * FROM x ;\n-- done; really", ("DML", "SELECT")),
        ("(SELECT 1) UNION (SELECT 2)", ("DML", "SELECT")),
        ("VALUES (1)", ("DML", "SELECT")),
        ("INSERT INTO t SELECT ';'", ("DML", "INSERT")),
        ("UNLOAD (SELECT 1) TO 's3://b/x/' WITH (format='ORC')", ("DML", "UNLOAD")),
        ("CREATE TABLE t AS SELECT 1 a", ("DDL", "CREATE_TABLE_AS_SELECT")),
        (
            'create table "awsdatacatalog"."d"."t" with (format=\'orc\') as select 1',
            ("DDL", "CREATE_TABLE_AS_SELECT"),
        ),
        (
            "CREATE EXTERNAL TABLE t (a string COMMENT 'it\\'s; fine') LOCATION 's3://b/'",
            ("DDL", "CREATE_TABLE"),
        ),
        ("CREATE TABLE t (a int) STORED AS PARQUET", ("DDL", "CREATE_TABLE")),
        ("create or replace view v as select 1", ("DDL", "CREATE_VIEW")),
        ("MSCK REPAIR TABLE `t`;", ("DDL", "MSCK_REPAIR_TABLE")),
        ("EXPLAIN SELECT 1", ("UTILITY", "EXPLAIN")),
        ("DESCRIBE `src`;", ("UTILITY", "DESCRIBE_TABLE")),
        ("show create table t", ("UTILITY", "SHOW_CREATE_TABLE")),
    ],
)
def test_the_first_words_tell_what_a_statement_is(sql: str, expected: tuple[str, str]) -> None:
    assert classify(sql) == expected


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", "no statement"),
        (" -- nothing\n ;", "no statement"),
        ("SELEC 1", "mismatched input 'SELEC'"),
        ("SELECT 1; SELECT 2", "Only one sql statement is allowed"),
        ("SELECT 'open", "not closed"),
        ("DROP TABLE `open", "not closed"),
    ],
)
def test_what_is_no_statement_is_refused_by_the_call_itself(sql: str, said: str) -> None:
    with pytest.raises(ApiError, match=said) as refused:
        classify(sql)
    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize(
    "sql",
    [
        "USE db",
        "GRANT SELECT ON t TO u",
        "CREATE FUNCTION f() RETURNS int RETURN 1",
        "SHOW FUNCTIONS",
        "DROP FUNCTION f",
        "ALTER VIEW v AS SELECT 1",
        "TRUNCATE TABLE t",
        "SET SESSION x = 1",
        "CALL p()",
    ],
)
def test_a_statement_no_module_claims_fails_by_name(sql: str) -> None:
    with pytest.raises(QueryFailed, match="NOT_SUPPORTED: Queries of this type are not supported"):
        classify(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
        "DELETE FROM t WHERE a = 1",
        "UPDATE t SET a = 1",
        "OPTIMIZE t REWRITE DATA USING BIN_PACK",
        "VACUUM t",
    ],
)
def test_statements_for_iceberg_fail_and_say_so(lab: Lab, sql: str) -> None:
    with pytest.raises(QueryFailed, match=r"NOT_SUPPORTED: .* Iceberg"):
        lab.run(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT `a` FROM t",
        "CREATE TABLE `t` AS SELECT 1",
        "INSERT INTO `t` SELECT 1",
        "CREATE VIEW `v` AS SELECT 1",
        "DROP VIEW `v`",
    ],
)
def test_trino_statements_refuse_back_ticks(sql: str) -> None:
    with pytest.raises(QueryFailed, match="backquoted identifiers are not supported"):
        classify(sql)


@pytest.mark.parametrize(
    "sql",
    [
        'DROP TABLE "t"',
        'MSCK REPAIR TABLE "db"."t"',
        "ALTER TABLE \"t\" SET LOCATION 's3://lab/x'",
        'DESCRIBE "t"',
    ],
)
def test_hive_ddl_refuses_names_in_double_quotes(lab: Lab, sql: str) -> None:
    with pytest.raises(QueryFailed, match="FAILED: ParseException line 1:"):
        lab.run(sql)


def test_parameters_for_a_statement_that_takes_none_are_refused(lab: Lab) -> None:
    with pytest.raises(QueryFailed, match="expected 0 but found 1"):
        lab.run("SHOW TABLES", parameters=("1",))


def test_a_syntax_error_is_placed_by_line_and_column(lab: Lab) -> None:
    with pytest.raises(QueryFailed, match=r"^line 2:8: mismatched input '5'\. Expecting: string"):
        lab.run("UNLOAD (SELECT 1)\n    TO 5")


def test_the_engine_gets_a_query_at_the_place_it_was_written(lab: Lab) -> None:
    lab.engine.learn("SELECT 1 AS a", {"a": "integer"}, [(1,)])
    lab.run("CREATE TABLE t\nWITH (format = 'ORC')\nAS SELECT 1 AS a")
    assert lab.engine.asked[0].endswith("\n   SELECT 1 AS a")
    assert lab.engine.asked[0].count("\n") == 2


def test_select_prints_values_as_athena_does(lab: Lab) -> None:
    lab.engine.learn(
        "SELECT 1",
        {"a": "integer", "b": "array(integer)", "c": "decimal(4,2)"},
        [(1, [1, 2], None), (None, None, None)],
    )
    outcome = lab.run("SELECT 1")
    assert outcome.rows == [("1", "[1, 2]", None), (None, None, None)]


def test_explain_gives_the_lines_of_the_plan(lab: Lab) -> None:
    outcome = lab.run("EXPLAIN SELECT 1")
    assert [column.name for column in outcome.columns] == ["Query Plan"]
    assert outcome.rows == [("plan of EXPLAIN SELECT 1",)]
    with pytest.raises(QueryFailed, match="mismatched input 'INSERT'"):
        lab.run("EXPLAIN INSERT INTO t SELECT 1")
