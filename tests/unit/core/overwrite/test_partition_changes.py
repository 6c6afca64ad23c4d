from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Selection, Values
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change
from airflow_quilt_athena.core.overwrite.partition_changes import (
    Staged,
    as_input,
    generation_of,
    is_superseded_by,
    location_of,
    plan_changes,
    plan_folder,
    plan_roll_forward,
    undone,
)
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.lake_examples import ATTEMPT, BASE, OTHER_ATTEMPT, change, entry, partition, table

KEYS = (("dt", "string"), ("c", "string"))
ANY = Selection(KEYS, {})
WHOLE = Selection(KEYS, {}, removes=True)
JANUARY = Selection(KEYS, {"dt": "1"}, removes=True)
UNPARTITIONED = Selection((), {}, removes=True)
HIDDEN = f"{BASE}.generations/"

# ------------------------------------------------------------------------------------------------- folders


def test_a_generation_lies_in_a_dot_folder_of_the_base_and_in_no_partition_folder() -> None:
    selection = Selection((("dt", "string"), ("note", "string")), {"dt": "2026-01-01", "note": "a/b: c"})
    folder = plan_folder(BASE, selection, ATTEMPT, None)
    assert str(folder) == (
        f"s3://lake/sales/orders/.generations/dt=2026-01-01/note=a%2Fb%3A c/{ATTEMPT.name}/"
    )
    assert str(plan_folder(BASE, ANY, ATTEMPT, None)) == f"{HIDDEN}{ATTEMPT.name}/"
    assert plan_folder(BASE, ANY, OTHER_ATTEMPT, None) != plan_folder(BASE, ANY, ATTEMPT, None)


def test_generations_may_lie_elsewhere_but_not_where_readers_of_the_table_look() -> None:
    selection = Selection((("dt", "string"),), {"dt": "x"})
    elsewhere = plan_folder(BASE, selection, ATTEMPT, S3Uri("other", "gen"))
    assert str(elsewhere) == f"s3://other/gen/dt=x/{ATTEMPT.name}/"
    inside = plan_folder(BASE, selection, ATTEMPT, BASE / ".generations/mine/")
    assert str(inside) == f"{HIDDEN}mine/dt=x/{ATTEMPT.name}/"
    for place in (S3Uri("lake", "sales/orders/gen/"), BASE, S3Uri("other"), S3Uri("other", "/")):
        with pytest.raises(InvalidCallError, match="generations_location"):
            plan_folder(BASE, selection, ATTEMPT, place)


# --------------------------------------------------------------------------------------------- one partition


def _planned(
    selection: Selection, staged: Mapping[Values, Staged], current: Mapping[Values, Any]
) -> tuple[Change, ...]:
    return plan_changes(selection, staged, current, attempt=ATTEMPT, base=BASE)


def test_a_partition_that_was_not_there_is_created_and_nothing_is_adopted() -> None:
    (created,) = _planned(JANUARY, {("1", "a/b"): Staged(f"{HIDDEN}x/", 7)}, {})
    assert created == Change(
        values=("1", "a/b"),
        action=Action.CREATED,
        location=f"{HIDDEN}x/",
        generation=ATTEMPT.name,
        rows=7,
        previous_location=None,
        previous_generation=None,
        previous=None,
        adopted=None,
    )


def test_a_partition_that_something_else_wrote_is_adopted_where_glue_pointed_and_nowhere_else() -> None:
    found = partition("1", "x", location="s3://lake/sales/orders/run-7", team="blue")
    (replaced,) = _planned(JANUARY, {("1", "x"): Staged(f"{HIDDEN}x/", 7)}, {("1", "x"): found})
    assert replaced.action is Action.REPLACED
    assert replaced.previous_location == "s3://lake/sales/orders/run-7/"
    assert replaced.previous_generation is None
    assert replaced.previous == {
        "Values": ["1", "x"],
        "StorageDescriptor": {"Location": "s3://lake/sales/orders/run-7"},
        "Parameters": {"team": "blue"},
    }
    assert replaced.adopted == "s3://lake/sales/orders/run-7/"


@pytest.mark.parametrize(
    "foreign", ["s3://elsewhere/run/", "s3://lake/sales/orders2/", "s3://lake/", f"{HIDDEN}copied/"]
)
def test_a_folder_outside_the_base_or_among_generations_is_never_adopted(foreign: str) -> None:
    found = partition("1", "x", location=foreign)
    (replaced,) = _planned(JANUARY, {("1", "x"): Staged(f"{HIDDEN}x/", 7)}, {("1", "x"): found})
    assert replaced.previous_location == foreign
    assert replaced.adopted is None


