"""awswrangler (AWS SDK for pandas) works unchanged: reading, writing, DDL, prepared statements, the catalog.

Iceberg is not offered: to_iceberg fails with a reason that says so. Not covered: Spark, Lake Formation and
the other services awswrangler knows.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from .client import Client, ClientError
from .lake import SRC, Lake

pytestmark = pytest.mark.clients

SELECT = "SELECT id, name, amount, dt FROM src ORDER BY id"
NAMES = ("id", "name", "amount", "dt")
ROWS = [dict(zip(NAMES, row, strict=True)) for row in SRC]

Wrangler = Callable[..., Any]


@pytest.fixture(scope="module")
def client(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("awswrangler")
    with Client(".venv-clients", "awswrangler_calls.py", lake.aws.environment, home) as client:
        yield client


@pytest.fixture(scope="module")
def wr(client: Client) -> Wrangler:
    """``wr("athena.read_sql_query", sql=…)`` calls the function of that name; ``frame`` is its ``df``."""

    def call(function: str, *, frame: dict[str, list[Any]] | None = None, **arguments: Any) -> Any:
        return client("call", function=function, arguments=arguments, frame=frame)

    return call


@pytest.fixture(scope="module")
def read(wr: Wrangler, lake: Lake) -> Wrangler:
    """read_sql_query of the lake's database, by plain results unless told otherwise."""
    return partial(
        wr, "athena.read_sql_query", database=lake.database, s3_output=lake.staging, ctas_approach=False
    )


def by_id(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["id"])


# ------------------------------------------------------------------------------------------------- reading


def test_read_sql_query_plain(read: Wrangler) -> None:
    assert read(sql=SELECT) == ROWS


def test_read_sql_query_by_ctas_leaves_no_table(read: Wrangler, lake: Lake) -> None:
    before = lake.tables()
    assert by_id(read(sql=SELECT, ctas_approach=True)) == ROWS
    assert lake.tables() == before


def test_read_sql_query_by_ctas_without_keeping_files_leaves_none(read: Wrangler, lake: Lake) -> None:
    output = f"s3://{lake.bucket}/unkept/"
    settings = {"temp_table_name": "tmp_wr_x", "compression": "zstd"}
    rows = read(sql=SELECT, ctas_approach=True, ctas_parameters=settings, keep_files=False, s3_output=output)
    assert by_id(rows) == ROWS
    assert lake.keys("unkept/") == []


def test_read_sql_query_by_unload(read: Wrangler, lake: Lake) -> None:
    output = f"s3://{lake.bucket}/unloaded/"
    assert by_id(read(sql=SELECT, unload_approach=True, s3_output=output)) == ROWS
    assert any(key.endswith("-manifest.csv") for key in lake.keys("unloaded/"))


@pytest.mark.parametrize("ctas", [False, True])
def test_an_empty_result_is_an_empty_frame(read: Wrangler, ctas: bool) -> None:
    assert read(sql="SELECT * FROM src WHERE id > 99", ctas_approach=ctas) == []


def test_an_empty_unload_writes_no_file_and_awswrangler_says_so(read: Wrangler, lake: Lake) -> None:
    output = f"s3://{lake.bucket}/unloaded-nothing/"
    with pytest.raises(ClientError) as caught:
        read(sql="SELECT * FROM src WHERE id > 99", unload_approach=True, s3_output=output)
    assert caught.value.kind == "awswrangler.exceptions.EmptyDataFrame"


def test_read_sql_query_in_chunks(read: Wrangler) -> None:
    chunks = read(sql=SELECT, chunksize=2)
    assert [len(chunk) for chunk in chunks] == [2, 1]
    assert [row for chunk in chunks for row in chunk] == ROWS


def test_columns_get_their_types_and_the_frame_knows_its_query(client: Client, lake: Lake) -> None:
    sql = (
        "SELECT 1 AS i, CAST(2 AS bigint) AS b, DOUBLE '1.25' AS d, true AS t, 'x' AS s, "
        "DATE '2026-01-02' AS dd, TIMESTAMP '2026-01-02 03:04:05.678' AS ts, "
        "CAST(1.50 AS decimal(10,2)) AS de"
    )
    answer = client(
        "kinds_of_columns",
        arguments={"sql": sql, "database": lake.database, "s3_output": lake.staging, "ctas_approach": False},
    )
    dtypes = answer["dtypes"]
    assert (dtypes["i"], dtypes["b"], dtypes["d"], dtypes["t"]) == ("Int32", "Int64", "float64", "boolean")
    assert dtypes["s"] == "string"
    assert dtypes["dd"] == dtypes["de"] == "object"
    assert dtypes["ts"].startswith("datetime64")
    assert (answer["state"], answer["query"]) == ("SUCCEEDED", sql)


