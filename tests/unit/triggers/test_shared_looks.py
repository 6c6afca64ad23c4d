"""Many triggers, one look: the rounds shared by all triggers of a process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from functools import partial
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from airflow_quilt_athena.core.athena.poll_batches import Want, choose_round
from airflow_quilt_athena.core.athena.query_status import QueryState
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook
from airflow_quilt_athena.triggers import shared_looks
from airflow_quilt_athena.triggers.shared_looks import SharedLooks
from tests.unit.athena_fake import FakeAthena, client_error


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_looks, "SHORTEST_ROUND_SECONDS", 0.01)


class SlowAthena(FakeAthena):
    """Every call takes a while, and is noted with its thread and its size."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.threads: set[int] = set()
        self.sizes: list[int] = []

    def batch_get_query_execution(self, QueryExecutionIds: list[str]) -> dict[str, Any]:  # noqa: N803
        self.threads.add(threading.get_ident())
        self.sizes.append(len(QueryExecutionIds))
        time.sleep(self.seconds)
        return super().batch_get_query_execution(QueryExecutionIds)


def script(athena: FakeAthena, count: int, *states: str) -> list[str]:
    ids = [f"q{number}" for number in range(count)]
    athena.script(**{name: list(states) for name in ids})
    return ids


def _same(athena: AthenaClient) -> AthenaClient:
    return athena


async def look_all(looks: SharedLooks, ids: list[str], within_seconds: float = 0.0) -> list[Any]:
    waits = [looks.look([name], within_seconds) for name in ids]
    return await asyncio.gather(*waits, return_exceptions=True)


def test_a_thousand_triggers_cost_twenty_calls_a_round_in_one_thread() -> None:
    athena = SlowAthena()
    ids = script(athena, 1000, "RUNNING", "SUCCEEDED")

    async def two_rounds() -> list[Any]:
        looks = SharedLooks(lambda: athena)
        await look_all(looks, ids)
        return await look_all(looks, ids)

    found = asyncio.run(two_rounds())
    assert [status.query_execution_id for (status,) in found] == ids
    assert {status.state for (status,) in found} == {QueryState.SUCCEEDED}
    assert athena.sizes == [50] * 40
    assert len(athena.threads) == 1
    assert threading.get_ident() not in athena.threads


def test_triggers_that_came_at_odd_times_fall_into_step() -> None:
    athena = SlowAthena()
    ids = script(athena, 100, "RUNNING")

    async def wait_in_turn(looks: SharedLooks) -> None:
        async def each(number: int) -> None:
            await looks.look([ids[number]], number / 1000)
            for _ in range(3):
                await looks.look([ids[number]], 0.5)

        await asyncio.gather(*(each(number) for number in range(100)))

    asyncio.run(wait_in_turn(SharedLooks(lambda: athena)))
    # 100 triggers looking four times each by themselves are 400 calls.
    assert len(athena.sizes) + athena.looks.count("single") <= 16


def test_the_event_loop_goes_on_while_athena_is_slow() -> None:
    athena = SlowAthena(seconds=0.1)
    ids = script(athena, 250, "SUCCEEDED")
    beats = 0

    async def beat_while_looking() -> None:
        nonlocal beats

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        beating = asyncio.create_task(beat())
        await look_all(SharedLooks(lambda: athena), ids)
        beating.cancel()

    asyncio.run(beat_while_looking())
    assert beats > 100  # five calls of a tenth of a second each; a loop that waited would have beaten a few


def test_a_query_that_may_not_be_seen_fails_alone() -> None:
    athena = FakeAthena()
    ids = script(athena, 3, "RUNNING")
    refused = client_error("AccessDeniedException")
    athena.script(q1=[refused, refused])
    found = asyncio.run(look_all(SharedLooks(lambda: athena), ids))
    assert found[1] is refused
    assert [status.query_execution_id for (status,) in (found[0], found[2])] == ["q0", "q2"]


def test_a_throttled_batch_is_not_taken_apart() -> None:
    athena = FakeAthena()
    ids = script(athena, 50, "RUNNING")
    athena.script(q0=[client_error("ThrottlingException")])
    found = asyncio.run(look_all(SharedLooks(lambda: athena), ids))
    assert all(error.response["Error"]["Code"] == "ThrottlingException" for error in found)
    assert athena.looks == ["batch"]


def test_a_state_nobody_knows_is_told_to_its_own_trigger_only() -> None:
    athena = FakeAthena()
    ids = script(athena, 2, "RUNNING")
    athena.script(q0=["DREAMING"])
    strange, (usual,) = asyncio.run(look_all(SharedLooks(lambda: athena), ids))
    assert "DREAMING" in str(strange)
    assert usual.state is QueryState.RUNNING


