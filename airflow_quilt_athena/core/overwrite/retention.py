"""Until when what was replaced is kept: the journal of whoever replaced it says so. Runs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.history import moment_of, was_published
from airflow_quilt_athena.core.overwrite.journal_entry import Entry, State

_NOT_YET = datetime.max.replace(tzinfo=UTC)


def promises_of(entries: Iterable[Entry]) -> dict[str, datetime]:
    """Return until when each replaced folder is kept, by what those who replaced it promised.

    Who is still publishing may not have replaced it yet: its time begins when that is settled. Where a folder
    was gone back to, what had been promised before is void. What was published before is replaced as well
    where a late call of another run had taken its place: it is what an undo goes back to.
    """
    promises: dict[str, datetime] = {}
    before: dict[Values, str | None] = {}
    for entry in sorted(entries, key=moment_of):
        if entry.published_at is None:
            continue
        promise = _promise_once_settled(entry)
        for change in entry.changes:
            if change.location is not None and entry.state is State.ABORTED:
                # A call of it may land late all the same, and point at what it was to go back to.
                promises[change.location] = max(promise, promises.get(change.location, promise))
            elif change.location is not None:
                promises.pop(change.location, None)
            replaced = {change.previous_location, before.get(change.values)} - {None, change.location}
            for location in filter(None, replaced):
                promises[location] = max(promise, promises.get(location, promise))
        if was_published(entry):
            before |= {change.values: change.location for change in entry.changes}
    return promises


def _promise_once_settled(entry: Entry) -> datetime:
    if entry.state is State.PUBLISHING:
        return _NOT_YET
    if entry.state is State.ABORTED and entry.keep_until is not None:  # superseded when half published
        return max(entry.keep_until, promise_of(entry))
    return promise_of(entry)


def promise_of(entry: Entry) -> datetime:
    """Return until when what an attempt replaced is kept."""
    settled_at = entry.settled_at or entry.published_at or entry.updated_at
    return settled_at + timedelta(seconds=entry.retain_seconds)
