"""Remove folders of attempts: taken in the journal first, looked at in Glue again, deleted by listed keys.

Only folders of attempts go, which the journal names with their nonce. A removal takes the journal entry to
``deleting`` before it touches a file, by compare and swap against publish and rollback: the loser stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Lock
from typing import Any

from airflow_quilt_athena.core.athena.query_status import PENDING
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.overwrite.asked_partitions import any_partition
from airflow_quilt_athena.core.overwrite.attempt_names import TEMPORARY_PREFIX
from airflow_quilt_athena.core.overwrite.forgetting import Removal
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import location_of
from airflow_quilt_athena.core.overwrite.sweep_plan import ABANDONED_AFTER
from airflow_quilt_athena.flows.athena.looks import observe_queries
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.deadline import ask
from airflow_quilt_athena.flows.aws.glue_partitions import observe_partitions
from airflow_quilt_athena.flows.aws.objects import MAX_KEYS_PER_DELETE, Listed, delete_listed, list_objects
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict
from airflow_quilt_athena.flows.overwrite.sweep_result import SweepResult

_PARALLEL_REMOVALS = 8  # of boto3's ten connections


class Remover:
    """Removes what attempts at one table have staged; ``result`` is told of it."""

    def __init__(
        self, clients: LakeClients, journal: Journal, table: Table, result: SweepResult | None = None
    ) -> None:
        self._clients = clients
        self._journal = journal
        self._table = table
        self._lock = Lock()
        self._temporary: dict[str, list[str]] = {}  # by database
        self._forgotten: set[str] = set()
        self.result = result or SweepResult()

    def remove(self, removals: Iterable[Removal], most_objects: int | None = None) -> None:
        """Take each entry, look at Glue again, delete, and write down what is gone.

        :param most_objects: leave folders alone that hold more: they take many calls.
        """
        with ThreadPoolExecutor(_PARALLEL_REMOVALS, thread_name_prefix="removal") as pool:
            removals = [removal for removal in removals if self._is_small(removal, most_objects)]
            entries = list(pool.map(self._take, removals))
            taken = [(removal, entry) for removal, entry in zip(removals, entries, strict=True) if entry]
            if not taken:
                return
            current = self._look_again(taken)
            for waiting in (False, True):  # those that are to be forgotten after others come last
                some = [pair for pair in taken if bool(pair[0].after) is waiting]
                for _ in pool.map(lambda pair: self._empty(pair[0], pair[1], current), some):
                    pass

    def try_to_advance(self, entry: Entry, **changes: Any) -> Entry | None:
        """Advance an entry; None when somebody else came first, who then has it."""
        try:
            return self._journal.advance(entry, **changes)
        except JournalConflict as conflict:
            self.result.leave(entry, str(conflict))
            return None

    def find_objects(self, folder: str, current: set[str]) -> Iterator[Listed]:
        """Yield what would go of a folder: all that lies below it, but for what Glue points at inside."""
        inside = [S3Uri.parse(location).key for location in current if location.startswith(folder)]
        for found in list_objects(self._clients.s3, S3Uri.parse(folder)):
            if not found.key.startswith(tuple(inside)):
                yield found

    def _is_small(self, removal: Removal, most_objects: int | None) -> bool:
        if most_objects is None:
            return True
        found = (one for folder in removal.folders for one in self.find_objects(folder, set()))
        return sum(1 for _ in islice(found, most_objects + 1)) <= most_objects

    def _take(self, removal: Removal) -> Entry | None:
        # As it is now: what was planned from leaves out what is long.
        entry = self._journal.read_if_readable(removal.entry.name)
        if (
            entry is None
            or entry.revision != removal.entry.revision
            or entry.attempt != removal.entry.attempt
        ):
            self.result.leave(removal.entry, "it was changed meanwhile")
            return None
        if removal.asks_athena and self._is_running(entry):
            self.result.leave(entry, "one of its queries still runs")
            return None
        if not removal.folders or entry.state is State.DELETING:
            return entry
        return self.try_to_advance(entry, state=State.DELETING, doomed=removal.folders)

    def _is_running(self, entry: Entry) -> bool:
        ids = [query.query_execution_id for query in entry.queries]
        if not ids or self._journal.now() - entry.updated_at >= ABANDONED_AFTER:
            return False
        statuses = ask(
            lambda: observe_queries(self._clients.athena, ids), f"look at the queries of {entry.attempt.name}"
        )
        return any(status.state in PENDING for status in statuses)

    def _look_again(self, taken: Sequence[tuple[Removal, Entry]]) -> set[str]:
        """Return where Glue points now, as far as it can concern what is to go.

        Only partitions of an attempt can point into its own folder.
        """
        if not self._table.partition_keys:
            found = catalog.observe_table(self._clients.glue, self._table.name)
            pointers = [] if found is None else [found.raw]
        else:
            values = sorted({change.values for _, entry in taken for change in entry.changes})
            selection = any_partition(self._table)
            observed = observe_partitions(self._clients.glue, self._table, selection, values)
            pointers = list(observed.values())
        return {location for location in map(location_of, pointers) if location}

    def _empty(self, removal: Removal, entry: Entry, current: set[str]) -> None:
        """Delete, and write down what is gone."""
        emptied = [folder for folder in removal.folders if self._empty_folder(entry, folder, current)]
        if removal.whole:
            self._drop_stray_tables(entry)
        if removal.forgets and len(emptied) == len(removal.folders) and removal.after <= self._forgotten:
            self._journal.remove_adopted(entry)
            if self._journal.remove(entry):
                self._forgotten.add(entry.name)
        elif entry.state is State.DELETING:
            state = removal.entry.state
            if state is State.DELETING:  # of a sweep that died
                state = State.PUBLISHED if entry.settled_at else State.ABORTED
            deleted = tuple(dict.fromkeys((*entry.deleted, *emptied)))
            self.try_to_advance(entry, state=state, doomed=(), deleted=deleted)

    def _empty_folder(self, entry: Entry, folder: str, current: set[str]) -> bool:
        if folder in current or not entry.owns(folder):
            self.result.leave(entry, f"Glue points at {folder} again")
            return False
        bucket, whole = S3Uri.parse(folder).bucket, True
        objects = self.find_objects(folder, current)
        while batch := list(islice(objects, MAX_KEYS_PER_DELETE)):
            deleted, stayed = delete_listed(self._clients.s3, bucket, [found.key for found in batch])
            whole = whole and not stayed
            self.result.stay(stayed)
            self.result.count(folder, deleted, sum(found.size_bytes for found in batch))
        return whole

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
