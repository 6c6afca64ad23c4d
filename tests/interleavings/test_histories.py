"""Histories of overwrites, rollbacks and sweeps by the real flows, on S3, Glue and Athena in memory.

Workers die at any call, their answers are lost, their writes land late, their clocks are wrong; others act in
between, strangers change partitions, time passes. What each said must hold: the model knows which run's rows
each partition may have, a reader watches after each write, and nobody's files but ours ever go.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_quilt_athena.core.overwrite.request import DEFAULT_RETAIN, Replace
from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite import sweep
from tests.fakes.athena import find_files
from tests.fakes.lake import FakeLake
from tests.fakes.world import (
    Event,
    Killed,
    World,
    interrupted,
    killed_after,
    killed_before,
    lands_late,
    lost,
    throttled,
)
from tests.interleavings.checks import see, sweep_all
from tests.interleavings.model import Operation, Ran, State, Values, outcomes, rollback
from tests.interleavings.scenes import Act, make_table, put_rows, write
from tests.interleavings.watch import Watch

pytestmark = [
    pytest.mark.interleavings,
    pytest.mark.timeout(1800),
]

_KEYS = ("k",)
_HALF_PUBLISHED_AFTER = 3600.0  # then a sweep ends what a dead run left
_MOST_DEAD = 3

names = st.sampled_from(["a", "b", "c"])
some_names = st.sets(names, min_size=1)
retains = st.sampled_from([timedelta(minutes=30), timedelta(days=1), timedelta(days=7)])
skews = st.sampled_from([timedelta(), timedelta(days=-2), timedelta(hours=3)])
kinds = st.sampled_from(["one", "set", "table"])
calls = st.integers(min_value=1, max_value=30)
happens = st.none() | st.tuples(
    calls, st.sampled_from(["dies", "dies after", "dies, lands late", "lands late", "lost", "throttled"])
)


def event_of(number: int, what: str) -> Event:
    """Return what happens at a call; a write lands late by less than three minutes."""
    return {
        "dies": lambda: killed_before(number),
        "dies after": lambda: killed_after(number),
        "dies, lands late": lambda: lands_late(number, 150, killed=True),
        "lands late": lambda: lands_late(number, 150),
        "lost": lambda: lost(number),
        "throttled": lambda: throttled(number, 90),
    }[what]()


def _told(adopted: str) -> dict[str, Any]:
    choices = getattr(sweep, "Adopted", None)
    return {"adopted": choices(adopted)} if choices is not None else {}


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self._stack = ExitStack()
        self.world = self._stack.enter_context(World().entered())
        self.lake = FakeLake(self.world)
        self.watch = self._stack.enter_context(Watch(self.lake).watching())
        self.count = 0
        self.before = [State()]  # more than one, where the order of two runs makes no difference to the rows
        self.ran: list[Ran] = []  # since then
        self.dead: dict[str, tuple[Act, Ran]] = {}  # by task key
        self.foreign: set[str] = set()
        self.may_go: set[str] = set()  # of these, what a sweep may delete that is told to
        self.was_due = False
        self.began = self.world.now
        make_table(self.lake, _KEYS)

    # -------------------------------------------------------------------------------------------- rules

    @rule(seconds=st.sampled_from([1, 600, 3600, 90_000, 700_000]))
    def time_passes(self, seconds: int) -> None:
        self._before_days_pass(seconds)
        self.world.pass_time(seconds)

    @rule(kind=kinds, written=some_names, retain=retains, skew=skews, happening=happens)
    def overwrite(
        self,
        kind: str,
        written: set[str],
        retain: timedelta,
        skew: timedelta,
        happening: tuple[int, str] | None,
    ) -> None:
        self._run(self._overwrite(kind, written, retain), self._events(happening), skew)

    @rule(kind=kinds, written=some_names, other_kind=kinds, other=some_names, number=calls)
    def two_overwrite(
        self, kind: str, written: set[str], other_kind: str, other: set[str], number: int
    ) -> None:
        second = self._overwrite(other_kind, other, timedelta(days=1))
        first = self._overwrite(kind, written, timedelta(days=1))
        self._run(first, [interrupted(number, lambda: self._run(second, []))])

    @rule(kind=kinds, written=some_names, number=calls, later=st.sampled_from([0, 7200, 200_000]))
    def somebody_sweeps_meanwhile(self, kind: str, written: set[str], number: int, later: int) -> None:
        self._before_days_pass(later)
        act = self._overwrite(kind, written, timedelta(days=1))
        self._run(act, [interrupted(number, lambda: self._run(self._sweep("keep"), []), seconds=later)])

    @precondition(lambda self: self.world.now - self.began < DEFAULT_RETAIN)  # then a rollback is forgotten
    @rule(happening=happens, skew=skews)
    def roll_back(self, happening: tuple[int, str] | None, skew: timedelta) -> None:
        self._run(self._rollback(), self._events(happening), skew)

    @rule(happening=happens, adopted=st.sampled_from(["keep", "keep", "delete"]), skew=skews)
    def sweep(self, happening: tuple[int, str] | None, adopted: str, skew: timedelta) -> None:
        self._run(self._sweep(adopted), self._events(happening), skew)

    @rule(number=calls, written=some_names, kind=kinds)
    def sweep_while_somebody_overwrites(self, number: int, written: set[str], kind: str) -> None:
        second = self._overwrite(kind, written, timedelta(days=1))
        self._run(self._sweep("keep"), [interrupted(number, lambda: self._run(second, []))])

    @precondition(lambda self: self.dead)
    @rule(data=st.data())
    def the_dead_run_comes_again(self, data: st.DataObject) -> None:
        task_key = data.draw(st.sampled_from(sorted(self.dead)))
        act, ran = self.dead.pop(task_key)
        if self._is_published(act):
            self._settle_as(ran, certain=True)
            self._run(Act(act.name, act.work), [])
            return
        self.ran.remove(ran)
        # Another rollback may have undone the same meanwhile.
        self._run(act, [], begun=ran.begun, certain=act.operation is not rollback)

    @rule(name=names, where=st.sampled_from(["natural", "elsewhere", "gone"]))
    def a_stranger_writes(self, name: str, where: str) -> None:
        self.count += 1
        run, values, table = f"stranger{self.count}", (name,), self.lake.table
        assert table is not None
        begun = self.world.monotonic()
        self._note_pointed_at()
        if where == "gone":
            if self._is_like_a_late_call(values):
                return
            table.partitions.pop(values, None)
            self._ran(lambda state: state.changed_by_stranger({values: None}), begun)
            return
        folder = f"w/t/k={name}/{run}/" if where == "natural" else f"elsewhere/{run}/"
        place = put_rows(self.lake, folder, run, values)
        self.foreign |= set(find_files(self.world.s3, folder))
        descriptor = {**table.definition["StorageDescriptor"], "Location": place}
        given = {"Values": [name], "StorageDescriptor": descriptor, "Parameters": {}}
        table.partitions[values] = given
        self._ran(lambda state: state.changed_by_stranger({values: run}), begun)
        self.world.look()

    def _is_like_a_late_call(self, values: Values) -> bool:
        """Whether dropping a partition cannot be told from a removal that lands late, as the docs say.

        A run that failed, or may yet, was to remove it; or one removed it, another made it again within the
        hour, and that is less than a day ago.
        """
        made: list[dict[str, Any]] = []
        removed: list[dict[str, Any]] = []
        for entry in self.lake.journal().values():
            for change in entry["changes"] if entry["published_at"] else ():
                if tuple(change["values"]) == values:
                    (removed if change["action"] == "removed" else made).append(entry)
        last = max((datetime.fromisoformat(one["published_at"]) for one in made), default=None)
        return any(
            one["state"] in {"aborted", "publishing"}
            or (
                last is not None
                and timedelta() < last - datetime.fromisoformat(one["published_at"]) < timedelta(hours=1)
                and self.world.now - last < timedelta(days=1)
            )
            for one in removed
        )

    def _before_days_pass(self, seconds: int) -> None:
        """Have a sweep of each day: what lands late is taken back within one."""
        if self.world.due and seconds > _HALF_PUBLISHED_AFTER:
            self.world.pass_time(600)
            self.each_partition_has_the_rows_of_a_run_that_may_be_there()

    # ---------------------------------------------------------------------------------------- what is run

    def _overwrite(self, kind: str, written: set[str], retain: timedelta) -> Act:
        self.count += 1
        name = f"run{self.count}"
        listed = [(one,) for one in sorted(written)]
        if kind == "one":
            return write(name, _KEYS, {"k": listed[0][0]}, listed[:1], retain=retain)
        replaces = Replace.TABLE if kind == "table" else Replace.PARTITIONS
        return write(name, _KEYS, {}, listed, all_of=replaces, retain=retain)

    def _rollback(self) -> Act:
        self.count += 1
        name = f"undo{self.count}"
        return Act(name, lambda lake, clients: lake.rollback(name, clients), rollback)

    def _sweep(self, adopted: str) -> Act:
        self.count += 1

        def work(lake: FakeLake, clients: LakeClients) -> None:
            if adopted == "delete":
                self.may_go |= self._adopted()
            lake.sweep_now(clients, **_told(adopted))

        return Act(f"sweep{self.count}", work)

    def _events(self, happening: tuple[int, str] | None) -> list[Event]:
        return [] if happening is None or len(self.dead) >= _MOST_DEAD else [event_of(*happening)]

    def _run(
        self,
        act: Act,
        events: list[Event],
        skew: timedelta = timedelta(),
        begun: float | None = None,
        *,
        certain: bool = True,
    ) -> None:
        self.world.pass_time(2)
        self._note_pointed_at()
        begun = self.world.monotonic() if begun is None else begun
        worker = self.world.worker(*events, skew=skew)
        try:
            with worker.at_work() as clients:
                act.work(self.lake, clients)
        except Killed:
            ran = self._ran(act.operation, begun, certain=False)
            self.dead[act.name] = (act, ran)
        except QuiltAthenaError:
            if self._is_published(act):  # somebody finished it for him
                self._ran(act.operation, begun)
            elif events:  # it may have gone half the way, and whoever comes next goes back or on
                self.dead[act.name] = (act, self._ran(act.operation, begun, certain=False))
        else:
            self._ran(act.operation, begun, certain=certain)
        self._note_pointed_at()

    def _ran(self, operation: Operation, begun: float, *, certain: bool = True) -> Ran:
        ran = Ran(operation, begun, self.world.monotonic(), certain)
        self.ran.append(ran)
        return ran

    def _settle_as(self, ran: Ran, *, certain: bool) -> None:
        self.ran[self.ran.index(ran)] = Ran(ran.operation, ran.begun, ran.ended, certain)

    def _is_published(self, act: Act) -> bool:
        states = {e["state"] for e in self.lake.journal().values() if e["task_key"] == act.name}
        return bool(states & {"published", "superseded"})

    # ------------------------------------------------------------------------------- files that are others'

    def _note_pointed_at(self) -> None:
        """Note what lies where Glue points and others wrote: what may be adopted, should it be replaced."""
        for location in self.lake.locations().values():
            if "/.generations/" not in location:
                self._pointed_at = getattr(self, "_pointed_at", set()) | set(
                    find_files(self.world.s3, location)
                )

    def _adopted(self) -> set[str]:
        used = tuple(self.lake.locations().values())
        return {key for key in getattr(self, "_pointed_at", set()) if not key.startswith(used)}

    # -------------------------------------------------------------------------------------------- laws

    @invariant()
    def nobody_sees_what_nobody_may_see(self) -> None:
        assert not self.watch.seen, self.watch.seen
        gone = self.foreign - self.world.s3.objects.keys()
        assert gone <= self.may_go, f"files of others are gone: {sorted(gone - self.may_go)}"

    @invariant()
    def each_partition_has_the_rows_of_a_run_that_may_be_there(self) -> None:
        if self.was_due and not self.world.due:  # what lands after its run is over is taken back by a sweep
            self.lake.sweep_now()
        self.was_due = bool(self.world.due)
        seen, torn = see(self.lake)
        assert not torn, torn
        states = [state for before in self.before for state in outcomes(before, self.ran)]
        possible = [dict(state.rows) for state in states]
        if not self.dead and not self.world.due:
            assert seen in possible, f"there is {seen}; expected one of {possible}"
            self.before = [state for state in states if dict(state.rows) == seen]
            self.ran = []
            return
        for values in {values for rows in [seen, *possible] for values in rows}:
            allowed = {rows.get(values) for rows in possible}
            assert seen.get(values) in allowed, f"{values} is {seen.get(values)}; expected one of {allowed}"

    def teardown(self) -> None:
        with self._closing():
            self.world.pass_time(2 * _HALF_PUBLISHED_AFTER)
            self.lake.sweep_now()
            self.dead.clear()
            self.each_partition_has_the_rows_of_a_run_that_may_be_there()
            problems = sweep_all(self.lake)
            assert not problems, problems
            self.nobody_sees_what_nobody_may_see()

    @contextmanager
    def _closing(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._stack.close()
            logging.disable(logging.NOTSET)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=15)
