"""Flips: pointing partitions, or a table without keys, at other folders, under the table's lease."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_quilt_athena.core.glue.selection import Selection, Values
from airflow_quilt_athena.core.glue.tables import Table, TableName, parse_table
from airflow_quilt_athena.core.overwrite.asked_partitions import any_partition
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry
from airflow_quilt_athena.core.overwrite.partition_changes import (
    Staged,
    location_of,
)
from airflow_quilt_athena.core.overwrite.table_input import (
    WriteFacts,
    build_partition_input,
    build_repointed_table,
)
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.deadline import ask as ask_patiently
from airflow_quilt_athena.flows.aws.glue_calls import Ask
from airflow_quilt_athena.flows.aws.glue_partitions import (
    create_partitions,
    delete_partitions,
    observe_partitions,
    update_partitions,
)
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.lease import Lease

Current = Mapping[Values, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Flips:
    """Looks at partitions of one table and points them elsewhere. ``selection`` is what may be changed.

    A table without keys may not be there yet: then ``definition`` is what to create, and ``table`` None.
    """

    glue: GlueClient
    journal: Journal
    name: TableName
    table: Table | None
    selection: Selection
    definition: Mapping[str, Any] | None = None

    def lease(self, holder: str) -> Lease:
        """Return the lease of the table, to be held for a journal entry, or by a sweep."""
        return Lease(self.journal, holder)

    def observe(self, staged: Mapping[Values, Staged], asking: Ask) -> Current:
        """Return what may be changed as Glue has it now, and the partitions that were staged."""
        if self.selection.is_unpartitioned:
            return self._observe_table(asking)
        return observe_partitions(self.glue, self._partitioned, self.selection, sorted(staged), ask=asking)

    def _observe_table(self, asking: Ask) -> Current:
        table = catalog.observe_table(self.glue, self.name, asking)
        if table is None and self.definition is None:
            raise RetryableError(f"Table {self.name} vanished while it was being written to.")
        return {} if table is None else {(): table.raw}

    def observe_these(self, values: Sequence[Values], lease: Lease | None = None) -> Current:
        """Return these partitions as Glue has them now; the table itself, when it has no keys."""
        asking = ask_patiently if lease is None else lease.ask
        if self.selection.is_unpartitioned:
            table = catalog.observe_table(self.glue, self.name, asking)
            return {} if table is None else {(): table.raw}
        selection = any_partition(self.table)
        return observe_partitions(self.glue, self._partitioned, selection, values, ask=asking)

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
        refused = create_partitions(self.glue, table, created, lease.ask)
        refused |= update_partitions(self.glue, table, replaced, lease.ask)
        delete_partitions(self.glue, table, removed, lease.ask)
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

    @property
    def _partitioned(self) -> Table:
        if self.table is None:
            raise RetryableError(f"Table {self.name} vanished while it was being written to.")
        return self.table

    def of_table(self, table: str, lease: Lease) -> Flips | None:
        """Return the flips of any partition of this table, or of another one over the same folder."""
        if table == str(self.name):
            return self
        name = TableName.parse(table, self.name.database, self.name.catalog_id)
        found = catalog.observe_table(self.glue, name, lease.ask)
        if found is None:
            return None
        return Flips(self.glue, self.journal, name, found, any_partition(found))

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
