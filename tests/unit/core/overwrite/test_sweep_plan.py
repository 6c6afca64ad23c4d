from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.history import Pointer
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.sweep_plan import SweepPlan, plan_sweep
from tests.unit.lake_examples import NOON, change, entry

HOUR = timedelta(hours=1)
HIDDEN = "s3://lake/sales/orders/.generations/"
NATURAL = "s3://lake/sales/orders/dt=1/"


def attempt(number: int) -> Attempt:
    return Attempt(f"{number:012x}", 1, f"{number:08x}")


def folder(number: int) -> str:
    return f"{HIDDEN}{attempt(number).name}/"


def flip(number: int, value: str = "1", before: int | None = None, **fields: Any) -> Change:
    """Return the change by which attempt ``number`` replaced the generation of attempt ``before``."""
    replaces: dict[str, Any] = {}
    if before is not None:
        replaces = {
            "action": Action.REPLACED,
            "previous_location": f"{folder(before)}s1/dt={value}/",
            "previous_generation": attempt(before).name,
            "previous": {"Values": [value]},
        }
    place = {"location": f"{folder(number)}s1/dt={value}/", "generation": attempt(number).name}
    return change(value, **{**place, **replaces, **fields})


def published(number: int, *changes: Change, at: datetime = NOON, **fields: Any) -> Entry:
    known: dict[str, Any] = {
        "attempt": attempt(number),
        "state": State.PUBLISHED,
        "folder": folder(number),
        "changes": changes,
        "created_at": at,
        "updated_at": at,
        "published_at": at,
    }
    known |= fields
    if known["published_at"] and known["state"] in {State.PUBLISHED, State.SUPERSEDED, State.DELETING}:
        known.setdefault("settled_at", known["published_at"])
    return entry(**known)


def rollback(number: int, *changes: Change, at: datetime = NOON, **fields: Any) -> Entry:
    return published(number, *changes, at=at, **{"kind": Kind.ROLLBACK, "folder": None, **fields})


def planned(
    *entries: Entry, current: tuple[str, ...] = (), now: datetime = NOON, **options: Any
) -> SweepPlan:
    """Plan where Glue points at these folders, each a generation of the entries', or of partition 1."""
    pointers: dict[Values, Pointer] = {}
    for location in current:
        made = [found for one in entries for found in one.changes if found.location == location]
        values, generation = (made[0].values, made[0].generation) if made else (("1",), None)
        pointers[values] = Pointer(location, generation)
    return plan_sweep({one.name: one for one in entries}, pointers, now, **options)


def removed(plan: SweepPlan) -> dict[str, tuple[str, ...]]:
    return {removal.entry.attempt.name: removal.folders for removal in plan.remove}


def where(change: Change) -> str:
    assert change.location is not None
    return change.location


# ------------------------------------------------------------------------------------- what was replaced


@pytest.mark.parametrize(("after", "goes"), [(HOUR - timedelta(seconds=1), False), (HOUR, True)])
def test_a_replaced_generation_is_kept_as_long_as_who_replaced_it_promised(
    after: timedelta, goes: bool
) -> None:
    old = published(1, flip(1), at=NOON - 5 * HOUR, retain_seconds=5.0)
    new = published(2, flip(2, before=1), retain_seconds=3600.0)
    plan = planned(old, new, current=(where(flip(2)),), now=NOON + after)
    assert removed(plan) == ({attempt(1).name: (folder(1),)} if goes else {})
    if goes:
        (removal,) = plan.remove
        assert (removal.whole, removal.forgets, removal.asks_athena) == (True, True, False)


def test_what_glue_points_at_stays_however_old_its_promise_is() -> None:
    old, new = published(1, flip(1)), published(2, flip(2, before=1))
    plan = planned(old, new, current=(where(flip(1)),), now=NOON + 9999 * HOUR)
    assert attempt(1).name not in removed(plan)


def test_of_a_set_only_the_partitions_that_were_replaced_go() -> None:
    old = published(1, flip(1, "1"), flip(1, "2"), flip(1, "3"))
    new = published(2, flip(2, "2", before=1))
    current = (where(flip(1, "1")), where(flip(2, "2")), where(flip(1, "3")))
    (removal,) = planned(old, new, current=current, now=NOON + HOUR).remove
    assert removal.folders == (where(flip(1, "2")),)
    assert (removal.whole, removal.forgets) == (False, False)


