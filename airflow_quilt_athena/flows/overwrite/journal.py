"""The journal of a table: an object in S3 for each attempt, created once and advanced by compare and swap."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.journal_entry import AdoptedFile, Entry, entry_place, journal_folder
from airflow_quilt_athena.core.overwrite.journal_format import (
    UnreadableEntry,
    parse_adopted,
    parse_entry,
    render_adopted,
    render_entry,
)
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import (
    clock_of,
    delete_listed,
    delete_object,
    list_objects,
    read_object,
    write_object,
)

log = logging.getLogger(__name__)

_PARALLEL_READS = 8
_SUFFIX = ".json"
_ADOPTED = "adopted/"


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

    ``unreadable`` tells of the objects that were passed over because they are no entries of this journal, by
    name.
    """

    def __init__(self, s3: S3Client, base: S3Uri, *, kms_key_arn: str | None = None) -> None:
        self.s3 = s3
        self.base = base
        self.clock = clock_of(s3)
        self.kms_key_arn = kms_key_arn
        self._writer = secrets.token_hex(4)
        self._etags: dict[str, str] = {}
        self.unreadable: dict[str, str] = {}

    def now(self) -> datetime:
        """Return the time by S3's clock, which is asked when no answer has told it yet."""
        if not self.clock.is_known:
            next(list_objects(self.s3, journal_folder(self.base), page_size=1), None)
        return self.clock.now()

    def place(self, name: str) -> S3Uri:
        """Return the object of an entry."""
        return entry_place(self.base, name)

    def create(self, entry: Entry) -> bool:
        """Write a new entry; False when there is one of its name."""
        entry = replace(entry, base=str(self.base.folder), writer=self._writer)
        if self._write(entry, None):
            return True
        try:
            found = self.read(entry.name)
        except UnreadableEntry:
            return False
        return found is not None and self._is_mine(found, entry)  # the answer to our own write was lost

    def read(self, name: str) -> Entry | None:
        """Return an entry as it is now, or None.

        :raises UnreadableEntry: when the object of that name is no entry of this journal.
        """
        found = read_object(self.s3, self.place(name), self.clock)
        if found is None:
            return None
        self._etags[name] = found.etag
        return parse_entry(found.body, str(self.place(name)), name, self.base)

    def read_if_readable(self, name: str) -> Entry | None:
        """Return an entry as it is now; None, and a warning, for what is no entry of this journal."""
        try:
            return self.read(name)
        except UnreadableEntry as error:
            if name not in self.unreadable:
                log.warning("Passed over: %s", error)
            self.unreadable[name] = str(error)
            return None

    def advance(self, entry: Entry, **changes: Any) -> Entry:
        """Write ``entry`` with ``changes``, if it still is as it was read or written here; return it.

        :raises JournalConflict: when it is not.
        """
        new = replace(
            entry,
            **{"updated_at": self.now(), **changes},
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

    def latest(self, digest: str) -> tuple[int, Entry | None]:
        """Return the number of the newest attempt of a task key, 0 for none, and its entry, if it is one."""
        names = [name for name in self.names(f"{digest}-") if name.rpartition("-")[2].isdecimal()]
        newest = max(names, key=lambda name: int(name.rpartition("-")[2]), default=None)
        if newest is None:
            return 0, None
        return int(newest.rpartition("-")[2]), self.read_if_readable(newest)

    def names(self, start: str = "") -> tuple[str, ...]:
        """Return the names of all entries that begin with ``start``."""
        folder = journal_folder(self.base)
        below = S3Uri(folder.bucket, folder.key + start)
        keys = (listed.key.removeprefix(folder.key) for listed in list_objects(self.s3, below))
        return tuple(key.removesuffix(_SUFFIX) for key in keys if key.endswith(_SUFFIX) and "/" not in key)

    def read_all(self, names: Iterable[str]) -> Iterator[Entry]:
        """Yield the entries of these names; those that are gone or cannot be read are left out.

        A few are read at a time, so that a journal of any length is read in little memory.
        """
        with ThreadPoolExecutor(_PARALLEL_READS, thread_name_prefix="journal") as pool:
            waiting: deque[Future[Entry | None]] = deque()
            for name in names:
                waiting.append(pool.submit(self.read_if_readable, name))
                if len(waiting) >= 2 * _PARALLEL_READS:
                    entry = waiting.popleft().result()
                    if entry is not None:
                        yield entry
            for future in waiting:
                entry = future.result()
                if entry is not None:
                    yield entry

    def read_table(
        self, table: TableName, shorten: Callable[[Entry], Entry] = lambda entry: entry
    ) -> tuple[dict[str, Entry], dict[str, Entry]]:
        """Return the entries of a table, and those of others that were made over the same base.

        :param shorten: leaves out what the caller does not need, so that many entries fit into memory.
        """
        ours: dict[str, Entry] = {}
        others: dict[str, Entry] = {}
        for entry in self.read_all(self.names()):
            (ours if entry.table == str(table) else others)[entry.name] = shorten(entry)
        return ours, others

    def write_adopted(self, entry: Entry, files: Mapping[str, Sequence[AdoptedFile]]) -> str:
        """Write a list of files that is too long for the entry; return its place."""
        place = self._adopted_place(entry)
        write_object(self.s3, place, render_adopted(files), self.clock, kms_key_arn=self.kms_key_arn)
        return str(place)

    def read_adopted(self, entry: Entry) -> Mapping[str, Sequence[AdoptedFile]]:
        """Return the files, by folder, that lay there when an attempt took over."""
        if entry.adopted_list is None:
            return entry.adopted_files
        place = self._adopted_place(entry)
        found = read_object(self.s3, place, self.clock)
        return {} if found is None else parse_adopted(found.body, str(place))

    def remove_adopted(self, entry: Entry) -> None:
        """Delete the list of files of an entry that is no longer needed."""
        if entry.adopted_list is not None:
            place = self._adopted_place(entry)
            delete_listed(self.s3, place.bucket, [place.key])

    def _adopted_place(self, entry: Entry) -> S3Uri:
        return journal_folder(self.base) / f"{_ADOPTED}{entry.attempt.name}.jsonl"

    def _write(self, entry: Entry, replaces: str | None) -> bool:
        etag = write_object(
            self.s3,
            self.place(entry.name),
            render_entry(entry),
            self.clock,
            replaces=replaces,
            kms_key_arn=self.kms_key_arn,
        )
        if etag is not None:
            self._etags[entry.name] = etag
        return etag is not None

    def _is_mine(self, found: Entry, written: Entry) -> bool:
        return render_entry(found) == render_entry(written)


def new_nonce() -> str:
    """Return what makes an attempt's names its own."""
    return secrets.token_hex(4)
