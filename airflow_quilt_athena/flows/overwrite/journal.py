"""The journal of a table: an object in S3 for each attempt, created once and advanced by compare and swap."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, entry_place, journal_folder, parse_entry
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import (
    clock_of,
    delete_object,
    list_objects,
    read_object,
    write_object,
)

_PARALLEL_READS = 8
_SUFFIX = ".json"


class JournalConflict(RetryableError):
    """Somebody else advanced the entry first. ``found`` is the entry as it is now; None when it is gone."""

    def __init__(self, entry: Entry, found: Entry | None) -> None:
        now = f"{found.state.value} (of {found.writer})" if found else "gone"
        super().__init__(
            f"Attempt {entry.attempt.name} at table {entry.table} was taken over by another run or a sweep: "
            f"its journal entry is {now}; expected {entry.state.value}. Run the task again."
        )
        self.found = found


class Journal:
    """Reads and writes the entries of one table.

    :param base: the table's base; the journal lies in its ``.generations/.journal/``.
    """

    def __init__(self, s3: S3Client, base: S3Uri, *, kms_key_arn: str | None = None) -> None:
        self.s3 = s3
        self.base = base
        self.clock = clock_of(s3)
        self.kms_key_arn = kms_key_arn
        self._writer = secrets.token_hex(4)
        self._etags: dict[str, str] = {}

    def place(self, name: str) -> S3Uri:
        """Return the object of an entry."""
        return entry_place(self.base, name)

    def create(self, entry: Entry) -> bool:
        """Write a new entry; False when there is one of its name."""
        entry = replace(entry, writer=self._writer)
        if self._write(entry, None):
            return True
        found = self.read(entry.name)
        return found is not None and self._is_mine(found, entry)  # the answer to our own write was lost

    def read(self, name: str) -> Entry | None:
        """Return an entry as it is now, or None."""
        found = read_object(self.s3, self.place(name), self.clock)
        if found is None:
            return None
        self._etags[name] = found.etag
        return parse_entry(found.body, str(self.place(name)))

    def advance(self, entry: Entry, **changes: Any) -> Entry:
        """Write ``entry`` with ``changes``, if it still is as it was read or written here; return it.

        :raises JournalConflict: when it is not.
        """
        new = replace(
            entry,
            **{"updated_at": self.clock.now(), **changes},
            revision=entry.revision + 1,
            writer=self._writer,
        )
        if not self._write(new, self._etags[entry.name]):
            found = self.read(entry.name)
            if found is None or not self._is_mine(found, new):
                raise JournalConflict(entry, found)
        return new

    def remove(self, entry: Entry) -> bool:
        """Delete an entry that is still as it was read or written here."""
        return delete_object(self.s3, self.place(entry.name), self._etags[entry.name])

    def latest(self, digest: str) -> Entry | None:
        """Return the newest attempt of a task key."""
        names = [name for name in self.names(f"{digest}-") if name.rpartition("-")[2].isdigit()]
        newest = max(names, key=lambda name: int(name.rpartition("-")[2]), default=None)
        return self.read(newest) if newest else None

    def names(self, start: str = "") -> tuple[str, ...]:
        """Return the names of all entries that begin with ``start``."""
        folder = journal_folder(self.base)
        below = S3Uri(folder.bucket, folder.key + start)
        keys = (listed.key.removeprefix(folder.key) for listed in list_objects(self.s3, below))
        return tuple(key.removesuffix(_SUFFIX) for key in keys if key.endswith(_SUFFIX))

    def read_all(self, names: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of these names, by name; those that are gone are left out."""
        with ThreadPoolExecutor(_PARALLEL_READS, thread_name_prefix="journal") as pool:
            found = pool.map(self.read, names)
            return {entry.name: entry for entry in found if entry is not None}

    def read_table(self, table: TableName) -> tuple[dict[str, Entry], dict[str, Entry]]:
        """Return the entries of a table, and those of others that were made over the same base."""
        entries = self.read_all(self.names())
        ours = {name: entry for name, entry in entries.items() if entry.table == str(table)}
        return ours, {name: entry for name, entry in entries.items() if name not in ours}

    def owner_of(self, generation: str | None) -> Entry | None:
        """Return the entry of a generation by its name, if there still is one."""
        attempt = Attempt.parse(generation) if generation else None
        entry = self.read(attempt.entry_name) if attempt else None
        return entry if entry is not None and entry.attempt == attempt else None

    def _write(self, entry: Entry, replaces: str | None) -> bool:
        etag = write_object(
            self.s3,
            self.place(entry.name),
            entry.render(),
            self.clock,
            replaces=replaces,
            kms_key_arn=self.kms_key_arn,
        )
        if etag is not None:
            self._etags[entry.name] = etag
        return etag is not None

    def _is_mine(self, found: Entry, written: Entry) -> bool:
        return found.render() == written.render()


def new_nonce() -> str:
    """Return what makes an attempt's names its own."""
    return secrets.token_hex(4)