def test_the_last_partition_of_a_set_takes_all_that_the_attempt_made() -> None:
    old = published(1, flip(1, "1"), flip(1, "2"), deleted=(where(flip(1, "1")),))
    new = published(2, flip(2, "2", before=1))
    (removal,) = planned(old, new, current=(where(flip(2, "2")),), now=NOON + HOUR).remove
    assert removal.folders == (folder(1),)
    assert (removal.whole, removal.forgets) == (True, True)


def test_several_who_replaced_one_generation_keep_it_as_long_as_the_longest_promise() -> None:
    old = published(1, flip(1))
    one, other = (published(n, flip(n, before=1), retain_seconds=n * 3600.0) for n in (2, 3))
    kept = planned(old, one, other, current=(where(flip(3)),), now=NOON + 2.5 * HOUR)
    assert attempt(1).name not in removed(kept)
    gone = planned(old, one, other, current=(where(flip(3)),), now=NOON + 3 * HOUR)
    assert removed(gone)[attempt(1).name] == (folder(1),)


def test_who_is_still_publishing_may_not_have_replaced_anything_yet() -> None:
    old = published(1, flip(1))
    new = published(2, flip(2, before=1), state=State.PUBLISHING, at=NOON, updated_at=NOON + 98 * HOUR)
    assert removed(planned(old, new, now=NOON + 98.5 * HOUR)) == {}


def test_a_generation_that_was_gone_back_to_is_kept_anew_when_something_else_takes_it() -> None:
    old, new = published(1, flip(1)), published(2, flip(2, before=1), at=NOON + HOUR)
    back = rollback(
        3,
        flip(
            1, previous_location=where(flip(2)), previous_generation=attempt(2).name, action=Action.REPLACED
        ),
        at=NOON + 2 * HOUR,
    )
    plan = planned(old, new, back, now=NOON + 99 * HOUR)
    assert [one.attempt for one, _ in plan.mark] == [attempt(1)]
    assert attempt(1).name not in removed(plan)


# ------------------------------------------------------------------------- taken by something else


def test_what_something_else_took_from_us_is_marked_and_kept_for_a_while_from_now_on() -> None:
    ours = published(1, flip(1))
    plan = planned(ours, current=("s3://elsewhere/x/",), now=NOON + 99 * HOUR)
    assert plan.mark == ((ours, (where(flip(1)),)),)
    assert plan.remove == ()
    marked = published(1, flip(1), state=State.SUPERSEDED, marked={where(flip(1)): NOON + 100 * HOUR})
    assert planned(marked, now=NOON + 99 * HOUR).remove == ()
    assert removed(planned(marked, now=NOON + 100 * HOUR)) == {attempt(1).name: (folder(1),)}
    assert planned(marked, now=NOON + 99 * HOUR).mark == ()


def test_what_is_taken_later_has_a_time_of_its_own() -> None:
    first, second = flip(1, "1"), flip(1, "2")
    marked = published(1, first, second, state=State.SUPERSEDED, marked={where(first): NOON + 9 * HOUR})
    plan = planned(marked, now=NOON + 10 * HOUR)
    assert plan.mark == ((marked, (where(second),)),)


# -------------------------------------------------------------------------------------------- adopted


def test_what_was_there_before_the_first_overwrite_goes_when_its_time_is_over() -> None:
    ours = published(1, flip(1, adopted=NATURAL, previous_location=NATURAL))
    current = (where(flip(1)),)
    assert planned(ours, current=current, now=NOON + HOUR / 2).adopted == {}
    plan = planned(ours, current=current, now=NOON + HOUR)
    assert plan.adopted == {NATURAL: ours}
    assert plan.remove == ()  # it goes only when somebody says so
    other = published(3, flip(3, "3", adopted=NATURAL), at=NOON)
    assert planned(ours, other, current=(NATURAL, where(flip(3, "3"))), now=NOON + HOUR).adopted == {}
    done = published(1, *ours.changes, deleted=(NATURAL,))
    assert planned(done, current=current, now=NOON + HOUR).adopted == {}


