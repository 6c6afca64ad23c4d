"""Histories that once ended wrong, found by chance (`make test-search`) and cut to what made them so."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.interleavings.test_histories import Histories

pytestmark = pytest.mark.interleavings

_ALL = {"a", "b", "c"}
_NO_SKEW = timedelta()
_Step = tuple[str, dict[str, Any]]


def stranger(name: str) -> _Step:
    return "a_stranger_writes", {"name": name, "where": "natural"}


def overwrite(kind: str, written: set[str], happening: tuple[int, str] | None = None) -> _Step:
    chosen = {"kind": kind, "written": written, "happening": happening}
    return "overwrite", {**chosen, "retain": timedelta(days=7), "skew": _NO_SKEW}


def two(number: int, first: tuple[str, set[str]], other: tuple[str, set[str]]) -> _Step:
    """The other overwrites whole at a call of the first."""
    chosen = {"kind": first[0], "written": first[1], "other_kind": other[0], "other": other[1]}
    return "two_overwrite", {**chosen, "number": number}


def roll_back(happening: tuple[int, str] | None = None) -> _Step:
    return "roll_back", {"happening": happening, "skew": _NO_SKEW}


FOUND = {
    "a run that stood still for days, after a stranger, is taken back to the stranger's": [
        overwrite("one", {"a"}),
        stranger("a"),
        ("somebody_sweeps_meanwhile", {"kind": "one", "later": 200_000, "number": 16, "written": {"a"}}),
    ],
    "a sweep finishes a removal, and does not give back what it removed": [
        overwrite("set", _ALL),
        overwrite("table", {"b", "c"}),
        overwrite("one", {"a"}),
        overwrite("table", {"b"}, (22, "dies")),
    ],
    "a rollback that gives way gives back what it had removed": [
        overwrite("one", {"a"}),
        overwrite("set", {"a", "b"}),
        roll_back((15, "dies after")),
        stranger("a"),
        ("the_dead_run_comes_again", {}),
    ],
    "a run that is superseded gives back what its successor made and it removed late": [
        overwrite("table", {"b"}),
        two(19, ("table", {"a", "c"}), ("table", {"b"})),
        ("the_dead_run_comes_again", {}),
    ],
    "a rollback goes back to a stranger's place that a failed run had replaced": [
        two(9, ("table", _ALL), ("table", {"a", "c"})),
        stranger("c"),
        two(20, ("set", {"a", "c"}), ("table", {"b"})),
        roll_back((18, "dies after")),
    ],
}


class _Only:
    """Draws the only one there is."""

    def draw(self, strategy: Any) -> Any:
        (only,) = strategy.elements
        return only


@pytest.mark.parametrize("steps", FOUND.values(), ids=FOUND)
def test_a_history_that_once_ended_wrong_ends_well(steps: list[_Step]) -> None:
    histories = Histories()
    try:
        for rule, chosen in steps:
            if rule == "the_dead_run_comes_again":
                if not histories.dead:
                    continue
                chosen = {"data": _Only()}
            getattr(histories, rule)(**chosen)
            histories.each_partition_has_the_rows_of_a_run_that_may_be_there()
            histories.nobody_sees_what_nobody_may_see()
    finally:
        histories.teardown()
