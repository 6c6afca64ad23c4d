"""What the journal says of a partition: which overwrite was published last, and what was there before it.

The newest published entry is the truth. A call that lands late, of a run that is older or that failed, may
point Glue elsewhere: whoever comes next tells that from what others did on purpose, and points it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import (
    OF_FORMER_TABLE,
    SUPERSEDED,
    Change,
    Entry,
    State,
)
from airflow_quilt_athena.core.overwrite.partition_changes import PARAMETER_PREFIX, generation_of, location_of

WRITTEN_AT_PARAMETER = PARAMETER_PREFIX + "written_at"
ROLLED_BACK_AT_PARAMETER = PARAMETER_PREFIX + "rolled_back_at"

# How far the clocks of two workers may be apart after both have learned S3's, which tells whole seconds.
CLOCKS_APART = timedelta(seconds=3)
# A call is made while a lease is held, and answered or given up within minutes.
_CALLS_LAND_WITHIN = timedelta(hours=1)
_NOTICED_WITHIN = timedelta(days=1)  # by a sweep of each day; later it is taken for somebody's doing
# Why failed runs were ended after which nobody misses what they removed.
_REMOVALS_STAND = frozenset({SUPERSEDED, OF_FORMER_TABLE})
_LONGEST_LEAD = timedelta(days=1)  # what says to be written later than that was not written by us


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where Glue points for a partition, and the generation that is, when it is one of ours."""

    location: str | None
    generation: str | None = None

    @classmethod
    def of(cls, partition: Mapping[str, Any]) -> Pointer:
        """Read it from what Glue answers of a partition, or of a table without keys."""
        return cls(location_of(partition), generation_of(partition))


Published = tuple[Entry, Change]


def was_published(entry: Entry) -> bool:
    """Whether all that an entry says has happened, be it that a sweep or a rollback is at its files now."""
    return entry.settled_at is not None


def moment_of(entry: Entry) -> datetime:
    """Return when an entry was published, or would have been: entries of one partition are in this order."""
    return entry.published_at or entry.created_at


def find_newest(entries: Iterable[Entry]) -> dict[Values, Published]:
    """Return for each partition the newest published entry, and what it did to it."""
    newest: dict[Values, Published] = {}
    for entry in sorted(filter(was_published, entries), key=moment_of):
        newest |= {change.values: (entry, change) for change in entry.changes}
    return newest


def find_written_since(entries: Iterable[Entry], changes: Iterable[Change], moment: datetime) -> list[Values]:
    """Return those of the partitions of which something later than ``moment`` was published."""
    newest = find_newest(entries)
    return [c.values for c in changes if c.values in newest and moment_of(newest[c.values][0]) > moment]


class Past:
    """A table's journal at a moment, and by partition what was to be removed: a table has many."""

    def __init__(self, entries: Mapping[str, Entry], now: datetime) -> None:
        self.entries = entries
        self.now = now
        self.removals: dict[Values, list[Published]] = {}
        for entry in entries.values():
            for change in entry.changes if entry.published_at is not None else ():
                if change.location is None:
                    self.removals.setdefault(change.values, []).append((entry, change))


def find_rightful(
    values: Values, pointer: Pointer | None, newest: Published | None, past: Past
) -> Published | None:
    """Return what a partition is to be pointed back at, where an older or a failed run points it elsewhere.

    That is what was published last; or what the failed run found, which its own change says (``undone``),
    where somebody else had moved the partition since, or nothing was published. None where all is right:
    what somebody else did stays.
    """
    failed = _find_failed(values, pointer, past)
    if failed is not None and found_anothers(failed, newest):
        return failed
    return newest if newest is not None and _is_overtaken(values, pointer, newest, past) else None


def found_anothers(run: Published, newest: Published | None) -> bool:
    """Whether a run found a partition that somebody else had moved, made or dropped, since the newest."""
    entry, change = run
    return newest is None or (change.previous_generation is None and moment_of(newest[0]) < moment_of(entry))


def _find_failed(values: Values, pointer: Pointer | None, past: Past) -> Published | None:
    """Return what a run that failed did to a partition: Glue points at it, or what the run found is gone."""
    if pointer is None:
        removed = (
            (entry, change)
            for entry, change in past.removals.get(values, ())
            if _is_missed(entry) and past.now - moment_of(entry) < _NOTICED_WITHIN
            if change.previous_location is not None
        )
        return max(removed, key=lambda one: moment_of(one[0]), default=None)
    owner = owner_of(pointer.generation, past.entries)
    if owner is None or owner.state is not State.ABORTED:
        return None
    made = (c for c in owner.changes if c.values == values and c.location == pointer.location)
    return next(((owner, change) for change in made), None)


