"""What a sweep may remove: decided from the journal and from where Glue points. Runs nothing.

A generation may go when nothing points at it, and the time that whoever replaced it promised has passed. How
long that is stands in the journal of the one that replaced it, so nothing has to be written when a generation
is replaced, and no crash there leaves one without an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.forgetting import (
    SETTLED,
    Forgetting,
    Removal,
    Wanted,
    is_deleted,
    own_folders,
)
from airflow_quilt_athena.core.overwrite.history import (
    Past,
    Pointer,
    Published,
    find_newest,
    find_rightful,
    moment_of,
    owner_of,
    was_published,
)
from airflow_quilt_athena.core.overwrite.journal_entry import UNFINISHED, Entry, State
from airflow_quilt_athena.core.overwrite.retention import promise_of, promises_of

# No query of Athena's runs longer than 4 hours (Service quotas, read 2026-11): what has not moved for a day
# is dead.
ABANDONED_AFTER = timedelta(hours=24)
# Flips take seconds; what has been at it for so long has nobody at it any more.
HALF_PUBLISHED_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep does, in this order."""

    roll_forward: tuple[Entry, ...]  # sets left half published
    settle: tuple[Entry, ...]  # attempts at one partition that died while they published
    # Partitions that a late call of an older or a failed run points elsewhere than what was published last;
    # where nothing was, the failed run's own entry, which says what was there before.
    point_back: Mapping[Values, Published]
    release: tuple[Entry, ...]  # held by a rollback that is over
    tidy: tuple[Entry, ...]  # what only served staging could not be removed then
    # Folders that something else took Glue away from, which the journal does not know: kept from now on.
    mark: tuple[tuple[Entry, tuple[str, ...]], ...]
    remove: tuple[Removal, ...]
    # Folders that something else had written, which nobody goes back to any more, and who took them over.
    adopted: Mapping[str, Entry]
    left: tuple[tuple[Entry, str], ...]  # and why


def plan_sweep(
    entries: Mapping[str, Entry],
    pointers: Mapping[Values, Pointer],
    now: datetime,
    *,
    wanted: Wanted = lambda values: True,
) -> SweepPlan:
    """Decide for each entry.

    :param entries: the journal, by name.
    :param pointers: where Glue points, by the partitions' values; () is a table without keys.
    :param wanted: which partitions, by their values, are to be looked at.
    """
    return _Sweep(entries, pointers, now, wanted).plan()


