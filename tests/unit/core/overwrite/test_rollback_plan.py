from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.selection import Selection, Values
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.partition_changes import Staged, location_of, plan_changes
from airflow_quilt_athena.core.overwrite.rollback_plan import Restoration, plan_rollback
from airflow_quilt_athena.exceptions import ManualActionError
from tests.unit.lake_examples import BASE, NOON, entry, partition, table

KEYS = (("k", "string"),)
HIDDEN = f"{BASE}.generations/"
World = dict[Values, dict[str, Any]]


class History:
    """What overwrites and rollbacks did, one an hour."""

    def __init__(self, **written: str) -> None:
        self.glue: World = {(name,): partition(name, location=place) for name, place in written.items()}
        self.journal: dict[str, Entry] = {}

    def overwrite(self, *names: str, removes: bool = False) -> Entry:
        made = self._begin()
        selection = Selection(KEYS, {}, removes=removes)
        staged: dict[Values, Staged] = {(name,): Staged(f"{made.folder}s1/k={name}/", 7) for name in names}
        return self._publish(
            made, plan_changes(selection, staged, self.glue, attempt=made.attempt, base=BASE)
        )

    def plan(self, wanted: Callable[[Values], bool] | None = None) -> Restoration:
        keys = [{"Name": "k", "Type": "string"}]
        return plan_rollback(self.journal, self.glue, wanted, table(PartitionKeys=keys), self._now)

    def roll_back(self, wanted: Callable[[Values], bool] | None = None) -> Entry:
        plan = self.plan(wanted)
        return self._publish(self._begin(kind=Kind.ROLLBACK, folder=None, claims=plan.owners), plan.changes)

    @property
    def _now(self) -> datetime:
        return NOON + (len(self.journal) + 1) * timedelta(hours=1)

    def _begin(self, **fields: Any) -> Entry:
        number = len(self.journal) + 1
        attempt = Attempt(f"{number:012x}", 1, f"{number:08x}")
        at = self._now
        known = {"attempt": attempt, "folder": f"{HIDDEN}{attempt.name}/", "state": State.PUBLISHED}
        known["settled_at"] = at
        return entry(**{**known, "created_at": at, "updated_at": at, "published_at": at, **fields})

    def _publish(self, made: Entry, changes: tuple[Change, ...]) -> Entry:
        self.change(made, changes=changes)
        for one in changes:
            if one.location is None:
                del self.glue[one.values]
            elif one.restored is not None:
                self.glue[one.values] = dict(one.restored)
            else:
                parameters = {
                    "quilt_athena.generation": str(one.generation),
                    "quilt_athena.rows": str(one.rows),
                }
                self.glue[one.values] = partition(*one.values, location=one.location, **parameters)
        return self.journal[made.name]

    def change(self, made: Entry, **fields: Any) -> None:
        self.journal[made.name] = entry(
            **{name: getattr(made, name) for name in made.__dataclass_fields__} | fields
        )

    @property
    def places(self) -> dict[Values, str | None]:
        return {values: location_of(found) for values, found in self.glue.items()}


def only(*names: str) -> Callable[[Values], bool]:
    return lambda values: values[0] in names


# ------------------------------------------------------------------------------------------ there and back


@given(
    st.sets(st.sampled_from("abc")),
    st.lists(st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.booleans()), min_size=1, max_size=4),
    st.booleans(),
)
def test_a_rollback_restores_what_was_and_a_second_one_what_is(
    before: set[str], overwrites: list[tuple[set[str], bool]], each: bool
) -> None:
    history = History(**{name: f"s3://lake/sales/orders/k={name}" for name in before})
    places = []
    for names, removes in overwrites:
        places.append(history.places)
        last = history.overwrite(*sorted(names), removes=removes)
    latest = history.places
    wanted = only(*(change.values[0] for change in last.changes)) if each else None
    history.roll_back(wanted)
    assert history.places == places[-1]
    history.roll_back(wanted)
    assert history.places == latest
    history.roll_back(wanted)
    assert history.places == places[-1]


def test_only_what_the_last_overwrite_changed_is_undone() -> None:
    history = History()
    history.overwrite("a", "b")
    second = history.overwrite("b")
    plan = history.plan()
    assert [change.values for change in plan.changes] == [("b",)]
    assert plan.changes[0].previous_location == second.changes[0].location


def test_each_wanted_partition_goes_back_by_its_own_last_overwrite() -> None:
    history = History()
    first = history.overwrite("a", "b")
    second = history.overwrite("b")
    plan = history.plan(only("a", "b"))
    assert [(c.values, c.action, c.location) for c in plan.changes] == [
        (("a",), Action.REMOVED, None),
        (("b",), Action.REPLACED, first.changes[1].location),
    ]
    assert plan.owners == (first.name,)
    assert plan.adopted == ()
    assert [c.previous_generation for c in plan.changes] == [first.attempt.name, second.attempt.name]


