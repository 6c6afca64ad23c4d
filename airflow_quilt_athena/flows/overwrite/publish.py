"""Point partitions at what was staged, or back at what they had; go on where somebody else left off.

The journal says what is to become of each partition before Glue is touched, and Glue is touched under the
table's lease alone. A set is read back, and mended, before anybody is told that it is done. Where the lease
was lost meanwhile, what was published may have been overtaken, or have overtaken others: it is published
anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from airflow_quilt_athena.core.glue.selection import Partition, Selection, Values, parse_partitions
from airflow_quilt_athena.core.glue.tables import Table, TableName, parse_table
from airflow_quilt_athena.core.overwrite.history import find_newest, moment_of, next_moment, was_published
from airflow_quilt_athena.core.overwrite.journal_entry import SUPERSEDED, Action, Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.partition_changes import (
    Staged,
    is_superseded_by,
    location_of,
    plan_changes,
    plan_roll_forward,
)
from airflow_quilt_athena.core.overwrite.plan import scratch_folder
from airflow_quilt_athena.core.overwrite.table_input import (
    WriteFacts,
    build_partition_input,
    build_repointed_table,
)
from airflow_quilt_athena.exceptions import InvalidCallError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.deadline import ask as ask_patiently
from airflow_quilt_athena.flows.overwrite.adoption import Adoption
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict
from airflow_quilt_athena.flows.overwrite.lease import Lease, LeaseLost

log = logging.getLogger(__name__)

_MAX_TRIES = 5
_PAUSE_SECONDS = 0.5

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
        adoption = Adoption(self.journal)
        for _ in range(_MAX_TRIES):
            done = False
            try:
                lease = self.lease(entry.name)
                seen: Current | None = None
                if not lease.take_if_free() and not self.selection.is_set:
                    entry, seen = self._announce_ahead(entry, staged, adoption)
                with lease:
                    left, _ = self.settle_left(lease)
                    entry, done = self._publish(entry, staged, lease, left, adoption, seen)
            except (LeaseLost, JournalConflict) as lost:
                log.warning("%s", lost)
                entry = self.overtake(entry)
                done = was_published(entry)
            if done:
                return entry
            adoption.list_all()
        raise RetryableError(
            f"{self.selection.title} of table {self.name} is being changed by others without pause. The "
            f"new files are at {entry.folder}. Run the task again."
        )

    def lease(self, holder: str) -> Lease:
        """Return the lease of the table, to be held for a journal entry, or by a sweep."""
        return Lease(self.journal, holder)

    def overtake(self, entry: Entry) -> Entry:
        """Return the entry, to be published after all that was published since its lease was lost.

        Where others finished it meanwhile, it is returned as published; our late calls are taken back.
        """
        entries, _ = self.journal.read_table(self.name)
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

    def _announce_ahead(
        self, entry: Entry, staged: Mapping[Values, Staged], adoption: Adoption
    ) -> tuple[Entry, Current]:
        """Announce one flip while others hold the lease; return what it was planned from.

        Under the lease one look then tells whether it is so still, and whoever waits next waits less.
        """
        seen = self._observe(staged, ask_patiently)
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
        current = self._observe(staged, lease.ask)
        changes = entry.changes
        if current != seen:
            changes = self._plan(entry, staged, current)
            if not adoption.knows(changes, lease):
                return entry, False
            entry = self._announce(entry, changes, current, adoption)
        todo = {c.values for c in changes if location_of(current.get(c.values)) != c.location}
        for superseded in left:
            self._end(superseded)
        for _ in range(_MAX_TRIES):
            refused = self.apply(entry, todo, current, lease)
            if not refused and not self.selection.is_set:
                return entry, True
            if refused:
                time.sleep(_PAUSE_SECONDS)
            current = self._observe(staged, lease.ask)
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
        raise RetryableError(
            f"{self.selection.title} of table {self.name} is being changed by others without pause. The "
            f"new files are at {entry.folder}. Run the task again."
        )

    def _observe(self, staged: Mapping[Values, Staged], asking: catalog.Ask) -> Current:
        if self.selection.is_unpartitioned:
            return self._observe_table(asking)
        return catalog.observe_partitions(
            self.glue, self._partitioned, self.selection, sorted(staged), ask=asking
        )

    def _observe_table(self, asking: catalog.Ask) -> Current:
        table = catalog.observe_table(self.glue, self.name, asking)
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

    def _announce(
        self, entry: Entry, changes: tuple[Change, ...], current: Current, adoption: Adoption
    ) -> Entry:
        now = self.journal.now()
        if entry.published_at is not None:
            now = max(now, entry.published_at + timedelta(microseconds=1))
        return self.journal.advance(
            entry,
            state=State.PUBLISHING,
            changes=changes,
            published_at=next_moment(now, current.values()),
            found=None if entry.found is None else (),  # the changes say it from here on
            **adoption.facts(entry, changes),
        )

    def apply(self, entry: Entry, todo: Iterable[Values], current: Current, lease: Lease) -> set[Values]:
        """Make the changes of these partitions; return those that were not as they had been looked at.

        Partitions that go are last: a reader of the set then misses nothing that is still to come.
        """
        wanted = set(todo)
        changes = [change for change in entry.changes if change.values in wanted]
        lease.leaves_work(bool(changes) and entry.is_set)
        if self.selection.is_unpartitioned:
            return {
                change.values for change in changes if not self._repoint_table(entry, change, current, lease)
            }
        table, facts = self._partitioned, WriteFacts.of(entry)
        inputs = {
            change.values: build_partition_input(table, change, facts)
            for change in changes
            if change.location is not None
        }
        created = [inputs[c.values] for c in changes if c.previous is None and c.location is not None]
        replaced = [inputs[c.values] for c in changes if c.previous is not None and c.location is not None]
        removed = [c.previous["Values"] for c in changes if c.previous is not None and c.location is None]
        refused = catalog.create_partitions(self.glue, table, created, lease.ask)
        refused |= catalog.update_partitions(self.glue, table, replaced, lease.ask)
        catalog.delete_partitions(self.glue, table, removed, lease.ask)
        return refused

    def _repoint_table(self, entry: Entry, change: Change, current: Current, lease: Lease) -> bool:
        """Compare and swap: False when the table is no longer where it was looked at."""
        facts, raw = WriteFacts.of(entry), current.get(())
        if raw is None and self.definition is not None:
            new = parse_table({**self.definition, "DatabaseName": self.name.database})
            return catalog.create_table(
                self.glue, self.name, build_repointed_table(new, change, facts), lease.ask
            )
        if raw is None or location_of(raw) != change.previous_location:
            return raw is not None and location_of(raw) == change.location
        table = parse_table(raw, self.name.catalog_id)
        return catalog.update_table(self.glue, table, build_repointed_table(table, change, facts), lease.ask)

    # ----------------------------------------------------------------------------- what others left behind

    def settle_left(self, lease: Lease) -> tuple[list[Entry], list[Entry]]:
        """Finish the sets that holders of the lease left half published; return the others, and those.

        A single flip that was not made is not made for anybody: the old rows are whole. Where all of a set is
        about to be replaced it is not finished, but is to be ended once what replaces it is written down.
        """
        superseded: list[Entry] = []
        finished: list[Entry] = []
        for name in lease.left_by:
            left = self.journal.read_if_readable(name)
            if left is None or left.state is not State.PUBLISHING or left.claimed_by is not None:
                continue
            if self._supersedes(left):
                superseded.append(left)
            elif left.is_set and self._finish(left, lease):
                finished.append(left)
        return superseded, finished

    def _supersedes(self, left: Entry) -> bool:
        ours = left.table == str(self.name) and left.is_set and left.kind is Kind.OVERWRITE
        return ours and is_superseded_by(self.selection, left)

    def _finish(self, left: Entry, lease: Lease) -> bool:
        try:
            publisher = self.of_any(left.table, lease)
            if publisher is None:
                log.warning(
                    "Attempt %s was left half published, and table %s is gone.", left.name, left.table
                )
                return False
            publisher.roll_forward(left, lease)
        except JournalConflict as conflict:
            log.info("Attempt %s was finished by somebody else meanwhile: %s", left.attempt.name, conflict)
            return False
        return True

    def of_any(self, table: str, lease: Lease) -> Publisher | None:
        """Return a publisher of any partition of this table, or of another one over the same folder."""
        if table == str(self.name):
            return replace(self, selection=selection_of_any(self.table))
        name = TableName.parse(table, self.name.database, self.name.catalog_id)
        found = catalog.observe_table(self.glue, name, lease.ask)
        if found is None:
            return None
        return Publisher(self.glue, self.journal, name, found, selection_of_any(found))

    def _end(self, left: Entry) -> None:
        keep_until = self.journal.now() + timedelta(seconds=left.retain_seconds)
        try:
            self.journal.advance(left, state=State.ABORTED, keep_until=keep_until, reason=SUPERSEDED)
        except JournalConflict as conflict:
            log.info("Attempt %s was finished by somebody else meanwhile: %s", left.attempt.name, conflict)
        else:
            log.warning("Attempt %s was left half published; this overwrite replaces it.", left.attempt.name)

    def roll_forward(self, left: Entry, lease: Lease) -> Entry:
        """Finish a set that another attempt left half published; what was written since stays as it is."""
        newest = find_newest(self.journal.read_table(self.name)[0].values())
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
        publisher = replace(self, selection=selection_of_any(self.table))
        changes = [change for change in entry.changes if change.values not in set(but)]
        values = [change.values for change in changes]
        rolled: set[Values] = set()
        for _ in range(_MAX_TRIES):
            current = publisher.observe_these(values, lease)
            todo = [change.values for change in plan_roll_forward(changes, current)]
            if not todo:
                lease.leaves_work(False)
                return len(rolled)
            publisher.apply(entry, todo, current, lease)
            rolled |= set(todo)
        raise RetryableError(
            f"Partitions of table {self.name} are being changed by others without pause, and attempt "
            f"{entry.attempt.name} is not all published. Run the task again."
        )

    def observe_these(self, values: Sequence[Values], lease: Lease | None = None) -> Current:
        """Return these partitions as Glue has them now; the table itself, when it has no keys."""
        asking = ask_patiently if lease is None else lease.ask
        if self.selection.is_unpartitioned:
            table = catalog.observe_table(self.glue, self.name, asking)
            return {} if table is None else {(): table.raw}
        selection = selection_of_any(self.table)
        return catalog.observe_partitions(self.glue, self._partitioned, selection, values, ask=asking)

    def finish(self, left: Entry) -> None:
        """Finish what an attempt of one's own left half published, or end it, before another is begun."""
        with self.lease(left.name) as lease:
            self.settle_left(lease)
            if left.is_set:
                replace(self, selection=selection_of_any(self.table)).roll_forward(left, lease)
            else:
                self.settle_single(left, lease)

    def settle_single(self, left: Entry, lease: Lease) -> Entry:
        """End an attempt at one partition that died while it published: published, if Glue points at it."""
        (change,) = left.changes
        current = self.observe_these([change.values], lease)
        if location_of(current.get(change.values)) == change.location:
            return self.settle(left)
        self.release(left)
        reason = "died before its partition was repointed"
        keep_until = self.journal.now() + timedelta(seconds=left.retain_seconds)
        log.warning("Attempt %s %s: the old rows stay.", left.attempt.name, reason)
        return self.journal.advance(left, state=State.ABORTED, keep_until=keep_until, reason=reason)

    def point_back(
        self, newest: Mapping[Values, tuple[Entry, Change]], current: Current, lease: Lease
    ) -> None:
        """Point partitions at what was published last, where a late call of another run points elsewhere."""
        for values, (entry, change) in newest.items():
            now = current.get(values)
            action = Action.CREATED if now is None else Action.REPLACED
            again = replace(
                change,
                action=Action.REMOVED if change.location is None else action,
                previous=now,
                previous_location=location_of(now),
            )
            self.apply(replace(entry, changes=(again,)), [values], current, lease)

    def give_way(self, entry: Entry) -> None:
        """Point back what late calls of this run, which others ended or finished, point elsewhere.

        Trouble with it is logged: the sweep does the same.
        """
        try:
            with self.lease(f"{entry.name}-back") as lease:
                self.settle_left(lease)
                current = self.observe_these([change.values for change in entry.changes], lease)
                newest = find_newest(self.journal.read_table(self.name)[0].values())
                wrong: dict[Values, tuple[Entry, Change]] = {}
                for change in entry.changes:
                    right = newest.get(change.values) or (entry, _undone(change))
                    # What its successor found removed is removed.
                    is_gone = change.location is None and entry.reason == SUPERSEDED
                    place = location_of(current.get(change.values))
                    if place == change.location != right[1].location and not is_gone:
                        wrong[change.values] = right
                self.point_back(wrong, current, lease)
        except QuiltAthenaError as trouble:
            log.warning("What attempt %s did late is left to the sweep: %s", entry.attempt.name, trouble)

    # ------------------------------------------------------------------------------------- the end of it

    def settle(self, entry: Entry) -> Entry:
        """Let go of what a rollback claimed, and mark the entry published: from here on it is a fact."""
        if was_published(entry):
            return entry  # others finished it
        self.release(entry)
        return self.journal.advance(
            entry,
            state=State.PUBLISHED,
            settled_at=self.journal.now(),
            untidy=scratch_folder(entry) is not None,
        )

    def release(self, rollback: Entry) -> None:
        """Let go of the entries that a rollback held on to while it pointed back at their files."""
        for owner in self.journal.read_all(rollback.claims):
            if owner.claimed_by == rollback.name:
                self.journal.advance(owner, state=State.PUBLISHED, claimed_by=None)


def _undone(change: Change) -> Change:
    """Return the change that gives a partition back what it had, where no overwrite had published it."""
    return replace(
        change,
        location=change.previous_location,
        generation=change.previous_generation,
        restored=change.previous,
    )


def _place(staged: Mapping[Values, Staged], values: Values) -> str | None:
    found = staged.get(values)
    return None if found is None else found.location


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
