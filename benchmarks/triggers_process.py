"""Triggers in one event loop, as in a triggerer: ``python -m benchmarks.triggers_process ours|amazon``.

Asks for nothing but Airflow and Amazon's provider, for it also runs where this project is not installed.
Standard input: a line of JSON, ``{"query_execution_ids": […], "poll_interval": seconds}``, and later a line,
on which the start is over and the measured time begins; its end is the end of the input.
Standard output: one line of JSON, Usage by "start" and "steady", and how many triggers fired.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import structlog  # Airflow brings it

HEARTBEAT_SECONDS = 0.01
NEVER = 10**6


@dataclass
class Usage:
    """What some time took: CPU seconds, the process's peak memory until then, the loop's longest lag."""

    began: float
    seconds: float
    cpu_seconds: float
    peak_mebibytes: float
    longest_lag_seconds: float


class Meter:
    """Watches this process and its event loop."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._began, self._cpu, self._lag = time.time(), time.process_time(), 0.0

    def take(self) -> Usage:
        """Return the usage since the last time this was asked."""
        # ru_maxrss is in kibibytes on Linux and in bytes on macOS (getrusage(2) of each).
        unit = 2**20 if sys.platform == "darwin" else 2**10
        usage = Usage(
            self._began,
            time.time() - self._began,
            time.process_time() - self._cpu,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
            self._lag,
        )
        self._restart()
        return usage

    async def beat(self) -> None:
        """Ask to be woken again and again, and note the longest delay."""
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._lag = max(self._lag, time.perf_counter() - asked - HEARTBEAT_SECONDS)


def ours(query_execution_ids: list[str], poll_interval: int) -> list[Any]:
    """Make a trigger of this project for each query."""
    from airflow_quilt_athena.triggers.athena_completion import AthenaCompletionTrigger

    deadline = time.time() + NEVER
    return [
        AthenaCompletionTrigger([name], deadline=deadline, poll_interval=poll_interval)
        for name in query_execution_ids
    ]


def amazon(query_execution_ids: list[str], poll_interval: int) -> list[Any]:
    """Make a trigger of Amazon's provider for each query."""
    from airflow.providers.amazon.aws.triggers.athena import AthenaTrigger

    return [
        AthenaTrigger(name, waiter_delay=poll_interval, waiter_max_attempts=NEVER, aws_conn_id="aws_default")
        for name in query_execution_ids
    ]


async def _first_event(trigger: Any) -> Any:
    return await anext(aiter(trigger.run()))


async def watch(triggers: list[Any]) -> dict[str, Any]:
    """Run the triggers until the input ends."""
    meter = Meter()
    running = [asyncio.create_task(_first_event(trigger)) for trigger in triggers]
    beating = asyncio.create_task(meter.beat())
    await asyncio.to_thread(sys.stdin.readline)
    start = meter.take()
    await asyncio.to_thread(sys.stdin.read)
    steady = meter.take()
    fired = sum(task.done() for task in running)
    for task in (beating, *running):
        task.cancel()
    await asyncio.gather(beating, *running, return_exceptions=True)
    return {"start": asdict(start), "steady": asdict(steady), "fired": fired}


def main() -> None:
    """Read what is to be watched, watch it, and tell."""
    asked = json.loads(sys.stdin.readline())
    triggers = {"ours": ours, "amazon": amazon}[sys.argv[1]](**asked)
    # Neither side is measured by what it logs: our trigger by structlog, Amazon's waiter by logging.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    logging.disable(logging.INFO)
    print(json.dumps(asyncio.run(watch(triggers))))


if __name__ == "__main__":
    main()
