"""Histories of overwrites, rollbacks, crashes, foreign writes and sweeps, over a model of S3 and Glue.

The model keeps files by key and Glue's partitions by value, and does what the flows do with the core's plans.
What readers were promised is written down by the model itself, when a partition is pointed elsewhere: the
files of a folder that Glue points at, or whose time is not over, must be there, after every step.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_quilt_athena.core.glue.selection import Selection, Values
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.partition_changes import (
    Staged,
    is_superseded_by,
    location_of,
    plan_changes,
    plan_roll_forward,
)
from airflow_quilt_athena.core.overwrite.request import MIN_RETAIN
from airflow_quilt_athena.core.overwrite.rollback_plan import plan_rollback
from airflow_quilt_athena.core.overwrite.sweep_plan import Removal, plan_sweep
from airflow_quilt_athena.exceptions import ManualActionError
from tests.unit.lake_examples import BASE, NOON, entry

KEYS = (("k", "string"),)
NAMES = ("a", "b", "c")
HIDDEN = f"{BASE}.generations/"

names = st.sampled_from(NAMES)
some_names = st.sets(names, min_size=1)
retains = st.sampled_from([timedelta(minutes=30), timedelta(days=1), timedelta(days=7)])


class Lake(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.count = 0
        self.files: dict[str, datetime] = {}  # by key: when it was written
        self.glue: dict[Values, dict[str, Any]] = {}
        self.journal: dict[str, Entry] = {}
        self.left_by: str | None = None  # who left the lease behind
        self.contents: dict[str, set[str]] = {}  # what a reader of a folder finds
        self.promised: dict[str, datetime] = {}  # until when, where Glue no longer points

    # ------------------------------------------------------------------------------------ the world

    @property
    def current(self) -> set[str]:
        return {location for location in map(location_of, self.glue.values()) if location}

    def write(self, location: str) -> None:
        self.count += 1
        self.files[f"{location}{self.count}"] = self.now
        self.contents[location] = {key for key in self.files if key.startswith(location)}

    def point(self, values: Values, partition: dict[str, Any] | None, retain: timedelta) -> None:
        """Point a partition elsewhere, or at nothing; note what whoever reads it now has been promised."""
        before = location_of(self.glue.pop(values, None))
        if partition is not None:
            self.glue[values] = partition
        if before is not None and before not in self.current:
            self.promised[before] = self.now + retain

    def carry_out(self, made: Entry, changes: Iterable[Change]) -> None:
        for change in changes:
            partition = None
            if change.restored is not None:
                partition = dict(change.restored)
            elif change.location is not None:
                partition = {
                    "Values": list(change.values),
                    "StorageDescriptor": {"Location": change.location},
                    "Parameters": {"quilt_athena.generation": change.generation, "quilt_athena.rows": "1"},
                }
            self.point(change.values, partition, timedelta(seconds=made.retain_seconds))

    def advance(self, made: Entry, **changes: Any) -> Entry:
        self.journal[made.name] = replace(made, **{"updated_at": self.now, **changes})
        return self.journal[made.name]

    def begin(self, retain: timedelta, **fields: Any) -> Entry:
        self.count += 1
        attempt = Attempt(f"{self.count:012x}", 1, f"{self.count:08x}")
        made = entry(attempt=attempt, retain_seconds=retain.total_seconds(), created_at=self.now, **fields)
        return self.advance(made, **fields)

    # ------------------------------------------------------------------------------------- histories

    @initialize(written=st.sets(names))
    def something_else_wrote_first(self, written: set[str]) -> None:
        for name in written:
            self._write_foreign(name, "natural")
        self.now += timedelta(hours=1)

    @rule(seconds=st.sampled_from([1, 600, 3600, 90_000, 700_000]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(name=names, where=st.sampled_from(["natural", "elsewhere", "gone"]))
    def something_else_writes(self, name: str, where: str) -> None:
        self._write_foreign(name, where)

    def _write_foreign(self, name: str, where: str) -> None:
        self.now += timedelta(seconds=2)
        place = f"{BASE}k={name}/" if where == "natural" else f"s3://elsewhere/{self.count}/"
        retain = self._kept_from_now(location_of(self.glue.get((name,))))
        if where != "gone":
            self.write(place)
        partition = {"Values": [name], "StorageDescriptor": {"Location": place}}
        self.point((name,), None if where == "gone" else partition, retain)

    def _kept_from_now(self, location: str | None) -> timedelta:
        # Who takes away a generation of ours without asking promises nothing; but who reads it now may read
        # to the end.
        ours = location is not None and any(made.owns(location) for made in self.journal.values())
        return MIN_RETAIN if ours else timedelta()

    @rule(written=some_names, whole=st.booleans(), retain=retains, crash=st.none() | st.sets(names))
    def overwrite_a_set(
        self, written: set[str], whole: bool, retain: timedelta, crash: set[str] | None
    ) -> None:
        self.now += timedelta(seconds=2)
        selection = Selection(KEYS, {}, removes=whole)
        made, staged = self._stage(written, retain)
        self.now += timedelta(seconds=2)
        self._take_over(selection)
        self._publish(made, selection, staged, crash)
        self.left_by = made.name if crash is not None else None

    @rule(name=names, retain=retains, crash=st.booleans())
    def overwrite_one(self, name: str, retain: timedelta, crash: bool) -> None:
        self.now += timedelta(seconds=2)
        made, staged = self._stage({name}, retain)
        self.now += timedelta(seconds=2)
        self._publish(made, Selection(KEYS, {"k": name}, removes=True), staged, set() if crash else None)

    @rule(written=some_names, retain=retains, aborted=st.booleans())
    def an_attempt_stages_and_is_never_published(
        self, written: set[str], retain: timedelta, aborted: bool
    ) -> None:
        self.now += timedelta(seconds=2)
        made, _ = self._stage(written, retain)
        if aborted:
            self.advance(made, state=State.ABORTED, keep_until=self.now + timedelta(minutes=30))

    def _stage(self, written: set[str], retain: timedelta) -> tuple[Entry, dict[Values, Staged]]:
        made = self.begin(retain, state=State.STAGED)
        made = self.advance(made, folder=f"{HIDDEN}{made.attempt.name}/")
        staged = {(name,): Staged(f"{made.folder}s1/k={name}/", 1) for name in sorted(written)}
        for new in staged.values():
            self.write(new.location)
        return made, staged

    def _publish(
        self, made: Entry, selection: Selection, staged: dict[Values, Staged], crash: set[str] | None
    ) -> None:
        changes = plan_changes(selection, staged, dict(self.glue), attempt=made.attempt, base=BASE)
        changes = tuple(c for c in changes if selection.covers(c.values))
        made = self.advance(made, state=State.PUBLISHING, changes=changes, published_at=self.now)
        self.carry_out(made, [c for c in changes if crash is None or c.values[0] in crash])
        if crash is None:
            self.advance(made, state=State.PUBLISHED, settled_at=self.now)

    def _take_over(self, selection: Selection) -> None:
        left = self.journal.get(self.left_by or "")
        if left is None or left.state is not State.PUBLISHING or left.claimed_by is not None:
            return
        if left.kind is Kind.OVERWRITE and is_superseded_by(selection, left):
            keep_until = self.now + timedelta(seconds=left.retain_seconds)
            self.advance(left, state=State.ABORTED, keep_until=keep_until)
        else:
            self._roll_forward(left)

    def _roll_forward(self, left: Entry) -> None:
        self.carry_out(left, plan_roll_forward(left.changes, self.glue))
        self._conclude(left)

    def _conclude(self, made: Entry) -> None:
        for name in made.claims:
            owner = self.journal.get(name)
            if owner is not None and owner.claimed_by == made.name:
                self.advance(owner, state=State.PUBLISHED, claimed_by=None)
        self.advance(made, state=State.PUBLISHED, settled_at=self.now)

    @precondition(lambda self: self.journal)
    @rule(which=st.none() | some_names, crash=st.none() | st.sets(names))
    def roll_back(self, which: set[str] | None, crash: set[str] | None) -> None:
        self.now += timedelta(seconds=2)
        wanted = None if which is None else (lambda values: values[0] in which)
        try:
            plan = plan_rollback(self.journal, dict(self.glue), wanted)
        except ManualActionError:
            return
        # The flow looks whether there is anything to go back to where something else may have removed it.
        for folder, since in plan.adopted:
            if not any(key.startswith(folder) and at < since for key, at in self.files.items()):
                return
        for change in plan.changes:
            if change.location is not None:
                # What it goes back to is whole: the model's promise to those who roll back in time.
                assert self.contents[change.location] <= self.files.keys()
        made = self.begin(
            timedelta(days=1),
            kind=Kind.ROLLBACK,
            state=State.PUBLISHING,
            published_at=self.now,
            changes=plan.changes,
            claims=plan.owners,
        )
        for name in made.claims:
            self.advance(self.journal[name], state=State.PUBLISHING, claimed_by=made.name)
        if len(plan.changes) > 1:
            self._take_over(Selection(KEYS, {}))
            self.left_by = made.name if crash is not None else None
        todo = plan_roll_forward(plan.changes, self.glue)
        self.carry_out(made, [c for c in todo if crash is None or c.values[0] in crash])
        if crash is None:
            self._conclude(made)

    # ---------------------------------------------------------------------------------------- sweeps

    @rule(which=st.none() | some_names, crash=st.sampled_from([None, "taken", "emptied"]))
    def sweep(self, which: set[str] | None, crash: str | None) -> None:
        self._sweep(which, crash)

    def _sweep(self, which: set[str] | None, crash: str | None) -> None:
        self.now += timedelta(seconds=2)
        wanted = (lambda values: True) if which is None else (lambda values: values[0] in which)
        plan = plan_sweep(self.journal, self.current, self.now, wanted=wanted)
        self._check_that_waiting_frees_more(plan.remove, wanted)
        for left in plan.roll_forward:
            self._roll_forward(self.journal[left.name])
        for held in plan.release:
            self.advance(self.journal[held.name], state=State.PUBLISHED, claimed_by=None)
        for taken, folders in plan.mark:
            keep_until = self.now + timedelta(seconds=taken.retain_seconds)
            marked = {**taken.marked, **dict.fromkeys(folders, keep_until)}
            self.advance(taken, state=State.SUPERSEDED, marked=marked)
        for removal in plan.remove:
            if removal.entry.name not in {taken.name for taken, _ in plan.mark}:
                self._remove(removal, crash)

    def _check_that_waiting_frees_more(self, removals: tuple[Removal, ...], wanted: Any) -> None:
        later = plan_sweep(self.journal, self.current, self.now + timedelta(days=1), wanted=wanted)
        folders = [folder for removal in later.remove for folder in removal.folders]
        for removal in removals:
            assert all(any(one.startswith(folder) for folder in folders) for one in removal.folders)
            if removal.forgets:
                assert any(r.entry == removal.entry and r.forgets for r in later.remove)

    def _remove(self, removal: Removal, crash: str | None) -> None:
        made = removal.entry
        if removal.folders and made.state is not State.DELETING:
            made = self.advance(made, state=State.DELETING, doomed=removal.folders)
        if crash == "taken":
            return
        emptied = tuple(folder for folder in removal.folders if folder not in self.current)
        for folder in emptied:
            for key in self._deletable(made, folder):
                del self.files[key]
        if crash == "emptied":
            return
        if removal.forgets and emptied == removal.folders:
            del self.journal[made.name]
        elif made.state is State.DELETING:
            state = State.PUBLISHED if made.published_at else State.ABORTED
            self.advance(made, state=state, doomed=(), deleted=(*made.deleted, *emptied))

    def _deletable(self, made: Entry, folder: str) -> list[str]:
        inside = [location for location in self.current if location.startswith(folder)]
        listed = [key for key in self.files if key.startswith(folder)]
        listed = [key for key in listed if not any(key.startswith(location) for location in inside)]
        if made.owns(folder):
            return listed
        flipped_at = (made.published_at or made.created_at).replace(microsecond=0)
        return [key for key in listed if not key.startswith(HIDDEN) and self.files[key] < flipped_at]

    # ------------------------------------------------------------------------------------------ laws

    @invariant()
    def readers_find_every_file(self) -> None:
        kept = {location for location, until in self.promised.items() if self.now < until}
        for location in self.current | kept:
            if location.startswith(HIDDEN) or location in self.current:
                missing = self.contents[location] - self.files.keys()
                assert not missing, f"{missing} of {location} at {self.now}"

    def teardown(self) -> None:
        for _ in range(8):
            self.now += timedelta(days=40)
            self._sweep(None, None)
        generations = {key for key in self.files if key.startswith(HIDDEN)}
        live = {key for location in self.current for key in self.contents[location]}
        assert generations == {key for key in live if key.startswith(HIDDEN)}
        for made in self.journal.values():
            needed = {f for c in made.changes for f in (c.location, c.previous_location, *c.adopted)}
            assert needed & self.current, made
        for location in self.current:
            if location.startswith(HIDDEN):
                assert any(made.owns(location) for made in self.journal.values())


TestLake = Lake.TestCase
TestLake.settings = settings(max_examples=100, stateful_step_count=25)