def test_an_adopted_folder_that_was_gone_back_to_is_kept_as_long_as_who_replaced_it_last_promised() -> None:
    first = published(1, flip(1, adopted=NATURAL, previous_location=NATURAL))
    later = published(
        2, flip(2, adopted=NATURAL, previous_location=NATURAL), at=NOON + HOUR, retain_seconds=9 * 3600.0
    )
    # something else had gone back to it in between
    assert planned(first, later, current=(where(flip(2)),), now=NOON + 9 * HOUR).adopted == {}
    freed = planned(first, later, current=(where(flip(2)),), now=NOON + 10 * HOUR)
    assert freed.adopted == {NATURAL: later}


# ---------------------------------------------------------------------------------- entries that are needed


def test_an_entry_is_needed_while_what_it_replaced_is_kept() -> None:
    # Attempt 2 was emptied; but only it says how long the generation of attempt 1 is kept.
    old = published(1, flip(1))
    new = published(2, flip(2, before=1), retain_seconds=9 * 3600.0, deleted=(folder(2),))
    plan = planned(old, new, now=NOON + 8 * HOUR)
    assert plan.remove == ()
    both = planned(old, new, now=NOON + 9 * HOUR)
    assert {removal.entry.attempt: removal.forgets for removal in both.remove} == {
        attempt(1): True,
        attempt(2): True,
    }


def test_an_entry_whose_predecessor_is_unknown_or_foreign_waits_for_nobody() -> None:
    lost = published(2, flip(2, before=1), deleted=(folder(2),))
    foreign = published(3, flip(3, previous_location="s3://elsewhere/"), deleted=(folder(3),))
    plan = planned(lost, foreign, now=NOON + HOUR)
    assert all(removal.forgets and removal.folders == () for removal in plan.remove)
    assert len(plan.remove) == 2


def test_an_entry_of_removed_partitions_is_forgotten_with_their_files() -> None:
    old = published(1, flip(1))
    gone = published(2, flip(2, before=1, location=None, generation=None, action=Action.REMOVED))
    assert planned(old, gone, now=NOON + HOUR / 2).remove == ()
    plan = planned(old, gone, now=NOON + HOUR)
    assert {removal.entry.attempt: removal.forgets for removal in plan.remove} == {
        attempt(1): True,
        attempt(2): True,
    }


# ---------------------------------------------------------------------------------------- never published


@pytest.mark.parametrize("state", [State.INTENDED, State.SUBMITTED, State.STAGED])
def test_an_attempt_that_died_goes_after_a_day(state: State) -> None:
    died = published(1, state=state, published_at=None)
    plan = planned(died, now=NOON + 23 * HOUR)
    assert plan.remove == ()
    assert plan.left == ((died, f"{state.value}; kept until 2026-01-02T12:00:00+00:00"),)
    (removal,) = planned(died, now=NOON + 24 * HOUR).remove
    assert removal.folders == (folder(1),)
    assert (removal.whole, removal.forgets, removal.asks_athena) == (True, True, True)


@pytest.mark.parametrize(("keep_until", "from_when"), [(None, NOON), (NOON + HOUR, NOON + HOUR)])
def test_an_aborted_attempt_is_kept_as_long_as_was_said(
    keep_until: datetime | None, from_when: datetime
) -> None:
    aborted = published(1, state=State.ABORTED, published_at=None, keep_until=keep_until)
    assert planned(aborted, now=from_when - timedelta(seconds=1)).remove == ()
    assert removed(planned(aborted, now=from_when)) == {attempt(1).name: (folder(1),)}


def test_what_was_left_half_published_stays_while_glue_points_at_any_of_it() -> None:
    left = published(1, flip(1, "1"), flip(1, "2"), state=State.ABORTED, keep_until=NOON)
    plan = planned(left, current=(where(flip(1, "2")),), now=NOON + 99 * HOUR)
    assert plan.remove == ()
    assert [one.attempt for one, _ in plan.left] == [attempt(1)]


