"""Files that something else wrote: listed when a partition is taken away from them, before Glue is changed.

What was not listed then was written later, or was being uploaded, and belongs to somebody else: no overwrite
and no sweep ever deletes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.overwrite.journal_entry import AdoptedFile, Change, Entry
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.lease import Lease
from airflow_quilt_athena.flows.overwrite.natural_files import is_read, list_natural

log = logging.getLogger(__name__)

_MOST_UNDER_LEASE = 5000  # files: five pages
_MOST_IN_ENTRY = 1000
_PARALLEL_LISTS = 8


class Adoption:
    """What lies in the folders that an overwrite takes partitions away from."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._files: dict[str, tuple[AdoptedFile, ...]] = {}
        self._waiting: list[str] = []
        self._place: str | None = None

    def knows(self, changes: Sequence[Change], lease: Lease) -> bool:
        """Whether all folders are listed. One of few files is listed at once, under the lease."""
        self._wait_for(changes)
        if len(self._waiting) == 1:
            lease.renew()
            (folder,) = self._waiting
            found = tuple(islice(_list(self._journal, folder), _MOST_UNDER_LEASE + 1))
            if len(found) <= _MOST_UNDER_LEASE:
                self._files[folder] = found
                self._waiting = []
        return not self._waiting

    def list_missing(self, changes: Sequence[Change]) -> None:
        """List all folders that are not listed yet, while no lease is held."""
        self._wait_for(changes)
        self.list_all()

    def _wait_for(self, changes: Sequence[Change]) -> None:
        folders = {change.adopted for change in changes if change.adopted is not None}
        self._waiting = sorted(folders - self._files.keys())

    def list_all(self) -> None:
        """List what was found to be missing, side by side, while nobody is kept waiting."""
        with ThreadPoolExecutor(_PARALLEL_LISTS, thread_name_prefix="adopted") as pool:
            found = pool.map(lambda folder: tuple(_list(self._journal, folder)), self._waiting)
            self._files |= dict(zip(self._waiting, found, strict=True))
        self._waiting = []

    def facts(self, entry: Entry, changes: Sequence[Change]) -> dict[str, Any]:
        """Return what the journal entry keeps of it, and say once what it costs."""
        folders = sorted({change.adopted for change in changes if change.adopted is not None})
        files = {folder: self._files[folder] for folder in folders if self._files.get(folder)}
        if not files:
            return {}
        if entry.adopted_list is None and not entry.adopted_files:
            _tell(files)
        if sum(map(len, files.values())) <= _MOST_IN_ENTRY:
            return {"adopted_files": files}
        self._place = self._place or self._journal.write_adopted(entry, files)
        return {"adopted_list": self._place}


def _tell(files: dict[str, tuple[AdoptedFile, ...]]) -> None:
    count = sum(map(len, files.values()))
    size_bytes = sum(file.size_bytes for found in files.values() for file in found)
    first, *others = files
    where = first if not others else f"{first} and {len(others)} more folders"
    log.info(
        "%d files, %d bytes, that something else had written stay at %s. No reader of the table meets them "
        "from now on, and they cost storage until somebody deletes them: "
        'SweepGenerationsOperator(adopted="delete") does, after the time that replaced rows are kept.',
        count,
        size_bytes,
        where,
    )


def _list(journal: Journal, folder: str) -> Iterator[AdoptedFile]:
    place = S3Uri.parse(folder)
    inside = list_natural(journal.s3, journal.base, place)
    return (
        AdoptedFile(found.key.removeprefix(place.key), found.etag, found.size_bytes)
        for found in inside
        if is_read(found, place)
    )
