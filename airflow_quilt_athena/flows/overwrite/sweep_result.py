"""What a sweep did, or would do, as it is told to people."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from airflow_quilt_athena.core.overwrite.journal_entry import Entry
from airflow_quilt_athena.core.overwrite.summary import first_in, first_of


@dataclass
class SweepResult:
    """What went, what stayed, and why. Written to by several threads."""

    dry_run: bool = False
    folders: dict[str, int] = field(default_factory=dict)  # emptied: how many objects went
    bytes_deleted: int = 0
    rolled_forward: list[str] = field(default_factory=list)
    pointed_back: list[list[str]] = field(default_factory=list)  # partitions, by their values
    stayed: list[str] = field(default_factory=list)  # objects that could not be deleted, and why
    left: dict[str, str] = field(default_factory=dict)  # attempts left alone, and why
    foreign: dict[str, int] = field(default_factory=dict)  # files that something else wrote since
    adopted: dict[str, dict[str, int]] = field(
        default_factory=dict
    )  # what lay there before us: objects, bytes
    tables: list[str] = field(default_factory=list)  # temporary tables that no attempt needed any more
    unreadable: dict[str, str] = field(default_factory=dict)  # what in the journal is no entry, and why
    unread: list[str] = field(default_factory=list)  # databases that could not be looked at, and why
    _lock: Lock = field(default_factory=Lock, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values: totals, and of each list the first ones."""
        return {
            "dry_run": self.dry_run,
            "objects_deleted": sum(self.folders.values()),
            "bytes_deleted": self.bytes_deleted,
            "folders": first_in(self.folders),
            "folders_total": len(self.folders),
            "rolled_forward": first_of(self.rolled_forward),
            "pointed_back": first_of(self.pointed_back),
            "stayed": first_of(self.stayed),
            "stayed_total": len(self.stayed),
            "left": first_in(self.left),
            "left_total": len(self.left),
            "foreign": first_in(self.foreign),
            "adopted": first_in(self.adopted),
            "adopted_objects": sum(found["objects"] for found in self.adopted.values()),
            "adopted_bytes": sum(found["bytes"] for found in self.adopted.values()),
            "tables": first_of(self.tables),
            "unreadable": first_in(self.unreadable),
            "unread": first_of(self.unread),
        }

    def count(self, folder: str, objects: int, size_bytes: int) -> None:
        """Note objects that went."""
        with self._lock:
            if objects:
                self.folders[folder] = self.folders.get(folder, 0) + objects
            self.bytes_deleted += size_bytes

    def leave(self, entry: Entry, why: str) -> None:
        """Note an attempt that is left alone, and why."""
        with self._lock:
            self.left[entry.attempt.name] = why

    def stay(self, lines: tuple[str, ...]) -> None:
        """Note objects that could not be deleted."""
        with self._lock:
            self.stayed += lines
