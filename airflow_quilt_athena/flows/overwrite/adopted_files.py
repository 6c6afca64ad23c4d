"""Delete files that something else had written before the first overwrite, when a user says so.

By the list that was written down when the partition was taken over: keys with their ETags. Nothing goes when
any table or partition that the caller may look at lies at, above or below the folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Table
from airflow_quilt_athena.core.overwrite.asked_partitions import any_partition
from airflow_quilt_athena.core.overwrite.history import was_published
from airflow_quilt_athena.core.overwrite.journal_entry import AdoptedFile, Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import location_of
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.objects import MAX_KEYS_PER_DELETE, Listed, delete_listed
from airflow_quilt_athena.flows.overwrite.flips import Flips
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict
from airflow_quilt_athena.flows.overwrite.natural_files import list_natural
from airflow_quilt_athena.flows.overwrite.readers import find_readers
from airflow_quilt_athena.flows.overwrite.sweep_result import SweepResult


class AdoptedFiles:
    """The adopted files of one table."""

    def __init__(self, clients: LakeClients, journal: Journal, table: Table) -> None:
        self._clients = clients
        self._journal = journal
        self._table = table
        self._flips = Flips(clients.glue, journal, table.name, table, any_partition(table))

    def delete(self, adopted: Mapping[str, Entry], result: SweepResult) -> None:
        """Delete what was listed in these folders when they were taken over, or tell what would go."""
        if not adopted:
            return
        readers = find_readers(self._clients.glue, self._table, adopted, result.unread)
        for folder, planned in sorted(adopted.items()):
            if folder in readers:
                result.leave(planned, f"{folder} stays: {readers[folder]} lies there as well")
                continue
            entry = self._take(planned, folder, result)
            if entry is None:
                continue
            files = self._find(folder, self._journal.read_adopted(entry).get(folder, ()))
            if result.dry_run:
                result.count(folder, len(files), sum(found.size_bytes for found in files))
                continue
            stayed = self._delete(folder, files, result)
            if not stayed:
                result.adopted.pop(folder, None)
            deleted = (*entry.deleted, *(() if stayed else (folder,)))
            self._journal.advance(entry, state=State.PUBLISHED, doomed=(), deleted=deleted)

    def _take(self, planned: Entry, folder: str, result: SweepResult) -> Entry | None:
        """Take the entry against a rollback, and look at Glue once more."""
        entry = self._journal.read_if_readable(planned.name)
        if entry is None or not was_published(entry) or entry.state is not State.PUBLISHED:
            result.leave(planned, f"{folder} stays: the entry that took it over is being worked at")
            return None
        if result.dry_run:
            return entry
        try:
            entry = self._journal.advance(entry, state=State.DELETING, doomed=(folder,))
        except JournalConflict as conflict:
            result.leave(planned, str(conflict))
            return None
        values = sorted(change.values for change in entry.changes if change.adopted == folder)
        current = self._flips.observe_these(values)
        if any(location_of(partition) == folder for partition in current.values()):
            result.leave(planned, f"{folder} stays: Glue points at it again")
            self._journal.advance(entry, state=State.PUBLISHED, doomed=())
            return None
        return entry

    def _find(self, folder: str, files: Sequence[AdoptedFile]) -> list[Listed]:
        """Return those of the listed files that are still what they were then."""
        place = S3Uri.parse(folder)
        then = {(file.name, file.etag) for file in files}
        found = list_natural(self._clients.s3, self._journal.base, place)
        return [one for one in found if (one.key.removeprefix(place.key), one.etag) in then]

    def _delete(self, folder: str, files: Sequence[Listed], result: SweepResult) -> bool:
        """Delete them as long as they are what they were; tell whether some stayed."""
        bucket, some_stayed = S3Uri.parse(folder).bucket, False
        for batch in in_batches(files, MAX_KEYS_PER_DELETE):
            etags = {found.key: found.etag for found in batch}
            deleted, stayed = delete_listed(self._clients.s3, bucket, list(etags), etags)
            result.stay(stayed)
            result.count(folder, deleted, sum(found.size_bytes for found in batch))
            some_stayed = some_stayed or bool(stayed)
        return some_stayed
