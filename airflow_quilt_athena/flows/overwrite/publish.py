"""Point partitions at what was staged, or back at what they had; go on where somebody else left off.

The journal says what is to become of each partition before Glue is touched. One partition flips in one call.
A set flips under the table's lease, is read back, and mended, before anybody is told that it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from airflow_quilt_athena.core.glue.selection import Partition, Selection, Values, parse_partitions
from airflow_quilt_athena.core.glue.tables import Table, TableName, parse_table
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.partition_changes import (
    Staged,
    is_superseded_by,
    location_of,
    plan_changes,
    plan_roll_forward,
)
from airflow_quilt_athena.core.overwrite.table_input import (
    WriteFacts,
    build_partition_input,
    build_repointed_table,
)
from airflow_quilt_athena.exceptions import InvalidCallError, RetryableError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.overwrite.cleanup import tidy
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict
from airflow_quilt_athena.flows.overwrite.lease import Lease

log = logging.getLogger(__name__)

_MAX_TRIES = 5

Result = TypeVar("Result")
Partitions = Partition | Sequence[Partition]
Current = Mapping[Values, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes in one table. ``selection`` is what the attempt may change.

    A table without keys may not be there yet: then ``definition`` is what to create, and ``table`` None.
    """

    glue: GlueClient
    journal: Journal
    name: TableName
    table: Table | None
    selection: Selection
    definition: Mapping[str, Any] | None = None

    def publish(self, entry: Entry, staged: Mapping[Values, Staged]) -> Entry:
        """Publish what was staged, by its partitions' identities; return the entry as it then is.

        May be called again for an attempt that was left half published: what has flipped stays so.
        """
        if self.selection.is_set:
            return self.under_lease(entry, lambda lease, left: self._publish(entry, staged, lease, left))
        return self._publish(entry, staged, None, None)

    def under_lease(self, entry: Entry, work: Callable[[Lease, Entry | None], Result]) -> Result:
        """Do ``work`` while nobody else publishes a set in this table.

        What the last holder left half published is finished first; where all of it is about to be replaced,
        ``work`` is given it instead, to end it once what replaces it is written down.
        """
        with Lease(self.journal, entry.name) as lease:
            left = self._find_left(lease.left_by)
            if left is not None and not self._supersedes(left):
                self._finish(left)
                left = None
            return work(lease, left)

    def _publish(
        self, entry: Entry, staged: Mapping[Values, Staged], lease: Lease | None, left: Entry | None
    ) -> Entry:
        current = self._observe(staged)
        changes = self._plan(entry, staged, current)
        todo = {c.values for c in changes if location_of(current.get(c.values)) != c.location}
        entry = self._announce(entry, changes)
        if left is not None:
            self._end(left)
        for _ in range(_MAX_TRIES):
            refused = self.apply(entry, todo, lease)
            if not refused and lease is None:
                return entry
            current = self._observe(staged)
            todo = {v for v in refused if location_of(current.get(v)) != staged[v].location}
            todo |= {change.values for change in plan_roll_forward(entry.changes, current)}
            if not todo:
                return entry
            # Somebody else was there between our look and our call; what they did is now what was before.
            anew = {change.values: change for change in self._plan(entry, staged, current)}
            changes = tuple(
                anew.get(change.values, change) if change.values in todo else change
                for change in entry.changes
            )
            entry = self._announce(entry, changes)
        raise RetryableError(
            f"{self.selection.title} of table {self.name} is being changed by others without pause. The "
            f"new files are at {entry.folder}. Run the task again."
        )

    def _observe(self, staged: Mapping[Values, Staged]) -> Current:
        if self.selection.is_unpartitioned:
            return self._observe_table()
        return catalog.observe_partitions(self.glue, self._partitioned, self.selection, sorted(staged))

    def _observe_table(self) -> Current:
        table = catalog.observe_table(self.glue, self.name)
        if table is None and self.definition is None:
            raise RetryableError(f"Table {self.name} vanished while it was being written to.")
        return {} if table is None else {(): table.raw}

    @property
    def _partitioned(self) -> Table:
        if self.table is None:
            raise RetryableError(f"Table {self.name} vanished while it was being written to.")
        return self.table

    def _plan(self, entry: Entry, staged: Mapping[Values, Staged], current: Current) -> tuple[Change, ...]:
        return plan_changes(
            self.selection,
            staged,
            current,
            attempt=entry.attempt,
            base=self.journal.base,
            known=entry.changes,
        )

    def _announce(self, entry: Entry, changes: tuple[Change, ...]) -> Entry:
        now = self.journal.clock.now()
        return self.journal.advance(entry, state=State.PUBLISHING, changes=changes, published_at=now)

    def apply(self, entry: Entry, todo: Iterable[Values], lease: Lease | None) -> set[Values]:
        """Make the changes of these partitions; return those that were not as they had been looked at.

        Partitions that go are last: a reader of the set then misses nothing that is still to come.
        """
        wanted = set(todo)
        changes = [change for change in entry.changes if change.values in wanted]
        if lease is not None:
            lease.half_done = bool(changes)
        if self.selection.is_unpartitioned:
            return {change.values for change in changes if not self._repoint_table(entry, change)}
        table, facts = self._partitioned, WriteFacts.of(entry)
        renew = lease.renew if lease is not None else _no_lease
        inputs = {
            change.values: build_partition_input(table, change, facts)
            for change in changes
            if change.location is not None
        }
        created = [inputs[change.values] for change in changes if change.previous is None]
        replaced = [inputs[c.values] for c in changes if c.previous is not None and c.location is not None]
        removed = [c.previous["Values"] for c in changes if c.previous is not None and c.location is None]
        refused = catalog.create_partitions(self.glue, table, created, renew)
        refused |= catalog.update_partitions(self.glue, table, replaced, renew)
        catalog.delete_partitions(self.glue, table, removed, renew)
        return refused

    def _repoint_table(self, entry: Entry, change: Change) -> bool:
        """Compare and swap: False when the table is no longer where it was looked at."""
        table = catalog.observe_table(self.glue, self.name)
        facts = WriteFacts.of(entry)
        if table is None and self.definition is not None:
            new = parse_table({**self.definition, "DatabaseName": self.name.database})
            return catalog.create_table(self.glue, self.name, build_repointed_table(new, change, facts))
        if table is None or location_of(table.raw) != change.previous_location:
            return table is not None and location_of(table.raw) == change.location
        return catalog.update_table(self.glue, table, build_repointed_table(table, change, facts))

    def _find_left(self, name: str | None) -> Entry | None:
        """Return what the last holder left half published, if no rollback answers for it by now."""
        left = self.journal.read(name) if name else None
        if left is None or left.state is not State.PUBLISHING or left.claimed_by is not None:
            return None
        return left

    def _supersedes(self, left: Entry) -> bool:
        return left.kind is Kind.OVERWRITE and is_superseded_by(self.selection, left)

    def _finish(self, left: Entry) -> None:
        try:
            self.roll_forward(left)
        except JournalConflict as conflict:
            log.info("Attempt %s was finished by somebody else meanwhile: %s", left.attempt.name, conflict)

    def _end(self, left: Entry) -> None:
        keep_until = self.journal.clock.now() + timedelta(seconds=left.retain_seconds)
        reason = "left half published, and replaced by the next overwrite of the same partitions"
        try:
            self.journal.advance(left, state=State.ABORTED, keep_until=keep_until, reason=reason)
        except JournalConflict as conflict:
            log.info("Attempt %s was finished by somebody else meanwhile: %s", left.attempt.name, conflict)
        else:
            log.warning("Attempt %s was left half published; this overwrite replaces it.", left.attempt.name)

    def roll_forward(self, left: Entry) -> Entry:
        """Finish what another attempt left half published; partitions written since stay as they are."""
        done = self.roll_changes(left)
        log.warning(
            "Attempt %s was left half published: rolled %d of %d partitions forward.",
            left.attempt.name,
            done,
            len(left.changes),
        )
        return self.conclude(left)

    def roll_changes(self, entry: Entry, lease: Lease | None = None) -> int:
        """Make those of an entry's changes that have not been made, read them back; return how many."""
        publisher = replace(self, selection=selection_of_any(self.table))
        values = [change.values for change in entry.changes]
        rolled: set[Values] = set()
        for _ in range(_MAX_TRIES):
            current = publisher.observe_these(values)
            todo = [change.values for change in plan_roll_forward(entry.changes, current)]
            if not todo:
                return len(rolled)
            publisher.apply(entry, todo, lease)
            rolled |= set(todo)
        raise RetryableError(
            f"Partitions of table {self.name} are being changed by others without pause, and attempt "
            f"{entry.attempt.name} is not all published. Run the task again."
        )

    def observe_these(self, values: Sequence[Values]) -> Current:
        """Return these partitions as Glue has them now; the table itself, when it has no keys."""
        if self.selection.is_unpartitioned:
            return self._observe_table()
        return catalog.observe_partitions(self.glue, self._partitioned, selection_of_any(self.table), values)

    def conclude(self, entry: Entry) -> Entry:
        """Remove what only served staging, let go of what a rollback claimed, mark the entry published."""
        tidied = tidy(self.glue, self.journal, entry)
        self.release(entry)
        now = self.journal.clock.now()
        return self.journal.advance(entry, state=State.PUBLISHED, settled_at=now, untidy=not tidied)

    def release(self, rollback: Entry) -> None:
        """Let go of the entries that a rollback held on to while it pointed back at their files."""
        for owner in self.journal.read_all(rollback.claims).values():
            if owner.claimed_by == rollback.name:
                self.journal.advance(owner, state=State.PUBLISHED, claimed_by=None)


def choose(table: Table, partitions: Partitions | None) -> Callable[[Values], bool] | None:
    """Return whether a partition is meant, by its values; None when all are.

    :raises InvalidCallError: when a partition does not fit the table's keys.
    """
    if partitions is None:
        return None
    if not table.partition_keys:
        raise InvalidCallError(f"Table {table.name} has no partition keys; leave partitions out.")
    selections = parse_partitions(table.partition_keys, partitions)
    return lambda values: any(selection.covers(values) for selection in selections)


def selection_of_any(table: Table | None) -> Selection:
    """Return the selection of whichever partitions are named; of the table itself, when it has no keys."""
    keys = table.partition_keys if table is not None else ()
    return Selection(keys, {}, removes=not keys)


def _no_lease() -> None:
    """One partition flips without a lease."""
