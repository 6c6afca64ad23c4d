"""Airflow's stock Athena and S3 operators, sensor and hook work unchanged against the local Athena.

Not covered: the deferrable form, which needs aiobotocore: the Amazon provider does not install it, nor do we.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.athena import AthenaHook
from airflow.providers.amazon.aws.links.athena import AthenaQueryResultsLink
from airflow.providers.amazon.aws.operators.athena import AthenaOperator
from airflow.providers.amazon.aws.operators.s3 import S3DeleteObjectsOperator
from airflow.providers.amazon.aws.sensors.athena import AthenaSensor
from airflow.sdk.exceptions import AirflowException
from botocore.exceptions import ClientError

from local_athena import LocalAthena
from tests.clients.lake import SRC, WIDE, Lake, make_lake

pytestmark = pytest.mark.integration

ENDLESS = (
    "SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
    "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3"
)


class TaskInstance:
    """Keeps what a task pushes: all that these operators ask of their context."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture(scope="module")
def lake(aws: LocalAthena) -> Lake:
    token = uuid.uuid4().hex[:8]
    return make_lake(aws, bucket=f"stock-{token}", database=f"stock_{token}")


@pytest.fixture(autouse=True)
def _environment(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lake.aws.environment.items():
        monkeypatch.setenv(name, value)


def athena(lake: Lake, query: str, **more: Any) -> AthenaOperator:
    """An AthenaOperator that polls often enough for a test."""
    settings: dict[str, Any] = {
        "task_id": "query",
        "database": lake.database,
        "output_location": lake.staging,
        "sleep_time": 0.02,
        "aws_conn_id": None,
    }
    return AthenaOperator(query=query, **settings | more)


def run(operator: Any, ti: TaskInstance | None = None) -> Any:
    return operator.execute({"ti": ti or TaskInstance()})


def rows(lake: Lake, query: str) -> list[list[str | None]]:
    """The rows of a SELECT by the stock hook, without the line of names."""
    query_id = run(athena(lake, query))
    answer = AthenaHook(aws_conn_id=None).get_query_results(query_id)
    assert answer is not None
    return [[cell.get("VarCharValue") for cell in row["Data"]] for row in answer["ResultSet"]["Rows"][1:]]


def test_a_select_answers_and_leaves_its_link(lake: Lake) -> None:
    ti = TaskInstance()
    query_id = run(athena(lake, "SELECT count(*) FROM src"), ti)
    assert ti.pushed[AthenaQueryResultsLink.key]["query_execution_id"] == query_id
    hook = AthenaHook(aws_conn_id=None)
    assert hook.check_query_status(query_id) == "SUCCEEDED"
    assert hook.get_output_location(query_id) == f"{lake.staging}{query_id}.csv"
    assert rows(lake, "SELECT count(*) FROM src") == [[str(len(SRC))]]


def test_ddl_ctas_and_insert_run_one_after_the_other(lake: Lake) -> None:
    run(athena(lake, f"CREATE EXTERNAL TABLE lines (l string) LOCATION 's3://{lake.bucket}/lines/'"))
    assert "lines" in lake.tables()
    run(athena(lake, "DROP TABLE lines"))
    assert "lines" not in lake.tables()
    run(
        athena(
            lake,
            f"CREATE TABLE ct WITH (external_location='s3://{lake.bucket}/ct/', format='PARQUET', "
            "partitioned_by=ARRAY['dt']) AS SELECT id, name, dt FROM src",
        )
    )
    run(athena(lake, "INSERT INTO ct SELECT id + 10, name, dt FROM src"))
    found = sorted((row["id"], row["name"], row["dt"]) for row in lake.rows("ct"))
    assert found == sorted((row[0] + more, row[1], row[3]) for row in SRC for more in (0, 10))


def test_a_failed_query_fails_the_task_with_its_reason(lake: Lake) -> None:
    with pytest.raises(AirflowException, match=r"FAILED.*COLUMN_NOT_FOUND: line 1:8: Column 'nope'"):
        run(athena(lake, "SELECT nope FROM src"))


def test_a_query_without_an_output_location_is_refused(lake: Lake) -> None:
    with pytest.raises(ClientError, match="No output location provided"):
        run(athena(lake, "SELECT 1", output_location=None))


def test_a_workgroup_gives_the_output_location(lake: Lake) -> None:
    workgroup = f"stock_{uuid.uuid4().hex[:8]}"
    place = f"s3://{lake.bucket}/of-workgroup/"
    lake.aws.client("athena").create_work_group(
        Name=workgroup, Configuration={"ResultConfiguration": {"OutputLocation": place}}
    )
    query_id = run(athena(lake, "SELECT 1", output_location=None, workgroup=workgroup))
    assert AthenaHook(aws_conn_id=None).get_output_location(query_id) == f"{place}{query_id}.csv"


def test_one_request_token_starts_one_query(lake: Lake) -> None:
    token = uuid.uuid4().hex
    first = run(athena(lake, "SELECT 7", client_request_token=token))
    assert run(athena(lake, "SELECT 7", client_request_token=token)) == first
    assert run(athena(lake, "SELECT 7")) != first


def test_a_killed_task_stops_its_query(lake: Lake) -> None:
    operator = athena(lake, ENDLESS)
    errors: list[Exception] = []

    def work() -> None:
        try:
            run(operator)
        except AirflowException as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    hook = AthenaHook(aws_conn_id=None)
    deadline = time.monotonic() + 30
    while (
        operator.query_execution_id is None
        or hook.check_query_status(operator.query_execution_id) == "QUEUED"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    operator.on_kill()
    assert hook.check_query_status(operator.query_execution_id) == "CANCELLED"
    worker.join(timeout=30)
    assert not worker.is_alive()
    assert "CANCELLED" in str(errors[0])


def test_the_sensor_waits_for_success_and_fails_on_failure(lake: Lake) -> None:
    hook = AthenaHook(aws_conn_id=None)

    def start(query: str) -> str:
        return hook.run_query(query, {"Database": lake.database}, {"OutputLocation": lake.staging})

    def sense(query_id: str) -> Any:
        sensor = AthenaSensor(
            task_id="wait",
            query_execution_id=query_id,
            sleep_time=0.02,  # type: ignore[arg-type]  # time.sleep takes it
            poke_interval=0.02,
            aws_conn_id=None,
        )
        return run(sensor)

    good = start("SELECT count(*) FROM wide_src")
    sense(good)
    assert hook.check_query_status(good) == "SUCCEEDED"
    with pytest.raises(AirflowException, match="Athena sensor failed"):
        sense(start("SELECT nope FROM src"))


def test_results_are_paged_by_the_hook(lake: Lake) -> None:
    query_id = run(athena(lake, "SELECT id FROM wide_src ORDER BY id"))
    paginator: Any = AthenaHook(aws_conn_id=None).get_query_results_paginator(query_id, page_size=100)
    pages = list(paginator)
    sizes = [len(page["ResultSet"]["Rows"]) for page in pages]
    found = [row["Data"][0]["VarCharValue"] for page in pages for row in page["ResultSet"]["Rows"]]
    assert sizes == [100, 100, len(WIDE) + 1 - 200]  # the first line is the column's name
    assert found == ["id", *(str(row[0]) for row in WIDE)]


def test_a_day_is_overwritten_by_deleting_its_files_and_inserting(lake: Lake) -> None:
    place = f"s3://{lake.bucket}/daily/"
    run(
        athena(
            lake,
            f"CREATE TABLE daily WITH (external_location='{place}', format='PARQUET', "
            "partitioned_by=ARRAY['dt']) AS SELECT id, name, dt FROM src",
        )
    )
    run(
        S3DeleteObjectsOperator(
            task_id="delete", bucket=lake.bucket, prefix="daily/dt=2026-01-01/", aws_conn_id=None
        )
    )
    assert rows(lake, "SELECT id FROM daily") == [["3"]]
    run(athena(lake, "INSERT INTO daily SELECT id + 100, name, dt FROM src WHERE dt = '2026-01-01'"))
    assert rows(lake, "SELECT id, dt FROM daily ORDER BY id") == [
        ["3", "2026-01-02"],
        ["101", "2026-01-01"],
        ["102", "2026-01-01"],
    ]


def test_more_than_100_partitions_in_one_query_are_refused(lake: Lake) -> None:
    ctas = (
        "CREATE TABLE {name} WITH (external_location='s3://{bucket}/{name}/', format='PARQUET', "
        "partitioned_by=ARRAY['dt']) AS SELECT id, dt FROM wide_src {where}"
    )
    with pytest.raises(AirflowException, match="TOO_MANY_OPEN_PARTITIONS"):
        run(athena(lake, ctas.format(name="w250", bucket=lake.bucket, where="")))
    assert "w250" not in lake.tables()
    run(athena(lake, ctas.format(name="w250b", bucket=lake.bucket, where="WHERE id < 100")))
    for low, high in ((100, 199), (200, 249)):
        run(athena(lake, f"INSERT INTO w250b SELECT id, dt FROM wide_src WHERE id BETWEEN {low} AND {high}"))
    assert lake.partition_values("w250b") == [[row[2]] for row in WIDE]
    assert rows(lake, "SELECT count(*), sum(id) FROM w250b") == [["250", str(sum(row[0] for row in WIDE))]]


def test_an_airflow_connection_leads_to_the_local_athena(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = lake.aws.environment
    for name in variables:
        monkeypatch.delenv(name)
    connection = {
        "conn_type": "aws",
        "login": variables["AWS_ACCESS_KEY_ID"],
        "password": variables["AWS_SECRET_ACCESS_KEY"],
        "extra": {"region_name": "us-east-1", "endpoint_url": lake.aws.endpoint_url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_LOCAL_ATHENA", json.dumps(connection))
    query_id = run(athena(lake, "SELECT count(*) FROM src", aws_conn_id="local_athena"))
    assert AthenaHook(aws_conn_id="local_athena").check_query_status(query_id) == "SUCCEEDED"