def test_after_a_refusal_the_connection_is_read_anew() -> None:
    stale, renewed = FakeAthena(), FakeAthena()
    stale.script(q0=[client_error("ExpiredTokenException")])
    renewed.script(q0=["SUCCEEDED"], keeper=["RUNNING"])
    stale.script(keeper=["RUNNING"])
    clients = [stale, renewed]

    async def twice() -> list[Any]:
        looks = SharedLooks(lambda: clients.pop(0))
        keeper = asyncio.create_task(looks.look(["keeper"], 60))
        first = await look_all(looks, ["q0"])
        second = await look_all(looks, ["q0"])
        keeper.cancel()
        return [*first, *second]

    refused, (status,) = asyncio.run(twice())
    assert refused.response["Error"]["Code"] == "ExpiredTokenException"
    assert status.state is QueryState.SUCCEEDED


def test_a_client_that_cannot_be_made_is_told_to_every_trigger() -> None:
    def refuse() -> FakeAthena:
        raise KeyError("no such connection")

    found = asyncio.run(look_all(SharedLooks(refuse), ["a", "b"]))
    assert [str(error) for error in found] == ["'no such connection'"] * 2


def test_each_connection_and_region_has_rounds_of_its_own() -> None:
    async def all_of_them() -> list[SharedLooks]:
        athena = FakeAthena()
        places = [["aws", "eu-west-1"], ["aws", "us-east-1"], ["aws", "eu-west-1"]]
        return [shared_looks.shared_looks(place, lambda: athena) for place in places]

    first, other, again = asyncio.run(all_of_them())
    assert first is again
    assert first is not other


def test_a_trigger_that_is_cancelled_is_looked_for_no_more() -> None:
    athena = FakeAthena()
    athena.script(q0=["RUNNING"], q1=["SUCCEEDED"])

    async def cancel_one() -> None:
        looks = SharedLooks(lambda: athena)
        gone = asyncio.create_task(looks.look(["q0"], 0.02))
        await asyncio.sleep(0)
        gone.cancel()
        await looks.look(["q1"], 0.05)

    asyncio.run(cancel_one())
    assert list(athena.last) == ["q1"]


def test_a_round_is_filled_with_whom_is_due_next() -> None:
    wants = {number: Want((f"q{number}",), due=float(number)) for number in range(120)}
    assert choose_round(wants, now=0.0) == tuple(range(50))
    assert choose_round(wants, now=59.0) == tuple(range(100))
    assert choose_round(wants, now=-1.0) == ()


# --------------------------------------------------------------------------------- many connections


class Silent:
    """An endpoint that takes every connection and answers none."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_a_connection_whose_endpoint_is_silent_holds_up_no_other() -> None:
    quick: list[SlowAthena] = [SlowAthena(), SlowAthena()]
    for athena in quick:
        athena.script(q1=["RUNNING", "RUNNING", "SUCCEEDED"])

    async def watch(endpoint: str) -> tuple[float, Any]:
        hook = QuiltAthenaHook(aws_conn_id=None, region_name="us-east-1")
        silent = boto3.session.Session("AKIA", "secret", region_name="us-east-1").client(
            "athena",
            endpoint_url=endpoint,
            config=hook.config.merge(
                Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1})
            ),
        )
        stuck = asyncio.create_task(SharedLooks(lambda: silent).look(["q1"], 0))
        await asyncio.sleep(0.3)
        started = time.monotonic()
        for looks in [SharedLooks(partial(_same, athena)) for athena in quick]:
            for _ in range(3):
                await looks.look(["q1"], 0)
        took = time.monotonic() - started
        (told,) = await asyncio.gather(stuck, return_exceptions=True)
        return took, told

    with Silent() as endpoint:
        took, told = asyncio.run(watch(endpoint))
    assert took < 2
    assert isinstance(told, ReadTimeoutError)


def test_one_call_that_is_not_answered_is_enough_for_a_round() -> None:
    calls: list[int] = []

    class Dead(FakeAthena):
        def batch_get_query_execution(self, QueryExecutionIds: list[str]) -> dict[str, Any]:  # noqa: N803
            calls.append(len(QueryExecutionIds))
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1:1")

    found = asyncio.run(look_all(SharedLooks(Dead), [f"q{number}" for number in range(500)]))
    assert len(found) == 500
    assert {type(one) for one in found} == {ReadTimeoutError}
    assert len(calls) <= 2


def test_a_look_is_waited_for_no_longer_than_it_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = {"read_timeout": 2, "proxies": {"http": "http://proxy"}}
    hook = QuiltAthenaHook(aws_conn_id=None, region_name="us-east-1", config=given)
    patient = hook.client("athena").meta.config
    looking = QuiltAthenaHook(aws_conn_id=None, region_name="us-east-1", config=given).for_looks()
    config = looking.client("athena").meta.config
    assert (config.connect_timeout, config.read_timeout) == (5, 2)
    assert config.retries["total_max_attempts"] == 1
    assert config.proxies == {"http": "http://proxy"}
    assert patient.connect_timeout == 60
