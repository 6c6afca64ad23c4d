"""Which entries of the journal nobody needs after a sweep, and which must go before which. Runs nothing.

An entry is needed while something stands of which it says how long it is kept, and while without it an older
one would be taken for what was published last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.history import Pointer, Published, owner_of
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, State
from airflow_quilt_athena.core.overwrite.retention import promise_of

Wanted = Callable[[Values], bool]

SETTLED = frozenset({State.PUBLISHED, State.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Removal:
    """What of one attempt goes: the files in ``folders``, all that it made, or its journal entry, too."""

    entry: Entry
    folders: tuple[str, ...]
    whole: bool  # nothing is left of what it staged: temporary tables go as well
    forgets: bool  # nobody needs the entry any more
    # Entries that must be forgotten before: without this one, they would say what was published last.
    after: frozenset[str] = frozenset()

    @property
    def asks_athena(self) -> bool:
        """Whether one of its queries may still be writing."""
        return self.whole and self.entry.state not in SETTLED


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What is known of a table when its removals are decided.

    :param published: each partition's published entries, and where they pointed it.
    """

    entries: Mapping[str, Entry]
    pointers: Mapping[Values, Pointer]
    current: Set[str]
    newest: Mapping[Values, Published]
    published: Mapping[Values, list[tuple[str, str | None]]]
    now: datetime
    wanted: Wanted

    def finish(self, removals: list[Removal]) -> tuple[Removal, ...]:
        """Leave out what does nothing, and say which entries nobody needs afterwards."""
        gone = {folder for removal in removals for folder in (*removal.folders, *removal.entry.deleted)}
        finished = (
            removal
            if removal.forgets
            else Removal(removal.entry, removal.folders, removal.whole, self._is_done_with(removal, gone))
            for removal in removals
        )
        done = self._forget_in_order(list(finished))
        return tuple(removal for removal in done if removal.folders or removal.forgets)

    def _forget_in_order(self, removals: list[Removal]) -> Iterator[Removal]:
        """Let the newest entry of a partition be forgotten after those that it came after, or not at all."""
        forgotten = {removal.entry.name for removal in removals if removal.forgets}
        for removal in removals:
            before = self._outlived_by(removal.entry) if removal.forgets else frozenset()
            if before <= forgotten:
                yield replace(removal, after=before)
            elif removal.folders:
                yield replace(removal, forgets=False)

    def _outlived_by(self, entry: Entry) -> frozenset[str]:
        """Return the older entries that would be the newest of a partition, and Glue is not as they say."""
        names: set[str] = set()
        for change in entry.changes:
            values, pointer = change.values, self.pointers.get(change.values)
            if self.newest.get(values, (None,))[0] is entry:
                location = None if pointer is None else pointer.location
                names |= {name for name, place in self.published[values] if place != location}
        return frozenset(names - {entry.name})

    def _is_done_with(self, removal: Removal, gone: set[str]) -> bool:
        entry = removal.entry
        if entry.state is State.DELETING and entry.published_at is None:
            return True
        adopted = {change.adopted for change in entry.changes if change.adopted is not None}
        return (
            self.now >= promise_of(entry)
            and all(is_deleted(entry, own, removal.folders) for own in own_folders(entry))
            and adopted <= set(entry.deleted)
            and all(self.wanted(change.values) for change in entry.changes)
            and all(self._is_gone(change, gone) for change in entry.changes)
        )

    def _is_gone(self, change: Change, gone: set[str]) -> bool:
        """Whether nothing is left at a change's previous place, of which it says how long it is kept.

        What a rollback went back to is in use: whoever replaces it next says anew how long it is kept.
        """
        if change.previous_location in self.current:
            return True
        owner = owner_of(change.previous_generation, self.entries)
        if owner is None or change.previous_location is None or not owner.owns(change.previous_location):
            return True
        return change.previous_location in gone or owner.folder in gone


def own_folders(entry: Entry) -> list[str]:
    """Return the folders of its partitions that an attempt staged itself."""
    return [c.location for c in entry.changes if c.location is not None and entry.owns(c.location)]


def is_deleted(entry: Entry, location: str, folders: Iterable[str]) -> bool:
    """Whether an attempt's own folder is gone, or goes with ``folders``."""
    own = (folder for folder in (*folders, *entry.deleted) if entry.owns(folder))
    place = S3Uri.parse(location)
    return any(S3Uri.parse(folder).contains(place) for folder in own)
