"""Runs jobs in processes that may be killed: ``python -m tests.faults.forks`` forks one for each order.

The server has everything imported, so that a process costs milliseconds. It takes one JSON line for each
order and answers with one: the exit code of the process, negative for the signal that ended it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.faults.hooks import AtCall, Nth, die
from tests.faults.lake import Lake
from tests.faults.scenarios import SCENARIOS

DEADLINE_SECONDS = 120
_ROOT = Path(__file__).parents[2]


class Forks:
    """The client of a server: starts it, gives it orders, ends it."""

    def __enter__(self) -> Forks:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            start_new_session=True,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._server.stdin).close()  # the end of its orders
        try:
            self._server.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)  # with the child that it waits for
            self._server.wait()
        _pipe(self._server.stdout).close()

    def order(self, job: str, lake: Lake, *arguments: Any) -> None:
        """Have a job done; ``result`` waits for it."""
        order = {"job": job, "lake": asdict(lake), "arguments": arguments}
        _pipe(self._server.stdin).write(json.dumps(order) + "\n")
        _pipe(self._server.stdin).flush()

    def result(self) -> int:
        """Return the exit code of the process that did the job."""
        stdout = _pipe(self._server.stdout)
        ready, _, _ = select.select([stdout], [], [], DEADLINE_SECONDS)
        line = stdout.readline() if ready else ""
        if not line:
            os.killpg(self._server.pid, signal.SIGKILL)
            raise AssertionError(f"No answer from the process within {DEADLINE_SECONDS} s.")
        return int(json.loads(line))

    def run_and_kill(self, scenario: str, lake: Lake, nth: Nth, *, after: bool) -> int:
        """Run a scenario in a process that kills itself at a call: before it, or once it is answered."""
        self.order("scenario", lake, scenario, nth.call, nth.number, after)
        return self.result()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


# ------------------------------------------------------------------------------------------ in the server


def scenario(lake: Lake, name: str, call: str, number: int, after: bool) -> None:
    """The job that dies."""
    event = "response_received" if after else "before_send"
    clients = lake.new_clients(**{event: AtCall(Nth(call, number), die)})
    SCENARIOS[name].work(lake, clients)


def write_in_turn(lake: Lake, rounds: list[tuple[str, dict[str, str], str]]) -> None:
    """The job of a writer: one overwrite after the other, each a query, a partition and a task key."""
    clients = lake.new_clients()
    for query, partition, task_key in rounds:
        lake.overwrite(query, partition, task_key, clients=clients)


_JOBS = {job.__name__: job for job in (scenario, write_in_turn)}


def _serve() -> None:
    Lake(_NOBODY, "", "", "", "").new_clients()  # reads the models of the services, for all children
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _do(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


_NOBODY = (
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "nobody"),
    ("AWS_SECRET_ACCESS_KEY", "nobody"),
)


def _do(order: dict[str, Any]) -> None:
    code = 1
    try:
        described = order["lake"]
        environment = tuple((name, value) for name, value in described.pop("environment"))
        _JOBS[order["job"]](Lake(environment, **described), *order["arguments"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
