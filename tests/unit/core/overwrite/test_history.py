"""What the journal says of a partition that a late call points elsewhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_quilt_athena.core.overwrite.history import (
    CLOCKS_APART,
    Past,
    Pointer,
    find_newest,
    find_rightful,
    find_written_since,
    is_of_former_table,
)
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Entry, State
from tests.unit.core.overwrite.test_sweep_plan import attempt, flip, folder, published
from tests.unit.lake_examples import NOON

HOUR = timedelta(hours=1)
VALUES = ("1",)


def at(number: int) -> Pointer:
    return Pointer(f"{folder(number)}s1/dt=1/", attempt(number).name)


def is_pointed_back(pointer: Pointer | None, *entries: Entry, after: timedelta = HOUR) -> bool:
    newest = find_newest(entries)[VALUES]
    journal = {one.name: one for one in entries}
    return find_rightful(VALUES, pointer, newest, Past(journal, NOON + after)) is newest


def test_what_was_published_later_than_a_moment_is_told() -> None:
    changes = (flip(1), flip(1, "2"), flip(1, "3"))
    older = published(1, *changes[:2])
    newer = published(2, flip(2, before=1), at=NOON + HOUR)
    assert find_written_since([newer, older], changes, NOON) == [("1",)]
    assert find_written_since([newer, older], changes, NOON - HOUR) == [("1",), ("2",)]


def test_what_the_newest_came_after_is_older_whatever_its_clock_said() -> None:
    ahead = published(1, flip(1))
    between = published(2, flip(2, before=1), at=NOON - HOUR, state=State.SUPERSEDED)
    assert is_pointed_back(at(1), ahead, between, published(3, flip(3, before=2)))
    assert is_pointed_back(at(1), ahead, published(2, flip(2, before=1)))


def test_where_the_chain_of_replacements_is_forgotten_only_the_clocks_tell() -> None:
    owner = published(1, flip(1), at=NOON)
    newest = published(3, flip(3, before=2), at=NOON + timedelta(seconds=1))
    assert not is_pointed_back(at(1), owner, newest)


def test_a_chain_that_ends_in_a_partition_that_was_made_ends() -> None:
    owner = published(1, flip(1), at=NOON)
    middle = published(2, flip(2, "other"), at=NOON - HOUR)
    newest = published(3, flip(3, before=2), at=NOON + timedelta(seconds=1))
    assert not is_pointed_back(at(1), owner, middle, newest)


@pytest.mark.parametrize(("apart", "made_again"), [(timedelta(minutes=30), True), (2 * HOUR, False)])
def test_a_partition_is_made_again_that_a_removal_of_just_before_took_late(
    apart: timedelta, made_again: bool
) -> None:
    gone = flip(1, action=Action.REMOVED, location=None, generation=None)
    removal = published(1, gone, at=NOON - apart)
    assert is_pointed_back(None, removal, published(2, flip(2)), after=HOUR) is made_again
    assert not is_pointed_back(None, removal, published(2, flip(2)), after=timedelta(days=2))


def test_a_table_made_after_an_entry_was_published_is_another_table() -> None:
    made = published(1, flip(1))
    assert is_of_former_table(made, {"CreateTime": NOON + HOUR})
    assert not is_of_former_table(made, {"CreateTime": NOON + CLOCKS_APART})
    assert not is_of_former_table(made, {})
