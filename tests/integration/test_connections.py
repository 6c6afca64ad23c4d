"""A connection that does not do, met by an operator, the sensor and the trigger: told in our words."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.athena.queries import start_query, wait_for_queries
from airflow_quilt_athena.local import LocalAthena
from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor
from airflow_quilt_athena.triggers.athena_completion import AthenaCompletionTrigger
from tests.integration.lab import Lab, connection, fire, run_task

pytestmark = pytest.mark.integration

ROLE = "arn:aws:iam::123456789012:role/nobody-trusts-us"


@pytest.fixture
def connect(
    aws: LocalAthena, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., str]]:
    """Return a function that makes a connection to the local Athena, which then is changed."""
    iam = aws.client("iam")
    user = unique("worker")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]

    def made(**changes: Any) -> str:
        extra: dict[str, Any] = {"region_name": "us-east-1", "endpoint_url": aws.endpoint_url}
        extra["service_config"] = {"sts": {"endpoint_url": aws.endpoint_url}}  # what assumes a role asks for
        given = {"conn_type": "aws", "login": key["AccessKeyId"], "password": key["SecretAccessKey"]}
        given |= {"extra": {k: v for k, v in (extra | changes).items() if v is not None}}
        monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(given))
        return "lake"

    yield made
    aws.enforce_iam(False)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no region": ({"region_name": None}, "no region is set"),
    "a refused role": ({"role_arn": ROLE}, "sts:AssumeRole"),
    "a wrong configuration": ({"config_kwargs": {"read_timeout": "long"}}, "long"),
}


@pytest.mark.parametrize(("changes", "said"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("deferrable", [False, True])
def test_operators_and_the_sensor_name_the_connection(
    connect: Callable[..., str], aws: LocalAthena, changes: dict[str, Any], said: str, deferrable: bool
) -> None:
    name = connect(**changes)
    aws.enforce_iam(True)
    given: dict[str, Any] = {"aws_conn_id": name, "deferrable": deferrable}
    for task in (
        QuiltAthenaQueryOperator(task_id="query", query="SELECT 1", **given),
        AthenaCompletionSensor(task_id="done", query_execution_ids="11112222-3333", **given),
    ):
        with pytest.raises(AirflowFailException, match="'lake'") as raised:
            run_task(task)
        assert said in str(raised.value)


@pytest.mark.parametrize(("changes", "said"), BROKEN.values(), ids=BROKEN)
def test_the_trigger_tells_its_task_and_does_not_die(
    connect: Callable[..., str], aws: LocalAthena, changes: dict[str, Any], said: str
) -> None:
    name = connect(**changes)
    aws.enforce_iam(True)
    event = fire(AthenaCompletionTrigger(["11112222-3333"], deadline=9e9, aws_conn_id=name))
    assert event["status"] == "error"
    assert "'lake'" in event["message"]
    assert said in event["message"]


def test_a_wrong_botocore_config_is_told_by_operator_sensor_and_trigger(connect: Callable[..., str]) -> None:
    given: dict[str, Any] = {"aws_conn_id": connect(), "botocore_config": {"retries": {"mode": "eager"}}}
    with pytest.raises(InvalidCallError, match=r"botocore_config is .*eager"):  # so that no DAG imports
        QuiltAthenaQueryOperator(task_id="query", query="SELECT 1", **given)
    with pytest.raises(InvalidCallError, match=r"botocore_config is .*eager"):
        AthenaCompletionSensor(task_id="done", query_execution_ids="11112222-3333", **given)
    event = fire(AthenaCompletionTrigger(["11112222-3333"], deadline=9e9, **given))
    assert (event["status"], "eager" in event["message"]) == ("error", True)


def test_a_silent_connection_holds_up_no_trigger_of_another(
    aws: LocalAthena, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three connections in one triggerer, the endpoint of one of which takes calls and answers none."""
    silent = socket.create_server(("127.0.0.1", 0), backlog=50)
    endpoints = {"one": aws.endpoint_url, "two": aws.endpoint_url}
    endpoints["silent"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
    for name, endpoint in endpoints.items():
        known = json.loads(connection(aws))
        known["extra"] |= {"endpoint_url": endpoint}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(known))
    queries = [submit_query(lab), submit_query(lab)]
    for query in queries:  # done beforehand: how long a query takes is the machine's affair
        wait_for_queries(lab.client("athena"), [query], timeout_seconds=120)

    async def first(name: str, query: str, seconds: float) -> Any:
        trigger = AthenaCompletionTrigger(
            [query], deadline=time.time() + seconds, poll_interval=2, first_poll_delay=0, aws_conn_id=name
        )
        return (await anext(aiter(trigger.run()))).payload["status"]

    async def all_three() -> tuple[list[Any], bool, Any]:
        stuck = asyncio.create_task(first("silent", "11112222-3333", 3))
        await asyncio.sleep(0.5)  # its look is under way, and waits for ten seconds
        others = await asyncio.gather(first("one", queries[0], 60), first("two", queries[1], 60))
        return list(others), stuck.done(), await stuck

    with silent:
        others, came_first, late = asyncio.run(all_three())
    assert others == ["done", "done"]
    assert not came_first
    assert late == "timeout"


def submit_query(lab: Lab) -> str:
    return start_query(lab.client("athena"), "SELECT 1", database=lab.database, workgroup=lab.workgroup)