def owner_of(generation: str | None, entries: Mapping[str, Entry]) -> Entry | None:
    """Return the entry of the attempt that made a generation, if the journal has it still."""
    attempt = Attempt.parse(generation or "")
    owner = entries.get(attempt.entry_name) if attempt else None
    return owner if owner is not None and owner.attempt == attempt else None


def _is_overtaken(values: Values, pointer: Pointer | None, newest: Published, past: Past) -> bool:
    """Whether an older or a failed run of ours points a partition elsewhere than the newest published one.

    What somebody else did stays: a partition that was dropped, or moved without our parameters, or that is
    being published by a run that comes after the newest.
    """
    entry, change = newest
    entries = past.entries
    if change.location is not None and is_emptied(entry, change.location):
        return False  # a sweep found that it was replaced, and nobody could read it
    if pointer is None:
        late = _was_removed_late(values, newest, past)
        return late and not _is_pending(values, pointer, entry, entries)
    owner = owner_of(pointer.generation, entries)
    if pointer.location == change.location or owner is None:
        return False
    if _is_pending(values, pointer, entry, entries):
        return False
    if owner.state is State.ABORTED or _came_after(change, owner, entries):
        return True
    # Who replaces a generation says to come after it; who finds none has only its clock to go by.
    replaces = any(c.previous_generation for c in owner.changes if c.values == values)
    margin = timedelta(0) if replaces else CLOCKS_APART
    return moment_of(owner) + margin < moment_of(entry)


def _was_removed_late(values: Values, newest: Published, past: Past) -> bool:
    """Whether an older or a failed run was to remove the partition, and its call landed late.

    Who drops a partition by hand, within a day of its being made again just after it was removed, does the
    same, and is not told from it.
    """
    entry, made = newest
    if made.location is None:
        return False
    is_fresh = past.now - moment_of(entry) < _NOTICED_WITHIN
    return any(
        (_is_missed(other) and change.previous_location == made.location)
        or (is_fresh and _is_just_before(other, entry))
        for other, change in past.removals.get(values, ())
    )


def _is_missed(entry: Entry) -> bool:
    """Whether what a run removed is missed, since it failed."""
    return entry.state is State.ABORTED and entry.reason not in _REMOVALS_STAND


def _is_just_before(older: Entry, newer: Entry) -> bool:
    return timedelta(0) < moment_of(newer) - moment_of(older) < _CALLS_LAND_WITHIN


def is_of_former_table(entry: Entry, table: Mapping[str, Any]) -> bool:
    """Whether a table was dropped and made again since an entry was published."""
    made_at = table.get("CreateTime")
    return isinstance(made_at, datetime) and made_at > moment_of(entry) + CLOCKS_APART


def _is_pending(values: Values, pointer: Pointer | None, newest: Entry, entries: Mapping[str, Entry]) -> bool:
    """Whether somebody who comes after the newest is just publishing this: a rollback, or an overwrite."""
    return any(
        change.values == values and change.location == (None if pointer is None else pointer.location)
        for other in entries.values()
        if other.state is State.PUBLISHING and not was_published(other)
        if moment_of(other) >= moment_of(newest)
        for change in other.changes
    )


def _came_after(change: Change, owner: Entry, entries: Mapping[str, Entry]) -> bool:
    """Whether a change replaced what an entry published, or what replaced that, and so on."""
    seen: set[str] = set()
    previous = change.previous_generation
    while previous is not None and previous not in seen:
        if previous == owner.attempt.name:
            return True
        seen.add(previous)
        older = owner_of(previous, entries)
        if older is None:
            return False
        made = [one for one in older.changes if one.values == change.values]
        previous = made[0].previous_generation if made else None
    return False


def is_emptied(owner: Entry, location: str) -> bool:
    """Whether a sweep has removed the files at a place that an entry answers for."""
    return location in owner.deleted or (owner.owns(location) and owner.folder in owner.deleted)


def next_moment(now: datetime, current: Iterable[Mapping[str, Any]]) -> datetime:
    """Return when to say that an overwrite is published: after all that it replaces, whatever clocks say."""
    written = (moment for partition in current for moment in moments_of(partition))
    believed = (moment for moment in written if moment < now + _LONGEST_LEAD)
    return max([now, *(moment + timedelta(microseconds=1) for moment in believed)])


def moments_of(partition: Mapping[str, Any]) -> list[datetime]:
    """Return when a partition says that it was written and rolled back, as far as it says so."""
    parameters = partition.get("Parameters") or {}
    moments: list[datetime] = []
    for name in (WRITTEN_AT_PARAMETER, ROLLED_BACK_AT_PARAMETER):
        with suppress(ValueError):  # not as we write it
            moment = datetime.fromisoformat(parameters.get(name) or "")
            moments += [moment] if moment.tzinfo is not None else []
    return moments
