"""What a run left behind when it died, or did too late: finished, ended, or pointed back under the lease.

The newest published entry of a partition is the truth; a single flip that was not made is not made for
anybody, since the old rows are whole; a set is finished.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.asked_partitions import any_partition
from airflow_quilt_athena.core.overwrite.history import find_newest, moment_of, was_published
from airflow_quilt_athena.core.overwrite.journal_entry import SUPERSEDED, Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.partition_changes import (
    is_superseded_by,
    location_of,
    plan_roll_forward,
)
from airflow_quilt_athena.core.overwrite.plan import scratch_folder
from airflow_quilt_athena.exceptions import QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.overwrite.flips import Flips
from airflow_quilt_athena.flows.overwrite.journal import JournalConflict
from airflow_quilt_athena.flows.overwrite.lease import Lease

log = logging.getLogger(__name__)

_MAX_TRIES = 5


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
        for name in lease.left_by:
            left = self._flips.journal.read_if_readable(name)
            if left is None or left.state is not State.PUBLISHING or left.claimed_by is not None:
                continue
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

    def end(self, left: Entry) -> None:
        """End a set that was left half published, and that another one replaces."""
        keep_until = self._flips.journal.now() + timedelta(seconds=left.retain_seconds)
        try:
            self._flips.journal.advance(left, state=State.ABORTED, keep_until=keep_until, reason=SUPERSEDED)
        except JournalConflict as conflict:
            log.info("Attempt %s was finished by somebody else meanwhile: %s", left.attempt.name, conflict)
        else:
            log.warning("Attempt %s was left half published; this overwrite replaces it.", left.attempt.name)

    def roll_forward(self, left: Entry, lease: Lease) -> Entry:
        """Finish a set that another attempt left half published; what was written since stays as it is."""
        newest = find_newest(self._flips.journal.read_table(self._flips.name)[0].values())
        overtaken = {values for values, (entry, _) in newest.items() if moment_of(entry) > moment_of(left)}
        done = self.roll_changes(left, lease, but=overtaken)
        log.warning(
            "Attempt %s was left half published: rolled %d of %d partitions forward.",
            left.attempt.name,
            done,
            len(left.changes),
        )
        return self.settle(left)

    def roll_changes(self, entry: Entry, lease: Lease, but: Iterable[Values] = ()) -> int:
        """Make those of an entry's changes that have not been made, read them back; return how many.

        :param but: partitions that have been published since.
        """
        flips = replace(self._flips, selection=any_partition(self._flips.table))
        changes = [change for change in entry.changes if change.values not in set(but)]
        values = [change.values for change in changes]
        rolled: set[Values] = set()
        for _ in range(_MAX_TRIES):
            current = flips.observe_these(values, lease)
            todo = [change.values for change in plan_roll_forward(changes, current)]
            if not todo:
                lease.leaves_work(False)
                return len(rolled)
            flips.apply(entry, todo, current, lease)
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
        if location_of(current.get(change.values)) == change.location:
            return self.settle(left)
        self.release(left)
        reason = "died before its partition was repointed"
        keep_until = self._flips.journal.now() + timedelta(seconds=left.retain_seconds)
        log.warning("Attempt %s %s: the old rows stay.", left.attempt.name, reason)
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
                current = self._flips.observe_these([change.values for change in entry.changes], lease)
                newest = find_newest(self._flips.journal.read_table(self._flips.name)[0].values())
                wrong: dict[Values, tuple[Entry, Change]] = {}
                for change in entry.changes:
                    right = newest.get(change.values) or (entry, _undone(change))
                    # What its successor found removed is removed.
                    is_gone = change.location is None and entry.reason == SUPERSEDED
                    place = location_of(current.get(change.values))
                    if place == change.location != right[1].location and not is_gone:
                        wrong[change.values] = right
                self._flips.point_back(wrong, current, lease)
        except QuiltAthenaError as trouble:
            log.warning("What attempt %s did late is left to the sweep: %s", entry.attempt.name, trouble)

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


def _undone(change: Change) -> Change:
    """Return the change that gives a partition back what it had, where no overwrite had published it."""
    return replace(
        change,
        location=change.previous_location,
        generation=change.previous_generation,
        restored=change.previous,
    )