def test_values_of_every_kind_come_back(read: Wrangler) -> None:
    sql = (
        "SELECT 1 AS i, DOUBLE '1.25' AS d, true AS t, DATE '2026-01-02' AS dd, "
        "CAST(1.50 AS decimal(10,2)) AS de, CAST(NULL AS varchar) AS n"
    )
    expected = {
        "i": 1,
        "d": 1.25,
        "t": True,
        "dd": "datetime.date(2026, 1, 2)",
        "de": "Decimal('1.50')",
        "n": None,
    }
    assert read(sql=sql) == [expected]
    nested = "SELECT ARRAY[1, 2] AS a, CAST(ROW(1, 'x') AS ROW(p integer, q varchar)) AS r"
    (row,) = read(sql=nested, ctas_approach=True)
    assert row == {"a": "array([1, 2], dtype=int32)", "r": {"p": 1, "q": "x"}}


def test_qmark_parameters_go_to_athena(read: Wrangler) -> None:
    assert read(sql="SELECT id FROM src WHERE id = ?", params=["3"], paramstyle="qmark") == [{"id": 3}]


def test_named_parameters_are_written_into_the_text(read: Wrangler) -> None:
    rows = read(sql="SELECT id FROM src WHERE name = :name", params={"name": "b"}, paramstyle="named")
    assert rows == [{"id": 2}]


def test_read_sql_table(wr: Wrangler, lake: Lake) -> None:
    rows = wr("athena.read_sql_table", table="src", database=lake.database, s3_output=lake.staging)
    assert by_id(rows) == ROWS


@pytest.mark.parametrize("ctas", [False, True])
def test_the_cache_finds_the_same_query_again(read: Wrangler, lake: Lake, ctas: bool) -> None:
    sql = f"SELECT id, name AS {'by_ctas' if ctas else 'plain'} FROM src"
    settings = {"max_cache_seconds": 900, "max_cache_query_inspections": 500, "max_remote_cache_entries": 500}
    first = read(sql=sql, ctas_approach=ctas, athena_cache_settings=settings)
    lake.aws.clear_calls()
    assert read(sql=sql, ctas_approach=ctas, athena_cache_settings=settings) == first
    calls = [call.operation for call in lake.aws.calls if call.service == "athena"]
    assert "StartQueryExecution" not in calls


def test_the_default_output_bucket_is_made(wr: Wrangler, lake: Lake) -> None:
    rows = wr("athena.read_sql_query", sql="SELECT 1 AS one", database=lake.database, ctas_approach=False)
    assert rows == [{"one": 1}]
    account = lake.aws.client("sts").get_caller_identity()["Account"]
    buckets = [each["Name"] for each in lake.aws.client("s3").list_buckets()["Buckets"]]
    assert f"aws-athena-query-results-{account}-us-east-1" in buckets


def test_a_named_workgroup_gives_the_output_location(wr: Wrangler, lake: Lake) -> None:
    workgroup = f"wr_{uuid.uuid4().hex[:8]}"
    lake.aws.client("athena").create_work_group(
        Name=workgroup,
        Configuration={
            "EnforceWorkGroupConfiguration": True,
            "ResultConfiguration": {"OutputLocation": f"s3://{lake.bucket}/of-workgroup/"},
        },
    )
    arguments = {"database": lake.database, "workgroup": workgroup}
    assert wr("athena.read_sql_query", sql=SELECT, ctas_approach=False, **arguments) == ROWS
    assert by_id(wr("athena.read_sql_query", sql=SELECT, **arguments)) == ROWS
    assert lake.keys("of-workgroup/")


# ---------------------------------------------------------------------------------------------- statements


def test_create_ctas_table_partitioned(wr: Wrangler, lake: Lake) -> None:
    wr(
        "athena.create_ctas_table",
        sql="SELECT id, name, dt FROM src",
        database=lake.database,
        ctas_table="ct1",
        s3_output=f"s3://{lake.bucket}/ct1",
        partitioning_info=["dt"],
        storage_format="parquet",
        write_compression="snappy",
        wait=True,
    )
    assert lake.partition_values("ct1") == [["2026-01-01"], ["2026-01-02"]]
    assert sorted((row["id"], row["name"], row["dt"]) for row in lake.rows("ct1")) == [
        (number, name, day) for number, name, _, day in SRC
    ]
    assert all(key.startswith("ct1/ct1/dt=") for key in lake.keys("ct1/ct1/"))