def test_where_a_generation_of_ours_was_nothing_is_adopted_for_it_was_written_since() -> None:
    location = f"{HIDDEN}{OTHER_ATTEMPT.name}/s1/dt=1/c=x/"
    found = partition("1", "x", location=location, **{"quilt_athena.generation": OTHER_ATTEMPT.name})
    (replaced,) = _planned(JANUARY, {("1", "x"): Staged(f"{HIDDEN}x/", 7)}, {("1", "x"): found})
    assert replaced.previous_generation == OTHER_ATTEMPT.name
    assert replaced.adopted is None


def test_a_table_without_keys_is_replaced_whole_and_its_folder_adopted() -> None:
    current: dict[Values, Any] = {(): table(PartitionKeys=[]).raw}
    (replaced,) = _planned(UNPARTITIONED, {(): Staged(f"{HIDDEN}x/", 7)}, current)
    assert replaced.values == ()
    assert replaced.action is Action.REPLACED
    assert replaced.adopted == str(BASE)
    (created,) = _planned(UNPARTITIONED, {(): Staged(f"{HIDDEN}x/", 7)}, {})
    assert created.action is Action.CREATED


def test_what_is_remembered_of_a_partition_is_what_glue_takes_back() -> None:
    found = partition("1", "x", location="s3://lake/sales/orders/old/")
    assert as_input(found) == {
        "Values": ["1", "x"],
        "StorageDescriptor": {"Location": "s3://lake/sales/orders/old/"},
        "Parameters": {},
    }
    assert as_input(None) is None


def test_a_generation_is_believed_only_where_the_partition_really_is_in_it() -> None:
    ours = {"quilt_athena.generation": ATTEMPT.name}
    assert generation_of(partition("1", location=f"{HIDDEN}dt=1/{ATTEMPT.name}", **ours)) == ATTEMPT.name
    # a tool that moved the partition kept the parameter
    assert generation_of(partition("1", location="s3://lake/sales/orders/dt=1/", **ours)) is None
    assert generation_of(partition("1", location=f"{HIDDEN}dt=1/{ATTEMPT.name}/")) is None
    assert generation_of(partition("1", location=None, **ours)) is None
    assert generation_of(None) is None


def test_a_location_is_compared_as_a_folder() -> None:
    assert location_of(partition("1", location="s3a://b/x")) == "s3://b/x/"
    assert location_of(None) is None
    assert location_of({}) is None


def test_an_attempt_is_superseded_only_by_what_replaces_or_removes_all_of_it() -> None:
    left = entry(changes=(change("1", "a"), change("1", "b")))
    assert is_superseded_by(JANUARY, left)
    assert is_superseded_by(WHOLE, left)
    assert not is_superseded_by(ANY, left)
    assert not is_superseded_by(Selection(KEYS, {"dt": "1", "c": "a"}, removes=True), left)
    assert is_superseded_by(UNPARTITIONED, entry(changes=(change(),)))


# ------------------------------------------------------------------ laws, over a model of Glue and of crashes

World = dict[Values, dict[str, Any]]

_values: st.SearchStrategy[Values] = st.tuples(st.sampled_from("12"), st.sampled_from("abc"))
_places = st.sampled_from(
    [
        "s3://lake/sales/orders/old",
        "s3://elsewhere/x/",
        f"{HIDDEN}{OTHER_ATTEMPT.name}/s1/1/",
        f"{HIDDEN}{OTHER_ATTEMPT.name}/s1/2/",
    ]
)
_worlds = st.dictionaries(_values, _places).map(
    lambda found: {values: _partition(values, place, OTHER_ATTEMPT.name) for values, place in found.items()}
)
_selections = st.sampled_from([ANY, WHOLE, JANUARY])


def _partition(values: Values, place: str, generation: str) -> dict[str, Any]:
    return partition(*values, location=place, **{"quilt_athena.generation": generation})


@st.composite
def _overwrites(draw: st.DrawFn) -> tuple[Selection, dict[Values, Staged], World]:
    selection, world = draw(_selections), draw(_worlds)
    written = {values for values in draw(st.sets(_values)) if selection.covers(values)}
    staged = {v: Staged(f"{HIDDEN}{ATTEMPT.name}/s1/{'/'.join(v)}/", 1) for v in written}
    return selection, staged, world


def _make(world: World, changes: list[Change]) -> None:
    """Carry changes out as Glue would."""
    for one in changes:
        if one.location is None:
            world.pop(one.values, None)
        else:
            world[one.values] = _partition(one.values, one.location, ATTEMPT.name)


def _places_of(world: World) -> dict[Values, str | None]:
    return {values: location_of(found) for values, found in world.items()}


