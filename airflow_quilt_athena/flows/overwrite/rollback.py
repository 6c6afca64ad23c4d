"""Point partitions back at their previous generation, while it is kept.

A rollback has a journal entry of its own: what it changes is written down before Glue is touched, so that it
can be rolled forward when it dies half-way, and undone like an overwrite. It holds on to the entries whose
files it points at by taking them to ``publishing``; a sweep takes entries to ``deleting``. Both by compare
and swap: the loser stops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Values, identity
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt, digest_of
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.request import DEFAULT_RETAIN
from airflow_quilt_athena.core.overwrite.rollback_plan import Restoration, is_emptied, plan_rollback
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.foreign_files import is_old, list_natural
from airflow_quilt_athena.flows.overwrite.journal import Journal, new_nonce
from airflow_quilt_athena.flows.overwrite.publish import (
    Current,
    Partitions,
    Publisher,
    choose,
    selection_of_any,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback did, or would do."""

    dry_run: bool
    table: str
    keys: tuple[str, ...]
    changes: tuple[Change, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "dry_run": self.dry_run,
            "table": self.table,
            "partitions": [
                {
                    "values": dict(zip(self.keys, change.values, strict=True)),
                    "action": change.action.value,
                    "location": change.location,
                    "generation": change.generation,
                    "previous_location": change.previous_location,
                    "previous_generation": change.previous_generation,
                }
                for change in self.changes
            ],
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
    done = None if dry_run else journal.latest(digest_of(task_key))
    if done is not None and done.state is State.PUBLISHED:
        return RollbackResult(False, str(name), keys, done.changes)
    rollback = _Rollback(clients, journal, table)
    if done is not None and done.state is State.PUBLISHING:
        return RollbackResult(False, str(name), keys, rollback.finish(done).changes)
    try:
        plan = rollback.plan(choose(table, partitions))
    except ManualActionError as error:
        what = f"table {name}" if partitions is None else f"{partitions!r} of table {name}"
        raise ManualActionError(f"Cannot roll back {what}: {error}") from error
    if dry_run:
        return RollbackResult(True, str(name), keys, plan.changes)
    number = 1 if done is None else done.attempt.number + 1
    entry = rollback.begin(plan, task_key, Attempt(digest_of(task_key), number, new_nonce()))
    return RollbackResult(False, str(name), keys, rollback.finish(entry).changes)


class _Rollback:
    def __init__(self, clients: LakeClients, journal: Journal, table: Table) -> None:
        self._clients = clients
        self._journal = journal
        self._table = table
        selection = selection_of_any(table)
        self._latest: datetime | None = None
        self._publisher = Publisher(clients.glue, journal, table.name, table, selection)

    def plan(self, wanted: Callable[[Values], bool] | None) -> Restoration:
        """Decide, and make sure that what is gone back to is there."""
        entries, _ = self._journal.read_table(self._table.name)
        self._latest = max((e.published_at for e in entries.values() if e.published_at), default=None)
        plan = plan_rollback(entries, self._all(), wanted)
        for folder, flipped_at in plan.adopted:
            self._refuse_changed(folder, flipped_at)
        if not self._table.partition_keys and plan.changes[0].location is None:
            raise ManualActionError(
                f"Table {self._table.name} was made by the overwrite to undo. Nothing was changed. Drop the "
                "table by hand, if that is what is wanted."
            )
        return plan

    def _refuse_changed(self, folder: str, flipped_at: datetime) -> None:
        """Raise ManualActionError unless a folder holds what a partition had before its first overwrite."""
        listed = list(list_natural(self._clients.s3, self._journal.base, S3Uri.parse(folder)))
        newer = [found for found in listed if not is_old(found, flipped_at)]
        if newer or not listed:
            what = f"{len(newer)} files were written there since" if newer else "its files were removed"
            raise ManualActionError(
                f"A partition was at {folder} before its first overwrite, and {what}, by something else. "
                "Nothing was changed. Write the partition again instead."
            )

    def _all(self) -> Current:
        if not self._table.partition_keys:
            return {(): self._table.raw}
        partitions = catalog.list_partitions(self._clients.glue, self._table)
        return {identity(self._table.partition_keys, p["Values"]): p for p in partitions}

    def begin(self, plan: Restoration, task_key: str, attempt: Attempt) -> Entry:
        """Write down what is to be done: later than all that was done before, whatever clocks said."""
        now = self._journal.clock.now()
        if self._latest is not None:
            now = max(now, self._latest + timedelta(milliseconds=1))
        entry = Entry(
            attempt=attempt,
            task_key=task_key,
            table=str(self._table.name),
            database=self._table.name.database,
            kind=Kind.ROLLBACK,
            state=State.PUBLISHING,
            fingerprint="",
            basis="",
            retain_seconds=DEFAULT_RETAIN.total_seconds(),
            created_at=now,
            updated_at=now,
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
        if len(entry.changes) > 1:
            self._publisher.under_lease(entry, lambda lease, _: self._publisher.roll_changes(entry, lease))
        else:
            self._publisher.roll_changes(entry)
        return self._publisher.conclude(entry)

    def _claim(self, entry: Entry) -> None:
        for name in entry.claims:
            owner = self._journal.read(name)
            if owner is not None and owner.claimed_by == entry.name:
                continue  # held since an earlier try
            if not _can_be_claimed(owner, entry):
                self._journal.advance(entry, state=State.ABORTED, reason=f"{name} is not to be had")
                self._publisher.release(entry)
                state = f"{owner.state.value} or emptied" if owner is not None else "gone"
                raise ManualActionError(
                    f"The files of attempt {name}, to which the rollback goes back, are {state}. Nothing was "
                    "changed. Write the partition again instead, or try once more when that is over."
                )
            self._journal.advance(owner, state=State.PUBLISHING, claimed_by=entry.name)


def _can_be_claimed(owner: Entry | None, rollback: Entry) -> TypeGuard[Entry]:
    """Whether the files are there still: between plan and claim a sweep may have come and gone."""
    if owner is None or owner.state not in {State.PUBLISHED, State.SUPERSEDED}:
        return False
    return not any(change.location and is_emptied(owner, change.location) for change in rollback.changes)
