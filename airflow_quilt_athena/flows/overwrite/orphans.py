"""What no entry of the journal explains: folders of attempts, and temporary tables, that nobody is at.

Both are known by an attempt's name with its nonce, and are left alone for a day: no query of Athena's runs
longer than four hours.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER, Table, TableName
from airflow_quilt_athena.core.overwrite.attempt_names import TEMPORARY_PREFIX, Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Entry
from airflow_quilt_athena.core.overwrite.sweep_plan import ABANDONED_AFTER
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.objects import MAX_KEYS_PER_DELETE, delete_listed, list_objects
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.sweep_result import SweepResult

log = logging.getLogger(__name__)

_TEMPORARY = re.compile(rf"{TEMPORARY_PREFIX}[0-9a-f]{{12}}_[1-9]\d*_[0-9a-f]{{8}}(_.*)?")


@dataclass
class _Folder:
    """An attempt's folder that no entry explains."""

    place: S3Uri
    newest: datetime
    objects: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Orphans:
    """Looks for them below one table's base, and among the tables of its database.

    :param known: the journal's entries, of other tables over the same base as well.
    :param places: where Glue points for this table.
    :param now: the time to decide by.
    """

    clients: LakeClients
    journal: Journal
    table: Table
    known: Mapping[str, Entry]
    places: set[str]
    now: datetime

    def remove(self, result: SweepResult) -> None:
        """Remove them, or tell what would go."""
        for folder in self._folders():
            if self.now - folder.newest < ABANDONED_AFTER or self._is_used(folder.place):
                continue
            if result.dry_run:
                result.count(str(folder.place), folder.objects, folder.size_bytes)
            else:
                self._empty(folder, result)
        for name in self._tables():
            if not result.dry_run:
                catalog.delete_table(self.clients.glue, name)
            result.tables.append(name.table)

    def _folders(self) -> Iterator[_Folder]:
        """Yield folders of attempts that no entry explains: one listing, in the order of keys."""
        root = self.journal.base / f"{GENERATIONS_FOLDER}/"
        current: _Folder | None = None
        for found in list_objects(self.clients.s3, root):
            if current is not None and found.key.startswith(current.place.key):
                current.newest = max(current.newest, found.modified_at)
                current.objects += 1
                current.size_bytes += found.size_bytes
                continue
            if current is not None:
                yield current
            place = self._unexplained(root, found.key)
            current = None if place is None else _Folder(place, found.modified_at, 1, found.size_bytes)
        if current is not None:
            yield current

    def _unexplained(self, root: S3Uri, key: str) -> S3Uri | None:
        """Return the folder of the attempt that an object is of, if no entry knows that attempt."""
        parts = key.removeprefix(root.key).split("/")
        for depth, part in enumerate(parts[:-1]):
            attempt = Attempt.parse(part)
            if attempt is None:
                continue
            entry = self.known.get(attempt.entry_name)
            if attempt.entry_name in self.journal.unreadable or (entry and entry.attempt == attempt):
                return None
            return S3Uri(root.bucket, f"{root.key}{'/'.join(parts[: depth + 1])}/")
        return None

    def _is_used(self, folder: S3Uri) -> bool:
        if any(folder.contains(S3Uri.parse(place)) for place in self.places):
            return True
        attempt = Attempt.parse(folder.name)
        entry = self.journal.read_if_readable(attempt.entry_name) if attempt else None
        return entry is not None and entry.attempt == attempt  # begun since the journal was read

    def _empty(self, folder: _Folder, result: SweepResult) -> None:
        log.warning("No entry of the journal explains %s; its %d objects go.", folder.place, folder.objects)
        objects = list_objects(self.clients.s3, folder.place)
        while batch := list(islice(objects, MAX_KEYS_PER_DELETE)):
            keys = [found.key for found in batch]
            deleted, stayed = delete_listed(self.clients.s3, folder.place.bucket, keys)
            result.stay(stayed)
            result.count(str(folder.place), deleted, sum(found.size_bytes for found in batch))

    def _tables(self) -> Iterator[TableName]:
        databases = {self.table.name.database, *(entry.database for entry in self.known.values())}
        for database in sorted(databases):
            for raw in catalog.list_tables(
                self.clients.glue, TableName(database, ""), f"{TEMPORARY_PREFIX}*"
            ):
                made_at = raw.get("CreateTime")
                name = str(raw["Name"])
                if _TEMPORARY.fullmatch(name) and made_at and self.now - made_at >= ABANDONED_AFTER:
                    yield TableName(database, name)
