"""A task that is run again: it joins what its lost worker left running, and starts anew where that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.flows.athena.queries import wait_for_queries
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite import cleanup
from airflow_quilt_athena.flows.overwrite.insert_overwrite import Overwrite
from local_athena import Fault
from tests.integration.lab import Lab
from tests.integration.overwriting import (
    BASE,
    DAY,
    data_keys,
    overwrite,
    overwrite_task,
    queries,
    registered,
    rollback,
    select,
    sorted_rows,
    stored,
    sweep_later,
    temporary_tables,
    values,
)

pytestmark = pytest.mark.integration


class WorkerLost(BaseException):
    """Ends a task as a kill does: nothing is cleaned up."""


def lose_worker(lab: Lab, query: str, partition: Any = DAY, *, waits: int = 1, **arguments: Any) -> list[str]:
    """Run the task on a worker that dies in one of its waits; return the queries it then waited for."""
    task = overwrite_task(lab, query, partition, **arguments)
    wait = task.wait
    lost: list[str] = []

    def die(query_execution_ids: Sequence[str], **rest: Any) -> Any:
        nonlocal waits
        waits -= 1
        if waits:
            return wait(query_execution_ids, **rest)
        lost.extend(query_execution_ids)
        raise WorkerLost

    task.__dict__["wait"] = die
    with pytest.raises(WorkerLost):
        lab.run_task(task)
    return lost


def wait_for(lab: Lab, query_execution_id: str) -> None:
    wait_for_queries(lab.client("athena"), [query_execution_id], timeout_seconds=60)


def state_of(lab: Lab, query_execution_id: str) -> str:
    answer = lab.client("athena").get_query_execution(QueryExecutionId=query_execution_id)
    return str(answer["QueryExecution"]["Status"]["State"])


def test_after_a_failed_query_a_retry_starts_a_new_one(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="before")
    fault = Fault(
        call="athena:query", error="GENERIC_INTERNAL_ERROR", retryable=True, when="after", category=1
    )
    lab.aws.set_faults(fault)
    with queries(lab) as sent:
        with pytest.raises(AirflowException) as caught:
            overwrite(lab, values((2, "b")))
        assert not isinstance(caught.value, AirflowFailException)
        assert stored(lab) == [("1", "a", "2026-01-01")]
        overwrite(lab, values((2, "b")))
    assert len([sql for sql in sent if "(2, 'b')" in sql]) == 2
    assert stored(lab) == [("2", "b", "2026-01-01")]
    assert temporary_tables(lab) == set()
    sweep_later(lab)
    assert data_keys(lab) == lab.keys(registered(lab)[("2026-01-01",)])


def test_a_query_that_a_lost_worker_left_running_is_joined(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 0.5})
    lab.aws.clear_calls()
    lost = lose_worker(lab, values((1, "a")))
    assert state_of(lab, lost[0]) in {"QUEUED", "RUNNING"}
    ran = overwrite(lab, values((1, "a")))
    assert ran.result["query_execution_ids"] == lost
    assert len(lab.started()) == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert temporary_tables(lab) == set()


def test_a_query_that_succeeded_after_its_worker_was_lost_is_not_run_again(lab: Lab) -> None:
    lab.aws.clear_calls()
    (lost,) = lose_worker(lab, values((1, "a")))
    wait_for(lab, lost)
    overwrite(lab, values((1, "a")))
    assert len(lab.started()) == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]


@pytest.mark.parametrize("waits", [1, 2, 3])
def test_a_set_is_joined_in_whichever_phase_its_worker_was_lost(lab: Lab, waits: int) -> None:
    query = select("id, note, dt", [(1, "a", "d1"), (2, "b", "d2")])
    overwrite(lab, select("id, note, dt", [(9, "z", "d1")]), {}, partitioned_by=["dt"], run_id="before")
    lab.aws.clear_calls()
    lose_worker(lab, query, {}, waits=waits)
    ran = overwrite(lab, query, {})
    assert len(lab.started()) == len(ran.result["query_execution_ids"]) == 3
    assert stored(lab) == sorted_rows([(1, "a", "d1"), (2, "b", "d2")])


def test_a_query_that_was_edited_between_the_tries_starts_anew_and_stops_the_old_one(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 2})
    lab.aws.clear_calls()
    (lost,) = lose_worker(lab, values((1, "a")))
    lab.aws.set_latency({})
    ran = overwrite(lab, values((2, "b")))
    assert state_of(lab, lost) == "CANCELLED"
    assert lost not in ran.result["query_execution_ids"]
    assert len(lab.started()) == 2
    assert stored(lab) == [("2", "b", "2026-01-01")]
    sweep_later(lab)
    assert data_keys(lab) == lab.keys(registered(lab)[("2026-01-01",)])


def test_a_table_that_was_changed_between_the_tries_starts_anew(lab: Lab) -> None:
    overwrite(lab, "SELECT 1 AS id", run_id="before")
    lab.aws.set_latency({"athena:query": 2})
    (lost,) = lose_worker(lab, "SELECT 2 AS id")
    lab.aws.set_latency({})
    lab.run("ALTER TABLE orders ADD COLUMNS (note string)")
    with pytest.raises(AirflowFailException, match=r"note \(string\): missing in the result"):
        overwrite(lab, "SELECT 2 AS id")
    assert state_of(lab, lost) == "CANCELLED"
    assert stored(lab, "id, note") == [("1", None)]


def test_clearing_a_task_runs_it_again(lab: Lab) -> None:
    lab.aws.clear_calls()
    first = overwrite(lab, values((1, "a")))
    again = overwrite(lab, values((1, "a")), clears=1)
    assert len(lab.started()) == 2
    assert first.result["partitions"][0]["location"] != again.result["partitions"][0]["location"]
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_a_try_that_comes_after_its_rows_were_published_answers_the_same_and_runs_nothing(lab: Lab) -> None:
    overwrite(lab, values((9, "before")), run_id="before")
    lab.aws.clear_calls()
    first, again = (overwrite(lab, values((1, "a"))) for _ in range(2))
    assert len(lab.started()) == 1
    assert again.result == first.result
    assert stored(lab) == [("1", "a", "2026-01-01")]
    rollback(lab)  # not back to its own first try
    assert stored(lab) == [("9", "before", "2026-01-01")]


def test_a_worker_lost_right_after_its_rows_were_published_is_answered_for_by_the_next(lab: Lab) -> None:
    overwrite(lab, values((9, "before")), run_id="before")
    lab.aws.clear_calls()
    # The entry says published; then the worker is lost before it could clean or answer.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "tidy", lost)
        with pytest.raises(SystemExit):
            overwrite(lab, values((1, "a")))
    ran = overwrite(lab, values((1, "a")))
    assert len(lab.started()) == 1
    assert (ran.result["outcome"], ran.result["rows"]) == ("published", 1)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    rollback(lab)
    assert stored(lab) == [("9", "before", "2026-01-01")]


def lost(*_: object, **__: object) -> bool:
    raise SystemExit("the worker is gone")


def test_a_task_whose_query_was_edited_after_it_was_published_runs_anew(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    overwrite(lab, values((2, "b")))
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_clearing_a_finished_task_runs_it_again(lab: Lab) -> None:
    lab.aws.clear_calls()
    for clears in range(2):
        overwrite(lab, values((1, "a")), clears=clears)
    assert len(lab.started()) == 2
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_a_task_key_that_comes_again_after_its_journal_was_swept_runs_its_query(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    overwrite(lab, values((2, "b")), run_id="other")
    sweep_later(lab)
    lab.aws.clear_calls()
    overwrite(lab, values((1, "a")))
    assert len(lab.started()) == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_a_worker_lost_at_the_flip_is_finished_by_the_retry(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="before")
    lab.aws.clear_calls()
    lab.aws.set_faults(Fault(call="glue:UpdatePartition", error="AccessDeniedException", times=1))
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        overwrite(lab, values((2, "b")))
    assert stored(lab) == [("1", "a", "2026-01-01")]
    overwrite(lab, values((2, "b")))
    assert len([c for c in lab.started() if "(2, 'b')" in c.detail]) == 1
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_a_half_published_set_is_finished_by_whoever_comes_next(lab: Lab) -> None:
    days = [f"d{n}" for n in range(3)]
    overwrite(
        lab,
        select("id, note, dt", [(1, "old", day) for day in days]),
        {},
        partitioned_by=["dt"],
        run_id="before",
    )
    lab.aws.set_faults(Fault(call="glue:BatchUpdatePartition", error="AccessDeniedException", times=1))
    rows = [(2, "new", day) for day in (*days, "d9")]
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        overwrite(lab, select("id, note, dt", rows), {}, run_id="half")
    assert ("d9",) in registered(lab)
    lab.aws.set_faults()
    overwrite(lab, select("id, note, dt", rows), {}, run_id="half")
    assert stored(lab) == sorted_rows(rows)


def test_a_deferred_task_whose_query_failed_ends_its_attempt(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 0.3})
    lab.aws.set_faults(Fault(call="athena:query", error="GENERIC_INTERNAL_ERROR", when="after"))
    with pytest.raises(AirflowFailException, match="GENERIC_INTERNAL_ERROR"):
        overwrite(lab, values((1, "a")), deferrable=True, defer_after=0.05)
    overwrite(lab, values((1, "a")), deferrable=True, defer_after=0.05)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert temporary_tables(lab) == set()


def test_a_table_that_was_changed_while_a_task_was_deferred_is_not_written_half_by_each(lab: Lab) -> None:
    request = OverwriteRequest(
        query="SELECT 2 AS id",
        table=TableName(lab.database, "orders"),
        partition=DAY,
        database=lab.database,
        workgroup=lab.workgroup,
    )
    overwrite(lab, "SELECT 1 AS id", run_id="before")
    clients = LakeClients(lab.client("athena"), lab.client("glue"), lab.client("s3"))
    before = Overwrite(clients, request, "task")
    before.advance()
    lab.run("ALTER TABLE orders ADD COLUMNS (note string)")
    resumed = Overwrite(clients, request, "task", attempt=before.attempt)
    assert resumed.attempt != before.attempt
    assert before.sql != resumed.sql
    lab.run("ALTER TABLE orders REPLACE COLUMNS (id int)")
    again = Overwrite(clients, request, "task", attempt=resumed.attempt)
    assert len({before.attempt, resumed.attempt, again.attempt}) == 3


def test_a_first_overwrite_lost_before_its_table_was_made_is_joined(lab: Lab) -> None:
    lab.aws.clear_calls()
    (lost,) = lose_worker(lab, values((1, "a")))
    wait_for(lab, lost)
    assert "orders" not in lab.tables()
    overwrite(lab, values((1, "a")))
    assert len(lab.started()) == 1
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_what_a_lost_worker_left_for_good_goes_with_a_sweep(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="before")
    files = lab.keys(BASE)
    (lost,) = lose_worker(lab, values((2, "b")))
    wait_for(lab, lost)
    assert temporary_tables(lab) != set()
    sweep_later(lab, hours=23)
    assert files < lab.keys(BASE)
    sweep_later(lab)
    assert lab.keys(BASE) == files
    assert temporary_tables(lab) == set()
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_a_killed_task_stops_its_query(lab: Lab) -> None:
    lab.aws.set_latency({"athena:query": 3})
    task = overwrite_task(lab, values((1, "a")), timeout=0.3)
    with pytest.raises(AirflowFailException):
        lab.run_task(task)
    (query,) = lab.client("athena").list_query_executions(WorkGroup=lab.workgroup)["QueryExecutionIds"][:1]
    assert state_of(lab, query) == "CANCELLED"
    lab.aws.set_latency({})
    overwrite(lab, values((2, "b")))
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_a_rollback_that_was_lost_half_way_is_finished_by_its_retry(lab: Lab) -> None:
    days = [f"d{n}" for n in range(3)]
    for number in (1, 2):
        rows = [(number, "x", day) for day in days]
        overwrite(lab, select("id, note, dt", rows), {}, partitioned_by=["dt"], run_id=f"run {number}")
    lab.aws.set_faults(Fault(call="glue:BatchUpdatePartition", error="AccessDeniedException", times=1))
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        rollback(lab)
    rollback(lab)
    assert stored(lab) == sorted_rows([(1, "x", day) for day in days])
