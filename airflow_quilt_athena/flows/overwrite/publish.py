"""Publish what an attempt has staged: point its partitions at it.

The journal says what is to become of each partition before Glue is touched, and Glue is touched under the
table's lease alone. A set is read back, and mended, before anybody is told that it is done. Where the lease
was lost meanwhile, what was published may have been overtaken, or have overtaken others: it is published
anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.history import next_moment, was_published
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import (
    Staged,
    location_of,
    plan_changes,
    plan_roll_forward,
)
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.deadline import ask as ask_patiently
from airflow_quilt_athena.flows.overwrite.adoption import Adoption
from airflow_quilt_athena.flows.overwrite.flips import Current, Flips
from airflow_quilt_athena.flows.overwrite.journal import JournalConflict
from airflow_quilt_athena.flows.overwrite.lease import Lease, LeaseLost
from airflow_quilt_athena.flows.overwrite.left_behind import LeftBehind

log = logging.getLogger(__name__)

_MAX_TRIES = 5
_PAUSE_SECONDS = 0.5
_FRESH_FOR = timedelta(minutes=30)  # half of the time after which a sweep ends what seems to be dead


class Publisher:
    """Publishes what one attempt has staged."""

    def __init__(self, flips: Flips) -> None:
        self._flips = flips
        self._left = LeftBehind(flips)

    def publish(self, entry: Entry, staged: Mapping[Values, Staged]) -> Entry:
        """Publish what was staged, by its partitions' identities; return the entry as it then is.

        May be called again for an attempt that was left half published: what has flipped stays so.
        """
        adoption = Adoption(self._flips.journal)
        for _ in range(_MAX_TRIES):
            done = False
            try:
                lease = self._flips.lease(entry.name)
                seen: Current | None = None
                selection = self._flips.selection
                if not selection.is_set and not lease.take_if_free(selection.values):
                    entry, seen = self._announce_ahead(entry, staged, adoption)
                with lease:
                    left, _ = self._left.settle_left(lease)
                    entry, done = self._publish(entry, staged, lease, left, adoption, seen)
            except (LeaseLost, JournalConflict) as lost:
                log.warning("%s", lost)
                entry = self._left.overtake(entry)
                done = was_published(entry)
            if done:
                return entry
            adoption.list_all()
        raise self._disturbed(entry)

    def _disturbed(self, entry: Entry) -> RetryableError:
        return RetryableError(
            f"{self._flips.selection.title} of table {self._flips.name} is being changed by others without "
            f"pause. The new files are at {entry.folder}. Run the task again."
        )

    def _announce_ahead(
        self, entry: Entry, staged: Mapping[Values, Staged], adoption: Adoption
    ) -> tuple[Entry, Current]:
        """Announce one flip while others hold the lease; return what it was planned from.

        Under the lease one look then tells whether it is so still, and whoever waits next waits less.
        """
        seen = self._flips.observe(staged, ask_patiently)
        changes = self._plan(entry, staged, seen)
        adoption.list_missing(changes)
        return self._announce(entry, changes, seen, adoption), seen

    def _publish(
        self,
        entry: Entry,
        staged: Mapping[Values, Staged],
        lease: Lease,
        left: Sequence[Entry],
        adoption: Adoption,
        seen: Current | None,
    ) -> tuple[Entry, bool]:
        """Flip, and read a set back; False when files have to be listed first, which takes long."""
        current = self._flips.observe(staged, lease.ask)
        changes = entry.changes
        if current != seen or self._flips.journal.now() - entry.updated_at > _FRESH_FOR:
            changes = self._plan(entry, staged, current)
            if not adoption.knows(changes, lease):
                return entry, False
            entry = self._announce(entry, changes, current, adoption)
        todo = {c.values for c in changes if location_of(current.get(c.values)) != c.location}
        for superseded in left:
            self._left.supersede(superseded)
        for _ in range(_MAX_TRIES):
            refused = self._flips.apply(entry, todo, current, lease)
            if not refused and not self._flips.selection.is_set:
                return entry, True
            if refused:
                time.sleep(_PAUSE_SECONDS)
            current = self._flips.observe(staged, lease.ask)
            todo = {v for v in refused if location_of(current.get(v)) != _place(staged, v)}
            todo |= {change.values for change in plan_roll_forward(entry.changes, current)}
            # Gone altogether: the table was dropped and made again between our calls.
            todo |= {c.values for c in entry.changes if c.location is not None and c.values not in current}
            if not todo:
                lease.leaves_work(False)
                return entry, True
            # Somebody else was there between our look and our call; what they did is now what was before.
            anew = {change.values: change for change in self._plan(entry, staged, current)}
            changes = tuple(
                anew.get(change.values, change) if change.values in todo else change
                for change in entry.changes
            )
            entry = self._announce(entry, changes, current, adoption)
        raise self._disturbed(entry)

    def _plan(self, entry: Entry, staged: Mapping[Values, Staged], current: Current) -> tuple[Change, ...]:
        return plan_changes(
            self._flips.selection,
            staged,
            current,
            attempt=entry.attempt,
            base=self._flips.journal.base,
            known=entry.changes,
        )

    def _announce(
        self, entry: Entry, changes: tuple[Change, ...], current: Current, adoption: Adoption
    ) -> Entry:
        now = self._flips.journal.now()
        if entry.published_at is not None:
            now = max(now, entry.published_at + timedelta(microseconds=1))
        return self._flips.journal.advance(
            entry,
            state=State.PUBLISHING,
            changes=changes,
            published_at=next_moment(now, current.values()),
            found=None if entry.found is None else (),  # the changes say it from here on
            **adoption.facts(entry, changes),
        )


def _place(staged: Mapping[Values, Staged], values: Values) -> str | None:
    found = staged.get(values)
    return None if found is None else found.location
