"""SELECT as a client sees it: started, waited for, fetched over HTTP from a running local Athena."""

# ruff: noqa: E501  # SQL reads best unbroken
from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from local_athena import LocalAthena
from support.athena_runner import Answer, Runner

pytestmark = pytest.mark.integration

Prepared = tuple[Runner, str]


@pytest.fixture(scope="module")
def prepared(aws: LocalAthena) -> Prepared:
    """A database with a table of five daily partitions and a view of it."""
    runner = Runner(aws, "select-over-http", "select_over_http")
    for sql in (
        "CREATE DATABASE select_over_http",
        "CREATE TABLE daily WITH (external_location = 's3://select-over-http/daily/', format = 'PARQUET', "
        "partitioned_by = ARRAY['dt']) AS SELECT x AS id, 'n' || CAST(x AS varchar) AS name, "
        "CAST(date_add('day', x - 1, DATE '2026-01-01') AS varchar) AS dt FROM UNNEST(sequence(1, 5)) AS t(x)",
        "CREATE VIEW evens AS SELECT id, upper(name) AS shout, CAST(dt AS date) AS day, dt FROM daily "
        "WHERE id % 2 = 0",
    ):
        answer = runner.run(sql)
        assert answer.state == "SUCCEEDED", answer.reason
    return runner, "daily"


def scanned(answer: Answer) -> int:
    assert answer.state == "SUCCEEDED", answer.reason
    return int(answer.execution["Statistics"]["DataScannedInBytes"])


def test_rows_come_in_order_with_types_and_nulls(prepared: Prepared) -> None:
    runner, _ = prepared
    answer = runner.run(
        "SELECT id, name, dt, CAST(NULL AS varchar) AS nothing FROM daily ORDER BY id LIMIT 2"
    )
    assert answer.columns == ("id", "name", "dt", "nothing")
    assert answer.rows == (("1", "n1", "2026-01-01", None), ("2", "n2", "2026-01-02", None))


def test_partition_values_made_of_dates_stay_dates(prepared: Prepared) -> None:
    runner, _ = prepared
    answer = runner.run('SELECT dt FROM "daily$partitions" ORDER BY dt DESC LIMIT 1')
    assert answer.rows == (("2026-01-05",),)


def test_a_condition_on_the_partition_key_reads_one_partition(prepared: Prepared) -> None:
    runner, _ = prepared
    whole = scanned(runner.run("SELECT * FROM daily"))
    pruned = runner.run("SELECT * FROM daily WHERE dt = '2026-01-02'")
    assert pruned.rows == (("2", "n2", "2026-01-02"),)
    assert 0 < scanned(pruned) < whole / 3


def test_a_condition_on_a_view_reads_one_partition_of_its_table(prepared: Prepared) -> None:
    runner, _ = prepared
    whole = scanned(runner.run("SELECT shout FROM evens"))
    pruned = runner.run("SELECT shout, day FROM evens WHERE dt = ?", parameters=["'2026-01-04'"])
    assert pruned.rows == (("N4", "2026-01-04"),)
    assert 0 < scanned(pruned) < whole / 2


def test_a_condition_on_the_path_reads_only_the_files_named(prepared: Prepared) -> None:
    runner, _ = prepared
    ((path,),) = runner.run("SELECT \"$path\" FROM daily WHERE dt = '2026-01-03'").rows
    assert path is not None
    assert path.startswith("s3://select-over-http/daily/dt=2026-01-03/")
    pruned = runner.run(f"SELECT name FROM daily WHERE \"$path\" IN ('{path}')")
    assert pruned.rows == (("n3",),)
    assert 0 < scanned(pruned) < scanned(runner.run("SELECT name FROM daily")) / 3


def test_reading_fewer_columns_scans_fewer_bytes(prepared: Prepared) -> None:
    runner, _ = prepared
    assert scanned(runner.run("SELECT id FROM daily")) < scanned(runner.run("SELECT id, name FROM daily"))


def test_a_failure_names_the_place_in_the_text(prepared: Prepared) -> None:
    runner, _ = prepared
    answer = runner.run("SELECT id,\n       nope\nFROM daily")
    assert answer.state == "FAILED"
    assert answer.reason.startswith("COLUMN_NOT_FOUND: line 2:8: Column 'nope' cannot be resolved")


def test_information_schema_shows_what_glue_holds(prepared: Prepared) -> None:
    runner, _ = prepared
    answer = runner.run(
        "SELECT table_name, table_type FROM information_schema.tables "
        "WHERE table_schema = 'select_over_http' ORDER BY 1"
    )
    assert answer.rows == (("daily", "BASE TABLE"), ("evens", "VIEW"))
    columns = runner.run(
        "SELECT column_name, data_type, extra_info FROM information_schema.columns "
        "WHERE table_schema = 'select_over_http' AND table_name = 'daily' ORDER BY ordinal_position"
    )
    assert columns.rows == (
        ("id", "bigint", None),
        ("name", "varchar", None),
        ("dt", "varchar", "partition key"),
    )


def test_three_part_names_and_quotes_are_understood(prepared: Prepared) -> None:
    runner, _ = prepared
    sql = 'SELECT select_over_http.daily.id FROM ("awsdatacatalog"."select_over_http"."daily") WHERE DT = \'2026-01-01\''
    assert runner.run(sql).rows == (("1",),)


def test_stopping_a_query_frees_the_engine(prepared: Prepared, unique: Callable[[str], str]) -> None:
    runner, _ = prepared
    query_id = runner.athena.start_query_execution(
        QueryString="SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
        "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3",
        ResultConfiguration={"OutputLocation": f"s3://{runner.bucket}/results/"},
        ClientRequestToken=unique("stopped-query-of-thirty-two-characters"),
    )["QueryExecutionId"]
    deadline = time.monotonic() + 10
    state = ""
    while state != "RUNNING" and time.monotonic() < deadline:
        state = runner.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"][
            "State"
        ]
    runner.athena.stop_query_execution(QueryExecutionId=query_id)
    while state != "CANCELLED" and time.monotonic() < deadline:
        state = runner.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"][
            "State"
        ]
    assert state == "CANCELLED"
    assert runner.run("SELECT 1").rows == (("1",),)