def test_what_was_half_published_and_then_replaced_is_kept_as_long_as_who_replaced_it_promised() -> None:
    left = published(1, flip(1), state=State.ABORTED, keep_until=NOON)
    new = published(2, flip(2, before=1), retain_seconds=9 * 3600.0)
    assert removed(planned(left, new, current=(where(flip(2)),), now=NOON + 8 * HOUR)) == {}
    freed = removed(planned(left, new, current=(where(flip(2)),), now=NOON + 9 * HOUR))
    assert freed[attempt(1).name] == (folder(1),)


def test_what_was_half_published_and_then_superseded_still_says_how_long_its_predecessor_is_kept() -> None:
    old = published(1, flip(1), retain_seconds=60.0)
    # It was superseded an hour after it began, which is when its own time of 8 hours began.
    left = published(
        2, flip(2, before=1), retain_seconds=8 * 3600.0, state=State.ABORTED, keep_until=NOON + 9 * HOUR
    )
    new = published(3, flip(3, before=2), retain_seconds=60.0)
    current = (where(flip(3)),)
    assert removed(planned(old, left, new, current=current, now=NOON + 8 * HOUR)) == {}
    assert attempt(1).name in removed(planned(old, left, new, current=current, now=NOON + 9 * HOUR))


def test_a_rollback_that_never_began_leaves_nothing_but_its_entry() -> None:
    (removal,) = planned(rollback(1, flip(2), state=State.ABORTED), now=NOON).remove
    assert (removal.folders, removal.whole, removal.forgets) == ((), False, True)


# ------------------------------------------------------------------------------------- half done


def test_a_sweep_that_died_is_gone_on_with() -> None:
    half = published(1, flip(1), state=State.DELETING, doomed=(folder(1),), published_at=None)
    (removal,) = planned(half, now=NOON).remove
    assert (removal.folders, removal.whole, removal.forgets) == ((folder(1),), True, True)
    part = published(1, flip(1, "1"), flip(1, "2"), state=State.DELETING, doomed=(where(flip(1, "1")),))
    (removal,) = planned(part, current=(where(flip(1, "2")),), now=NOON).remove
    assert (removal.folders, removal.whole, removal.forgets) == ((where(flip(1, "1")),), False, False)


@pytest.mark.parametrize(("after", "rolls"), [(HOUR / 2, False), (HOUR, True)])
def test_what_was_left_half_published_is_rolled_forward_when_nobody_can_be_at_it(
    after: timedelta, rolls: bool
) -> None:
    half = published(1, flip(1), flip(1, "2"), state=State.PUBLISHING)
    plan = planned(half, now=NOON + after)
    assert plan.roll_forward == ((half,) if rolls else ())
    single = published(1, flip(1), state=State.PUBLISHING)
    assert planned(single, now=NOON + after).settle == ((single,) if rolls else ())
    assert planned(single, now=NOON + after).roll_forward == ()
    assert plan.left == (() if rolls else ((half, "it is being published"),))
    assert plan.remove == ()


def test_what_a_rollback_holds_is_released_when_the_rollback_is_over() -> None:
    held = published(1, flip(1), state=State.PUBLISHING, claimed_by=attempt(2).entry_name)
    at_work = rollback(2, flip(1), state=State.PUBLISHING)
    assert planned(held, at_work, now=NOON).release == ()
    assert planned(held, rollback(2, flip(1)), now=NOON).release == (held,)
    assert planned(held, now=NOON).release == (held,)


def test_what_could_not_be_tidied_is_tidied_later() -> None:
    untidy = published(1, flip(1), untidy=True)
    publishing = published(2, flip(2, "2"), untidy=True, state=State.PUBLISHING)
    assert planned(untidy, publishing, current=(where(flip(1)),)).tidy == (untidy,)


# ----------------------------------------------------------------------------------- only some partitions


def only(*values: str) -> Callable[[Values], bool]:
    return lambda found: found[0] in values


def test_only_the_partitions_asked_for_are_looked_at() -> None:
    old = published(1, flip(1, "1", adopted=NATURAL), flip(1, "2"))
    new = published(2, flip(2, "1", before=1), flip(2, "2", before=1))
    current = (where(flip(2, "1")), where(flip(2, "2")))
    plan = planned(old, new, current=current, now=NOON + HOUR, wanted=only("1"))
    (removal,) = plan.remove
    assert removal.folders == (where(flip(1, "1")),)
    assert plan.adopted == {NATURAL: old}
    assert not removal.whole
    assert not removal.forgets
    nothing = planned(old, new, current=current, now=NOON + HOUR, wanted=only("3"))
    assert (nothing.remove, nothing.adopted) == ((), {})


