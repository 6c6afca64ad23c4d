"""Remove generations that nothing points at and that nobody may go back to any more; mend what was left.

First what the dead left half done is finished or ended, under the table's lease; then partitions that a late
call points elsewhere are pointed back at what was published last; then what is no longer needed goes.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from airflow_quilt_athena.core.glue.selection import Values, identity
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.core.overwrite.asked_partitions import Partitions, any_partition, choose
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.history import Pointer, Published, was_published
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry, State
from airflow_quilt_athena.core.overwrite.partition_changes import location_of, undone
from airflow_quilt_athena.core.overwrite.request import MIN_RETAIN, Adopted
from airflow_quilt_athena.core.overwrite.sweep_plan import SweepPlan, plan_sweep
from airflow_quilt_athena.exceptions import InvalidCallError, QuiltAthenaError
from airflow_quilt_athena.flows.aws import glue as catalog
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.aws.glue_partitions import scan_partitions
from airflow_quilt_athena.flows.overwrite.adopted_files import AdoptedFiles
from airflow_quilt_athena.flows.overwrite.cleanup import tidy
from airflow_quilt_athena.flows.overwrite.flips import Flips
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict
from airflow_quilt_athena.flows.overwrite.lease import Lease, LeaseLost
from airflow_quilt_athena.flows.overwrite.left_behind import LeftBehind
from airflow_quilt_athena.flows.overwrite.natural_files import count_natural_files
from airflow_quilt_athena.flows.overwrite.orphans import Orphans
from airflow_quilt_athena.flows.overwrite.removal import Remover
from airflow_quilt_athena.flows.overwrite.sweep_result import SweepResult

__all__ = ["Adopted", "SweepResult", "sweep_generations"]

log = logging.getLogger(__name__)

_MAX_LOOKS = 3  # one more whenever the lease was lost; what is then still to mend is the next sweep's


def sweep_generations(
    clients: LakeClients,
    name: TableName,
    *,
    partitions: Partitions | None = None,
    adopted: Adopted = Adopted.KEEP,
    dry_run: bool = False,
    now: datetime | None = None,
    kms_key_arn: str | None = None,
) -> SweepResult:
    """Remove what is no longer needed of a table's generations.

    :param partitions: which partitions are looked at: one or several, each whole or by some of its keys;
        None for all, and then for what no entry of the journal explains as well.
    :param adopted: what becomes of files that lay where Glue pointed before the first overwrite. Those that
        were listed then go, unless a table or a partition of any database lies there.
    :param dry_run: tell what would go, and change nothing.
    :param now: the time to decide by; S3's without one.
    :raises InvalidCallError: when there is no such table.
    """
    table = catalog.observe_table(clients.glue, name)
    if table is None:
        raise InvalidCallError(f"There is no table {name}. Expected one that was overwritten.")
    journal = Journal(clients.s3, table.base, kms_key_arn=kms_key_arn)
    moment = now or journal.now()
    wanted = choose(table, partitions) or (lambda values: True)
    result = SweepResult(dry_run)
    for _ in range(_MAX_LOOKS):
        # Glue first: what it points at is announced in the journal before.
        pointers = _observe_pointers(clients, table)
        entries, others = journal.read_table(name, _slim)
        plan = plan_sweep(entries, pointers, moment, wanted=wanted)
        work = _Sweeping(clients, journal, table, pointers, result)
        if dry_run or work.mend(plan, moment):
            break
    for entry in others.values():
        result.leave(entry, f"it is of table {entry.table}, over the same folder")
    files = AdoptedFiles(clients, journal, table)
    count_natural_files(journal, table, entries, pointers, wanted, result)
    if dry_run:
        work.tell(plan)
    else:
        work.remove(plan, moment)
    if adopted is Adopted.DELETE:
        files.delete(plan.adopted, result)
    if partitions is None:
        known = {**entries, **others}
        places = {pointer.location for pointer in pointers.values() if pointer.location}
        Orphans(clients, journal, table, known, places, moment).remove(result)
    result.unreadable = dict(journal.unreadable)
    return result


def _slim(entry: Entry) -> Entry:
    """Leave out of an entry what is long and not needed to decide."""
    changes = tuple(replace(change, previous=None, restored=None) for change in entry.changes)
    return replace(entry, changes=changes, found=None if entry.found is None else ())


def _observe_pointers(clients: LakeClients, table: Table) -> dict[Values, Pointer]:
    """Return where Glue points for each partition of a table, or for a table without keys."""
    if not table.partition_keys:
        return {(): Pointer.of(table.raw)}
    found = scan_partitions(clients.glue, table.name)
    return {identity(table.partition_keys, raw.get("Values") or ()): Pointer.of(raw) for raw in found}


class _Sweeping:
    """Carries out a plan in one table."""

    def __init__(
        self,
        clients: LakeClients,
        journal: Journal,
        table: Table,
        pointers: Mapping[Values, Pointer],
        result: SweepResult,
    ) -> None:
        self._clients = clients
        self._pointers = pointers
        self._journal = journal
        self._remover = Remover(clients, journal, table, result)
        self._flips = Flips(clients.glue, journal, table.name, table, any_partition(table))
        self._left = LeftBehind(self._flips)
        self.result = result

    def tell(self, plan: SweepPlan) -> None:
        """Count what would go."""
        self._note_left(plan)
        self.result.rolled_forward += [entry.attempt.name for entry in (*plan.roll_forward, *plan.settle)]
        self.result.pointed_back += [list(values) for values in plan.point_back]
        for removal in plan.remove:
            for folder in removal.folders:
                for found in self._remover.find_objects(folder, set()):
                    self.result.count(folder, 1, found.size_bytes)

    def mend(self, plan: SweepPlan, now: datetime) -> bool:
        """Finish or end what the dead left, and point back what late calls pointed elsewhere.

        False when the lease was lost meanwhile: a call of this sweep may have been late itself.
        """
        lease = self._flips.lease(f"sweep-{secrets.token_hex(6)}")
        if not (plan.roll_forward or plan.settle or plan.point_back or lease.is_left_behind()):
            return True
        try:
            with lease:
                _, finished = self._left.settle_left(lease)
                self.result.rolled_forward += [entry.attempt.name for entry in finished]
                for entry in plan.roll_forward:
                    with self._one_of(entry) as found:
                        if found is not None:
                            self._left.roll_forward(found, lease)
                for entry in plan.settle:
                    with self._one_of(entry) as found:
                        if found is not None:
                            self._left.settle_single(found, lease)
                self._point_back(plan.point_back, lease, now)
        except LeaseLost as lost:
            log.warning("%s", lost)
            return False
        return True

    def remove(self, plan: SweepPlan, now: datetime) -> None:
        """Release, mark, and remove."""
        self._note_left(plan)
        tidied = {entry.name: entry for entry in self._release_and_tidy(plan)}
        changed = set(tidied)
        for entry, folders in plan.mark:
            self._mark(tidied.get(entry.name, entry), folders, now)
            changed.add(entry.name)
        self._remover.remove([removal for removal in plan.remove if removal.entry.name not in changed])

    def _mark(self, entry: Entry, folders: Sequence[str], now: datetime) -> None:
        """Note until when folders are kept that something else took Glue away from, if it still is so."""
        found = self._as_it_is(entry)
        if found is None:
            return
        values = sorted(change.values for change in found.changes if change.location in folders)
        current = {location_of(partition) for partition in self._flips.observe_these(values).values()}
        lost = [folder for folder in folders if folder not in current]
        keep_until = now + timedelta(seconds=entry.retain_seconds)
        marked = {**found.marked, **dict.fromkeys(lost, keep_until)}
        if lost and self._remover.try_to_advance(found, state=State.SUPERSEDED, marked=marked):
            until = keep_until.isoformat(timespec="seconds")
            self.result.leave(entry, f"something else replaced {len(lost)} folders; kept until {until}")

    def _one_of(self, entry: Entry) -> _Finishing:
        return _Finishing(self._as_it_is(entry), self.result)

    def _as_it_is(self, entry: Entry) -> Entry | None:
        """Return an entry whole, if it is still as it was planned from."""
        found = self._journal.read_if_readable(entry.name)
        if found is None or found.revision != entry.revision or found.attempt != entry.attempt:
            return None
        return found

    def _point_back(self, newest: Mapping[Values, Published], lease: Lease, now: datetime) -> None:
        current = self._flips.observe_these(sorted(newest), lease)
        pointed: dict[Values, tuple[Entry, Change]] = {}
        for values, (entry, _) in newest.items():
            found, partition = self._as_it_is(entry), current.get(values)
            # Whoever published it since has pointed it elsewhere than it was looked at.
            before = self._pointers.get(values)
            same = location_of(partition) == (None if before is None else before.location)
            if found is None or not same:
                continue
            whole = next(one for one in found.changes if one.values == values)
            pointed[values] = (found, whole if was_published(found) else undone(whole))
            if partition is not None:
                self._keep_for_readers(Pointer.of(partition), now)
        if pointed:
            self._flips.point_back(pointed, current, lease)
            self.result.pointed_back += [list(values) for values in pointed]
            log.warning(
                "%d partitions were pointed back at what was published last; a late call of another run had "
                "pointed them elsewhere: %s",
                len(pointed),
                [list(values) for values in list(pointed)[:5]],
            )

    def _keep_for_readers(self, pointer: Pointer, now: datetime) -> None:
        """Keep what Glue pointed at by mistake: queries may be reading it."""
        attempt = Attempt.parse(pointer.generation or "")
        owner = self._journal.read_if_readable(attempt.entry_name) if attempt else None
        if owner is None or pointer.location is None:
            return
        until = now + MIN_RETAIN
        if was_published(owner):
            self._remover.try_to_advance(owner, marked={**owner.marked, pointer.location: until})
        elif owner.state is State.ABORTED:
            self._remover.try_to_advance(owner, keep_until=max(until, owner.keep_until or until))

    def _release_and_tidy(self, plan: SweepPlan) -> Iterator[Entry]:
        for entry in plan.release:
            found = self._as_it_is(entry)
            if found is not None:
                self._remover.try_to_advance(found, state=State.PUBLISHED, claimed_by=None)
        for entry in plan.tidy:
            found = self._as_it_is(entry)
            if found is not None and tidy(self._clients.glue, self._journal, found):
                yield self._remover.try_to_advance(found, untidy=False) or entry

    def _note_left(self, plan: SweepPlan) -> None:
        for entry, why in plan.left:
            self.result.leave(entry, why)


class _Finishing:
    """Finishes the work of one dead attempt; trouble with it stops no other."""

    def __init__(self, entry: Entry | None, result: SweepResult) -> None:
        self._entry = entry
        self._result = result

    def __enter__(self) -> Entry | None:
        return self._entry

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if self._entry is None:
            return False
        if error is None:
            self._result.rolled_forward.append(self._entry.attempt.name)
            return False
        if isinstance(error, LeaseLost) or not isinstance(error, JournalConflict | QuiltAthenaError):
            return False
        self._result.leave(self._entry, str(error))
        return True
