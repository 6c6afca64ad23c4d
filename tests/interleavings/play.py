"""Plays a scene while somebody comes in between, and says which promises were not kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta

from airflow_quilt_athena.exceptions import ManualActionError, QuiltAthenaError
from airflow_quilt_athena.flows.aws.clients import LakeClients
from tests.fakes.lake import FakeLake
from tests.fakes.world import Event, Killed, writes
from tests.interleavings.checks import foreign_keys, see, sweep_all
from tests.interleavings.model import Ran, State, outcomes, rollback
from tests.interleavings.scenes import HELD, Act, Scene, prepared
from tests.interleavings.watch import Watch

_HOUR = 3600.0


@dataclass
class Play:
    """One scene in a world of its own.

    :param heals: whether a sweep comes before the rows have to be right: what landed late, and what a dead
        run left half done, is put right by whoever comes next.
    """

    scene: Scene
    events: Callable[[Play], list[Event]]
    heals: bool = False
    ran: list[Ran] = field(default_factory=list)
    others: list[Act] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        world, self.before, ran = prepared(self.scene)
        self.world, self.ran = deepcopy(world), list(ran)
        self.lake = FakeLake(self.world)
        self.began = self.world.now
        self.worker = self.world.worker(*self.events(self))

    def play(self) -> list[str]:
        """Play it to its end; return what was wrong."""
        with ExitStack() as stack:
            stack.enter_context(self.world.entered())
            watch = Watch(self.lake, frozenset(foreign_keys(self.lake)))
            stack.enter_context(watch.watching())
            self.world.pass_time(self.scene.held.pause)
            begun = self.world.monotonic()
            said = self.act(self.scene.held, self.worker.clients)
            ended = self.world.monotonic()
            if self.heals:
                self._heal(said, begun, ended)
            self._check_rows()
            if said is not None and self._is_repeatable(said):
                self._again(said)
            self.problems += sweep_all(self.lake)
        return [*self.problems, *watch.seen]

    def _heal(self, said: str | None, begun: float, ended: float) -> None:
        """Let a sweep end what was left half done: it may be what had told its caller that it failed."""
        self.world.pass_time(2 * _HOUR)
        published = self._was_published(self.scene.held)
        if self.lake.table is not None:
            self.lake.sweep_now()
        if said and not published:
            # What a stranger, or another rollback, made of it does not tell whether it ever was.
            operation = self.scene.held.operation
            tells = all(one.is_ours for one in self.others) and operation is not rollback
            if self._was_published(self.scene.held) or not tells:
                self.ran.append(Ran(operation, begun, ended, certain=tells))

    def act(self, act: Act, clients: LakeClients | None = None) -> str | None:
        """Let somebody act, and note what was said: "" for done, else the error; None when he died."""
        if clients is None:
            self.others.append(act)
            self.world.pass_time(act.pause)
        begun = self.world.monotonic()
        said: str | None = ""
        try:
            act.work(self.lake, clients or self.lake.clients())
        except Killed:
            said = None
        except QuiltAthenaError as error:
            said = repr(error)
        done = said == "" or self._was_published(act)
        if done or said is None:
            certain = (
                done
                and not self._is_between_look_and_flip(act)
                and (act.operation is not rollback or rollback not in self._operations)
            )
            self.ran.append(Ran(act.operation, begun, self.world.monotonic(), certain))
        return said

    def _is_between_look_and_flip(self, act: Act) -> bool:
        """Whether a stranger acts just before a call that changes Glue, on which Glue has no condition."""
        last = self.worker.made[-1:]
        return not act.is_ours and any(call.startswith("glue:") and writes(call) for call in last)

    @property
    def _operations(self) -> set[object]:
        return {one.operation for one in self.ran}

    def _was_published(self, act: Act) -> bool:
        states = {e["state"] for e in self.lake.journal().values() if e["task_key"] == act.name}
        return bool(states & {"published", "superseded"})

    # -------------------------------------------------------------------------------------- what is checked

    def _check_rows(self) -> None:
        seen, torn = see(self.lake)
        self.problems += [f"in the end: {line}" for line in torn]
        possible = [dict(state.rows) for state in outcomes(self.before, self.ran)]
        if seen not in possible:
            expected = " or ".join(sorted({str(rows) for rows in possible}))
            self.problems.append(f"in the end: there is {seen}; expected {expected}")

    def _is_repeatable(self, said: str) -> bool:
        """Whether the same task may come again: not a sweep, and not what a rollback undid meanwhile."""
        undoes = self.scene.held.operation is rollback
        undone = not undoes and rollback in self._operations
        # What the journal need not know any more comes again as another rollback.
        late = undoes and self.world.now > self.began + timedelta(days=1)
        is_task = self.scene.held.name == HELD
        return is_task and not undone and not late and not said.startswith("ManualActionError")

    def _again(self, said: str) -> None:
        """Run what was held again, with the key of the same task: done once, it is done."""
        queries, (before, _) = len(self.world.athena.queries), see(self.lake)
        published = not said or self._was_published(self.scene.held)
        undoes = self.scene.held.operation is rollback
        try:
            self.scene.held.work(self.lake, self.lake.clients())
        except QuiltAthenaError as error:
            if not (undoes and isinstance(error, ManualActionError)):  # there may be nothing to undo by now
                self.problems.append(f"run again after {said or 'it was done'}: {error!r}")
            return
        now, torn = see(self.lake)
        self.problems += [f"run again: {line}" for line in torn]
        expected = before if published else dict(self.scene.held.operation(State(before)).rows)
        if now != expected and (published or not undoes):
            self.problems.append(f"run again after {said or 'it was done'}: there is {now}; was {before}")
        if published and len(self.world.athena.queries) > queries:
            self.problems.append("run again after it was done: it ran queries")
