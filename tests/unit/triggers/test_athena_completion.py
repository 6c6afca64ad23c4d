from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook
from airflow_quilt_athena.triggers import athena_completion, shared_looks
from airflow_quilt_athena.triggers.athena_completion import AthenaCompletionTrigger
from tests.unit.athena_fake import FakeAthena, client_error

ARGUMENTS: dict[str, Any] = {
    "query_execution_ids": ["q1", "q2"],
    "deadline": 1_800_000_000.5,
    "poll_interval": 7.0,
    "first_poll_delay": 9.0,
    "stop_on_kill": False,
    "carry": {"partition": {"dt": "2026-01-01"}, "done": ["q0"]},
    "aws_conn_id": "aws_other",
    "region_name": "eu-west-1",
    "verify": False,
    "botocore_config": {"connect_timeout": 3},
}


@pytest.fixture
def athena(monkeypatch: pytest.MonkeyPatch) -> FakeAthena:
    fake = FakeAthena()
    monkeypatch.setattr(QuiltAthenaHook, "client", lambda self, service: fake)
    monkeypatch.setattr(athena_completion, "poll_delay", lambda *args, **kwargs: 0.001)
    monkeypatch.setattr(shared_looks, "SHORTEST_ROUND_SECONDS", 0.001)
    return fake


def fired(athena: FakeAthena, *ids: str, seconds: float = 30.0) -> dict[str, Any]:
    trigger = AthenaCompletionTrigger(ids, deadline=time.time() + seconds, first_poll_delay=0)

    async def first() -> TriggerEvent:
        events = trigger.run()
        return await anext(aiter(events))

    return dict(asyncio.run(first()).payload)


def test_every_parameter_survives_the_way_to_the_triggerer() -> None:
    path, arguments = AthenaCompletionTrigger(**ARGUMENTS).serialize()
    assert path == "airflow_quilt_athena.triggers.athena_completion.AthenaCompletionTrigger"
    assert json.loads(json.dumps(arguments)) == ARGUMENTS
    assert AthenaCompletionTrigger(**arguments).serialize() == (path, arguments)


def test_the_hook_meets_the_same_aws_as_the_worker() -> None:
    hook = AthenaCompletionTrigger(**ARGUMENTS).hook
    assert (hook.aws_conn_id, hook._region_name, hook._verify) == ("aws_other", "eu-west-1", False)
    config: Any = hook._config
    assert config.connect_timeout == 3


def test_by_default_it_does_not_fire_within_airflows_race() -> None:
    trigger = AthenaCompletionTrigger(["q1"], deadline=0)
    assert trigger.first_poll_delay > 5  # the default of [workers] min_heartbeat_interval


def test_the_event_brings_back_what_the_task_needs_to_go_on(athena: FakeAthena) -> None:
    athena.script(q1=["SUCCEEDED"])
    trigger = AthenaCompletionTrigger(["q1"], deadline=9e9, first_poll_delay=0, carry={"done": ["q0"]})

    async def first() -> TriggerEvent:
        return await anext(aiter(trigger.run()))

    event = asyncio.run(first()).payload
    assert event["carry"] == {"done": ["q0"]}
    assert event["deadline"] == 9e9


def test_fires_when_all_are_done_whatever_the_outcome(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING", "FAILED"], q2=["QUEUED", "RUNNING", "SUCCEEDED"])
    event = fired(athena, "q1", "q2")
    assert event["status"] == "done"
    assert event["query_execution_ids"] == ["q1", "q2"]
    assert athena.stopped == []


def test_fires_at_the_deadline_and_stops_nothing_itself(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING"])
    assert fired(athena, "q1", seconds=0.05)["status"] == "timeout"
    assert athena.stopped == []


def test_throttling_is_looked_through(athena: FakeAthena) -> None:
    athena.script(q1=[client_error("ThrottlingException"), "RUNNING", client_error("X", 503), "SUCCEEDED"])
    assert fired(athena, "q1")["status"] == "done"


def test_throttling_does_not_outlast_the_deadline(athena: FakeAthena) -> None:
    athena.script(q1=[client_error("ThrottlingException")] * 10_000)
    assert fired(athena, "q1", seconds=0.05)["status"] == "timeout"


def test_a_refusal_is_reported_with_its_reason(athena: FakeAthena) -> None:
    athena.script(q1=[client_error("AccessDeniedException")])
    event = fired(athena, "q1")
    assert event["status"] == "error"
    assert "AccessDeniedException" in event["message"]


def test_a_kill_stops_the_queries(athena: FakeAthena) -> None:
    asyncio.run(AthenaCompletionTrigger(["q1", "q2"], deadline=0).on_kill())
    assert athena.stopped == ["q1", "q2"]


def test_a_kill_leaves_queries_alone_when_told_so(athena: FakeAthena) -> None:
    asyncio.run(AthenaCompletionTrigger(["q1"], deadline=0, stop_on_kill=False).on_kill())
    assert athena.stopped == []


def test_a_triggerer_that_goes_down_stops_no_query(athena: FakeAthena) -> None:
    asyncio.run(AthenaCompletionTrigger(["q1"], deadline=0).cleanup())
    assert athena.stopped == []


def test_looking_never_blocks_the_event_loop(athena: FakeAthena, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    look = athena.get_query_execution

    def recorded(**request: Any) -> dict[str, Any]:
        threads.append(threading.get_ident())
        return look(**request)

    monkeypatch.setattr(athena, "get_query_execution", recorded)
    athena.script(q1=["RUNNING", "SUCCEEDED"])
    fired(athena, "q1")
    assert threading.get_ident() not in threads
    assert len(threads) == 2