def _expected(
    selection: Selection, staged: Mapping[Values, Staged], world: World
) -> dict[Values, str | None]:
    fixed = dict(selection.fixed)
    gone = {values for values in world if selection.removes and fixed.get("dt", values[0]) == values[0]}
    kept = {values: place for values, place in _places_of(world).items() if values not in gone}
    return {**kept, **{values: new.location for values, new in staged.items()}}


@given(_overwrites())
def test_the_changes_lead_to_what_was_asked_for(case: tuple[Selection, dict[Values, Staged], World]) -> None:
    selection, staged, world = case
    expected, changes = _expected(selection, staged, world), _planned(selection, staged, world)
    assert [one.values for one in changes] == sorted({one.values for one in changes})
    _make(world, list(changes))
    assert _places_of(world) == expected


@given(_overwrites())
def test_planning_again_when_all_is_done_is_planning_the_same(
    case: tuple[Selection, dict[Values, Staged], World],
) -> None:
    selection, staged, world = case
    changes = _planned(selection, staged, world)
    _make(world, list(changes))
    again = plan_changes(selection, staged, world, attempt=ATTEMPT, base=BASE, known=changes)
    assert again == changes
    assert all(location_of(world.get(one.values)) == one.location for one in again)
    assert plan_roll_forward(again, world) == ()


@settings(max_examples=200)
@given(_overwrites(), st.data())
def test_whatever_the_order_of_crashes_the_end_is_the_same_and_what_was_before_is_known(
    case: tuple[Selection, dict[Values, Staged], World], data: st.DataObject
) -> None:
    selection, staged, world = case
    expected, at_first = _expected(selection, staged, world), _places_of(world)
    changes = _planned(selection, staged, world)
    for _ in range(data.draw(st.integers(0, 4))):
        _make(world, data.draw(st.lists(st.sampled_from(changes), unique_by=id)) if changes else [])
        # The next one looks anew, and knows from the journal what the last one planned.
        changes = plan_changes(selection, staged, world, attempt=ATTEMPT, base=BASE, known=changes)
    if data.draw(st.booleans()):
        changes_left = list(plan_roll_forward(changes, world))
    else:
        changes_left = [c for c in changes if location_of(world.get(c.values)) != c.location]
    _make(world, changes_left)
    assert _places_of(world) == expected
    touched = {*staged, *(at_first.keys() - expected.keys())}
    assert {c.values: c.previous_location for c in changes} == {v: at_first.get(v) for v in touched}
    assert all(location_of(c.previous) == c.previous_location for c in changes)


@given(_overwrites(), st.data())
def test_rolling_forward_never_touches_what_somebody_else_has_changed(
    case: tuple[Selection, dict[Values, Staged], World], data: st.DataObject
) -> None:
    selection, staged, world = case
    changes = _planned(selection, staged, world)
    states = {c.values: data.draw(st.sampled_from(["as before", "as planned", "changed"])) for c in changes}
    _make(world, [c for c in changes if states[c.values] == "as planned"])
    for values, state in states.items():
        if state == "changed":
            world[values] = _partition(values, "s3://elsewhere/since/", "")
    assert [c.values for c in plan_roll_forward(changes, world)] == [
        values for values in sorted(states) if states[values] == "as before"
    ]


def test_a_partition_that_somebody_else_removed_meanwhile_is_not_made_again() -> None:
    found = partition("1", "x", location="s3://lake/sales/orders/old/")
    changes = _planned(JANUARY, {("1", "x"): Staged(f"{HIDDEN}x/", 7)}, {("1", "x"): found})
    assert plan_roll_forward(changes, {}) == ()


def test_what_somebody_else_published_between_two_looks_is_what_was_before() -> None:
    staged: dict[Values, Staged] = {("1", "x"): Staged(f"{HIDDEN}x/", 7)}
    first = _planned(JANUARY, staged, {})
    since = partition("1", "x", location="s3://elsewhere/since/")
    (again,) = plan_changes(JANUARY, staged, {("1", "x"): since}, attempt=ATTEMPT, base=BASE, known=first)
    assert (again.action, again.previous_location) == (Action.REPLACED, "s3://elsewhere/since/")


def test_undoing_a_change_gives_the_partition_back_what_it_had() -> None:
    had = {"Values": ["1"], "StorageDescriptor": {"Location": "s3://lake/old/"}}
    made = change("1", previous_location="s3://lake/old/", previous_generation="g", previous=had)
    back = undone(made)
    assert (back.location, back.generation, back.restored) == ("s3://lake/old/", "g", had)
    assert back.values == ("1",)
