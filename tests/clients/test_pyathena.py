"""PyAthena works unchanged: its cursors, parameters, metadata calls and to_sql.

ArrowCursor reads results by pyarrow's own S3 client, to which PyAthena gives no endpoint: with only AWS_*
variables it goes to amazonaws.com. It is tested with pyarrow told the endpoint, as a user has to do as well.
Not covered: the cursors for Polars (not installed) and Spark (Athena for Spark is another service).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from .client import Client, ClientError
from .lake import SRC, WIDE, Lake

pytestmark = pytest.mark.clients

# Long enough that nothing but a cancel ends it within the test's time.
ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
    "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3"
)


@pytest.fixture(scope="module")
def pyathena(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("pyathena")
    with Client(".venv-clients", "pyathena_calls.py", lake.aws.environment, home) as client:
        yield client


@pytest.fixture(scope="module")
def connection(lake: Lake) -> dict[str, Any]:
    return {"s3_staging_dir": lake.staging, "schema_name": lake.database, "region_name": "us-east-1"}


def test_rows_come_back_as_they_were_put_in(pyathena: Client, connection: dict[str, Any], lake: Lake) -> None:
    answer = pyathena("fetch", connection=connection, sql="SELECT id, name, amount, dt FROM src ORDER BY id")
    assert answer["rows"] == [list(row) for row in SRC]
    assert answer["columns"] == [
        ["id", "bigint"],
        ["name", "varchar"],
        ["amount", "double"],
        ["dt", "varchar"],
    ]
    assert answer["state"] == "SUCCEEDED"
    assert (answer["statement_type"], answer["substatement_type"]) == ("DML", "SELECT")
    assert re.fullmatch(re.escape(lake.staging) + r"[-0-9a-f]{36}\.csv", answer["output_location"])
    assert answer["data_scanned_in_bytes"] > 0


def test_every_type_becomes_its_python_type(pyathena: Client, connection: dict[str, Any]) -> None:
    sql = (
        "SELECT 1 AS i, CAST(2 AS bigint) AS b, DOUBLE '1.25' AS d, DATE '2026-01-02' AS dd, "
        "TIMESTAMP '2026-01-02 03:04:05.678' AS ts, true AS t, CAST(1.50 AS decimal(10,2)) AS de, "
        "CAST(NULL AS varchar) AS n, ARRAY[1,2] AS a, MAP(ARRAY['k'],ARRAY[1]) AS m, "
        "CAST(ROW(1,'x') AS ROW(p integer, q varchar)) AS r, JSON '{\"z\": 1}' AS j, X'0aff' AS vb"
    )
    answer = pyathena("fetch", connection=connection, sql=sql)
    assert answer["columns"] == [
        ["i", "integer"],
        ["b", "bigint"],
        ["d", "double"],
        ["dd", "date"],
        ["ts", "timestamp"],
        ["t", "boolean"],
        ["de", "decimal"],
        ["n", "varchar"],
        ["a", "array"],
        ["m", "map"],
        ["r", "row"],
        ["j", "json"],
        ["vb", "varbinary"],
    ]
    assert answer["rows"] == [
        [
            1,
            2,
            1.25,
            "datetime.date(2026, 1, 2)",
            "datetime.datetime(2026, 1, 2, 3, 4, 5, 678000)",
            True,
            "Decimal('1.50')",
            None,
            [1, 2],
            {"k": "1"},  # PyAthena leaves what is inside maps and rows as text, unless told the types
            {"p": "1", "q": "x"},
            {"z": 1},
            repr(b"\x0a\xff"),
        ]
    ]


def test_the_dict_cursor_names_the_columns(pyathena: Client, connection: dict[str, Any]) -> None:
    answer = pyathena(
        "fetch", connection=connection, sql="SELECT id, name FROM src ORDER BY id", cursor="DictCursor"
    )
    assert answer["rows"] == [{"id": row[0], "name": row[1]} for row in SRC]


def test_the_s3fs_cursor_reads_the_result_file(pyathena: Client, connection: dict[str, Any]) -> None:
    sql = "SELECT id, name, amount, dt FROM src ORDER BY id"
    answer = pyathena("fetch", connection=connection, sql=sql, cursor="S3FSCursor")
    assert answer["rows"] == [list(row) for row in SRC]


def test_pages_hold_as_many_rows_as_asked_for(pyathena: Client, connection: dict[str, Any]) -> None:
    sizes = pyathena("fetch_in_pages", connection=connection, sql="SELECT id FROM wide_src", arraysize=100)
    assert sizes == [100, 100, len(WIDE) - 200]


def test_pyformat_parameters_are_quoted_by_the_client(pyathena: Client, connection: dict[str, Any]) -> None:
    answer = pyathena(
        "fetch",
        connection=connection,
        sql="SELECT id FROM src WHERE name = %(name)s AND dt = %(dt)s",
        parameters={"name": "b", "dt": "2026-01-01"},
    )
    assert answer["rows"] == [[2]]


def test_qmark_parameters_are_bound_by_athena(pyathena: Client, connection: dict[str, Any]) -> None:
    answer = pyathena(
        "fetch",
        connection=connection,
        sql="SELECT id FROM src WHERE id = ?",
        parameters=["3"],
        paramstyle="qmark",
    )
    assert answer["rows"] == [[3]]


def test_a_question_mark_in_a_literal_is_no_parameter(pyathena: Client, connection: dict[str, Any]) -> None:
    answer = pyathena(
        "fetch",
        connection=connection,
        sql="SELECT id FROM src WHERE dt <> '?' AND name = ? AND dt <> '?'",
        parameters=["'b'"],
        paramstyle="qmark",
    )
    assert answer["rows"] == [[2]]


def test_statements_of_hive_ddl_run_and_answer_in_lines(
    pyathena: Client, connection: dict[str, Any], lake: Lake
) -> None:
    def run(sql: str) -> Any:
        return pyathena("fetch", connection=connection, sql=sql)

    created = run(
        "CREATE EXTERNAL TABLE IF NOT EXISTS ddl1 (a int, b string) PARTITIONED BY (p string) "
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY '\t' LOCATION 's3://{lake.bucket}/ddl1/'"
    )
    assert (created["statement_type"], created["rows"]) == ("DDL", [])
    assert {"ddl1", "src", "wide_src"} <= {row[0] for row in run("SHOW TABLES")["rows"]}
    assert run("SHOW PARTITIONS src")["rows"] == [["dt=2026-01-01"], ["dt=2026-01-02"]]
    assert lake.database in {row[0] for row in run("SHOW DATABASES")["rows"]}
    columns = [row[0].strip() for row in run("SHOW COLUMNS IN src")["rows"]]
    assert columns == ["id", "name", "amount", "dt"]
    create = "\n".join(row[0] for row in run("SHOW CREATE TABLE src")["rows"])
    assert create.startswith("CREATE EXTERNAL TABLE")
    assert f"s3://{lake.bucket}/src" in create
    properties = "\n".join("\t".join(row) for row in run("SHOW TBLPROPERTIES src")["rows"])
    assert "classification\tparquet" in properties
    run("DROP TABLE ddl1")
    assert "ddl1" not in lake.tables()


def test_describe_names_columns_and_partition_keys(pyathena: Client, connection: dict[str, Any]) -> None:
    answer = pyathena("fetch", connection=connection, sql="DESCRIBE src")
    lines = ["\t".join(cell or "" for cell in row) for row in answer["rows"]]
    described = [tuple(part.strip() for part in line.split("\t")[:2]) for line in lines]
    assert described[:4] == [("id", "bigint"), ("name", "string"), ("amount", "double"), ("dt", "string")]
    assert any("Partition Information" in line for line in lines)
    assert [name for name, _ in answer["columns"]] == ["col_name", "data_type", "comment"]


def test_a_view_is_made_listed_and_read(pyathena: Client, connection: dict[str, Any], lake: Lake) -> None:
    def run(sql: str) -> Any:
        return pyathena("fetch", connection=connection, sql=sql)["rows"]

    run("CREATE OR REPLACE VIEW v1 AS SELECT id FROM src WHERE id > 1")
    assert sorted(run("SELECT * FROM v1")) == [[2], [3]]
    assert run("SHOW VIEWS") == [["v1"]]
    shown = "\n".join(row[0] for row in run("SHOW CREATE VIEW v1"))
    assert re.match(r"CREATE VIEW \S*v1\S* AS\s+SELECT", shown)
    run("DROP VIEW v1")
    assert "v1" not in lake.tables()


def test_explain_answers_with_a_plan(pyathena: Client, connection: dict[str, Any]) -> None:
    answer = pyathena("fetch", connection=connection, sql="EXPLAIN SELECT id FROM src ORDER BY id")
    assert [name for name, _ in answer["columns"]] == ["Query Plan"]
    assert answer["substatement_type"] == "EXPLAIN"
    assert answer["output_location"].endswith(".txt")
    assert "".join(row[0] or "" for row in answer["rows"]).strip()


def test_ctas_and_insert_tell_how_many_rows_they_wrote(
    pyathena: Client, connection: dict[str, Any], lake: Lake
) -> None:
    ctas = pyathena(
        "fetch",
        connection=connection,
        sql=f"CREATE TABLE ct WITH (external_location='s3://{lake.bucket}/ct/', format='PARQUET', "
        "partitioned_by=ARRAY['dt']) AS SELECT id, dt FROM src",
    )
    assert (ctas["substatement_type"], ctas["rowcount"]) == ("CREATE_TABLE_AS_SELECT", 3)
    insert = pyathena(
        "fetch", connection=connection, sql="INSERT INTO ct SELECT id + 10, dt FROM src WHERE id < 3"
    )
    assert (insert["substatement_type"], insert["rowcount"]) == ("INSERT", 2)
    expected = sorted((n, row[3]) for row in SRC for n in (row[0], row[0] + 10) if n != 13)
    answer = pyathena("fetch", connection=connection, sql="SELECT id, dt FROM ct ORDER BY id")
    assert [tuple(row) for row in answer["rows"]] == expected
    assert sorted((row["id"], row["dt"]) for row in lake.rows("ct")) == expected


def test_executemany_inserts_once_per_parameter_set(
    pyathena: Client, connection: dict[str, Any], lake: Lake
) -> None:
    pyathena(
        "fetch",
        connection=connection,
        sql=f"CREATE TABLE many WITH (external_location='s3://{lake.bucket}/many/') "
        "AS SELECT id, name FROM src",
    )
    pyathena(
        "execute_many",
        connection=connection,
        sql="INSERT INTO many SELECT CAST(%(id)d AS bigint), %(name)s",
        parameters=[{"id": 100, "name": "it's"}, {"id": 101, "name": "ü"}],
    )
    assert sorted((row["id"], row["name"]) for row in lake.rows("many")) == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
        (100, "it's"),
        (101, "ü"),
    ]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (
            "SELECT nope FROM src",
            r"COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved or requester is not authorized to "
            r"access requested resources",
        ),
        (
            "SELECT * FROM nope",
            r"TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog\.\w+\.nope' does not exist",
        ),
        ("SELECT nope(id) FROM src", r"FUNCTION_NOT_FOUND: line 1:8: Function 'nope' not registered"),
        ("SELECT id + 'x' FROM src", r"TYPE_MISMATCH: line 1:11: "),
        ("SELEC 1", r"mismatched input 'SELEC'"),
    ],
)
def test_a_failed_query_gives_athenas_reason(
    pyathena: Client, connection: dict[str, Any], sql: str, reason: str
) -> None:
    with pytest.raises(ClientError) as caught:
        pyathena("fetch", connection=connection, sql=sql)
    assert caught.value.kind in {"pyathena.error.OperationalError", "pyathena.error.DatabaseError"}
    assert re.search(reason, caught.value.message)


def test_without_any_output_location_the_query_is_refused(pyathena: Client) -> None:
    with pytest.raises(ClientError, match="No output location provided"):
        pyathena("fetch", connection={"work_group": "primary", "region_name": "us-east-1"}, sql="SELECT 1")


@pytest.mark.parametrize("unload", [False, True])
def test_the_pandas_cursor_gives_the_rows_as_a_frame(
    pyathena: Client, connection: dict[str, Any], unload: bool
) -> None:
    sql = "SELECT id, name, amount, dt FROM src ORDER BY id"
    answer = pyathena("pandas_frame", connection=connection, sql=sql, unload=unload)
    assert answer["columns"] == ["id", "name", "amount", "dt"]
    assert sorted(answer["rows"]) == [list(row) for row in SRC]


@pytest.mark.parametrize("unload", [False, True])
def test_the_pandas_cursor_gives_an_empty_frame_for_no_rows(
    pyathena: Client, connection: dict[str, Any], unload: bool
) -> None:
    answer = pyathena(
        "pandas_frame", connection=connection, sql="SELECT * FROM src WHERE id > 99", unload=unload
    )
    assert answer["rows"] == []


@pytest.mark.parametrize("unload", [False, True])
def test_the_arrow_cursor_reads_once_pyarrow_knows_the_endpoint(
    pyathena: Client, connection: dict[str, Any], lake: Lake, unload: bool
) -> None:
    answer = pyathena(
        "arrow_table",
        connection=connection,
        sql="SELECT id, name, amount, dt FROM src ORDER BY id",
        endpoint=lake.aws.endpoint_url,
        unload=unload,
    )
    assert answer["columns"] == ["id", "name", "amount", "dt"]
    assert sorted(answer["rows"]) == [list(row) for row in SRC]


@pytest.mark.parametrize("function", ["fetch_side_by_side", "fetch_in_event_loop"])
def test_async_cursors_run_queries_side_by_side(
    pyathena: Client, connection: dict[str, Any], function: str
) -> None:
    statements = [f"SELECT {n} AS n, count(*) FROM src" for n in range(12)]
    assert pyathena(function, connection=connection, statements=statements) == [
        [[n, len(SRC)]] for n in range(12)
    ]


def test_the_result_of_the_same_query_is_taken_again(pyathena: Client, connection: dict[str, Any]) -> None:
    first, second = pyathena("fetch_from_cache", connection=connection, sql="SELECT id AS cached FROM src")
    assert first == second


def test_a_cancelled_query_ends_cancelled(pyathena: Client, connection: dict[str, Any]) -> None:
    assert pyathena("cancel", connection=connection, sql=ENDLESS)["state"] == "CANCELLED"


def test_metadata_calls_describe_the_catalog(
    pyathena: Client, connection: dict[str, Any], lake: Lake
) -> None:
    answer = pyathena("metadata", connection=connection, table="src")
    assert lake.database in answer["databases"]
    assert {"src", "wide_src"} <= set(answer["tables"])
    assert answer["columns"] == [["id", "bigint"], ["name", "string"], ["amount", "double"]]
    assert answer["partition_keys"] == [["dt", "string"]]
    assert answer["location"].rstrip("/") == f"s3://{lake.bucket}/src"
    assert answer["table_type"] == "EXTERNAL_TABLE"


def test_to_sql_writes_a_partitioned_table_and_replaces_it(
    pyathena: Client, connection: dict[str, Any], lake: Lake
) -> None:
    write = {
        "connection": connection,
        "name": "tosql",
        "location": f"s3://{lake.bucket}/tosql/",
        "partitions": ["p"],
    }
    pyathena("write_frame", frame={"a": [1, 2], "p": ["x", "y"]}, **write)
    read = {"connection": connection, "sql": "SELECT a, p FROM tosql ORDER BY a"}
    assert pyathena("fetch", **read)["rows"] == [[1, "x"], [2, "y"]]
    assert lake.partition_values("tosql") == [["x"], ["y"]]
    with pytest.raises(ClientError, match="already exists"):
        pyathena("write_frame", frame={"a": [7], "p": ["x"]}, **write)
    pyathena("write_frame", frame={"a": [7], "p": ["x"]}, if_exists="replace", **write)
    assert pyathena("fetch", **read)["rows"] == [[7, "x"]]
