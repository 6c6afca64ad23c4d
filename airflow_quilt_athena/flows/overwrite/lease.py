"""The lease under which a set of partitions is published: an object in S3, taken, renewed, given back.

One for a table, not one for each prefix: prefixes overlap (``{}`` with ``dt=…``), and two sets that overlap
must not be published through one another. It is held for the flips alone, which take seconds.

Whether a lease has expired is told by S3's clock alone: the Date of the answer beside the object's age.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from types import TracebackType

from airflow_quilt_athena.core.overwrite.journal_entry import lease_place
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.deadline import Deadline
from airflow_quilt_athena.flows.aws.objects import delete_object, read_object, write_object
from airflow_quilt_athena.flows.overwrite.journal import Journal

log = logging.getLogger(__name__)

LEASE_SECONDS = 60.0
PATIENCE_SECONDS = 900.0
_PAUSE_SECONDS = 1.0


class Lease:
    """Held between ``with`` and its end. ``left_by`` names the entry of a holder that did not give it back.

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
        self._place = lease_place(journal.base)
        self._holder = holder
        self._seconds = seconds
        self._deadline = Deadline.after(patience_seconds, sleep=sleep, clock=clock)
        self._clock = clock
        self._etag = ""
        self._written_at = 0.0
        self.left_by: str | None = None
        self.half_done = False  # set by the holder when there is something to roll forward

    def __enter__(self) -> Lease:
        """Take the lease, when its holder gives it back or lets it expire."""
        while not self._write(None) and not self._take_over():
            if self._deadline.passed:
                raise RetryableError(
                    f"The lease {self._place} is held by others without pause. Nothing was published. Run "
                    "the task again."
                )
            self._deadline.pause(_PAUSE_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back; but what was left half done the next holder finds by the lease, when it expires."""
        if error is None or not self.half_done:
            delete_object(self._journal.s3, self._place, self._etag)

    def renew(self) -> None:
        """Keep the lease. Raises RetryableError when it expired and another has it."""
        if self._clock() - self._written_at < self._seconds / 3:
            return
        if not self._write(self._etag):
            raise RetryableError(
                f"The lease {self._place} expired, and another run took it; it rolls forward what this one "
                "left. Run the task again."
            )

    def _write(self, replaces: str | None) -> bool:
        # Never the same twice: two writes of one body have one ETag, and a renewal must be noticed.
        body = json.dumps({"holder": self._holder, "turn": secrets.token_hex(8)}).encode()
        journal, place = self._journal, self._place
        etag = write_object(
            journal.s3, place, body, journal.clock, replaces=replaces, kms_key_arn=journal.kms_key_arn
        )
        if etag is None:
            found = read_object(journal.s3, place, journal.clock)
            if found is None or found.body != body:
                return False
            etag = found.etag  # the answer to our own write was lost
        self._etag, self._written_at = etag, self._clock()
        return True

    def _take_over(self) -> bool:
        found = read_object(self._journal.s3, self._place, self._journal.clock)
        if found is None:
            return False  # given back just now
        holder = str(json.loads(found.body)["holder"])
        if holder != self._holder and found.age.total_seconds() < self._seconds:
            return False
        if not self._write(found.etag):
            return False
        if holder != self._holder:
            log.warning("Attempt %s left the lease %s behind.", holder, self._place)
            self.left_by = holder
        return True
