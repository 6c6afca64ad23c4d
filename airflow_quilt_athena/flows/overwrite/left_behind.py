"""What a run left behind when it died, or did too late: finished, ended, or pointed back under the lease.

The newest published entry of a partition is the truth; a single flip that was not made is not made for
anybody, since the old rows are whole; a set is finished.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.history import (
    find_newest,
    find_written_since,
    found_anothers,
    is_of_former_table,
    moment_of,
    was_published,
)
from airflow_quilt_athena.core.overwrite.journal_entry import (
    OF_FORMER_TABLE,
    SUPERSEDED,
    Change,
    Entry,
    Kind,
    State,
)
from airflow_quilt_athena.core.overwrite.partition_changes import (
    is_superseded_by,
    location_of,
    plan_roll_forward,
    undone,
)
from airflow_quilt_athena.core.overwrite.plan import scratch_folder
from airflow_quilt_athena.exceptions import QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.overwrite.flips import Current, Flips
from airflow_quilt_athena.flows.overwrite.journal import JournalConflict
from airflow_quilt_athena.flows.overwrite.lease import Lease

log = logging.getLogger(__name__)

_MAX_TRIES = 5


class FormerTable(RetryableError):
    """What was to be changed was a table that is no more; another one has its name."""


class LeftBehind:
    """Puts right what runs of one table left behind."""

    def __init__(self, flips: Flips) -> None:
        self._flips = flips

    def settle_left(self, lease: Lease) -> tuple[list[Entry], list[Entry]]:
        """Finish the sets that holders of the lease left half published; return the others, and those.

        A single flip that was not made is not made for anybody: the old rows are whole. Where all of a set is
        about to be replaced it is not finished, but is to be ended once what replaces it is written down.
        """
        superseded: list[Entry] = []
        finished: list[Entry] = []
        found = [self._flips.journal.read_if_readable(name) for name in lease.left_by]
        left_behind = [one for one in found if one and one.state is State.PUBLISHING and not one.claimed_by]
        # The newest first: what is older then finds itself overtaken.
        for left in sorted(left_behind, key=moment_of, reverse=True):
            if self._supersedes(left):
                superseded.append(left)
            elif left.is_set and self._finish(left, lease):
                finished.append(left)
        return superseded, finished

    def _supersedes(self, left: Entry) -> bool:
        ours = left.table == str(self._flips.name) and left.is_set and left.kind is Kind.OVERWRITE
        return ours and is_superseded_by(self._flips.selection, left)

    def _finish(self, left: Entry, lease: Lease) -> bool:
        try:
            flips = self._flips.of_table(left.table, lease)
            if flips is None:
                log.warning(
                    "Attempt %s was left half published, and table %s is gone.", left.name, left.table
                )
                return False
            LeftBehind(flips).roll_forward(left, lease)
        except JournalConflict as conflict:
            log.info("Attempt %s was finished by somebody else meanwhile: %s", left.attempt.name, conflict)
            return False
        return True

    def supersede(self, left: Entry) -> None:
        """End a set that was left half published, and that another one replaces."""
        try:
            self._end(left, SUPERSEDED)
        except JournalConflict as conflict:
            log.info("Attempt %s was finished by somebody else meanwhile: %s", left.attempt.name, conflict)

    def roll_forward(self, left: Entry, lease: Lease) -> Entry:
        """Finish a set that another attempt left half published; what was written since stays as it is.

        It is ended instead where none of it was published and others wrote some of it since, and where the
        table was dropped and made again: it would be half a set there.
        """
        overtaken = frozenset(self.written_since(left, moment_of(left)))
        if overtaken and self._is_only_half_of_it(left, overtaken, lease):
            return self._end(left, "others wrote some of its partitions before any of it was published")
        try:
            done = self.roll_changes(left, lease, but=overtaken)
        except FormerTable:
            return self._end(left, OF_FORMER_TABLE)
        log.warning(
            "Attempt %s was left half published: rolled %d of %d partitions forward.",
            left.attempt.name,
            done,
            len(left.changes),
        )
        return self.settle(left)

    def written_since(self, entry: Entry, moment: datetime) -> list[Values]:
        """Return those of an entry's partitions of which something later was published."""
        entries, _ = self._flips.journal.read_table(self._flips.name)
        return find_written_since(entries.values(), entry.changes, moment)

    def _is_only_half_of_it(self, left: Entry, overtaken: Collection[Values], lease: Lease) -> bool:
        """Whether what is left to do would be all that there is of a set."""
        own = [change for change in left.changes if change.values not in overtaken]
        current = self._flips.observe_these([change.values for change in own], lease)
        is_there = any(c.location and location_of(current.get(c.values)) == c.location for c in own)
        return not is_there and bool(plan_roll_forward(own, current))

    def _refuse_former_table(self, entry: Entry, current: Current, lease: Lease) -> None:
        """Raise FormerTable if it was made again; only asked where partitions that were there are gone."""
        changes = [change for change in entry.changes if change.location and change.previous_location]
        if all(change.values in current for change in changes):
            return
        table = catalog.observe_table(self._flips.glue, self._flips.name, lease.ask)
        if table is not None and is_of_former_table(entry, table.raw):
            raise FormerTable(
                f"Table {self._flips.name} was dropped and made again after {entry.attempt.name} had begun "
                "to change it. Run the task again."
            )

    def roll_changes(self, entry: Entry, lease: Lease, but: Collection[Values] = frozenset()) -> int:
        """Make those of an entry's changes that have not been made, read them back; return how many.

        :param but: partitions that have been published since.
        :raises FormerTable: when the table was dropped and made again.
        """
        changes = [change for change in entry.changes if change.values not in but]
        values = [change.values for change in changes]
        rolled: set[Values] = set()
        for _ in range(_MAX_TRIES):
            current = self._flips.observe_these(values, lease)
            self._refuse_former_table(entry, current, lease)
            todo = [change.values for change in plan_roll_forward(changes, current)]
            if not todo:
                lease.leaves_work(False)
                return len(rolled)
            self._flips.apply(entry, todo, current, lease)
            rolled |= set(todo)
        raise RetryableError(
            f"Partitions of table {self._flips.name} are being changed by others without pause, and attempt "
            f"{entry.attempt.name} is not all published. Run the task again."
        )

    def finish(self, left: Entry) -> None:
        """Finish what an attempt of one's own left half published, or end it, before another is begun."""
        with self._flips.lease(left.name) as lease:
            self.settle_left(lease)
            if left.is_set:
                self.roll_forward(left, lease)
            else:
                self.settle_single(left, lease)

    def settle_single(self, left: Entry, lease: Lease) -> Entry:
        """End an attempt at one partition that died while it published: published, if Glue points at it."""
        (change,) = left.changes
        current = self._flips.observe_these([change.values], lease)
        if location_of(current.get(change.values)) != change.location:
            return self._end(left, "died before its partition was repointed")
        if change.location is None and self.written_since(left, moment_of(left)):
            return self._end(left, "its partition was written by another run since")
        return self.settle(left)

    def _end(self, left: Entry, reason: str) -> Entry:
        self.release(left)
        keep_until = self._flips.journal.now() + timedelta(seconds=left.retain_seconds)
        log.warning("Attempt %s was ended: %s.", left.attempt.name, reason)
        return self._flips.journal.advance(left, state=State.ABORTED, keep_until=keep_until, reason=reason)

    def overtake(self, entry: Entry) -> Entry:
        """Return the entry, to be published after all that was published since its lease was lost.

        Where others finished it meanwhile, it is returned as published; our late calls are taken back.
        """
        entries, _ = self._flips.journal.read_table(self._flips.name)
        found = entries.get(entry.name)
        if found is None or found.attempt != entry.attempt:
            raise JournalConflict(entry, found)
        if was_published(found) or found.state is State.ABORTED:
            self.give_way(found)
        if was_published(found):
            return found
        if found.state is not State.PUBLISHING:
            raise JournalConflict(entry, found)
        return replace(found, published_at=max(moment_of(other) for other in entries.values()))

    def give_way(self, entry: Entry) -> None:
        """Point back what late calls of this run, which others ended or finished, point elsewhere.

        Trouble with it is logged: the sweep does the same.
        """
        try:
            with self._flips.lease(f"{entry.name}-back") as lease:
                self.settle_left(lease)
                self.take_back(entry, lease)
        except QuiltAthenaError as trouble:
            log.warning("What attempt %s did late is left to the sweep: %s", entry.attempt.name, trouble)

    def take_back(self, entry: Entry, lease: Lease) -> None:
        """Point back what a run, which is not to be published, has pointed elsewhere or removed."""
        current = self._flips.observe_these([change.values for change in entry.changes], lease)
        newest = find_newest(self._flips.journal.read_table(self._flips.name)[0].values())
        wrong: dict[Values, tuple[Entry, Change]] = {}
        for change in entry.changes:
            last = newest.get(change.values)
            own = found_anothers((entry, change), last)
            right = (entry, undone(change)) if last is None or own else last
            # What its successor found removed is removed; what it made is not.
            is_older = last is None or moment_of(last[0]) <= moment_of(entry)
            is_gone = change.location is None and entry.reason == SUPERSEDED and is_older
            place = location_of(current.get(change.values))
            if place == change.location != right[1].location and not is_gone:
                wrong[change.values] = right
        self._flips.point_back(wrong, current, lease)

    def settle(self, entry: Entry) -> Entry:
        """Let go of what a rollback claimed, and mark the entry published: from here on it is a fact."""
        if was_published(entry):
            return entry  # others finished it
        self.release(entry)
        return self._flips.journal.advance(
            entry,
            state=State.PUBLISHED,
            settled_at=self._flips.journal.now(),
            untidy=scratch_folder(entry) is not None,
        )

    def release(self, rollback: Entry) -> None:
        """Let go of the entries that a rollback held on to while it pointed back at their files."""
        for owner in self._flips.journal.read_all(rollback.claims):
            if owner.claimed_by == rollback.name:
                self._flips.journal.advance(owner, state=State.PUBLISHED, claimed_by=None)
