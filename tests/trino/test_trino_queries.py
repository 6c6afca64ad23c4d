"""SELECT, EXPLAIN, views and their failures on the real Trino."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_quilt_athena.exceptions import QueryFailedError
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from local_athena import Fault
from tests.integration.lab import Lab

pytestmark = pytest.mark.trino

# Trino's text of a value (its documentation, "Data types", and what Athena prints of it) beside the value.
_VALUES = {
    "true": "true",
    "tinyint '-1'": "-1",
    "9223372036854775807": "9223372036854775807",
    "decimal '123456789012345678901234567890.10'": "123456789012345678901234567890.10",
    "real '0.1'": "0.1",
    "1e10": "1.0E10",
    "nan()": "NaN",
    "-infinity()": "-Infinity",
    "'é'": "é",
    "cast('ab' as char(4))": "ab  ",
    "X'65683F'": "65 68 3f",
    "date '2026-02-28'": "2026-02-28",
    "timestamp '2026-01-02 03:04:05'": "2026-01-02 03:04:05.000",
    "timestamp '2026-01-02 03:04:05.123456'": "2026-01-02 03:04:05.123456",
    "timestamp '2026-01-02 03:04:05.123456789'": "2026-01-02 03:04:05.123456789",
    "timestamp '2026-01-02 03:04:05 Europe/Vienna'": "2026-01-02 03:04:05.000 Europe/Vienna",
    "timestamp '2026-01-02 03:04:05 -05:30'": "2026-01-02 03:04:05.000 -05:30",
    "time '01:02:03.5'": "01:02:03.500",
    "interval '-1' day": "-1 00:00:00.000",
    "interval '14' month": "1-2",
    "array[1, null]": "[1, null]",
    "array[array['a'], array[]]": "[[a], []]",
    "map(array[1, 2], array['a', null])": "{1=a, 2=null}",
    "map(array[date '2026-01-01'], array[decimal '1.50'])": "{2026-01-01=1.50}",
    "cast(row(1, 'x') as row(a integer, b varchar))": "{a=1, b=x}",
    "row(1, timestamp '2026-01-02 03:04:05.123')": "{field0=1, field1=2026-01-02 03:04:05.123}",
    "json '{\"a\": [1, 2]}'": '{"a":[1,2]}',
    "uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59'": "12151fd2-7586-11e9-8f9e-2a86e4085a59",
    "null": None,
}


def scanned(lab: Lab, query_id: str) -> int:
    found = lab.client("athena").get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
    return int(found["Statistics"]["DataScannedInBytes"])


def failure(lab: Lab, sql: str) -> dict[str, Any]:
    with pytest.raises(QueryFailedError):
        lab.run(sql)
    ids = lab.client("athena").list_query_executions(WorkGroup=lab.workgroup)["QueryExecutionIds"]
    found = lab.client("athena").get_query_execution(QueryExecutionId=ids[0])["QueryExecution"]
    status: dict[str, Any] = found["Status"]
    return status


def test_values_of_every_type_are_printed_as_athena_prints_them(lab: Lab) -> None:
    columns = ", ".join(f"{sql} AS c{index}" for index, sql in enumerate(_VALUES))
    assert lab.rows(f"SELECT {columns}") == [tuple(_VALUES.values())]


def test_the_engine_is_trino_itself(lab: Lab) -> None:
    ((version,),) = lab.rows("SELECT version()")
    assert str(version).isdigit()


def test_parameters_stand_for_question_marks(lab: Lab) -> None:
    client = lab.client("athena")
    started = client.start_query_execution(
        QueryString="SELECT a, b FROM (VALUES (1, 'x'), (2, 'it''s')) AS t(a, b) WHERE b = ? AND a > ?",
        WorkGroup=lab.workgroup,
        ExecutionParameters=["'it''s'", "1"],
    )["QueryExecutionId"]
    state = "QUEUED"
    while state in ("QUEUED", "RUNNING"):
        state = client.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"]["State"]
    assert state == "SUCCEEDED"
    assert list(read_rows(client, started, max_rows=10)[1]) == [("2", "it's")]


@pytest.mark.parametrize(
    ("sql", "reason", "category"),
    [
        ("SELECT nope", "COLUMN_NOT_FOUND: line 1:8: Column 'nope' cannot be resolved or requester", 2),
        ("SELECT\n  nope(1)", "FUNCTION_NOT_FOUND: line 2:3: Function 'nope' not registered", 2),
        ("SELECT * FROM nope", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.", 2),
        ("SELECT 1 +", "line 1:11: mismatched input '<EOF>'", 2),
        ("SELECT 1 / 0", "DIVISION_BY_ZERO: Division by zero", 2),
        ("CREATE TABLE t AS SELECT json '1' AS j", "NOT_SUPPORTED: Unsupported Hive type: json", 2),
        ("CREATE VIEW v AS SELECT now() AS t", "NOT_SUPPORTED: Unsupported Hive type: timestamp(3) with", 2),
        ("CREATE VIEW v AS SELECT 1", "MISSING_COLUMN_NAME: line 1:1: Column name not specified at", 2),
        (
            "CREATE TABLE t AS SELECT 1 AS a, 2",
            "MISSING_COLUMN_NAME: line 1:1: Column name not specified at",
            2,
        ),
    ],
)
def test_a_query_fails_in_athenas_words(lab: Lab, sql: str, reason: str, category: int) -> None:
    status = failure(lab, sql)
    assert status["StateChangeReason"].startswith(reason)
    assert status["AthenaError"]["ErrorCategory"] == category


def test_a_view_is_kept_in_glue_and_read_by_trino(lab: Lab) -> None:
    lab.run("CREATE TABLE t AS SELECT 1 AS a, decimal '1.50' AS d, ARRAY['x'] AS l")
    lab.run('CREATE OR REPLACE VIEW v AS SELECT a, d, l, "$path" AS p FROM t WHERE a > 0')
    table = lab.client("glue").get_table(DatabaseName=lab.database, Name="v")["Table"]
    types = {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}
    assert types == {"a": "int", "d": "decimal(3,2)", "l": "array<varchar(1)>", "p": "string"}
    ((a, d, items, path),) = lab.rows("SELECT * FROM v")
    assert (a, d, items) == ("1", "1.50", "[x]")
    assert str(path).startswith(f"s3://{lab.bucket}/results/tables/")


def test_a_plan_is_explained(lab: Lab) -> None:
    assert any("Values" in str(line) for (line,) in lab.rows("EXPLAIN SELECT 1 AS a"))


def test_bytes_scanned_are_those_of_the_files_that_paths_name(lab: Lab) -> None:
    for number in range(3):
        body = "".join(f"{number}-{line}\n" for line in range(1000))
        lab.client("s3").put_object(Bucket=lab.bucket, Key=f"lines/{number}.txt", Body=body.encode())
    lab.run(f"CREATE EXTERNAL TABLE lines (l string) LOCATION 's3://{lab.bucket}/lines/'")
    everything = lab.run("SELECT count(*) FROM lines")
    one = lab.run(f"SELECT count(*) FROM lines WHERE \"$path\" IN ('s3://{lab.bucket}/lines/1.txt')")
    sizes = [
        item["Size"]
        for item in lab.client("s3").list_objects_v2(Bucket=lab.bucket, Prefix="lines/")["Contents"]
    ]
    assert len(sizes) == 3
    assert scanned(lab, everything) == sum(sizes)
    assert scanned(lab, one) == sizes[1]


def test_a_query_that_is_stopped_ends_at_once(lab: Lab) -> None:
    client = lab.client("athena")
    endless = (
        "SELECT count(*) FROM UNNEST(sequence(1, 10000)) a(x), UNNEST(sequence(1, 10000)) b(y), "
        "UNNEST(sequence(1, 10000)) c(z) WHERE x * y * z % 7 = 3"
    )
    query = client.start_query_execution(QueryString=endless, WorkGroup=lab.workgroup)["QueryExecutionId"]

    def state() -> str:
        found = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]["State"]
        return str(found)

    while state() != "RUNNING":
        time.sleep(0.02)
    running = (
        "SELECT count(*) FROM system.runtime.queries WHERE state = 'RUNNING' AND query LIKE '%10000%z % 7%'"
        " AND query NOT LIKE '%runtime%'"
    )
    while lab.rows(running) != [("1",)]:
        time.sleep(0.02)
    client.stop_query_execution(QueryExecutionId=query)
    stopped = time.monotonic()
    while state() != "CANCELLED":
        assert time.monotonic() < stopped + 5
        time.sleep(0.02)
    while lab.rows(running) != [("0",)]:
        assert time.monotonic() < stopped + 5
        time.sleep(0.02)


def test_a_workgroups_cutoff_cancels_the_query(lab: Lab) -> None:
    lab.client("s3").put_object(Bucket=lab.bucket, Key="big/a.txt", Body=b"x" * 99 + b"\n" * 11_000_000)
    lab.run(f"CREATE EXTERNAL TABLE big (l string) LOCATION 's3://{lab.bucket}/big/'")
    lab.client("athena").update_work_group(
        WorkGroup=lab.workgroup, ConfigurationUpdates={"BytesScannedCutoffPerQuery": 10_000_000}
    )
    with pytest.raises(Exception, match="Bytes scanned limit was exceeded"):
        lab.run("SELECT count(*) FROM big")


def test_trinos_calls_are_athenas_own_and_wait_for_nobody(lab: Lab) -> None:
    lab.run("CREATE TABLE t AS SELECT 1 AS a")
    lab.aws.clear_calls()
    lab.aws.set_latency({"glue:*": 30.0, "s3:GetObject": 0.2})
    lab.aws.set_faults(Fault(call="glue:GetTable", times=None), Fault(call="s3:ListObjectsV2", times=None))
    started = time.monotonic()
    status = run_query(
        lab.client("athena"),
        "SELECT a FROM t",
        database=lab.database,
        workgroup=lab.workgroup,
        timeout_seconds=20,
    )
    assert time.monotonic() - started < 20
    assert status.query_execution_id
    made = {call.name: call.by_athena for call in lab.aws.calls}
    assert made["glue:GetTable"]
    assert made["s3:GetObject"]
    assert not made["athena:StartQueryExecution"]