def test_create_ctas_table_bucketed(wr: Wrangler, read: Wrangler, lake: Lake) -> None:
    wr(
        "athena.create_ctas_table",
        sql="SELECT id, name FROM src",
        database=lake.database,
        ctas_table="ct2",
        s3_output=f"s3://{lake.bucket}/ct2",
        bucketing_info=[["id"], 2],
        storage_format="orc",
        wait=True,
    )
    descriptor = lake.table("ct2")["StorageDescriptor"]
    assert (descriptor["BucketColumns"], descriptor["NumberOfBuckets"]) == (["id"], 2)
    assert len(lake.keys("ct2/ct2/")) == 2
    assert read(sql="SELECT id, name FROM ct2 ORDER BY id") == [{"id": r[0], "name": r[1]} for r in SRC]


def test_create_ctas_table_schema_only(wr: Wrangler, read: Wrangler, lake: Lake) -> None:
    wr(
        "athena.create_ctas_table",
        sql="SELECT id, name FROM src",
        database=lake.database,
        ctas_table="ct3",
        s3_output=f"s3://{lake.bucket}/ct3",
        storage_format="parquet",
        schema_only=True,
        wait=True,
    )
    columns = [(each["Name"], each["Type"]) for each in lake.table("ct3")["StorageDescriptor"]["Columns"]]
    assert columns == [("id", "bigint"), ("name", "string")]
    assert lake.keys("ct3/ct3/") == []
    assert read(sql="SELECT * FROM ct3") == []


def test_unload_writes_partitioned_parquet(wr: Wrangler, lake: Lake) -> None:
    wr(
        "athena.unload",
        sql=SELECT,
        path=f"s3://{lake.bucket}/ul/",
        database=lake.database,
        file_format="PARQUET",
        compression="snappy",
        partitioned_by=["dt"],
    )
    files = [key for key in lake.keys("ul/") if "/dt=" in key]
    assert {key.split("/")[1] for key in files} == {"dt=2026-01-01", "dt=2026-01-02"}
    rows = wr("s3.read_parquet", path=[f"s3://{lake.bucket}/{key}" for key in files])
    assert by_id(rows) == [{key: row[key] for key in ("id", "name", "amount")} for row in ROWS]


def test_unload_writes_delimited_text(wr: Wrangler, lake: Lake) -> None:
    wr(
        "athena.unload",
        sql="SELECT id, name FROM src",
        path=f"s3://{lake.bucket}/ult/",
        database=lake.database,
        file_format="TEXTFILE",
        compression="gzip",
        field_delimiter="|",
    )
    files = [key for key in lake.keys("ult/") if key.endswith(".gz")]
    rows = wr(
        "s3.read_csv",
        path=[f"s3://{lake.bucket}/{key}" for key in files],
        sep="|",
        header=None,
        names=["id", "name"],
        compression="gzip",
    )
    assert by_id(rows) == [{"id": r[0], "name": r[1]} for r in SRC]


def test_describe_table_marks_the_partition_keys(wr: Wrangler, lake: Lake) -> None:
    rows = wr("athena.describe_table", table="src", database=lake.database, s3_output=lake.staging)
    assert rows == [
        {"Column Name": "id", "Type": "bigint", "Partition": False, "Comment": ""},
        {"Column Name": "name", "Type": "string", "Partition": False, "Comment": ""},
        {"Column Name": "amount", "Type": "double", "Partition": False, "Comment": ""},
        {"Column Name": "dt", "Type": "string", "Partition": True, "Comment": ""},
    ]


def test_show_create_table_and_the_query_generated_from_glue(wr: Wrangler, lake: Lake) -> None:
    shown = wr("athena.show_create_table", table="src", database=lake.database, s3_output=lake.staging)
    assert shown.startswith("CREATE EXTERNAL TABLE")
    assert f"s3://{lake.bucket}/src" in shown
    generated = wr("athena.generate_create_query", table="src", database=lake.database)
    assert generated.startswith("CREATE EXTERNAL TABLE `src`")