def test_an_attempt_that_was_half_published_in_other_partitions_is_left_alone() -> None:
    left = published(1, flip(1, "1"), flip(1, "2"), state=State.ABORTED, keep_until=NOON)
    assert planned(left, now=NOON + HOUR, wanted=only("1")) == SweepPlan((), (), {}, (), (), (), (), {}, ())


# ------------------------------------------------------------------------- the newest published is the truth


def test_a_late_call_of_an_older_run_is_pointed_back_and_what_was_published_last_stays() -> None:
    old = published(1, flip(1), at=NOON)
    new = published(2, flip(2, before=1), at=NOON + HOUR, retain_seconds=60.0)
    plan = planned(old, new, current=(where(flip(1)),), now=NOON + 999 * HOUR)
    assert plan.point_back == {("1",): (new, new.changes[0])}
    assert plan.remove == ()
    assert plan.mark == ()


@pytest.mark.parametrize("state", [State.ABORTED, State.PUBLISHING])
def test_a_late_call_of_a_run_that_failed_is_pointed_back(state: State) -> None:
    new = published(1, flip(1), at=NOON + HOUR)
    failed = published(2, flip(2, before=1), at=NOON, updated_at=NOON + 998 * HOUR, state=state)
    plan = planned(new, failed, current=(where(flip(2)),), now=NOON + 998 * HOUR)
    assert plan.point_back == {("1",): (new, new.changes[0])}
    assert plan.mark == ()
    assert all(removal.entry.attempt != attempt(1) for removal in plan.remove)


def test_what_is_being_published_after_the_last_is_not_pointed_back() -> None:
    new = published(1, flip(1), at=NOON)
    newer = published(2, flip(2, before=1), at=NOON + HOUR, state=State.PUBLISHING)
    plan = planned(new, newer, current=(where(flip(2)),), now=NOON + HOUR)
    assert plan.point_back == {}
    assert plan.mark == ()


def test_a_generation_of_an_unknown_attempt_does_not_free_what_was_published_last() -> None:
    new = published(1, flip(1), at=NOON)
    pointers: dict[Values, Pointer] = {("1",): Pointer(folder(9), attempt(9).name)}
    plan = plan_sweep({new.name: new}, pointers, NOON + 999 * HOUR)
    assert (plan.point_back, plan.mark, plan.remove) == ({}, (), ())
    assert [one for one, _ in plan.left] == [new]


def test_a_partition_that_somebody_dropped_is_not_made_again() -> None:
    new = published(1, flip(1), at=NOON)
    plan = plan_sweep({new.name: new}, {}, NOON + HOUR)
    assert plan.point_back == {}
    assert plan.mark == ((new, (where(flip(1)),)),)


def test_a_partition_created_within_the_clocks_difference_is_left_as_it_is() -> None:
    gone = published(1, flip(1, location=None, generation=None, action=Action.REMOVED), at=NOON)
    made = published(2, flip(2), at=NOON - timedelta(seconds=1))
    assert planned(gone, made, current=(where(flip(2)),), now=NOON + HOUR).point_back == {}
    earlier = published(2, flip(2), at=NOON - timedelta(minutes=1))
    late = planned(gone, earlier, current=(where(flip(2)),), now=NOON + HOUR)
    assert late.point_back == {("1",): (gone, gone.changes[0])}


def test_what_was_published_before_is_kept_for_who_undoes_though_a_late_call_had_taken_its_place() -> None:
    first = published(1, flip(1), at=NOON)
    failed = published(2, flip(2, before=1), at=NOON - HOUR, state=State.ABORTED, keep_until=NOON)
    last = published(3, flip(3, before=2), at=NOON + 10 * HOUR, retain_seconds=5 * 3600.0)
    current = (where(flip(3)),)
    kept = planned(first, failed, last, current=current, now=NOON + 14 * HOUR)
    assert attempt(1).name not in removed(kept)
    gone = planned(first, failed, last, current=current, now=NOON + 15 * HOUR)
    assert removed(gone)[attempt(1).name] == (folder(1),)
