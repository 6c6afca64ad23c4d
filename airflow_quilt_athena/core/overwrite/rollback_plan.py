"""What a rollback points back at: decided from the journal and from where Glue points. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import as_input, generation_of, location_of
from airflow_quilt_athena.exceptions import ManualActionError

_PUBLISHED = frozenset({State.PUBLISHED, State.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Restoration:
    """What is to happen, and whose files it points at: the journal entries to hold on to meanwhile."""

    changes: tuple[Change, ...]
    owners: tuple[str, ...]
    adopted: tuple[tuple[str, datetime], ...]  # folders of generation zero, and since when they are that


def plan_rollback(
    entries: Mapping[str, Entry],
    current: Mapping[Values, Mapping[str, Any]],
    wanted: Callable[[Values], bool] | None,
) -> Restoration:
    """Decide what each partition goes back to.

    :param current: the partitions as Glue has them, by their identity.
    :param wanted: which partitions; None for all that the last overwrite changed.
    :raises ManualActionError: when one of them has nothing to go back to.
    """
    last = _last_changes(entries, current)
    if wanted is None:
        newest = max((entry for entry, _ in last.values()), key=_moment, default=None)
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
    adopted: dict[str, datetime] = {}
    for values, (entry, change) in sorted(chosen.items()):
        changes.append(_back(values, change, current.get(values)))
        if change.previous_location is None:
            continue
        owner = _owner(entries, entry, change)
        owners.add(owner.name)
        if not owner.owns(change.previous_location):
            adopted[change.previous_location] = owner.published_at or owner.created_at
    return Restoration(tuple(changes), tuple(sorted(owners)), tuple(sorted(adopted.items())))


def _moment(entry: Entry) -> Any:
    return entry.published_at or entry.created_at


def _last_changes(
    entries: Mapping[str, Entry], current: Mapping[Values, Mapping[str, Any]]
) -> dict[Values, tuple[Entry, Change]]:
    """Return the change that made each partition what it is now."""
    last: dict[Values, tuple[Entry, Change]] = {}
    for entry in sorted(filter(_was_published, entries.values()), key=_moment):
        for change in entry.changes:
            # A generation that was gone back to is the doing of the rollback, which comes after its making.
            if change.location == location_of(current.get(change.values)):
                last[change.values] = (entry, change)
    return last


def _was_published(entry: Entry) -> bool:
    """Whether what an entry says has happened, be it that a sweep or another rollback is at its files."""
    busy = entry.state is State.DELETING or entry.claimed_by is not None
    return entry.state in _PUBLISHED or (busy and entry.published_at is not None)


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
    attempt = Attempt.parse(change.previous_generation or "")
    owner = entries.get(attempt.entry_name) if attempt else None
    if owner is None or not owner.owns(location):
        # A folder that something else wrote to again was adopted again: the last one says what is in it.
        adopters = (other for other in entries.values() if other.adopts(location))
        owner = max(adopters, key=_moment, default=entry)
    if attempt and not owner.owns(location):
        raise _gone(change)
    if owner.state not in _PUBLISHED or is_emptied(owner, location):
        raise _gone(change)
    return owner


def is_emptied(owner: Entry, location: str) -> bool:
    """Whether a sweep has removed the files at a place that an entry answers for."""
    return location in owner.deleted or (owner.owns(location) and owner.folder in owner.deleted)


def _gone(change: Change) -> ManualActionError:
    return ManualActionError(
        f"What partition {change.values} had before, at {change.previous_location}, is no longer kept: its "
        "time was over, or a sweep is at it. Nothing was changed. Write the partition again instead."
    )
