"""One query under way: what it is given to run with, how it is stopped, and what it leaves behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from local_athena.errors import QueryCancelled, QueryFailed

_INTERRUPT_EVERY_SECONDS = 0.02

Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A result column; ``type`` is Trino's text, e.g. ``decimal(10,2)`` or ``array(row(a integer))``."""

    name: str
    type: str
    named: bool = True  # False for ``_col0`` and the like, which only stand for a name


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as S3 lists it."""

    key: str
    size_bytes: int
    etag: str
    last_modified: float


@dataclass(frozen=True, slots=True)
class Encryption:
    """How S3 is to encrypt what it is given."""

    algorithm: str  # AES256 or aws:kms
    kms_key: str | None = None


class Objects(Protocol):
    """S3 as the query's caller may use it. Refusals raise QueryFailed with S3's reason."""

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        """Return all current objects below ``prefix``, in key order."""
        ...

    def read(self, bucket: str, key: str) -> bytes:
        """Return the whole body of one object."""
        ...

    def write(self, bucket: str, key: str, body: bytes, encryption: Encryption | None = None) -> None:
        """Put one object; without ``encryption`` it is encrypted as its bucket says."""
        ...

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Delete the keys named."""
        ...


@dataclass(frozen=True, slots=True)
class Clients:
    """AWS as the query's caller: what the caller may not do, the query may not do either."""

    objects: Objects
    glue: Any  # a boto3 Glue client that signs as the caller and never leaves the process
    account_id: str
    region: str
    # Why the caller may not write an object, by bucket and key; None as a whole: they may do everything.
    write_refusal: Callable[[str, str], str | None] | None = None


@dataclass(slots=True)
class Session:
    """One query under way."""

    query_execution_id: str
    database: str  # lower case; "default" when the call named none
    clients: Clients
    output_prefix: str  # s3://bucket/prefix/ the results go to; ends with "/"
    parameters: tuple[str, ...] = ()  # execution parameters: SQL literals, as sent
    enforced: bool = False  # the workgroup enforces its configuration
    scan_cutoff_bytes: int | None = None
    encryption: Encryption | None = None  # of all the query writes
    late_failure: QueryFailed | None = None  # what the query is to fail with once its files are written
    files: list[str] = field(default_factory=list)  # s3 URIs of the data files it wrote, or was about to
    scanned_bytes: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    _interrupts: list[Callable[[], object]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_scanned(self, size_bytes: int) -> None:
        """Count bytes read; past the workgroup's cut-off the query is cancelled, as Athena does."""
        with self._lock:
            self.scanned_bytes += size_bytes
            over = self.scan_cutoff_bytes is not None and self.scanned_bytes > self.scan_cutoff_bytes
        if over:
            raise ScanCutoff(
                f"Query cancelled! : Bytes scanned limit was exceeded (limit {self.scan_cutoff_bytes} bytes)"
            )

    def write_file(self, bucket: str, key: str, body: bytes) -> None:
        """Write one data file, and remember it also when that fails."""
        self.files.append(f"s3://{bucket}/{key}")
        self.clients.objects.write(bucket, key, body, self.encryption)

    def check_late(self) -> None:
        """Raise the failure a test asked for. Call it when all files are written, before Glue is changed."""
        if self.late_failure is not None:
            raise self.late_failure

    @contextmanager
    def interruptible(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Have ``interrupt`` called while the block runs, if the query is stopped."""
        with self._lock:
            self._interrupts.append(interrupt)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._interrupts.remove(interrupt)

    def cancel(self) -> None:
        """Stop the query: interrupts what it runs in."""
        if not self.cancelled.is_set():
            self.cancelled.set()
            threading.Thread(target=self._interrupt, name="interrupt", daemon=True).start()

    def _interrupt(self) -> None:
        """Interrupt until it is heard: an engine that is about to start its work does not hear it."""
        while True:
            with self._lock:
                if not self._interrupts:
                    return
                for interrupt in self._interrupts:
                    interrupt()
            time.sleep(_INTERRUPT_EVERY_SECONDS)

    def check(self) -> None:
        """Raise QueryCancelled when the query was stopped: call it between steps."""
        if self.cancelled.is_set():
            raise QueryCancelled


class ScanCutoff(QueryFailed):
    """The query read more than its workgroup allows; Athena reports such a query as CANCELLED."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows of a SELECT: ``table`` is a pyarrow.Table whose types are those of ``columns``."""

    columns: tuple[Column, ...]
    table: Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement that succeeded left behind.

    A SELECT has ``columns`` and ``rows`` (values as Athena prints them); a utility statement has
    ``columns`` and ``rows`` of one tab-joined cell, written to a ``.txt`` file instead of a ``.csv``.
    """

    statement_type: str  # DML, DDL or UTILITY
    substatement_type: str  # SELECT, CREATE_TABLE_AS_SELECT, INSERT, UNLOAD, CREATE_VIEW, SHOW_TABLES, …
    columns: tuple[Column, ...] = ()
    rows: Sequence[Row] = ()
    update_count: int | None = None  # rows written by CTAS, INSERT and UNLOAD
    manifest: tuple[str, ...] = ()  # s3 URIs of the files the query wrote
