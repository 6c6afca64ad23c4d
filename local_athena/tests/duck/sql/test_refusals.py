"""What Athena refuses is refused, in its words; and nothing of DuckDB's own can be reached."""

# ruff: noqa: E501  # a case is one line
from __future__ import annotations

import pytest

from local_athena.duck.functions.registry import registry
from support.selects import FakeGlue, refusal, rows, session, value

T = "FROM (VALUES (1, 'a')) AS t(a, b)"

REASONS: list[tuple[str, str]] = [
    # names
    (f"SELECT nope {T}", "COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved or requester is not authorized to access requested resources"),
    (f"SELECT a,\n  t.nope {T}", "COLUMN_NOT_FOUND: line 2:3: Column 't.nope' cannot be resolved"),
    ("SELECT 1 FROM nope", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.db.nope' does not exist"),
    ("SELECT 1 FROM nodb.nope", "SCHEMA_NOT_FOUND: line 1:15: Schema 'nodb' does not exist"),
    ("SELECT 1 FROM cat.db.t", "CATALOG_NOT_FOUND: line 1:15: Catalog 'cat' does not exist"),
    ("SELECT 1 FROM information_schema.nope", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.information_schema.nope' does not exist"),
    ("SELECT foo(1)", "FUNCTION_NOT_FOUND: line 1:8: Function 'foo' not registered"),
    ("SELECT lower(1)", "FUNCTION_NOT_FOUND: line 1:8: Unexpected parameters (integer) for function lower. Expected: lower("),
    ("SELECT x FROM (VALUES 1) a(x), (VALUES 2) b(x)", "AMBIGUOUS_NAME: line 1:8: Column 'x' is ambiguous"),
    (f"SELECT u.* {T}", "TABLE_NOT_FOUND: line 1:8: Unable to resolve reference u"),
    ("SELECT *", "COLUMN_NOT_FOUND: line 1:8: SELECT * not allowed in queries without FROM clause"),
    ("SELECT 1 FROM (VALUES (1, 2)) AS t(x)", "MISMATCHED_COLUMN_ALIASES: line 1:15: Column alias list has 1 entries but 't' has 2 columns available"),
    ("WITH a AS (SELECT 1), a AS (SELECT 2) SELECT 1", "DUPLICATE_NAMED_QUERY: line 1:23: WITH query name 'a' specified more than once"),
    # types
    ("SELECT 1 = 'a'", "TYPE_MISMATCH: line 1:10: Cannot apply operator: integer = varchar(1)"),
    ("SELECT 'a' + 1", "TYPE_MISMATCH: line 1:12: Cannot apply operator: varchar(1) + integer"),
    (f"SELECT 1 {T} WHERE a", "TYPE_MISMATCH: line 1:50: WHERE clause must evaluate to a boolean: actual type integer"),
    ("SELECT NOT 1", "TYPE_MISMATCH: line 1:12: Value of logical NOT expression must evaluate to a boolean (actual: integer)"),
    ("SELECT CAST(DATE '2020-01-01' AS integer)", "TYPE_MISMATCH: line 1:8: Cannot cast date to integer"),
    ("SELECT CAST(1 AS string)", "TYPE_MISMATCH: line 1:18: Unknown type: string"),
    ("SELECT 1 UNION SELECT 'a'", "TYPE_MISMATCH: line 1:10: column 1 in UNION query has incompatible types: integer, varchar(1)"),
    ("SELECT 1 UNION SELECT 1, 2", "TYPE_MISMATCH: line 1:10: UNION query has different number of fields: 1, 2"),
    ("SELECT CASE WHEN true THEN 1 ELSE 'a' END", "TYPE_MISMATCH: line 1:8: All CASE results must be the same type"),
    ("SELECT ARRAY[1, 'a']", "TYPE_MISMATCH: line 1:8: All ARRAY elements must be the same type: integer, varchar(1)"),
    ("SELECT (SELECT 1, 2)", "NOT_SUPPORTED: line 1:8: Multiple columns returned by subquery are not yet supported. Found 2"),
    ("SELECT x FROM UNNEST(1) t(x)", "TYPE_MISMATCH: line 1:15: Cannot unnest type: integer"),
    # groups
    (f"SELECT a, count(*) {T}", "EXPRESSION_NOT_AGGREGATE: line 1:8: 'a' must be an aggregate expression or appear in GROUP BY clause"),
    (f"SELECT a + 1, b {T} GROUP BY a", "EXPRESSION_NOT_AGGREGATE: line 1:15: 'b' must be"),
    (f"SELECT 1 {T} WHERE count(*) > 1", "EXPRESSION_NOT_SCALAR: line 1:50: WHERE clause cannot contain aggregations, window functions or grouping operations: [count(*)]"),
    (f"SELECT sum(count(*)) {T}", "NESTED_AGGREGATION: line 1:12: Cannot nest aggregations inside aggregation"),
    (f"SELECT a {T} GROUP BY 2", "INVALID_COLUMN_REFERENCE: line 1:53: GROUP BY position 2 is not in select list"),
    (f"SELECT a {T} ORDER BY 2", "INVALID_COLUMN_REFERENCE: line 1:53: ORDER BY position 2 is not in select list"),
    (f"SELECT DISTINCT a {T} ORDER BY b", "EXPRESSION_NOT_IN_DISTINCT: line 1:62: For SELECT DISTINCT, ORDER BY expressions must appear in select list"),
    (f"SELECT row_number() {T}", "MISSING_OVER: line 1:8: Window function 'row_number' requires an OVER clause"),
    # values
    ("SELECT 1 / 0", "DIVISION_BY_ZERO: Division by zero"),
    ("SELECT 1 % 0", "DIVISION_BY_ZERO: Division by zero"),
    ("SELECT 1.0 / 0", "DIVISION_BY_ZERO: Division by zero"),
    ("SELECT 1.0 % 0", "DIVISION_BY_ZERO: Division by zero"),
    ("SELECT 2147483647 + 1", "NUMERIC_VALUE_OUT_OF_RANGE: integer addition overflow: 2147483647 + 1"),
    ("SELECT BIGINT '9223372036854775807' * 2", "NUMERIC_VALUE_OUT_OF_RANGE: bigint multiplication overflow: 9223372036854775807 * 2"),
    ("SELECT sum(x) FROM (VALUES 9223372036854775807, 1) t(x)", "NUMERIC_VALUE_OUT_OF_RANGE: bigint addition overflow"),
    ("SELECT CAST(300 AS tinyint)", "NUMERIC_VALUE_OUT_OF_RANGE: Out of range for tinyint: 300"),
    ("SELECT DECIMAL '99999999999999999999999999999999999999' + 1", "NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow"),
    ("SELECT CAST('abc' AS integer)", "INVALID_CAST_ARGUMENT: Cannot cast 'abc' to INT"),
    ("SELECT CAST('1.5' AS bigint)", "INVALID_CAST_ARGUMENT: Cannot cast '1.5' to BIGINT"),
    ("SELECT CAST('' AS double)", "INVALID_CAST_ARGUMENT: Cannot cast '' to DOUBLE"),
    ("SELECT CAST('maybe' AS boolean)", "INVALID_CAST_ARGUMENT: Cannot cast 'maybe' to BOOLEAN"),
    ("SELECT CAST('2020-02-30' AS date)", "INVALID_CAST_ARGUMENT: Value cannot be cast to date: 2020-02-30"),
    ("SELECT CAST('yesterday' AS timestamp)", "INVALID_CAST_ARGUMENT: Value cannot be cast to timestamp: yesterday"),
    ("SELECT CAST(1234 AS varchar(3))", "INVALID_CAST_ARGUMENT: Value 1234 cannot be represented as varchar(3)"),
    ("SELECT CAST(JSON '{}' AS integer)", "INVALID_CAST_ARGUMENT: Cannot cast '{}' to INTEGER"),
    ("SELECT DATE '2020-13-01'", "INVALID_LITERAL: line 1:8: '2020-13-01' is not a valid DATE literal"),
    ("SELECT INTERVAL 'x' DAY", "INVALID_LITERAL: line 1:8: 'x' is not a valid INTERVAL literal"),
    ("SELECT ARRAY[1, 2][3]", "INVALID_FUNCTION_ARGUMENT: Array subscript must be less than or equal to array length: 3 > 2"),
    ("SELECT ARRAY[1, 2][0]", "INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1"),
    ("SELECT ARRAY[1, 2][-1]", "INVALID_FUNCTION_ARGUMENT: Array subscript is negative: -1"),
    ("SELECT element_at(ARRAY[1], 0)", "INVALID_FUNCTION_ARGUMENT: SQL array indices start at 1"),
    ("SELECT MAP(ARRAY['a'], ARRAY[1])['b']", "INVALID_FUNCTION_ARGUMENT: Key not present in map: b"),
    ("SELECT MAP(ARRAY[1, 1], ARRAY[1, 2])", "INVALID_FUNCTION_ARGUMENT: Duplicate map keys (1) are not allowed"),
    ("SELECT MAP(ARRAY[1], ARRAY[1, 2])", "INVALID_FUNCTION_ARGUMENT: Key and value arrays must be the same length"),
    ("SELECT sequence(1, 100000)", "INVALID_FUNCTION_ARGUMENT: result of sequence function must not have more than 10000 entries"),
    ("SELECT split('a', '')", "INVALID_FUNCTION_ARGUMENT: The delimiter may not be the empty string"),
    ("SELECT split_part('a', ',', 0)", "INVALID_FUNCTION_ARGUMENT: Index must be greater than zero"),
    ("SELECT url_decode('%zz')", "INVALID_FUNCTION_ARGUMENT: URLDecoder: Illegal hex characters in escape (%) pattern"),
    ("SELECT date_parse('x', '%Y')", "INVALID_FUNCTION_ARGUMENT: Invalid format: \"x\""),
    ("SELECT date_format(now(), '%w')", "INVALID_FUNCTION_ARGUMENT: line 1:8: %w not supported in date format string"),
    ("SELECT date_trunc('eon', DATE '2020-01-01')", "INVALID_FUNCTION_ARGUMENT: line 1:8: 'eon' is not a valid DATE field"),
    ("SELECT date_add('hour', 1, DATE '2020-01-01')", "INVALID_FUNCTION_ARGUMENT: line 1:8: 'hour' is not a valid DATE field"),
    ("SELECT DATE '2020-01-01' + INTERVAL '1' HOUR", "INVALID_FUNCTION_ARGUMENT: Cannot add hour, minutes or seconds to a date"),
    ("SELECT regexp_extract('abc', '(b)', 2)", "INVALID_FUNCTION_ARGUMENT: line 1:8: Pattern has 1 groups. Cannot access group 2"),
    ("SELECT json_extract('{}', '$.')", "INVALID_FUNCTION_ARGUMENT: line 1:8: Invalid JSON path: '$.'"),
    ("SELECT json_parse('{')", "INVALID_FUNCTION_ARGUMENT: Cannot convert value to JSON: '{'"),
    ("SELECT is_json_scalar('[1')", "INVALID_FUNCTION_ARGUMENT: Invalid JSON value: [1"),
    ("SELECT (SELECT x FROM (VALUES 1, 2) t(x))", "SUBQUERY_MULTIPLE_ROWS: Scalar sub-query has returned multiple rows"),
    ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT * FROM t", "NOT_SUPPORTED: Recursion depth limit exceeded (10)"),
    ("SELECT ?", "INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: expected 1 but found 0"),
    # syntax
    ("SELECT 1 FORM t", "line 1:15: mismatched input 't'. Expecting: "),
    ("SELECT a::int FROM t", "line 1:9: mismatched input ':'"),
    ("SELECT 1 LIMIT 5 OFFSET 2", "line 1:18: mismatched input 'OFFSET'"),
    ("SELECT `a` FROM t", "line 1:8: backquoted identifiers are not supported; use double quotes to quote identifiers"),
    ("SELECT 1 FROM tmp.05123", "line 1:18: mismatched input '.05123'"),
    ("SELECT 'open", "line 1:1:"),
    ("SELECT 1; SELECT 2", "line 1:9: mismatched input ';'"),
    ("", "line 1:1: mismatched input '<EOF>'"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "reason"), REASONS, ids=[sql[:80] for sql, _ in REASONS])
def test_a_query_is_refused_in_athenas_words(sql: str, reason: str) -> None:
    assert refusal(sql)[: len(reason)] == reason


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('s3://b/*')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "/etc/passwd"',
        'SELECT * FROM "*.parquet"',
        'SELECT * FROM main."duckdb_tables"',
        "SELECT * FROM sqlite_master",
        "SELECT * FROM pg_catalog.pg_tables",
        "SELECT getenv('HOME')",
        "SELECT list_transform([1], x -> x)",
        "SELECT current_setting('threads')",
        "SELECT error('x')",
        "SELECT read_text('/etc/passwd')",
        "SELECT struct_pack(a := 1)",
        "SELECT {'a': 1}",
        "SELECT a ILIKE 'b' FROM (VALUES 'x') t(a)",
        "SELECT 1 QUALIFY true",
        "SELECT * EXCLUDE (a) FROM (VALUES 1) t(a)",
        "PRAGMA version",
        "ATTACH 'x.db'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "INSTALL httpfs",
        "SET threads = 1",
        "SHOW TABLES",
        "CREATE TABLE x AS SELECT 1",
        "SELECT 1 FROM range(5)",
        "SELECT * FROM TABLE(sequence(1, 2))",
    ],
)
def test_nothing_of_duckdbs_own_can_be_reached(sql: str) -> None:
    reason = refusal(sql)
    assert reason.startswith(
        ("line 1:", "TABLE_NOT_FOUND", "SCHEMA_NOT_FOUND", "FUNCTION_NOT_FOUND", "NOT_SUPPORTED")
    )


