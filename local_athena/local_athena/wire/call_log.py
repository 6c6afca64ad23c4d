"""The log of AWS calls as the server saw them. Values, and a bounded list of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_KEPT_CALLS = 500_000  # a server that runs for days must not eat the memory of its machine


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS call, taken at the wire (or, when ``by_athena``, made by a query inside the server)."""

    service: str
    operation: str
    caller: str  # ARN
    time: float  # seconds since the epoch, when the call came in
    seconds: float  # until it was answered
    status: int  # HTTP status; 0 when the answer was lost on purpose
    error: str | None  # AWS error code
    by_athena: bool
    detail: str  # bucket and key, table and partition values, or the SQL; cut to MAX_DETAIL_LENGTH

    @property
    def name(self) -> str:
        """The call as policies write it, e.g. ``glue:UpdatePartition``."""
        return f"{self.service}:{self.operation}"

    def to_json(self) -> dict[str, Any]:
        """Write the call as JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Call:
        """Read what ``to_json`` wrote."""
        return cls(**document)


MAX_DETAIL_LENGTH = 500


class CallLog:
    """Calls in the order in which they ended. Safe under threads."""

    def __init__(self, max_kept: int = MAX_KEPT_CALLS) -> None:
        self._calls: deque[Call] = deque(maxlen=max_kept)
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        """Note one call."""
        with self._lock:
            self._calls.append(call)

    def calls(self) -> tuple[Call, ...]:
        """All calls kept."""
        with self._lock:
            return tuple(self._calls)

    def clear(self) -> None:
        """Forget all calls."""
        with self._lock:
            self._calls.clear()