def test_a_view_that_athena_made_is_read_back_from_glue(wr: Wrangler, read: Wrangler, lake: Lake) -> None:
    view = {"database": lake.database, "s3_output": lake.staging}
    started = wr(
        "athena.start_query_execution", sql="CREATE VIEW v2 AS SELECT id FROM src", wait=True, **view
    )
    assert started["Status"]["State"] == "SUCCEEDED"
    generated = wr("athena.generate_create_query", table="v2", database=lake.database)
    assert " ".join(generated.split()) == 'CREATE OR REPLACE VIEW "v2" AS SELECT id FROM src'


def test_repair_table_finds_new_folders(wr: Wrangler, read: Wrangler, lake: Lake) -> None:
    body = {"id": [9], "name": ["z"], "amount": [0.5]}
    day = "2026-01-09"
    table = f"s3://{lake.bucket}/repaired"
    wr("s3.to_parquet", frame=body, path=f"{table}/dt={day}/part-0.parquet")
    lake.aws.client("glue").create_table(
        DatabaseName=lake.database,
        TableInput={
            "Name": "repaired",
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": "dt", "Type": "string"}],
            "StorageDescriptor": lake.table("src")["StorageDescriptor"] | {"Location": f"{table}/"},
        },
    )
    state = wr("athena.repair_table", table="repaired", database=lake.database, s3_output=lake.staging)
    assert state == "SUCCEEDED"
    assert lake.partition_values("repaired") == [[day]]
    assert read(sql="SELECT * FROM repaired") == [{"id": 9, "name": "z", "amount": 0.5, "dt": day}]


def test_prepared_statements_live_and_run(wr: Wrangler, read: Wrangler) -> None:
    name = f"ps_{uuid.uuid4().hex[:8]}"
    wr("athena.create_prepared_statement", sql="SELECT 0 FROM src WHERE id = ?", statement_name=name)
    wr("athena.create_prepared_statement", sql="SELECT name FROM src WHERE id = ?", statement_name=name)
    assert name in [each["StatementName"] for each in wr("athena.list_prepared_statements")]
    assert read(sql=f"EXECUTE {name}", params=["2"], paramstyle="qmark") == [{"name": "b"}]
    wr("athena.delete_prepared_statement", statement_name=name)
    assert name not in [each["StatementName"] for each in wr("athena.list_prepared_statements")]


def test_query_executions_are_listed_and_looked_up(wr: Wrangler, lake: Lake) -> None:
    context = {"database": lake.database, "s3_output": lake.staging}
    query_id = wr("athena.start_query_execution", sql="SELECT count(*) AS c FROM src", **context)
    assert wr("athena.wait_query", query_execution_id=query_id)["Status"]["State"] == "SUCCEEDED"
    assert query_id in wr("athena.list_query_executions")
    assert wr("athena.get_query_columns_types", query_execution_id=query_id) == {"c": "bigint"}
    (row,) = wr("athena.get_query_executions", query_execution_ids=[query_id])
    assert row["QueryExecutionId"] == query_id
    assert wr("athena.get_query_results", query_execution_id=query_id) == [{"c": len(SRC)}]


def test_a_named_query_is_found(wr: Wrangler, read: Wrangler, lake: Lake) -> None:
    named = lake.aws.client("athena").create_named_query(
        Name="count", Database=lake.database, QueryString="SELECT count(*) AS c FROM src"
    )
    text = wr("athena.get_named_query_statement", named_query_id=named["NamedQueryId"])
    assert read(sql=text) == [{"c": len(SRC)}]


def test_a_stopped_query_is_cancelled(client: Client, lake: Lake) -> None:
    endless = (
        "SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
        "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3"
    )
    assert client("stop", sql=endless, database=lake.database, s3_output=lake.staging) == "cancelled"


@pytest.mark.parametrize(
    ("sql", "kind", "reason"),
    [
        (
            "SELECT nope FROM src",
            "QueryFailed",
            "COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved",
        ),
        ("SELECT * FROM nope", "QueryFailed", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog."),
    ],
)
def test_a_failed_query_gives_its_reason(read: Wrangler, sql: str, kind: str, reason: str) -> None:
    with pytest.raises(ClientError) as caught:
        read(sql=sql)
    assert caught.value.kind.endswith(f".{kind}")
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT max(id) FROM src", "InvalidArgumentValue"),  # it looks for "Column name not specified"
        ("SELECT id AS x, name AS x FROM src", "InvalidCtasApproachQuery"),  # "… specified more than once"
        ("SELECT NULL AS x FROM src", "InvalidArgumentValue"),  # "Column type is unknown"
    ],
)
def test_what_ctas_refuses_is_told_in_words_that_awswrangler_knows(
    read: Wrangler, sql: str, kind: str
) -> None:
    with pytest.raises(ClientError) as caught:
        read(sql=sql, ctas_approach=True)
    assert caught.value.kind.endswith(f".{kind}")


