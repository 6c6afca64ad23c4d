"""What a rollback points back at: decided from the journal and from where Glue points. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.glue.tables import Table
from airflow_quilt_athena.core.overwrite.history import (
    Past,
    Pointer,
    Published,
    find_rightful,
    found_anothers,
    is_emptied,
    moment_of,
    owner_of,
    was_published,
)
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import as_input, generation_of, location_of
from airflow_quilt_athena.core.overwrite.table_input import WriteFacts, build_partition_input
from airflow_quilt_athena.exceptions import ManualActionError

_PUBLISHED = frozenset({State.PUBLISHED, State.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is to happen, and whose files it points at: the journal entries to hold on to meanwhile."""

    changes: tuple[Change, ...]
    owners: tuple[str, ...]
    adopted: tuple[tuple[str, Entry], ...]  # folders that something else had written, and who took them over


def plan_rollback(
    entries: Mapping[str, Entry],
    current: Mapping[Values, Mapping[str, Any]],
    wanted: Callable[[Values], bool] | None,
    table: Table,
    now: datetime,
) -> Restoration:
    """Decide what each partition goes back to: what had been published before what was published last.

    That is what Glue had, but for a late call of a run that was older or that failed.

    :param current: the partitions as Glue has them, by their identity.
    :param wanted: which partitions; None for all that the last overwrite changed.
    :raises ManualActionError: when one of them has nothing to go back to.
    """
    history = _histories(entries)
    last = _last_changes(entries, history, current, now)
    if wanted is None:
        newest = max((entry for entry, _ in last.values()), key=moment_of, default=None)
        chosen = {values: pair for values, pair in last.items() if pair[0] is newest}
    else:
        chosen = {values: pair for values, pair in last.items() if wanted(values)}
        missing = [values for values in current if wanted(values) and values not in chosen]
        if missing:
            raise ManualActionError(
                f"The partitions {missing} were not written by an overwrite that the journal knows. Nothing "
                "was changed. Leave them out, or write them again."
            )
    if not chosen:
        raise ManualActionError("The journal knows of no overwrite to undo. Nothing was changed.")
    changes: list[Change] = []
    owners: set[str] = set()
    adopted: dict[str, Entry] = {}
    for values, (entry, made) in sorted(chosen.items()):
        change = _as_published(made, entry, history[values], entries, table)
        changes.append(_back(values, change, current.get(values)))
        if change.previous_location is None:
            continue
        owner = _owner(entries, entry, change)
        owners.add(owner.name)
        if not owner.owns(change.previous_location):
            adopted[change.previous_location] = owner
    return Restoration(tuple(changes), tuple(sorted(owners)), tuple(sorted(adopted.items())))


def _histories(entries: Mapping[str, Entry]) -> dict[Values, list[Published]]:
    """Return what was published of each partition, one after the other."""
    histories: dict[Values, list[Published]] = {}
    for entry in sorted(filter(was_published, entries.values()), key=moment_of):
        for change in entry.changes:
            histories.setdefault(change.values, []).append((entry, change))
    return histories


def _last_changes(
    entries: Mapping[str, Entry],
    histories: Mapping[Values, Sequence[Published]],
    current: Mapping[Values, Mapping[str, Any]],
    now: datetime,
) -> dict[Values, Published]:
    """Return the change that made each partition what it is now, or is to be."""
    last: dict[Values, Published] = {}
    past = Past(entries, now)
    for values, history in histories.items():
        partition = current.get(values)
        pointer = Pointer.of(partition) if partition is not None else None
        right = find_rightful(values, pointer, history[-1], past)
        if right is not None:
            if right is history[-1]:
                last[values] = right
            continue  # else it is somebody else's, and only a late call of a failed run points elsewhere
        location = pointer.location if pointer is not None else None
        # A generation that was gone back to is the doing of the rollback, which comes after its making.
        made = [(entry, change) for entry, change in history if change.location == location]
        if made:
            last[values] = made[-1]
    return last


def _as_published(
    change: Change, entry: Entry, history: Sequence[Published], entries: Mapping[str, Entry], table: Table
) -> Change:
    """Return a change as if it had replaced what was published before it, where Glue had something else."""
    owner = owner_of(change.previous_generation, entries)
    before = [published for published in history if moment_of(published[0]) < moment_of(entry)]
    if owner is None:
        return change
    found = [one for one in owner.changes if one.values == change.values]
    if (
        owner.state is State.ABORTED
        and found
        and found_anothers((owner, found[0]), before[-1] if before else None)
    ):
        was = found[0]
        return replace(
            change,
            previous=was.previous,
            previous_location=was.previous_location,
            previous_generation=was.previous_generation,
        )
    if not before:
        return change
    older, published = before[-1]
    if published.location == change.previous_location:
        return change
    if was_published(owner) and moment_of(owner) >= moment_of(older):
        return change
    again = None if published.location is None else _definition(older, published, history, table)
    return replace(
        change,
        previous=again,
        previous_location=published.location,
        previous_generation=published.generation,
    )


def _definition(
    older: Entry, published: Change, history: Sequence[Published], table: Table
) -> Mapping[str, Any]:
    """Return a published partition as Glue had it: as whoever replaced it found it, or made anew."""
    found = (change.previous for _, change in history if change.previous_location == published.location)
    known = next((previous for previous in found if previous is not None), None)
    if known is not None:
        return known
    made = build_partition_input(table, replace(published, previous=None), WriteFacts.of(older))
    return made if table.partition_keys else {n: v for n, v in made.items() if n != "Values"}


def _back(values: Values, change: Change, now: Mapping[str, Any] | None) -> Change:
    returned = Action.CREATED if now is None else Action.REPLACED
    return Change(
        values=values,
        action=Action.REMOVED if change.previous is None else returned,
        location=change.previous_location,
        generation=change.previous_generation,
        rows=_rows(change.previous),
        previous_location=location_of(now),
        previous_generation=generation_of(now),
        previous=as_input(now),
        restored=change.previous,
    )


def _rows(partition: Mapping[str, Any] | None) -> int | None:
    rows = ((partition or {}).get("Parameters") or {}).get("quilt_athena.rows")
    return int(rows) if rows and str(rows).isdigit() else None


def _owner(entries: Mapping[str, Entry], entry: Entry, change: Change) -> Entry:
    """Return the entry that says what becomes of the files a change replaced."""
    location = change.previous_location or ""
    owner = owner_of(change.previous_generation, entries)
    if owner is None or not owner.owns(location):
        # A folder that something else wrote to again was adopted again: the last one says what is in it.
        adopters = (one for one in entries.values() if was_published(one) and one.adopts(location))
        owner = max(adopters, key=moment_of, default=entry)
    if change.previous_generation and not owner.owns(location):
        raise _gone(change)
    if owner.state not in _PUBLISHED or is_emptied(owner, location):
        raise _gone(change)
    return owner


def _gone(change: Change) -> ManualActionError:
    return ManualActionError(
        f"What partition {change.values} had before, at {change.previous_location}, is no longer kept: its "
        "time was over, or a sweep is at it. Nothing was changed. Write the partition again instead."
    )