def test_duckdb_itself_is_locked() -> None:
    import duckdb

    from local_athena.duck import runtime

    con = runtime.cursor()
    try:
        for sql in (
            "SELECT * FROM read_text('/etc/hostname')",
            "COPY (SELECT 1) TO '/tmp/never-written.csv'",
            "SET enable_external_access = true",
            "ATTACH '/tmp/never-written.db'",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                con.execute(sql)
    finally:
        con.close()


@pytest.mark.parametrize(
    "call", ["checksum(1)", "regexp_like('a', '(?=a)')", "regexp_like('a', '(a)\\1')", "json_extract('{}', '$.*')",
             "sha512(X'00')", "regexp_replace('a', 'a', x -> 'b')", "date_format(now(), lower('A'))", "json_value('{}', 'lax $.a')"]
)  # fmt: skip
def test_what_athena_has_and_we_lack_is_called_by_name(call: str) -> None:
    reason = refusal(f"SELECT {call}")
    assert reason.startswith("NOT_SUPPORTED: line 1:8: ")
    assert reason.endswith(" is not supported by the local Athena")


def test_text_that_looks_like_a_condition_stays_text() -> None:
    hostile = "'; DROP TABLE x; --"
    assert value("'" + hostile.replace("'", "''") + "'") == hostile
    assert rows("SELECT ?", ["'" + hostile.replace("'", "''") + "'"]) == [(hostile,)]


def test_a_parameter_is_one_literal_and_no_more() -> None:
    assert refusal("SELECT ?", ["1 FROM t"]).startswith("line 1:3: mismatched input 'FROM'")
    assert refusal("SELECT ?", ["nope"]).startswith("COLUMN_NOT_FOUND")


def test_every_function_can_be_told_from_its_neighbours() -> None:
    for name, signatures in registry().items():
        shown = [one.shown for one in signatures]
        assert len(shown) == len(set(shown)), name


def test_the_session_database_is_where_bare_names_are_looked_up() -> None:
    from local_athena.duck.engine import DuckEngine
    from local_athena.errors import QueryFailed

    with pytest.raises(QueryFailed, match=r"Table 'awsdatacatalog\.other\.nope' does not exist"):
        DuckEngine().query("SELECT * FROM nope", session(FakeGlue({("other", "x"): {}}), database="Other"))
