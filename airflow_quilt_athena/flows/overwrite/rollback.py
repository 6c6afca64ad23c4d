"""Point partitions back at their previous generation, while it is kept.

A rollback has a journal entry of its own: what it changes is written down before Glue is touched, so that it
can be rolled forward when it dies half-way, and undone like an overwrite. It holds on to the entries whose
files it points at by taking them to ``publishing``; a sweep takes entries to ``deleting``. Both by compare
and swap: the loser stops.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeGuard

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Values, identity
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.overwrite.asked_partitions import Partitions, any_partition, choose
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt, digest_of
from airflow_quilt_athena.core.overwrite.history import (
    is_emptied,
    moment_of,
    next_moment,
    was_published,
)
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.partition_changes import location_of
from airflow_quilt_athena.core.overwrite.request import DEFAULT_RETAIN
from airflow_quilt_athena.core.overwrite.rollback_plan import Restoration, plan_rollback
from airflow_quilt_athena.core.overwrite.summary import summarize_changes
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.glue_partitions import list_partitions
from airflow_quilt_athena.flows.overwrite.flips import Current, Flips
from airflow_quilt_athena.flows.overwrite.journal import Journal, new_nonce
from airflow_quilt_athena.flows.overwrite.lease import Lease, LeaseLost
from airflow_quilt_athena.flows.overwrite.left_behind import LeftBehind
from airflow_quilt_athena.flows.overwrite.natural_files import is_read, list_natural

log = logging.getLogger(__name__)

_MAX_TRIES = 5


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback did, or would do."""

    dry_run: bool
    table: str
    keys: tuple[str, ...]
    changes: tuple[Change, ...]
    journal_entry: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values; of many partitions the first ones."""
        return {
            "dry_run": self.dry_run,
            "table": self.table,
            **summarize_changes(self.keys, self.changes),
            "journal_entry": self.journal_entry,
        }


def rollback_partitions(
    clients: LakeClients,
    name: TableName,
    task_key: str,
    *,
    partitions: Partitions | None = None,
    dry_run: bool = False,
    kms_key_arn: str | None = None,
) -> RollbackResult:
    """Undo the last overwrite, or the last one of each wanted partition.

    Run again with the same task key, it finishes what it began, and does nothing a second time.

    :param partitions: which partitions: one or several, each whole or by some of its keys; None for all that
        the last overwrite changed.
    :raises ManualActionError: when there is nothing to go back to; nothing was changed then.
    """
    table = catalog.observe_table(clients.glue, name)
    if table is None:
        raise InvalidCallError(f"There is no table {name}. Expected one that was overwritten.")
    journal = Journal(clients.s3, table.base, kms_key_arn=kms_key_arn)
    keys = tuple(key for key, _ in table.partition_keys)
    rollback = _Rollback(clients, journal, table, fingerprint=_fingerprint(partitions))
    if dry_run:
        plan = rollback.plan(partitions)
        return RollbackResult(True, str(name), keys, plan.changes)
    number, done = journal.latest(digest_of(task_key))
    if done is None or not rollback.is_of(done):
        plan = rollback.plan(partitions)
        attempt = Attempt(digest_of(task_key), number + 1, new_nonce())
        done = rollback.finish(rollback.begin(plan, task_key, attempt))
    elif not was_published(done):
        done = rollback.finish(done)
    return RollbackResult(False, str(name), keys, done.changes, str(journal.place(done.name)))


def _fingerprint(partitions: Partitions | None) -> str:
    text = json.dumps(partitions, default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class _Rollback:
    def __init__(self, clients: LakeClients, journal: Journal, table: Table, *, fingerprint: str) -> None:
        self._clients = clients
        self._fingerprint = fingerprint
        self._journal = journal
        self._table = table
        self._flips = Flips(clients.glue, journal, table.name, table, any_partition(table))
        self._left = LeftBehind(self._flips)

    def is_of(self, entry: Entry) -> bool:
        """Whether an entry is of this rollback, done or to be gone on with."""
        same = entry.kind is Kind.ROLLBACK and entry.fingerprint == self._fingerprint
        return same and (was_published(entry) or entry.state is State.PUBLISHING)

    def plan(self, partitions: Partitions | None) -> Restoration:
        """Decide, and make sure that what is gone back to is there."""
        try:
            return self._plan(choose(self._table, partitions))
        except ManualActionError as error:
            name = self._table.name
            what = f"table {name}" if partitions is None else f"{partitions!r} of table {name}"
            raise ManualActionError(f"Cannot roll back {what}: {error}") from error

    def _plan(self, wanted: Callable[[Values], bool] | None) -> Restoration:
        # Glue first: what it points at is announced in the journal before.
        current = self._all()
        entries, _ = self._journal.read_table(self._table.name)
        _refuse_unfinished(entries, current, wanted)
        plan = plan_rollback(entries, current, wanted, self._table, self._journal.now())
        for folder, adopter in plan.adopted:
            self._refuse_changed(folder, adopter)
        if not self._table.partition_keys and plan.changes[0].location is None:
            raise ManualActionError(
                f"Table {self._table.name} was made by the overwrite to undo. Nothing was changed. Drop the "
                "table by hand, if that is what is wanted."
            )
        return plan

    def _refuse_changed(self, folder: str, adopter: Entry) -> None:
        """Raise ManualActionError unless a folder holds what a partition had before its first overwrite."""
        place = S3Uri.parse(folder)
        found = [
            one for one in list_natural(self._clients.s3, self._journal.base, place) if is_read(one, place)
        ]
        if adopter.adopts(folder):
            then = {(f.name, f.etag) for f in self._journal.read_adopted(adopter).get(folder, ())}
            now = {(one.key.removeprefix(place.key), one.etag) for one in found}
            came, went = len(now - then), len(then - now)
        else:  # a place outside the table, of which no list is kept
            flipped_at = moment_of(adopter).replace(microsecond=0)
            came, went = sum(one.modified_at >= flipped_at for one in found), int(not found)
        if came or went:
            what = f"{came} files were written there since" if came else "files were removed from there"
            raise ManualActionError(
                f"A partition was at {folder} before its first overwrite, and {what}, by something else. "
                "Nothing was changed. Write the partition again instead."
            )

    def _all(self) -> Current:
        if not self._table.partition_keys:
            return {(): self._table.raw}
        partitions = list_partitions(self._clients.glue, self._table)
        return {identity(self._table.partition_keys, p["Values"]): p for p in partitions}

    def begin(self, plan: Restoration, task_key: str, attempt: Attempt) -> Entry:
        """Write down what is to be done."""
        now = self._journal.now()
        entry = Entry(
            attempt=attempt,
            task_key=task_key,
            table=str(self._table.name),
            database=self._table.name.database,
            kind=Kind.ROLLBACK,
            state=State.PUBLISHING,
            fingerprint=self._fingerprint,
            basis="",
            retain_seconds=DEFAULT_RETAIN.total_seconds(),
            created_at=now,
            updated_at=now,
            base=str(self._journal.base.folder),
            published_at=now,
            changes=plan.changes,
            claims=plan.owners,
        )
        if not self._journal.create(entry):
            raise RetryableError(f"Another process began rollback {attempt.entry_name}. Run the task again.")
        return entry

    def finish(self, entry: Entry) -> Entry:
        """Hold on to the files, flip what is not flipped, let go. May be repeated."""
        self._claim(entry)
        for _ in range(_MAX_TRIES):
            try:
                with self._flips.lease(entry.name) as lease:
                    self._left.settle_left(lease)
                    entry = self._flip(entry, lease)
            except LeaseLost as lost:
                log.warning("%s", lost)
                found = self._left.overtake(entry)
                if not was_published(found):
                    self._refuse_overtaken(found, moment_of(entry))
                    entry = found
                    continue
                entry = found
            return self._left.settle(entry)
        raise RetryableError(f"Rollback {entry.name} cannot keep the lease of the table. Run the task again.")

    def _flip(self, entry: Entry, lease: Lease) -> Entry:
        """Flip what is as it was planned from; give up when somebody else was there since.

        What others wrote after some of it had been flipped, by an earlier try, stays theirs.
        """
        current = self._flips.observe_these([change.values for change in entry.changes], lease)
        places = {change.values: location_of(current.get(change.values)) for change in entry.changes}
        moved = [c for c in entry.changes if places[c.values] not in {c.previous_location, c.location}]
        # A partition that is gone may have been removed by others.
        if moved and not any(c.location and places[c.values] == c.location for c in entry.changes):
            if entry.revision:  # an earlier try came as far as to remove some
                self._left.take_back(entry, lease)
            self._give_up(entry, "somebody else wrote the partitions meanwhile")
            raise RetryableError(
                f"The partitions {[list(c.values) for c in moved[:5]]} of table {self._table.name} were "
                "written by somebody else since the rollback looked at them. Nothing was changed. Run the "
                "task again."
            )
        now = max(self._journal.now(), moment_of(entry))
        moment = next_moment(now, current.values())
        left = tuple(change for change in entry.changes if change not in moved)
        entry = self._journal.advance(entry, published_at=moment, changes=left)
        self._left.roll_changes(entry, lease)
        return entry

    def _refuse_overtaken(self, entry: Entry, moment: datetime) -> None:
        """Give way to whoever published the partitions since: that is not what was to be undone."""
        since = self._left.written_since(entry, moment)
        if since:
            self._left.give_way(entry)
            self._give_up(entry, "somebody else published the partitions meanwhile")
            raise RetryableError(
                f"The partitions {[list(values) for values in since[:5]]} of table {self._table.name} were "
                "published by another run while they were rolled back. Look at them before the task is run "
                "again."
            )

    def _give_up(self, entry: Entry, reason: str) -> None:
        self._journal.advance(entry, state=State.ABORTED, reason=reason)
        self._left.release(entry)

    def _claim(self, entry: Entry) -> None:
        for name in entry.claims:
            owner = self._journal.read(name)
            if owner is not None and owner.claimed_by == entry.name:
                continue  # held since an earlier try
            if not _can_be_claimed(owner, entry):
                self._give_up(entry, f"{name} is not to be had")
                state = f"{owner.state.value} or emptied" if owner is not None else "gone"
                raise ManualActionError(
                    f"The files of attempt {name}, to which the rollback goes back, are {state}. Nothing was "
                    "changed. Write the partition again instead, or try once more when that is over."
                )
            self._journal.advance(owner, state=State.PUBLISHING, claimed_by=entry.name)


def _refuse_unfinished(
    entries: Mapping[str, Entry], current: Current, wanted: Callable[[Values], bool] | None
) -> None:
    """Raise RetryableError while somebody is publishing what is to be undone: it is no fact yet."""
    for other in entries.values():
        if other.state is State.PUBLISHING and not was_published(other):
            busy = [
                change.values
                for change in other.changes
                if (wanted is None or wanted(change.values))
                and location_of(current.get(change.values)) == change.location
            ]
            if busy:
                raise RetryableError(
                    f"Attempt {other.attempt.name} is publishing the partitions "
                    f"{[list(values) for values in busy[:5]]}. Nothing was changed. Run the task again; what "
                    "died while it published is ended by the sweep after an hour."
                )


def _can_be_claimed(owner: Entry | None, rollback: Entry) -> TypeGuard[Entry]:
    """Whether the files are there still: between plan and claim a sweep may have come and gone."""
    if owner is None or owner.state not in {State.PUBLISHED, State.SUPERSEDED}:
        return False
    return not any(change.location and is_emptied(owner, change.location) for change in rollback.changes)
