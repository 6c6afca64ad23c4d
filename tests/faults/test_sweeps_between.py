"""Sweep against publish, and against rollback: one is held at each of its calls while the other runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import pytest

from airflow_quilt_athena.exceptions import ManualActionError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.aws.clients import LakeClients
from tests.faults.forks import Forks
from tests.faults.hooks import PATIENCE_SECONDS, Nth, PauseAtCall
from tests.faults.lake import Lake
from tests.faults.scenarios import (
    ONE_PARTITION,
    ROLLBACK_OF_ONE,
    ROLLBACK_OF_THREE,
    TASK,
    THREE_PARTITIONS,
    UNPARTITIONED,
    Scenario,
)
from tests.faults.whole import assert_swept_clean, assert_whole, sweep_all

pytestmark = pytest.mark.integration

# A run that stood still for a day before it starts a query starts it all the same, and then finds that it was
# given up. The journal no longer knows of what that query writes: nobody reads it, and nobody removes it.
_TOO_LATE = {"athena:StartQueryExecution"}

Work = Callable[[LakeClients], object]

_OVERWRITES = [ONE_PARTITION, UNPARTITIONED, THREE_PARTITIONS]
_ROLLBACKS = [ROLLBACK_OF_ONE, ROLLBACK_OF_THREE]


@dataclass(frozen=True)
class Outcome:
    """How both ended: with an error of ours, or well."""

    held_at: str
    held: QuiltAthenaError | None
    other: QuiltAthenaError | None


def ended(work: Work, clients: LakeClients) -> QuiltAthenaError | None:
    try:
        work(clients)
    except QuiltAthenaError as error:
        return error
    return None


def at_each_call(scenario: Scenario, first_lake: Lake, held: str) -> Iterator[tuple[Lake, Outcome]]:
    """Hold the sweep, or the scenario's work, at its first call, its second, … while the other one runs."""
    for number in range(1, 200):
        lake = first_lake.another()
        scenario.prepare(lake)
        works: dict[str, Work] = {
            "sweep": lake.sweep,
            "work": partial(scenario.work, lake),
        }
        first, second = works[held], works[({"sweep", "work"} - {held}).pop()]
        pause = PauseAtCall(number)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(ended, first, lake.new_clients(before_send=pause))
            running.add_done_callback(lambda _, pause=pause: pause.stopped.set())  # type: ignore[misc]
            try:
                assert pause.stopped.wait(PATIENCE_SECONDS)
                other = ended(second, lake.clients()) if pause.at else None
            finally:
                pause.go_on()
            outcome = Outcome(pause.at, running.result(), other)
        if not pause.at:
            assert number > 10, "there was hardly a call to be held at"
            return
        yield lake, outcome
    raise AssertionError("the run has no end")


@pytest.mark.faults  # the same meet in memory in the interleavings, which always run
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("leases_expire_at_once")  # who is held for two days has held it for too long
@pytest.mark.parametrize("held", ["work", "sweep"])
@pytest.mark.parametrize("scenario", _OVERWRITES, ids=lambda scenario: scenario.name)
def test_sweep_and_publish_end_well_wherever_they_meet(
    scenario: Scenario, held: str, first_lake: Lake
) -> None:
    """The sweep comes two days later, and so takes what is under way for dead."""
    for lake, outcome in at_each_call(scenario, first_lake, held):
        overwrite, sweep = (outcome.held, outcome.other) if held == "work" else (outcome.other, outcome.held)
        assert overwrite is None or isinstance(overwrite, RetryableError | ManualActionError), outcome
        assert sweep is None or isinstance(sweep, RetryableError), outcome
        seen = lake.rows()
        if overwrite is None:
            assert seen == scenario.after, outcome
        assert_whole(scenario, seen)

        scenario.work(lake, lake.clients())
        assert lake.rows() == scenario.after, outcome
        left = sweep_all(lake)
        assert not left or outcome.held_at in _TOO_LATE, (outcome, left)
        assert lake.rows() == scenario.after, outcome


@pytest.mark.faults  # the same meet in memory in the interleavings, which always run
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("leases_expire_at_once")  # who is held for two days has held it for too long
@pytest.mark.parametrize("held", ["work", "sweep"])
@pytest.mark.parametrize("scenario", _ROLLBACKS, ids=lambda scenario: scenario.name)
def test_sweep_and_rollback_end_well_wherever_they_meet(
    scenario: Scenario, held: str, first_lake: Lake
) -> None:
    """Either what was replaced is swept, and there is no way back; or it is gone back to, and stays."""
    winners = set()
    for lake, outcome in at_each_call(scenario, first_lake, held):
        rollback, sweep = (outcome.held, outcome.other) if held == "work" else (outcome.other, outcome.held)
        assert sweep is None or isinstance(sweep, RetryableError), outcome
        assert rollback is None or isinstance(rollback, RetryableError | ManualActionError), outcome
        seen = lake.rows()
        assert_whole(scenario, seen)
        if rollback is None:
            assert seen == scenario.after, outcome

        if isinstance(rollback, RetryableError):
            rollback = ended(partial(scenario.work, lake), lake.clients())
        expected = scenario.after if rollback is None else scenario.before
        assert lake.rows() == expected, (outcome, rollback)
        winners.add("rollback" if rollback is None else "sweep")

        assert_swept_clean(lake)
        assert lake.rows() == expected, outcome
    assert winners == {"sweep", "rollback"}


def test_a_rollback_that_died_before_it_held_on_to_its_files_never_goes_back_to_nothing(lake: Lake) -> None:
    """It died ten minutes before the time of the files was over: they wait for it, or it gives up."""
    ROLLBACK_OF_ONE.prepare(lake)
    lake.age_journal(timedelta(hours=23, minutes=50))
    with Forks() as forks:
        assert forks.run_and_kill(ROLLBACK_OF_ONE.name, lake, Nth("s3:PutObject"), after=True) < 0

    for minutes in (20, 120):  # the second sweep finds that nobody is at the rollback any more
        lake.sweep(later=timedelta(minutes=minutes))
        assert_whole(ROLLBACK_OF_ONE, lake.rows())

    lake.rollback(TASK)
    assert lake.rows() == ROLLBACK_OF_ONE.after
    assert_swept_clean(lake)
    assert lake.rows() == ROLLBACK_OF_ONE.after