def test_what_is_restored_is_the_partition_as_it_was_with_its_rows() -> None:
    history = History()
    history.overwrite("a")
    was = history.glue[("a",)]
    history.overwrite("a")
    (change,) = history.plan().changes
    assert change.restored == {name: was[name] for name in ("Values", "StorageDescriptor", "Parameters")}
    assert change.rows == 7
    assert change.adopted is None


def test_a_removed_partition_is_made_again() -> None:
    history = History()
    first = history.overwrite("a", "b")
    history.overwrite("a", removes=True)
    back = {change.values: change for change in history.plan().changes}
    assert back[("b",)].action is Action.CREATED
    assert back[("b",)].location == first.changes[1].location
    assert back[("b",)].previous is None


def test_files_of_before_the_first_overwrite_are_to_be_looked_for_and_held_by_who_adopted_them() -> None:
    history = History(a="s3://lake/sales/orders/k=a")
    first = history.overwrite("a")
    plan = history.plan()
    assert plan.owners == (first.name,)
    assert plan.adopted == (("s3://lake/sales/orders/k=a/", first),)
    assert plan.changes[0].rows is None
    history.roll_back()
    history.roll_back()
    # The last change is a rollback's; who adopted the files still is the first overwrite.
    assert (history.plan().owners, history.plan().adopted) == (plan.owners, plan.adopted)


def test_a_partition_that_lay_outside_the_base_can_be_gone_back_to() -> None:
    history = History(a="s3://elsewhere/a")
    first = history.overwrite("a")
    plan = history.plan()
    assert (plan.owners, plan.adopted) == ((first.name,), (("s3://elsewhere/a/", first),))


def test_a_folder_that_was_adopted_twice_is_as_who_adopted_it_last_found_it() -> None:
    history = History(a="s3://lake/sales/orders/k=a")
    first = history.overwrite("a")
    # Something else writes the natural folder anew, and points the partition at it.
    history.glue[("a",)] = partition("a", location="s3://lake/sales/orders/k=a")
    last = history.overwrite("a")
    _change_owner(history, first, {"deleted": ("s3://lake/sales/orders/k=a/",)})
    plan = history.plan()
    assert plan.owners == (last.name,)
    assert plan.adopted == (("s3://lake/sales/orders/k=a/", last),)


# ------------------------------------------------------------------------------------------------ refused


def test_there_may_be_nothing_to_undo() -> None:
    with pytest.raises(ManualActionError, match="no overwrite to undo"):
        History(a="s3://x/a/").plan()


def test_a_partition_that_no_overwrite_wrote_is_named() -> None:
    history = History(b="s3://x/b/")
    history.overwrite("a")
    with pytest.raises(ManualActionError, match=r"\('b',\).*Nothing was changed"):
        history.plan(only("a", "b"))


def test_what_something_else_wrote_since_is_not_undone() -> None:
    history = History()
    history.overwrite("a")
    history.glue[("a",)] = partition("a", location="s3://elsewhere/since/")
    with pytest.raises(ManualActionError, match="no overwrite to undo"):
        history.plan()
    with pytest.raises(ManualActionError, match=r"\('a',\)"):
        history.plan(only("a"))


def _change_owner(history: History, owner: Entry, fields: Mapping[str, Any]) -> None:
    history.change(history.journal[owner.name], **fields)


@pytest.mark.parametrize("state", [State.DELETING, State.PUBLISHING, State.ABORTED])
def test_what_a_sweep_or_a_rollback_is_at_is_not_gone_back_to(state: State) -> None:
    history = History()
    first = history.overwrite("a")
    history.overwrite("a")
    _change_owner(history, first, {"state": state})
    with pytest.raises(ManualActionError, match=r"no longer kept.*Nothing was changed"):
        history.plan()


def test_what_a_sweep_has_emptied_is_not_gone_back_to() -> None:
    history = History()
    first = history.overwrite("a", "b")
    history.overwrite("a", "b")
    _change_owner(history, first, {"deleted": (first.changes[0].location,)})
    with pytest.raises(ManualActionError, match=r"\('a',\)"):
        history.plan()
    assert history.plan(only("b")).owners == (first.name,)
    _change_owner(history, first, {"deleted": (first.folder,)})
    with pytest.raises(ManualActionError, match=r"\('b',\)"):
        history.plan(only("b"))


def test_what_the_journal_has_forgotten_is_not_gone_back_to() -> None:
    history = History()
    first = history.overwrite("a")
    history.overwrite("a")
    del history.journal[first.name]
    with pytest.raises(ManualActionError, match="no longer kept"):
        history.plan()


