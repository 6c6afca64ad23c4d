"""Remove generations that nothing points at and that nobody may go back to any more.

A sweep takes a journal entry to ``deleting`` before it touches a file, by compare and swap against publish
and rollback; looks at Glue again when it has won; and deletes keys that it listed, never a prefix.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from threading import Lock
from typing import Any

from airflow_quilt_athena.core.athena.query_status import PENDING
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import identity
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.overwrite.attempt_names import TEMPORARY_PREFIX, Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import generation_of, location_of
from airflow_quilt_athena.core.overwrite.sweep_plan import (
    ABANDONED_AFTER,
    Removal,
    SweepPlan,
    Wanted,
    plan_sweep,
)
from airflow_quilt_athena.exceptions import InvalidCallError, QuiltAthenaError
from airflow_quilt_athena.flows.athena.queries import observe_queries
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.objects import Listed, delete_listed, list_objects
from airflow_quilt_athena.flows.overwrite.cleanup import tidy
from airflow_quilt_athena.flows.overwrite.foreign_files import (
    count_foreign,
    find_foreign_files,
    is_old,
    list_natural,
    natural_folder,
)
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict
from airflow_quilt_athena.flows.overwrite.publish import Partitions, Publisher, choose, selection_of_any

log = logging.getLogger(__name__)

_MOST_REPLACED = 20  # generations that an overwrite looks after by itself; the others are the sweep's
_LONGEST_CHAIN = 50
_PARALLEL_REMOVALS = 8  # of boto3's ten connections


@dataclass
class SweepResult:
    """What a sweep did, or would do."""

    dry_run: bool
    folders: dict[str, int] = field(default_factory=dict)  # emptied: how many objects went
    bytes_deleted: int = 0
    rolled_forward: list[str] = field(default_factory=list)
    stayed: list[str] = field(default_factory=list)  # objects that could not be deleted, and why
    left: dict[str, str] = field(default_factory=dict)  # attempts left alone, and why
    foreign: dict[str, int] = field(default_factory=dict)  # files that something else wrote since

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "dry_run": self.dry_run,
            "objects_deleted": sum(self.folders.values()),
            "bytes_deleted": self.bytes_deleted,
            "folders": self.folders,
            "rolled_forward": self.rolled_forward,
            "stayed": self.stayed,
            "left": self.left,
            "foreign": self.foreign,
        }


def sweep_generations(
    clients: LakeClients,
    name: TableName,
    *,
    partitions: Partitions | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
    kms_key_arn: str | None = None,
) -> SweepResult:
    """Remove what is no longer needed of a table's generations.

    :param partitions: which partitions are looked at: one or several, each whole or by some of its keys;
        None for all.
    :param dry_run: tell what would go, and change nothing.
    :param now: the time to decide by; S3's without one.
    :raises InvalidCallError: when there is no such table.
    """
    table = catalog.observe_table(clients.glue, name)
    if table is None:
        raise InvalidCallError(f"There is no table {name}. Expected one that was overwritten.")
    journal = Journal(clients.s3, table.base, kms_key_arn=kms_key_arn)
    entries, others = journal.read_table(name)
    moment = now or journal.clock.now()
    wanted = choose(table, partitions) or (lambda values: True)
    pointers = _pointers(clients, table)
    plan = plan_sweep(entries, _places(pointers), moment, wanted=wanted)
    work = _Sweeping(clients, journal, table, SweepResult(dry_run))
    for entry in others.values():
        work.leave(entry, f"it is of table {entry.table}, over the same folder")
    work.look_for_foreign_files(entries, pointers, wanted)
    if dry_run:
        work.tell(plan)
    else:
        work.do(plan, moment)
    return work.result


def _pointers(clients: LakeClients, table: Table) -> list[Mapping[str, Any]]:
    """Return what Glue has for this table that points at a folder: its partitions, or itself."""
    if table.partition_keys:
        return list(catalog.list_partitions(clients.glue, table))
    found = catalog.observe_table(clients.glue, table.name)
    return [] if found is None else [found.raw]


def _places(pointers: Iterable[Mapping[str, Any]]) -> set[str]:
    return {location for location in map(location_of, pointers) if location}


def sweep_replaced(clients: LakeClients, journal: Journal, name: TableName, entry: Entry) -> None:
    """Remove what this overwrite replaced, and what that had replaced, as far as its time is over.

    Only for a few partitions: the rest is for the sweep. Trouble is logged, not raised.
    """
    try:
        chain = _read_chain(journal, entry)
        table = catalog.observe_table(clients.glue, name) if len(chain) > 1 else None
        if table is None:
            return
        foreign = find_foreign_files(journal.s3, journal.base, table.partition_keys, entry, chain)
        for partition, folder, count in foreign:
            log.warning(
                "%d files were written below %s since partition %s was first overwritten here, by something "
                "that does not ask Glue where the partition is. Athena does not read them; they were left as "
                "they are.",
                count,
                folder,
                partition,
            )
        values = {change.values for change in entry.changes}
        here = {change.location for change in entry.changes if change.location}
        plan = plan_sweep(chain, here, journal.clock.now(), wanted=values.__contains__)
        work = _Sweeping(clients, journal, table, SweepResult(dry_run=False))
        work.remove([removal for removal in plan.remove if removal.entry.name != entry.name])
    except QuiltAthenaError as error:
        log.warning("What table %s had before could not be cleaned up: %s", entry.table, error)


def _read_chain(journal: Journal, entry: Entry) -> dict[str, Entry]:
    """Return the entry, those of the generations it replaced, and so on back."""
    chain = {entry.name: entry}
    values = {change.values for change in entry.changes}
    waiting = [entry]
    while waiting and len(chain) < _LONGEST_CHAIN:
        generations = {
            change.previous_generation
            for newer in waiting
            for change in newer.changes
            if change.values in values and change.previous_generation
        }
        attempts = [attempt for attempt in map(Attempt.parse, sorted(generations)) if attempt]
        names = [a.entry_name for a in attempts if a.entry_name not in chain][:_MOST_REPLACED]
        found = journal.read_all(names).values()
        waiting = [older for older in found if older.table == entry.table]
        chain |= {older.name: older for older in waiting}
    return chain


class _Sweeping:
    """Carries out a plan in one table."""

    def __init__(
        self,
        clients: LakeClients,
        journal: Journal,
        table: Table,
        result: SweepResult,
    ) -> None:
        self._clients = clients
        self._journal = journal
        self._table = table
        self._natural: list[Listed] | None = None  # what lies in natural folders, where all was listed
        self._lock = Lock()
        self._temporary: dict[str, list[str]] = {}  # by database
        self.result = result

    def look_for_foreign_files(
        self, entries: Mapping[str, Entry], pointers: Sequence[Mapping[str, Any]], wanted: Wanted
    ) -> None:
        """Count what others have written where overwritten partitions were: nobody reads it, and it stays."""
        base, keys = self._table.base, self._table.partition_keys
        current = [(identity(keys, raw.get("Values") or ()), raw) for raw in pointers]
        ours = [
            natural_folder(base, keys, values)
            for values, raw in current
            if generation_of(raw) and wanted(values)
        ]
        others = self._other_tables(base)
        natural = list_natural(self._clients.s3, base, base)
        self._natural = [found for found in natural if not _lies_below(found, others)]
        self.result.foreign = count_foreign(base, self._natural, entries, ours, _places(pointers))
        for folder, count in self.result.foreign.items():
            log.warning(
                "%d files below %s were written since it was first overwritten here, by something that does "
                "not ask Glue. No partition points at them; they stay.",
                count,
                folder,
            )

    def tell(self, plan: SweepPlan) -> None:
        """Count what would go."""
        self._note_left(plan)
        self.result.rolled_forward += [entry.attempt.name for entry in plan.roll_forward]
        for removal in plan.remove:
            for folder in removal.folders:
                self._count(folder, self._deletable(removal.entry, folder, set()))

    def do(self, plan: SweepPlan, now: datetime) -> None:
        """Roll forward, release, mark, and remove."""
        self._note_left(plan)
        publisher = Publisher(
            self._clients.glue,
            self._journal,
            self._table.name,
            self._table,
            selection_of_any(self._table),
        )
        for entry in plan.roll_forward:
            publisher.roll_forward(entry)
            self.result.rolled_forward.append(entry.attempt.name)
        for entry in plan.release:
            self._try(entry, state=State.PUBLISHED, claimed_by=None)
        for entry in plan.tidy:
            if tidy(self._clients.glue, self._journal, entry):
                self._try(entry, untidy=False)
        for entry, folders in plan.mark:
            keep_until = now + timedelta(seconds=entry.retain_seconds)
            marked = {**entry.marked, **dict.fromkeys(folders, keep_until)}
            if self._try(entry, state=State.SUPERSEDED, marked=marked):
                until = keep_until.isoformat(timespec="seconds")
                self.leave(entry, f"something else replaced {len(folders)} folders; kept until {until}")
        changed = {entry.name for entry in (*(entry for entry, _ in plan.mark), *plan.tidy)}
        self.remove([removal for removal in plan.remove if removal.entry.name not in changed])

    def remove(self, removals: Iterable[Removal]) -> None:
        """Take each entry, look at Glue again, delete, and write down what is gone."""
        with ThreadPoolExecutor(_PARALLEL_REMOVALS, thread_name_prefix="sweep") as pool:
            removals = list(removals)
            entries = list(pool.map(self._take, removals))
            taken = [(removal, entry) for removal, entry in zip(removals, entries, strict=True) if entry]
            if not taken:
                return
            current = self._look_again(taken)
            for emptied in pool.map(lambda pair: self._empty(pair[0], pair[1], current), taken):
                for folder, keys in emptied:
                    self._count(folder, keys)

    def _look_again(self, taken: Sequence[tuple[Removal, Entry]]) -> set[str]:
        """Return where Glue points now, as far as it can concern what is to go.

        Only partitions of an attempt can point into its own folder; into others any may.
        """
        keys = self._table.partition_keys
        if not keys or not all(entry.owns(folder) for removal, entry in taken for folder in removal.folders):
            return _places(_pointers(self._clients, self._table))
        values = sorted({change.values for _, entry in taken for change in entry.changes})
        selection = selection_of_any(self._table)
        found = catalog.observe_partitions(self._clients.glue, self._table, selection, values).values()
        return _places(found)

    def _take(self, removal: Removal) -> Entry | None:
        entry = removal.entry
        if removal.asks_athena and self._is_running(entry):
            self.leave(entry, "one of its queries still runs")
            return None
        if not removal.folders or entry.state is State.DELETING:
            return entry
        return self._try(entry, state=State.DELETING, doomed=removal.folders)

    def _is_running(self, entry: Entry) -> bool:
        ids = [query.query_execution_id for query in entry.queries]
        if not ids or self._journal.clock.now() - entry.updated_at >= ABANDONED_AFTER:
            return False
        statuses = ask(
            lambda: observe_queries(self._clients.athena, ids), f"look at the queries of {entry.attempt.name}"
        )
        return any(status.state in PENDING for status in statuses)

    def _empty(self, removal: Removal, entry: Entry, current: set[str]) -> list[tuple[str, Sequence[Listed]]]:
        """Delete, and write down what is gone; return the folders with what went."""
        emptied: list[tuple[str, Sequence[Listed]]] = []
        for folder in removal.folders:
            if folder in current:
                self.leave(entry, f"Glue points at {folder} again")
                continue
            found = self._deletable(entry, folder, current)
            keys = [listed.key for listed in found]
            _, stayed = delete_listed(self._clients.s3, S3Uri.parse(folder).bucket, keys)
            self.result.stayed += stayed
            if not stayed:
                emptied.append((folder, found))
        if removal.whole:
            self._drop_stray_tables(entry)
        if removal.forgets and len(emptied) == len(removal.folders):
            self._journal.remove(entry)
        elif entry.state is State.DELETING:
            state = removal.entry.state
            if state is State.DELETING:  # of a sweep that died
                state = State.PUBLISHED if entry.published_at else State.ABORTED
            deleted = tuple(dict.fromkeys((*entry.deleted, *(folder for folder, _ in emptied))))
            self._try(entry, state=state, doomed=(), deleted=deleted)
        return emptied

    def _deletable(self, entry: Entry, folder: str, current: set[str]) -> list[Listed]:
        """List what may go: of an own folder all, of an adopted one what is older than the overwrite."""
        place = S3Uri.parse(folder)
        inside = [S3Uri.parse(location) for location in current if location.startswith(folder)]
        if entry.owns(folder):
            listed = list_objects(self._clients.s3, place)
            return [found for found in listed if not _lies_below(found, inside)]
        if self._natural is not None and not any(f.key.startswith(place.key) for f in self._natural):
            return []  # as most are, where everything was written by us
        flipped_at = entry.published_at or entry.created_at
        kept = [*inside, *self._other_tables(place)]
        natural = list_natural(self._clients.s3, self._table.base, place)
        return [found for found in natural if is_old(found, flipped_at) and not _lies_below(found, kept)]

    def _other_tables(self, place: S3Uri) -> list[S3Uri]:
        """Return the folders of the database's other tables that lie below a place."""
        return [uri for uri in self._tables if place.contains(uri)]

    @cached_property
    def _tables(self) -> list[S3Uri]:
        tables = catalog.list_tables(self._clients.glue, self._table.name)
        found = [location_of(raw) for raw in tables if str(raw["Name"]).lower() != self._table.name.table]
        return [S3Uri.parse(location) for location in found if location]

    def _drop_stray_tables(self, entry: Entry) -> None:
        """Drop the temporary tables that an attempt which died has left, known to its journal or not."""
        start = entry.attempt.temporary_table(entry.database).table
        for name in self._temporary_tables(entry.database):
            if name.startswith(start):
                catalog.delete_table(self._clients.glue, TableName(entry.database, name))

    def _temporary_tables(self, database: str) -> list[str]:
        with self._lock:
            if database not in self._temporary:
                any_table = TableName(database, "")
                found = catalog.list_tables(self._clients.glue, any_table, f"{TEMPORARY_PREFIX}*")
                self._temporary[database] = [str(raw["Name"]) for raw in found]
            return self._temporary[database]

    def _count(self, folder: str, keys: Sequence[Listed]) -> None:
        if keys:
            self.result.folders[folder] = len(keys)
        self.result.bytes_deleted += sum(found.size_bytes for found in keys)

    def _note_left(self, plan: SweepPlan) -> None:
        for entry, why in plan.left:
            self.leave(entry, why)

    def leave(self, entry: Entry, why: str) -> None:
        """Note an attempt that is left alone, and why."""
        self.result.left[entry.attempt.name] = why

    def _try(self, entry: Entry, **changes: Any) -> Entry | None:
        """Advance an entry; None when somebody else came first, who then has it."""
        try:
            return self._journal.advance(entry, **changes)
        except JournalConflict as conflict:
            self.leave(entry, str(conflict))
            return None


def _lies_below(found: Listed, folders: Iterable[S3Uri]) -> bool:
    return any(found.key.startswith(folder.key) for folder in folders)
