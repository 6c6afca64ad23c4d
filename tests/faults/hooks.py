"""What happens to a process at one of its AWS calls: it dies, or it waits. Hooks for boto3's clients."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

POLLS = frozenset({"GetQueryExecution", "BatchGetQueryExecution"})  # how many there are, nobody knows
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Nth:
    """One call of a run: ``glue:UpdatePartition``, the first."""

    call: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.call} #{self.number}"


class AtCall:
    """Calls ``then`` once, when the clients' event has come that often for the call."""

    def __init__(self, nth: Nth, then: Callable[[], None]) -> None:
        self._nth = nth
        self._then = then
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, event_name: str, **_: object) -> None:
        # before-send.glue.UpdatePartition
        service, operation = event_name.split(".")[1:]
        call = f"{service}:{operation}"
        with self._lock:
            self._seen[call] += 1
            met = Nth(call, self._seen[call]) == self._nth
        if met:
            self._then()


def die() -> None:
    """Leave without a word, as a machine does that is switched off."""
    os.kill(os.getpid(), signal.SIGKILL)


class PauseAtCall:
    """Holds a run at its n-th call, polls of queries not counted, until it is told to go on."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._seen = 0
        self._lock = threading.Lock()
        self._go = threading.Event()
        self.stopped = threading.Event()  # also when the run is over before
        self.at = ""

    def __call__(self, event_name: str, **_: object) -> None:
        service, operation = event_name.split(".")[1:]
        if operation in POLLS:
            return
        with self._lock:
            self._seen += 1
            met = self._seen == self._number
        if met:
            self.at = f"{service}:{operation}"
            self.stopped.set()
            assert self._go.wait(PATIENCE_SECONDS), f"held at {self.at} for ever"

    def go_on(self) -> None:
        """Let it go on."""
        self._go.set()
