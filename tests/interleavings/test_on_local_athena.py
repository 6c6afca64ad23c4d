"""The same over HTTP, with real queries: an overwrite or a rollback is held at each of its calls.

Leases are short, so that who comes in between need not wait for a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.flows.overwrite import lease
from local_athena import LocalAthena
from tests.faults.hooks import POLLS
from tests.faults.lake import Lake, Rows, counted, rows_query
from tests.faults.scenarios import (
    BY_DAY,
    DAY,
    ONE_PARTITION,
    ROLLBACK_OF_ONE,
    THREE_PARTITIONS,
    UNPARTITIONED,
    Scenario,
    of_set,
    overwrite_whole,
)
from tests.faults.whole import assert_swept_clean

pytestmark = [pytest.mark.integration, pytest.mark.interleavings, pytest.mark.timeout(1800)]

_MOST_CALLS = 60


@pytest.fixture(scope="module")
def first_lake(aws: LocalAthena) -> Lake:
    return Lake.open(aws)


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {**(lease.Lease.__init__.__kwdefaults__ or {}), "seconds": 2.0}
    monkeypatch.setattr(lease.Lease.__init__, "__kwdefaults__", defaults)
    monkeypatch.setattr(lease, "CALL_SECONDS", 0.5)


class ActAtCall:
    """Has somebody act before the n-th call, polls of queries not counted."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left = number
        self._act = act
        self.at = ""

    def __call__(self, event_name: str, **_: object) -> None:
        service, operation = event_name.split(".")[1:]
        if operation in POLLS:
            return
        self._left -= 1
        if self._left == 0:
            self.at = f"{service}:{operation}"
            self._act()


def _other_day(lake: Lake) -> None:
    query = rows_query("id, note", [(7, "other"), (8, "other")])
    lake.overwrite(query, {"dt": DAY}, "other", partitioned_by=BY_DAY)


def _other_set(lake: Lake) -> None:
    lake.overwrite(rows_query("id, note, country", _SET), {"dt": DAY}, "other")


_SET = [(7, "other", "ch"), (8, "other", "at")]
_DAY = counted([(7, "other", DAY), (8, "other", DAY)])
_WHOLE = [(7, "other"), (8, "other")]

# Whoever comes in between, the rows when he is last, and those when the one that is held undoes him.
_PAIRS: list[tuple[Scenario, Callable[[Lake], object], Rows, Rows | None]] = [
    (ONE_PARTITION, _other_day, _DAY, None),
    (THREE_PARTITIONS, _other_set, of_set(_SET), None),
    (UNPARTITIONED, lambda lake: overwrite_whole(lake, _WHOLE, "other"), counted(_WHOLE), None),
    (ROLLBACK_OF_ONE, _other_day, _DAY, ROLLBACK_OF_ONE.before),
]


def at_each_call(
    scenario: Scenario, other: Callable[[Lake], object], first_lake: Lake
) -> Iterator[tuple[Lake, str, bool]]:
    for number in range(1, _MOST_CALLS):
        lake = first_lake.another()
        scenario.prepare(lake)
        act = ActAtCall(number, lambda lake=lake: other(lake))  # type: ignore[misc]
        try:
            scenario.work(lake, lake.new_clients(before_send=act))
            done = True
        except QuiltAthenaError:
            done = False
        if not act.at:
            assert number > 10, "there was hardly a call to be held at"
            return
        yield lake, f"{act.at} #{number}", done
    raise AssertionError("the run has no end")


@pytest.mark.parametrize(
    ("scenario", "other", "other_last", "undone"), _PAIRS, ids=[pair[0].name for pair in _PAIRS]
)
def test_the_last_of_two_wins_whole(
    scenario: Scenario,
    other: Callable[[Lake], object],
    other_last: Rows,
    undone: Rows | None,
    first_lake: Lake,
) -> None:
    problems = []
    for lake, at, done in at_each_call(scenario, other, first_lake):
        seen = lake.rows()
        held_last = scenario.after if undone is None else undone
        allowed = [other_last, held_last] if done else [other_last]
        if seen not in allowed:
            problems.append(f"at {at}, {'done' if done else 'failed'}: {seen}")
        try:
            assert_swept_clean(lake)
        except AssertionError as left:
            problems.append(f"at {at}: {left}")
        if lake.rows() != seen:
            problems.append(f"at {at}: the sweep changed the rows")
    assert not problems, "\n".join(problems)