def test_adopted_files_that_a_sweep_took_are_not_gone_back_to() -> None:
    history = History(a="s3://lake/sales/orders/k=a/")
    first = history.overwrite("a")
    _change_owner(history, first, {"deleted": ("s3://lake/sales/orders/k=a/",)})
    with pytest.raises(ManualActionError, match="no longer kept"):
        history.plan()


def test_an_entry_of_the_same_name_but_of_another_time_is_not_taken_for_the_owner() -> None:
    history = History()
    first = history.overwrite("a")
    history.overwrite("a")
    again = Attempt(first.attempt.digest, first.attempt.number, "ffffffff")
    history.journal[first.name] = entry(attempt=again, state=State.PUBLISHED, folder=f"{HIDDEN}{again.name}/")
    with pytest.raises(ManualActionError, match="no longer kept"):
        history.plan()


def test_what_is_left_half_done_is_not_undone() -> None:
    history = History()
    made = history.overwrite("a")
    history.change(made, state=State.PUBLISHING, settled_at=None)
    with pytest.raises(ManualActionError, match="no overwrite to undo"):
        history.plan()


# ------------------------------------------------------------------------- the newest published is the truth


def _late_call(history: History, of: Entry) -> None:
    """A call of a run lands after all that was published since."""
    (made,) = of.changes
    parameters = {"quilt_athena.generation": str(made.generation)}
    history.glue[made.values] = partition(*made.values, location=made.location, **parameters)


@pytest.mark.parametrize("failed", [True, False], ids=["of a failed run", "of an older run"])
def test_an_undo_goes_back_to_what_was_published_and_not_to_what_a_late_call_had_left(failed: bool) -> None:
    history = History()
    late = history.overwrite("a")
    if failed:
        history.change(late, state=State.ABORTED, settled_at=None)
    first = history.overwrite("a")
    _late_call(history, late)
    second = history.overwrite("a")
    assert second.changes[0].previous_location == late.changes[0].location
    (back,) = history.plan().changes
    assert (back.location, back.generation) == (first.changes[0].location, first.attempt.name)
    assert back.restored is not None
    assert location_of(back.restored) == first.changes[0].location
    assert back.restored["Parameters"]["quilt_athena.generation"] == first.attempt.name
    history.roll_back()
    assert history.places == {("a",): first.changes[0].location}


def test_a_partition_that_a_late_call_points_elsewhere_is_undone_all_the_same() -> None:
    history = History()
    first = history.overwrite("a")
    history.overwrite("a")
    _late_call(history, first)
    (back,) = history.plan().changes
    assert back.location == first.changes[0].location


def test_an_undo_goes_back_to_what_a_rollback_had_published_as_glue_had_it() -> None:
    history = History()
    first = history.overwrite("a")
    second = history.overwrite("a")
    history.roll_back()
    _late_call(history, second)
    history.overwrite("a")
    (back,) = history.plan().changes
    assert (back.location, back.generation) == (first.changes[0].location, first.attempt.name)
    assert back.restored == {
        "Values": ["a"],
        "StorageDescriptor": {"Location": first.changes[0].location},
        "Parameters": {"quilt_athena.generation": first.attempt.name, "quilt_athena.rows": "7"},
    }


def test_of_two_runs_of_one_moment_the_one_that_glue_had_is_gone_back_to() -> None:
    history = History()
    first = history.overwrite("a")
    second = history.overwrite("a")
    history.change(second, published_at=first.published_at)
    _late_call(history, first)
    history.overwrite("a")
    (back,) = history.plan().changes
    assert back.location == first.changes[0].location


@pytest.mark.parametrize("place", ["s3://elsewhere/a/", "s3://lake/sales/orders/k=a/"])
def test_an_undo_of_the_first_overwrite_goes_back_to_what_a_failed_run_had_found(place: str) -> None:
    history = History(a=place)
    failed = history.overwrite("a")
    history.change(failed, state=State.ABORTED, settled_at=None)
    history.overwrite("a")
    (back,) = history.plan().changes
    assert back.location == place


def test_what_a_run_that_never_finished_had_made_is_not_gone_back_to() -> None:
    history = History()
    unfinished = history.overwrite("a")
    history.change(unfinished, state=State.PUBLISHING, settled_at=None)
    history.overwrite("a")
    with pytest.raises(ManualActionError, match="is no longer kept"):
        history.plan()


def test_what_a_failed_run_did_to_somebody_elses_partition_is_no_overwrite_to_undo() -> None:
    history = History()
    history.overwrite("a")
    history.glue["a",] = partition("a", location="s3://elsewhere/a/")
    failed = history.overwrite("a")
    history.change(failed, state=State.ABORTED, settled_at=None)
    with pytest.raises(ManualActionError, match="no overwrite to undo"):
        history.plan()
