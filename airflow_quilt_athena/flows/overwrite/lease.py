"""The leases under which a table's partitions are repointed: objects in S3, taken, renewed, given back.

Glue has no condition on partitions, so the order of flips is kept here: every flip takes a lease, and holds
it for the flip alone. A set, a rollback and a sweep take the table's, one for all prefixes: prefixes overlap
(``{}`` with ``dt=…``), and two sets that overlap must not be published through one another. A flip of one
partition takes that partition's, so that those of others do not wait for it, and then looks for the table's;
whoever takes the table's then looks for those of partitions, and waits for them. Each writes before it looks:
one of the two sees the other.

A call under the lease is made only while enough of it is left, each try anew; whoever has no answer in time
looks again under a lease that it holds. When the lease is given back, S3 tells whether it was held to the
end: if it was not, somebody else may have published in between, and ``LeaseLost`` says so.

Whether a lease has expired is told by S3's clock alone: the Date of the answer beside the object's age.
"""

from __future__ import annotations

import json
import logging
import random
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from types import TracebackType
from typing import TypeVar

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.overwrite.journal_entry import lease_place, partition_leases
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.deadline import Deadline, ask
from airflow_quilt_athena.flows.aws.objects import (
    Listed,
    Read,
    delete_object,
    list_objects,
    read_object,
    write_object,
)
from airflow_quilt_athena.flows.overwrite.journal import Journal

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
# The longest that one try of a call may take; the clients that are handed in give up before.
CALL_SECONDS = 20.0
PATIENCE_SECONDS = 900.0
_MAX_RENEWALS = 5  # of which each took longer than a call may
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 0.5

Result = TypeVar("Result")


class LeaseLost(RetryableError):
    """The lease expired while it was held, and another run took it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What the object of a lease says: who holds it, and whose work was found half done under it."""

    holder: str | None
    left: tuple[str, ...]