def test_iceberg_is_refused_clearly(wr: Wrangler, lake: Lake) -> None:
    with pytest.raises(ClientError, match=r"NOT_SUPPORTED.*(?i:iceberg)"):
        wr(
            "athena.to_iceberg",
            frame={"id": [1], "name": ["a"]},
            database=lake.database,
            table="ice",
            table_location=f"s3://{lake.bucket}/ice/",
            temp_path=f"s3://{lake.bucket}/ice-temp/",
            s3_output=lake.staging,
        )
    assert "ice" not in lake.tables()


# ------------------------------------------------------------------------------------------------- writing


@pytest.fixture(scope="module")
def write(wr: Wrangler, lake: Lake) -> Wrangler:
    """to_parquet into the dataset and table ``days``."""
    return partial(
        wr,
        "s3.to_parquet",
        path=f"s3://{lake.bucket}/days/",
        dataset=True,
        database=lake.database,
        table="days",
        partition_cols=["dt"],
    )


def test_to_parquet_creates_overwrites_partitions_and_appends(
    write: Wrangler, read: Wrangler, lake: Lake
) -> None:
    def rows() -> list[tuple[int, str]]:
        return [(row["id"], row["dt"]) for row in read(sql="SELECT id, dt FROM days ORDER BY id")]

    write(frame={"id": [1, 2], "dt": ["2026-01-01", "2026-01-02"]}, mode="overwrite")
    assert rows() == [(1, "2026-01-01"), (2, "2026-01-02")]
    write(frame={"id": [20, 30], "dt": ["2026-01-02", "2026-01-03"]}, mode="overwrite_partitions")
    assert rows() == [(1, "2026-01-01"), (20, "2026-01-02"), (30, "2026-01-03")]
    write(frame={"id": [31], "dt": ["2026-01-03"]}, mode="append")
    assert rows() == [(1, "2026-01-01"), (20, "2026-01-02"), (30, "2026-01-03"), (31, "2026-01-03")]
    assert lake.partition_values("days") == [["2026-01-01"], ["2026-01-02"], ["2026-01-03"]]


def test_a_column_added_later_is_null_in_the_older_files(write: Wrangler, read: Wrangler, lake: Lake) -> None:
    place = {"path": f"s3://{lake.bucket}/growing/", "table": "growing"}
    write(frame={"id": [1], "dt": ["2026-01-01"]}, **place)
    write(frame={"id": [2], "note": ["new"], "dt": ["2026-01-02"]}, mode="append", **place)
    assert read(sql="SELECT id, note FROM growing ORDER BY id") == [
        {"id": 1, "note": None},
        {"id": 2, "note": "new"},
    ]


def test_250_partitions_are_written_without_any_query(wr: Wrangler, read: Wrangler, lake: Lake) -> None:
    days = [f"d{n:03}" for n in range(250)]
    wr(
        "s3.to_parquet",
        frame={"id": list(range(250)), "dt": days},
        path=f"s3://{lake.bucket}/wide/",
        dataset=True,
        database=lake.database,
        table="wide",
        partition_cols=["dt"],
    )
    assert lake.partition_values("wide") == [[day] for day in days]
    assert read(sql="SELECT count(*) AS n, min(dt) AS a, max(dt) AS b FROM wide") == [
        {"n": 250, "a": "d000", "b": "d249"}
    ]


@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("s3.to_orc", {}),
        ("s3.to_csv", {"index": False}),
        ("s3.to_json", {"orient": "records", "lines": True, "index": False}),
    ],
)
def test_other_formats_that_awswrangler_writes_are_read(
    wr: Wrangler, read: Wrangler, lake: Lake, function: str, options: dict[str, Any]
) -> None:
    table = function.replace(".", "_")
    values = {"id": [1, 2, 3], "name": ["a,b", 'q"x', "ü"], "amount": [1.5, None, 2.5], "dt": ["x", "x", "y"]}
    place = {"path": f"s3://{lake.bucket}/{table}/", "database": lake.database, "table": table}
    wr(function, frame=values, dataset=True, partition_cols=["dt"], **place, **options)
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    assert read(sql=f"SELECT * FROM {table} ORDER BY id") == rows


