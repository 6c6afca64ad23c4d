"""What a table may look like after runs that overlapped: as after one of their orders, each run whole.

Written from what users are promised, without the code under test. A state has, for each partition, the name
of the run whose rows it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

Values = tuple[str, ...]
Rows = Mapping[Values, str]  # partition → run
_Changes = Mapping[Values, tuple[str | None, str | None]]  # before, after


@dataclass(frozen=True)
class State:
    rows: Rows = field(default_factory=dict)
    done: tuple[_Changes, ...] = ()  # by overwrites and rollbacks, in their order

    def changed(self, new: Mapping[Values, str | None]) -> State:
        """Return the state after a run of ours that changes these partitions; None is for one that goes."""
        changes = {values: (self.rows.get(values), run) for values, run in new.items()}
        changes = {values: change for values, change in changes.items() if change != (None, None)}
        return replace(self._with(new), done=(*self.done, changes))

    def changed_by_stranger(self, new: Mapping[Values, str | None]) -> State:
        """Return the state after somebody changed partitions whom no journal knows."""
        return self._with(new)

    def _with(self, new: Mapping[Values, str | None]) -> State:
        rows = {**self.rows, **new}
        return replace(self, rows={values: run for values, run in rows.items() if run is not None})


Operation = Callable[[State], State]


def overwrite(run: str, written: Iterable[Values], goes: Callable[[Values], bool]) -> Operation:
    """A run that writes some partitions, and takes away the others of which ``goes`` holds."""
    new = dict.fromkeys(written, run)

    def operate(state: State) -> State:
        gone = {values: None for values in state.rows if goes(values) and values not in new}
        return state.changed({**gone, **new})

    return operate


def stranger(run: str, values: Values) -> Operation:
    """Somebody points a partition that is there elsewhere."""

    def operate(state: State) -> State:
        return state.changed_by_stranger({values: run} if values in state.rows else {})

    return operate


def recreation(state: State) -> State:
    """The table is dropped, and made anew without partitions."""
    return state.changed_by_stranger(dict.fromkeys(state.rows))


def rollback(state: State) -> State:
    """The last run of ours whose doing is still to be seen is undone, as far as it is."""
    last: dict[Values, int] = {}
    for number, changes in enumerate(state.done):
        last |= {values: number for values, (_, after) in changes.items() if after == state.rows.get(values)}
    newest = max(last.values(), default=None)
    if newest is None:
        return state
    undone = {
        values: before for values, (before, _) in state.done[newest].items() if last.get(values) == newest
    }
    return state.changed(undone)


@dataclass(frozen=True)
class Ran:
    """A run, as its caller saw it: ``certain`` when it said that it was done, else it may have been."""

    operation: Operation
    begun: float
    ended: float
    certain: bool = True


def outcomes(before: State, ran: Iterable[Ran]) -> Iterator[State]:
    """Yield the state after each order of the runs that keeps those apart that did not overlap.

    A run that is not certain is in it or not.
    """
    remaining = list(ran)
    if not remaining:
        yield before
        return
    for one in remaining:
        if any(other.ended < one.begun for other in remaining):
            continue  # another comes first
        others = [other for other in remaining if other is not one]
        yield from outcomes(one.operation(before), others)
        if not one.certain:
            yield from outcomes(before, others)
