"""What a test or a benchmark may turn while the server runs: latency, faults, IAM enforcement."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

QUERY = "athena:query"  # not a call: stands for the run of a query after StartQueryExecution was answered

When = Literal["before", "after", "lost"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is made to go wrong.

    ``call`` is a pattern over call names (``glue:UpdatePartition``, ``s3:*``) or ``athena:query``, which
    makes a query end FAILED with ``error`` (and ``message``) as its reason.
    ``when``: ``before`` nothing is done; ``after`` the work is done and an error answered; ``lost`` the work
    is done and the client's connection is closed without an answer. A query that fails ``after`` (or
    ``lost``) has written its files, which stay, and made neither its table nor new partitions in Glue.
    """

    call: str
    error: str = "InternalFailure"
    status: int = 400
    message: str = ""
    times: int | None = 1  # None: always
    skip: int = 0  # the first so many matching calls pass
    when: When = "before"
    matching: str = ""  # only calls whose detail (bucket/key, table, SQL) contains this
    by_athena: bool = False  # hits the calls that queries make, instead of the clients'
    error_type: int = 1006  # of a failed query: AthenaError.ErrorType, .ErrorCategory and .Retryable
    category: int = 2
    retryable: bool = False

    def __post_init__(self) -> None:
        if self.when not in ("before", "after", "lost"):
            raise ValueError(f"Fault on {self.call}: when={self.when!r}; expected before, after or lost.")
        if ":" not in self.call and self.call != "*":
            raise ValueError(
                f"Fault on {self.call!r}: expected service:Operation, e.g. glue:UpdatePartition."
            )

    @property
    def reason(self) -> str:
        """The StateChangeReason of a query this fault makes fail."""
        return f"{self.error}: {self.message}" if self.message else self.error

    def to_json(self) -> dict[str, Any]:
        """Write the fault as JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Fault:
        """Read what ``to_json`` wrote."""
        return cls(**document)

    def concerns(self, call: str, detail: str, by_athena: bool) -> bool:
        """Whether this fault is meant for the call."""
        return (
            fnmatchcase(call, self.call)
            and self.by_athena == by_athena
            and (not self.matching or self.matching in detail)
        )


class _Armed:
    """A fault and how often it met its call."""

    __slots__ = ("fault", "fired", "met")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.met = 0
        self.fired = 0

    def fires(self) -> bool:
        """Count one meeting; say whether the fault happens this time."""
        self.met += 1
        if self.met <= self.fault.skip:
            return False
        if self.fault.times is not None and self.fired >= self.fault.times:
            return False
        self.fired += 1
        return True


# What GetQueryResults tells as UpdateCount of an UNLOAD: AWS documents nothing, so nothing is the default.
UNLOAD_UPDATE_COUNTS = ("none", "zero", "rows")


class Knobs:
    """The settings of a running server. Safe under threads.

    ``unload_update_count`` is one of ``UNLOAD_UPDATE_COUNTS``.
    """

    def __init__(
        self, latency: Mapping[str, float] | None = None, faults: Iterable[Fault] = (), iam: bool = False
    ) -> None:
        self._lock = threading.Lock()
        self._latency: dict[str, float] = dict(latency or {})
        self._armed = [_Armed(fault) for fault in faults]
        self.iam = iam
        self.unload_update_count = UNLOAD_UPDATE_COUNTS[0]

    def update_count(self, substatement_type: str, rows: int | None) -> int | None:
        """Return the UpdateCount to tell of a statement that wrote so many rows."""
        if substatement_type != "UNLOAD" or self.unload_update_count == "rows":
            return rows
        return 0 if self.unload_update_count == "zero" else None

    def set_latency(self, latency: Mapping[str, float]) -> None:
        """Replace all latencies: call pattern to seconds."""
        with self._lock:
            self._latency = dict(latency)

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Replace all faults; counting starts again."""
        with self._lock:
            self._armed = [_Armed(fault) for fault in faults]

    def call_latency(self, call: str) -> float:
        """Seconds to add to a client's call: those of the longest pattern that matches it."""
        with self._lock:
            if not self._latency:
                return 0.0
            matching = [p for p in self._latency if p != QUERY and fnmatchcase(call, p)]
            return self._latency[max(matching, key=len)] if matching else 0.0

    def query_latency(self) -> float:
        """Seconds to add to every query's run."""
        with self._lock:
            return self._latency.get(QUERY, 0.0)

    def take_fault(self, call: str, detail: str, *, by_athena: bool = False) -> Fault | None:
        """Find the fault this call meets, which is thereby used up once; None when all goes well."""
        with self._lock:
            for armed in self._armed:
                if armed.fault.concerns(call, detail, by_athena) and armed.fires():
                    return armed.fault
        return None

    def query_fault(self, sql: str) -> Fault | None:
        """Find the fault that makes a query with this text FAIL, if one is due."""
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if fault.call == QUERY and fault.matching in sql and armed.fires():
                    return fault
        return None