class Lease:
    """Held between ``with`` and its end. ``left_by`` names the entries of holders that did not give it back.

    :param holder: the name of the journal entry whose changes are published.
    """

    def __init__(
        self,
        journal: Journal,
        holder: str,
        *,
        seconds: float = LEASE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._place = self._of_table = lease_place(journal.base)
        self._holder = holder
        self._seconds = seconds
        self._deadline = Deadline.after(patience_seconds, sleep=sleep, clock=clock)
        self._clock = clock
        self._etag = ""
        self._written_at = 0.0
        self._leaves_work = False
        self._lock = Lock()
        self.left_by: tuple[str, ...] = ()

    def take_if_free(self, partition: Values) -> bool:
        """Take the lease of one partition, or of a table without keys, if nobody has that or the table's.

        What is taken is held between ``with`` and its end; ``with`` waits for the table's where none is.
        """
        if not partition:
            return self._write(None)
        self._place = lease_place(self._journal.base, partition)
        if self._write(None) or self._take_when_free():
            if read_object(self._journal.s3, self._of_table, self._journal.clock) is None:
                return True
            delete_object(self._journal.s3, self._place, self._etag)
        self._place, self._etag, self.left_by = self._of_table, "", ()
        return False

    def __enter__(self) -> Lease:
        """Take the lease, when its holder gives it back or lets it expire."""
        if not (self._etag or self._write(None)):
            self._wait(self._take_when_free)
        if self._place == self._of_table:
            try:
                self._wait(self._are_partitions_free)
            except Exception:
                delete_object(self._journal.s3, self._place, self._etag)
                raise
        return self

    def _wait(self, is_over: Callable[[], bool]) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not is_over():
            if self._deadline.passed:
                raise RetryableError(
                    f"The lease {self._place} is held by others without pause. Nothing was published. Run "
                    "the task again."
                )
            self._deadline.pause(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back; whoever takes it next is told of work that was left half done.

        :raises LeaseLost: when it had been taken by another, who may have published as well.
        """
        if error is not None and self._leaves_work:
            self._put(self._etag, None, (*self.left_by, self._holder))
            return
        kept = delete_object(self._journal.s3, self._place, self._etag)
        if not kept and error is None:
            raise self._lost()

    def is_left_behind(self) -> bool:
        """Whether a lease lies there whose time is over, or that was given back with work left to do."""
        found = read_object(self._journal.s3, self._of_table, self._journal.clock)
        if found is not None:
            return _parse(found).holder is None or self._is_over(found.age)
        held = list(self._of_partitions())  # which tells the time as well
        now = self._journal.now()
        return any(self._is_over(now - one.modified_at) for one in held)

    def leaves_work(self, half_done: bool) -> None:
        """Say whether the next holder would have something to finish if this one died now."""
        self._leaves_work = half_done

    def ask(self, function: Callable[[], Result], doing: str) -> Result:
        """Call AWS as ``deadline.ask`` does, but only while the lease is held; renew it for a call's time.

        :raises LeaseLost: when it expired and another has it; the call was not made then.
        """

        def call() -> Result:
            self.renew()
            return function()

        return ask(call, doing)

    def renew(self) -> None:
        """Make sure of enough of the lease for a call. Raises LeaseLost when another has taken it."""
        with self._lock:  # a list is read in segments, side by side
            left = self._seconds - (self._clock() - self._written_at)
            if left >= min(2 * CALL_SECONDS, self._seconds / 2):
                return
            for _ in range(_MAX_RENEWALS):
                if not self._write(self._etag):
                    raise self._lost()
                if self._clock() - self._written_at <= CALL_SECONDS:
                    return
        raise RetryableError(f"The lease {self._place} cannot be renewed in time. Run the task again.")

    def _lost(self) -> LeaseLost:
        return LeaseLost(
            f"The lease {self._place} expired, and another run took it. What was published is being looked "
            "at. Run the task again."
        )

    def _write(self, replaces: str | None) -> bool:
        return self._put(replaces, self._holder, self.left_by)

    def _put(self, replaces: str | None, holder: str | None, left: tuple[str, ...]) -> bool:
        # Never the same twice: two writes of one body have one ETag, and a renewal must be noticed.
        document = {"holder": holder, "left": left, "turn": secrets.token_hex(8)}
        body = json.dumps(document).encode()
        journal, place, written_at = self._journal, self._place, self._clock()
        etag = write_object(
            journal.s3, place, body, journal.clock, replaces=replaces, kms_key_arn=journal.kms_key_arn
        )
        if etag is None:
            if replaces is None:
                return False
            found = read_object(journal.s3, place, journal.clock)
            if found is None or found.body != body:
                return False
            etag = found.etag  # the answer to our own write was lost
        self._etag, self._written_at = etag, written_at
        return True

    def _of_partitions(self) -> Iterator[Listed]:
        return list_objects(self._journal.s3, partition_leases(self._journal.base))

    def _are_partitions_free(self) -> bool:
        """Whether nobody holds the lease of a partition; those that expired, or are our own, are removed."""
        self.renew()
        return all(self._is_free(S3Uri(self._place.bucket, one.key)) for one in self._of_partitions())

    def _is_free(self, place: S3Uri) -> bool:
        found = read_object(self._journal.s3, place, self._journal.clock)
        if found is None:
            return True
        holder = _parse(found).holder
        if self._is_held(found, holder):
            return False
        if not delete_object(self._journal.s3, place, found.etag):
            return False  # renewed, or given back and taken again
        if holder not in {None, self._holder}:
            self.left_by = (*self.left_by, holder)
            self._tell_of(holder)
        return True

    def _is_held(self, found: Read, holder: str | None) -> bool:
        """Whether another one holds it still: it is neither our own from before, nor expired."""
        return holder not in {None, self._holder} and not self._is_over(found.age)

    def _is_over(self, age: timedelta) -> bool:
        return age.total_seconds() >= self._seconds

    def _tell_of(self, name: str) -> None:
        log.warning("Attempt %s held the lease %s and did not finish its work.", name, self._place)

    def _take_when_free(self) -> bool:
        """Take a lease that was given back, that expired, or that is our own from before."""
        found = read_object(self._journal.s3, self._place, self._journal.clock)
        if found is None:
            return self._write(None)
        held = _parse(found)
        if self._is_held(found, held.holder):
            return False
        before = self.left_by
        left = (*held.left, held.holder) if held.holder is not None else held.left
        self.left_by = tuple(name for name in dict.fromkeys(left) if name != self._holder)
        if not self._write(found.etag):
            self.left_by = before
            return False
        for name in self.left_by:
            self._tell_of(name)
        return True


def _parse(found: Read) -> _Held:
    """Read a lease; what cannot be read is a stranger's that expired."""
    try:
        document = json.loads(found.body)
        holder, left = document["holder"], tuple(document.get("left") or ())
        if isinstance(holder, str | None) and all(isinstance(name, str) for name in left):
            return _Held(holder, left)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        pass
    log.warning("The lease cannot be read (%d bytes); it is taken for one that expired.", len(found.body))
    return _Held(None, ())
