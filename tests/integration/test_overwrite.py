"""Insert overwrite on a running local Athena. Expected rows are the Python values that were put in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, Asset

from airflow_quilt_athena.local import Fault, LocalAthena
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from tests.integration.lab import Lab, Ran, Rows, connection, run_task

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(aws: LocalAthena, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    opened = Lab.open(aws, unique)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield opened
    aws.set_faults()
    aws.set_latency({})


def values(*rows: tuple[int, str]) -> str:
    """A query of literal rows."""
    cells = ", ".join(f"({number}, {literal(text)})" for number, text in rows)
    return f"SELECT * FROM (VALUES {cells}) AS t (id, note)"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def overwrite(lab: Lab, query: str, partition: Any = None, **arguments: Any) -> Ran:
    given: dict[str, Any] = {
        "task_id": "overwrite",
        "query": query,
        "table": "orders",
        "partition": {"dt": "2026-01-01"} if partition is None else partition,
        "database": lab.database,
        "workgroup": lab.workgroup,
        "location": f"s3://{lab.bucket}/warehouse/orders/",
    }
    return lab.run_task(CtasInsertOverwriteOperator(**(given | arguments)))


def stored(lab: Lab, columns: str = "id, note, dt") -> Rows:
    return lab.rows(f"SELECT {columns} FROM orders")


def temporary_tables(lab: Lab) -> set[str]:
    return {name for name in lab.tables() if name.startswith("tmp_quilt_")}


# -------------------------------------------------------------------------------------------- replacing


def test_the_first_run_makes_the_table_and_the_second_replaces_its_partition(lab: Lab) -> None:
    first = overwrite(lab, values((1, "a"), (2, "b"))).result
    assert stored(lab) == [("1", "a", "2026-01-01"), ("2", "b", "2026-01-01")]
    second = overwrite(lab, values((3, "c"))).result
    assert stored(lab) == [("3", "c", "2026-01-01")]
    assert (first["partitions"][0]["action"], second["partitions"][0]["action"]) == ("created", "replaced")
    assert second["partitions"][0]["previous_location"] == first["partitions"][0]["location"]
    assert temporary_tables(lab) == set()


def test_a_task_makes_its_own_clients_from_its_connection(lab: Lab) -> None:
    operator = CtasInsertOverwriteOperator(
        task_id="overwrite",
        query=values((1, "a")),
        table=f"{lab.database}.orders",
        partition="2026-01-01",
        partitioned_by=["dt"],
        workgroup=lab.workgroup,
        location=f"s3://{lab.bucket}/orders/",
        region_name="us-east-1",
        botocore_config={"connect_timeout": 5},
    )
    assert run_task(operator).result["rows"] == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_the_same_run_twice_ends_in_the_same_rows(lab: Lab) -> None:
    for _ in range(2):
        overwrite(lab, values((1, "a"), (1, "a")))
    assert stored(lab) == [("1", "a", "2026-01-01")] * 2


def test_other_partitions_stay_as_they_are(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {"dt": "2026-01-01"})
    overwrite(lab, values((2, "b")), {"dt": "2026-01-02"})
    overwrite(lab, values((3, "c")), {"dt": "2026-01-02"})
    assert stored(lab) == [("1", "a", "2026-01-01"), ("3", "c", "2026-01-02")]


def test_a_failed_ctas_leaves_the_old_rows_and_a_retry_works(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    before = lab.partitions("orders")
    failing = "SELECT id / (id - id) AS id, note FROM (VALUES (1, 'x')) AS t (id, note)"
    with pytest.raises(AirflowFailException, match=r"(?i)FAILED in workgroup .*division.by.zero.*console"):
        overwrite(lab, failing)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert lab.partitions("orders") == before
    assert temporary_tables(lab) == set()
    overwrite(lab, values((2, "b")))
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_nothing_that_was_live_is_deleted(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    old = lab.keys("warehouse/")
    overwrite(lab, values((2, "b")))
    assert old
    assert old < lab.keys("warehouse/")
    deletes = [call for call in lab.aws.calls if call.operation.startswith("Delete") and call.service == "s3"]
    assert deletes == []


def test_a_query_may_read_the_partition_it_replaces(lab: Lab) -> None:
    overwrite(lab, values((1, "a"), (1, "a"), (2, "b")))
    overwrite(lab, "SELECT DISTINCT id, note FROM orders WHERE dt = '2026-01-01'")
    assert stored(lab) == [("1", "a", "2026-01-01"), ("2", "b", "2026-01-01")]


def test_a_partition_that_something_else_wrote_is_replaced_and_its_files_stay(lab: Lab) -> None:
    root = f"s3://{lab.bucket}/warehouse/orders/"
    lab.run(
        f"CREATE TABLE orders WITH (external_location = '{root}', format = 'ORC', "
        "partitioned_by = ARRAY['dt']) AS SELECT CAST(9 AS bigint) AS id, 'old' AS note, '2026-01-01' AS dt"
    )
    natural = lab.keys("warehouse/orders/dt=2026-01-01/")
    ran = overwrite(lab, values((1, "a")))
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert natural
    assert natural <= lab.keys("warehouse/")
    assert ran.result["partitions"][0]["previous_location"].rstrip("/") == f"{root}dt=2026-01-01"
    table = lab.client("glue").get_table(DatabaseName=lab.database, Name="orders")["Table"]
    assert table["Parameters"]["quilt_athena.base"] == root


def test_repairing_the_table_finds_nothing_to_double(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    overwrite(lab, values((2, "b")))
    lab.run("MSCK REPAIR TABLE orders")
    assert stored(lab) == [("2", "b", "2026-01-01")]


# ------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize(
    "value",
    ["two words", "a/b", "it's", "a=b", "100%", "10:30", "%3A", "a\\b", 'say "hi"', "{staged}", "#1?*"],
)
def test_an_awkward_value_names_one_partition_however_often_it_is_written(lab: Lab, value: str) -> None:
    for note in ("old", "new"):
        overwrite(lab, values((1, note)), {"k": value}, partitioned_by=("k",))
    assert stored(lab, "id, note, k") == [("1", "new", value)]
    assert lab.rows(f"SELECT note FROM orders WHERE k = {literal(value)}") == [("new",)]
    assert [partition["Values"] for partition in lab.partitions("orders")] == [[value]]


@pytest.mark.parametrize(
    ("hive_type", "value", "predicate", "shown"),
    [
        ("date", "2026-01-31", "k = DATE '2026-01-31'", "2026-01-31"),
        ("int", "007", "k = 7", "7"),
        ("bigint", 12, "k > 11", "12"),
    ],
)
def test_typed_keys_are_compared_by_type(
    lab: Lab, hive_type: str, value: Any, predicate: str, shown: str
) -> None:
    for note in ("old", "new"):
        overwrite(lab, values((1, note)), {"k": value}, partitioned_by={"k": hive_type})
    assert lab.rows(f"SELECT note, k FROM orders WHERE {predicate}") == [("new", shown)]


def test_a_partition_registered_under_another_spelling_is_replaced_not_doubled(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {"k": 1}, partitioned_by={"k": "int"})
    lab.run("ALTER TABLE orders DROP PARTITION (k = 1)")
    place = f"s3://{lab.bucket}/elsewhere/"
    lab.run(
        f"CREATE TABLE other WITH (external_location = '{place}', format = 'PARQUET') AS {values((9, 'z'))}"
    )
    table = lab.client("glue").get_table(DatabaseName=lab.database, Name="orders")["Table"]
    descriptor = table["StorageDescriptor"] | {"Location": place}
    lab.client("glue").create_partition(
        DatabaseName=lab.database,
        TableName="orders",
        PartitionInput={"Values": ["01"], "StorageDescriptor": descriptor},
    )
    assert stored(lab, "id, note, k") == [("9", "z", "1")]
    ran = overwrite(lab, values((2, "b")), {"k": 1})
    assert stored(lab, "id, note, k") == [("2", "b", "1")]
    assert ran.result["partitions"][0]["previous_location"] == place


def test_several_keys_are_given_in_any_order(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {"country": "ch", "dt": "d"}, partitioned_by=("dt", "country"))
    overwrite(lab, values((2, "b")), {"dt": "d", "country": "ch"})
    assert stored(lab, "id, dt, country") == [("2", "d", "ch")]


@pytest.mark.parametrize("value", ["", "None", {"dt": None}, {"dt": ""}, {"dt": "None"}])
def test_a_partition_without_a_value_is_refused(lab: Lab, value: Any) -> None:
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=r"no value"):
        overwrite(lab, values((1, "a")), value)
    assert lab.started() == []
    assert lab.keys("warehouse/") == set()


# ---------------------------------------------------------------------------------------------- columns


def test_columns_are_matched_by_name_not_by_place(lab: Lab) -> None:
    overwrite(lab, "SELECT 'a' AS left_side, 'b' AS right_side")
    overwrite(lab, "SELECT 'B' AS right_side, 'A' AS left_side")
    assert stored(lab, "left_side, right_side") == [("A", "B")]


def test_only_coercions_that_lose_nothing_are_made(lab: Lab) -> None:
    first = "SELECT CAST(1 AS bigint) AS n, CAST(1 AS double) AS x, 'abc' AS s, CAST(1 AS decimal(12,2)) AS d"
    overwrite(lab, first)
    overwrite(lab, "SELECT CAST(2 AS integer) AS n, CAST(2 AS real) AS x, 'longer text' AS s, 2 AS d")
    assert stored(lab, "n, x, s, d") == [("2", "2.0", "longer text", "2.00")]


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ("CAST(1 AS bigint) AS n", "CAST(1.9 AS double) AS n", "n"),
        ("DATE '2026-01-01' AS n", "TIMESTAMP '2026-01-01 12:34:56.000' AS n", "n"),
        ("CAST('a' AS char(1)) AS n", "'abc' AS n", "n"),
        ("CAST(1 AS decimal(4,1)) AS n", "CAST(1.25 AS decimal(4,2)) AS n", "n"),
        ("1 AS n", "1 AS m", "m: not a column of the table"),
        ("1 AS n", "1 AS n, 2 AS extra", "extra: not a column of the table"),
        ("1 AS n, 2 AS gone", "1 AS n", r"gone \(int\): missing in the result"),
        ("1 AS n", "1 AS n, 1 AS n", "n: 2 times in the result"),
        ("1 AS n", "1 AS n, '2026-01-01' AS dt", "dt: a partition key with a value given"),
        (
            "CAST(ROW(1, 2) AS ROW(a integer, b integer)) AS n",
            "CAST(ROW(1, 2) AS ROW(b integer, a integer)) AS n",
            "n",
        ),
    ],
)
def test_columns_that_do_not_fit_are_refused_with_the_difference(
    lab: Lab, first: str, second: str, difference: str
) -> None:
    overwrite(lab, f"SELECT {first}")
    before = lab.partitions("orders")
    with pytest.raises(AirflowFailException, match=f"(?s)does not fit table.*{difference}"):
        overwrite(lab, f"SELECT {second}")
    assert lab.partitions("orders") == before
    assert temporary_tables(lab) == set()


def test_a_partition_key_in_the_first_result_is_refused(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match="dt"):
        overwrite(lab, "SELECT 1 AS id, '2026-01-01' AS dt")
    assert lab.tables() == set()


def test_a_length_of_the_first_result_does_not_cut_later_ones(lab: Lab) -> None:
    overwrite(lab, "SELECT CAST('abc' AS varchar(3)) AS s")
    overwrite(lab, "SELECT 'a much longer text' AS s")
    assert stored(lab, "s") == [("a much longer text",)]


@pytest.mark.parametrize("tail", [";", " -- as it comes", "\n/* done */ ;\n"])
def test_a_semicolon_or_comment_at_the_end_does_no_harm(lab: Lab, tail: str) -> None:
    for _ in range(2):
        overwrite(lab, values((1, "a;b")) + tail)
    assert stored(lab, "id, note") == [("1", "a;b")]


@pytest.mark.parametrize(
    ("file_format", "compression"),
    [("PARQUET", "ZSTD"), ("PARQUET", None), ("ORC", "ZLIB"), ("JSON", "GZIP"), ("TEXTFILE", None)],
)
def test_every_format_reads_back_what_was_written(
    lab: Lab, file_format: str, compression: str | None
) -> None:
    query = (
        "SELECT * FROM (VALUES (1, 'ä, \"b\"', 1.5e0, DATE '2026-01-02'), (2, NULL, NULL, NULL)) "
        "AS t (n, s, x, d)"
    )
    for _ in range(2):
        overwrite(lab, query, file_format=file_format, compression=compression)
    assert stored(lab, "n, s, x, d") == [
        ("1", 'ä, "b"', "1.5", "2026-01-02"),
        ("2", None, None, None),
    ]


@pytest.mark.parametrize("text", ["two\nlines", "field\x01delimiter", "\\N"])
def test_a_text_table_refuses_what_it_would_read_back_as_something_else(lab: Lab, text: str) -> None:
    overwrite(lab, values((1, "plain")), file_format="TEXTFILE")
    with pytest.raises(AirflowFailException, match="cannot be kept in a TEXTFILE table"):
        overwrite(lab, values((2, text)))
    assert stored(lab, "id, note") == [("1", "plain")]


# ------------------------------------------------------------------------------------------------ audit

EMPTY = "SELECT 1 AS id, 'x' AS note WHERE 1 = 0"


def test_an_empty_result_empties_the_partition(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    ran = overwrite(lab, EMPTY)
    assert ran.result["rows"] == 0
    assert stored(lab) == []


def test_an_empty_result_may_be_skipped(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    with pytest.raises(AirflowSkipException):
        overwrite(lab, EMPTY, on_empty="skip")
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert temporary_tables(lab) == set()


@pytest.mark.parametrize(
    ("query", "arguments", "message"),
    [
        (EMPTY, {"on_empty": "fail"}, "no rows"),
        (values((2, "b")), {"min_rows": 2}, "1 rows.*at least 2"),
        (
            values((2, "b")),
            {
                "checks": {
                    "has rows": "SELECT count(*) > 0 FROM {staged}",
                    "small ids": "SELECT max(id) < 2 FROM {staged}",
                }
            },
            "'small ids'",
        ),
    ],
)
def test_a_failed_audit_leaves_the_old_rows(
    lab: Lab, query: str, arguments: dict[str, Any], message: str
) -> None:
    overwrite(lab, values((1, "a")))
    with pytest.raises(AirflowFailException, match=f"(?s){message}.*old data is as it was"):
        overwrite(lab, query, **arguments)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert temporary_tables(lab) == set()


def test_an_audit_of_the_first_result_comes_before_the_table(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match="never"):
        overwrite(lab, values((1, "a")), checks={"never": "SELECT count(*) < 0 FROM {staged}"})
    assert lab.tables() == set()


def test_checks_that_pass_publish(lab: Lab) -> None:
    checks = {"unique": "SELECT count(*) = count(DISTINCT id) FROM {staged}"}
    ran = overwrite(lab, values((1, "a"), (2, "b")), checks=checks, min_rows=2)
    assert len(ran.result["query_execution_ids"]) == 2
    assert stored(lab, "id") == [("1",), ("2",)]


# ------------------------------------------------------------------------- refused before anything is written


def test_an_enforcing_workgroup_is_refused(lab: Lab, unique: Callable[[str], str]) -> None:
    enforcing = lab.create_workgroup(unique("enforcing"), enforce=True)
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match=r"(?s)enforces its result location.*UNLOAD"):
        overwrite(lab, values((1, "a")), workgroup=enforcing)
    assert lab.started() == []


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


# --------------------------------------------------------------------------------------------- reporting


def test_xcom_asset_event_and_partition_tell_the_same_facts(lab: Lab) -> None:
    asset = Asset(name="orders", uri="x-quilt://orders")
    ran = overwrite(lab, values((1, "a"), (2, "b")), outlets=[asset])
    (partition,) = ran.result["partitions"]
    (registered,) = lab.partitions("orders")
    location = registered["StorageDescriptor"]["Location"]
    prefix = f"s3://{lab.bucket}/warehouse/orders/.generations/dt=2026-01-01/"
    assert ran.result["state"] == "SUCCEEDED"
    assert ran.result["rows"] == 2
    assert ran.result["table"] == f"{lab.database}.orders"
    assert partition == {
        "values": {"dt": "2026-01-01"},
        "location": location,
        "generation": location.removeprefix(prefix).rstrip("/"),
        "previous_location": None,
        "action": "created",
    }
    assert ran.outlet_events[asset].extra == ran.result
    parameters = registered["Parameters"]
    assert parameters["quilt_athena.query_id"] == ran.result["query_execution_ids"][0]
    assert parameters["quilt_athena.rows"] == "2"
    assert ran.xcoms["quilt_athena_query_url"].endswith(ran.result["query_execution_ids"][0])
    assert "prefix=warehouse%2Forders%2F.generations" in ran.xcoms["quilt_athena_data_url"]


def test_an_overwrite_is_one_query_and_few_other_calls(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    lab.aws.clear_calls()
    overwrite(lab, values((2, "b")))
    ours = [call for call in lab.aws.calls if not call.by_athena]
    operations = [call.operation for call in ours if call.operation != "GetQueryExecution"]
    assert operations.count("StartQueryExecution") == 1
    assert len(operations) <= 16, operations


def test_a_deferred_overwrite_ends_as_one_on_the_worker(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 0.4})
    ran = overwrite(lab, values((1, "a")), deferrable=True, defer_after=0.05)
    assert ran.deferrals == 1
    assert ran.result["rows"] == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_an_answer_lost_at_the_flip_is_not_an_error(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    lab.aws.set_faults(Fault(call="glue:UpdatePartition", when="lost", times=1))
    overwrite(lab, values((2, "b")))
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_a_lost_answer_to_a_start_starts_no_second_query(lab: Lab) -> None:
    lab.aws.set_faults(Fault(call="athena:StartQueryExecution", when="lost", times=1))
    ran = overwrite(lab, values((1, "a")))
    listed = lab.client("athena").list_query_executions(WorkGroup=lab.workgroup)["QueryExecutionIds"]
    assert listed == ran.result["query_execution_ids"]


def test_throttling_is_waited_out(lab: Lab) -> None:
    faults = [
        Fault(call=call, error="ThrottlingException", times=1)
        for call in ("athena:GetQueryExecution", "glue:GetTable", "glue:CreatePartition")
    ]
    lab.aws.set_faults(*faults)
    assert overwrite(lab, values((1, "a"))).result["rows"] == 1