def test_a_projected_table_has_the_partitions_of_its_range(
    write: Wrangler, read: Wrangler, lake: Lake
) -> None:
    projection = {
        "projection_types": {"dt": "date"},
        "projection_ranges": {"dt": "2026-01-01,2026-01-02"},
        "projection_formats": {"dt": "yyyy-MM-dd"},
    }
    days = ["2026-01-01", "2026-01-02", "2026-01-03"]
    place = {"path": f"s3://{lake.bucket}/projected/", "table": "projected"}
    write(frame={"id": [1, 2, 3], "dt": days}, athena_partition_projection_settings=projection, **place)
    assert len(lake.partition_values("projected")) == 3
    assert read(sql="SELECT id, dt FROM projected ORDER BY id") == [
        {"id": 1, "dt": "2026-01-01"},
        {"id": 2, "dt": "2026-01-02"},
    ]


# ------------------------------------------------------------------------------------------------- catalog


def test_the_catalog_is_listed_and_described(wr: Wrangler, lake: Lake) -> None:
    database = {"database": lake.database}
    assert lake.database in [each["Name"] for each in wr("catalog.get_databases")]
    assert {"src", "wide_src"} <= {each["Name"] for each in wr("catalog.get_tables", **database)}
    assert wr("catalog.does_table_exist", table="src", **database) is True
    assert wr("catalog.does_table_exist", table="nope", **database) is False
    assert wr("catalog.get_table_types", table="src", **database) == {
        "id": "bigint",
        "name": "string",
        "amount": "double",
        "dt": "string",
    }
    assert wr("catalog.get_table_location", table="src", **database).rstrip("/") == f"s3://{lake.bucket}/src"
    found = wr("catalog.get_partitions", table="src", expression="dt = '2026-01-02'", **database)
    assert list(found.values()) == [["2026-01-02"]]


def test_search_tables_finds_by_name(wr: Wrangler, lake: Lake) -> None:
    found = [(each["DatabaseName"], each["Name"]) for each in wr("catalog.search_tables", text="wide_src")]
    assert (lake.database, "wide_src") in found
    assert all("wide_src" in name for _, name in found)


def test_tables_and_partitions_are_made_and_taken_away(wr: Wrangler, read: Wrangler, lake: Lake) -> None:
    place = f"s3://{lake.bucket}/made/"
    table = {"database": lake.database, "table": "made"}
    wr(
        "catalog.create_parquet_table",
        path=place,
        columns_types={"id": "bigint"},
        partitions_types={"dt": "string"},
        parameters={"owner": "me"},
        description="a table",
        **table,
    )
    values = {f"{place}dt={day}/": [day] for day in ("2026-01-01", "2026-01-02", "2026-01-03")}
    wr("catalog.add_parquet_partitions", partitions_values=values, **table)
    assert wr("catalog.get_parquet_partitions", **table) == values
    wr("catalog.delete_partitions", partitions_values=[["2026-01-02"]], **table)
    assert lake.partition_values("made") == [["2026-01-01"], ["2026-01-03"]]
    wr("catalog.upsert_table_parameters", parameters={"owner": "you", "more": "1"}, **table)
    parameters = wr("catalog.get_table_parameters", **table)
    assert (parameters["owner"], parameters["more"]) == ("you", "1")
    wr("catalog.add_column", column_name="note", column_type="string", column_comment="", **table)
    assert wr("catalog.get_table_types", **table) == {"id": "bigint", "note": "string", "dt": "string"}
    # Of the two changes awswrangler asks to archive the version before only for the column.
    assert wr("catalog.get_table_number_of_versions", **table) == 2
    assert wr("catalog.get_table_description", **table) == "a table"
    assert read(sql="SELECT * FROM made") == []
    wr("catalog.delete_all_partitions", **table)
    assert lake.partition_values("made") == []
    assert wr("catalog.delete_table_if_exists", **table) is True
    assert wr("catalog.delete_table_if_exists", **table) is False


def test_a_database_is_made_and_taken_away(wr: Wrangler) -> None:
    name = f"wr_{uuid.uuid4().hex[:8]}"
    wr("catalog.create_database", name=name, description="made by a test")
    assert name in [each["Name"] for each in wr("catalog.get_databases")]
    wr("catalog.delete_database", name=name)
    assert name not in [each["Name"] for each in wr("catalog.get_databases")]