class _Sweep:
    def __init__(
        self,
        entries: Mapping[str, Entry],
        pointers: Mapping[Values, Pointer],
        now: datetime,
        wanted: Wanted,
    ) -> None:
        self._entries = entries
        self._pointers = pointers
        self._current = frozenset(pointer.location for pointer in pointers.values() if pointer.location)
        self._now = now
        self._wanted = wanted
        self._keep_until = promises_of(entries.values())
        self._newest = find_newest(entries.values())
        self._point_back: dict[Values, Published] = {}
        past = Past(entries, now)
        for values in filter(wanted, {**self._newest, **pointers}):
            right = find_rightful(values, pointers.get(values), self._newest.get(values), past)
            if right is not None:
                self._point_back[values] = right
        self._protected = self._unexplained_elsewhere()

    def plan(self) -> SweepPlan:
        roll_forward: list[Entry] = []
        settle: list[Entry] = []
        release: list[Entry] = []
        mark: list[tuple[Entry, tuple[str, ...]]] = []
        removals: list[Removal] = []
        left: list[tuple[Entry, str]] = []
        for entry in sorted(self._entries.values(), key=lambda entry: entry.created_at):
            if entry.state is State.PUBLISHING:
                self._sort_publishing(entry, roll_forward, settle, release, left)
            elif entry.state in SETTLED:
                unexplained = self._unexplained(entry)
                if unexplained:
                    mark.append((entry, unexplained))
                if any(change.location in self._protected for change in entry.changes):
                    left.append(
                        (entry, "it was published last, and Glue points elsewhere for no known reason")
                    )
                removals.append(self._settled_removal(entry))
            else:
                self._sort_never_published(entry, removals, left)
        untidy = tuple(e for e in self._entries.values() if e.untidy and e.state in SETTLED)
        roll_forward.sort(key=moment_of, reverse=True)  # what is older then finds itself overtaken
        return SweepPlan(
            tuple(roll_forward),
            tuple(settle),
            self._point_back,
            tuple(release),
            untidy,
            tuple(mark),
            self._forgetting().finish(removals),
            self._adopted(),
            tuple(left),
        )

    def _forgetting(self) -> Forgetting:
        published: dict[Values, list[tuple[str, str | None]]] = {}
        for entry in filter(was_published, self._entries.values()):
            for change in entry.changes:
                published.setdefault(change.values, []).append((entry.name, change.location))
        return Forgetting(
            self._entries,
            self._pointers,
            self._current,
            self._newest,
            published,
            self._now,
            self._wanted,
        )

    def _unexplained_elsewhere(self) -> frozenset[str]:
        """Return what was published last where a generation that is not newer is in its place."""
        protected: set[str] = set()
        for values, (_, change) in self._newest.items():
            pointer = self._pointers.get(values)
            if change.location is not None and values in self._point_back:
                protected.add(change.location)
            if pointer is None or pointer.generation is None or change.location is None:
                continue  # dropped, or moved by somebody else
            if pointer.location != change.location and owner_of(pointer.generation, self._entries) is None:
                protected.add(change.location)
        return frozenset(protected)

    def _sort_publishing(
        self,
        entry: Entry,
        roll_forward: list[Entry],
        settle: list[Entry],
        release: list[Entry],
        left: list[tuple[Entry, str]],
    ) -> None:
        if entry.claimed_by is not None:
            rollback = self._entries.get(entry.claimed_by)
            if rollback is None or rollback.state is not State.PUBLISHING:
                release.append(entry)
            else:
                left.append((entry, f"rollback {entry.claimed_by} is going back to it"))
        elif self._now - entry.updated_at >= HALF_PUBLISHED_AFTER:
            (roll_forward if entry.is_set else settle).append(entry)
        else:
            left.append((entry, "it is being published"))

    def _sort_never_published(
        self, entry: Entry, removals: list[Removal], left: list[tuple[Entry, str]]
    ) -> None:
        if entry.state is State.DELETING:
            removals.append(Removal(entry, entry.doomed, entry.folder in entry.doomed, forgets=False))
            return
        if entry.state in UNFINISHED:
            keep_until = entry.updated_at + ABANDONED_AFTER
        else:
            keep_until = entry.keep_until or entry.updated_at
        keep_until = max([keep_until, *(self._keep_until.get(own, keep_until) for own in own_folders(entry))])
        if not all(self._wanted(change.values) for change in entry.changes):
            return
        if self._now < keep_until:
            left.append(
                (entry, f"{entry.state.value}; kept until {keep_until.isoformat(timespec='seconds')}")
            )
            return
        if entry.folder and self._points_below(entry.folder):
            left.append((entry, "half published, and not replaced yet"))
            return
        folders = (entry.folder,) if entry.folder else ()
        removals.append(Removal(entry, folders, whole=bool(folders), forgets=True))

    def _unexplained(self, entry: Entry) -> tuple[str, ...]:
        """Return the folders that nothing points at for no reason known, and that are not marked yet."""
        known = {*self._keep_until, *entry.marked}
        return tuple(location for location in self._loose(entry) if location not in known)

    def _loose(self, entry: Entry) -> list[str]:
        """Return the folders of a published attempt that nothing points at, and that are still there."""
        return [
            change.location
            for change in entry.changes
            if change.location is not None
            and entry.owns(change.location)
            and not is_deleted(entry, change.location, ())
            and change.location not in self._current
            and change.location not in self._protected
            and self._wanted(change.values)
        ]

    def _settled_removal(self, entry: Entry) -> Removal:
        loose = [location for location in self._loose(entry) if self._may_go(entry, location)]
        whole = bool(loose) and all(is_deleted(entry, own, loose) for own in own_folders(entry))
        folders = (entry.folder,) if whole and entry.folder else tuple(loose)
        return Removal(entry, folders, whole, forgets=False)

    def _may_go(self, entry: Entry, location: str) -> bool:
        known = [self._keep_until.get(location), entry.marked.get(location)]
        promises = [promise for promise in known if promise is not None]
        return bool(promises) and self._now >= max(promises)

    def _adopted(self) -> dict[str, Entry]:
        """Return the folders that were taken over, are not in use, and whose time is over."""
        adopted: dict[str, Entry] = {}
        for entry in sorted(filter(was_published, self._entries.values()), key=moment_of):
            for change in entry.changes:
                folder = change.adopted
                if folder is None or folder in entry.deleted or not self._wanted(change.values):
                    continue
                if folder not in self._current:
                    keep_until = max(promise_of(entry), self._keep_until.get(folder, promise_of(entry)))
                    if self._now >= keep_until:
                        adopted[folder] = entry  # the last one says what is in it
                    else:
                        adopted.pop(folder, None)
        return adopted

    def _points_below(self, folder: str) -> bool:
        root = S3Uri.parse(folder)
        return any(root.contains(S3Uri.parse(location)) for location in self._current)
