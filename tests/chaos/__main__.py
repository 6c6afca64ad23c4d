"""Kill the workers of four tables at random, let AWS fail, and read beside them: ``python -m tests.chaos``.

Workers overwrite single partitions, sets and a table without keys, roll back and sweep; each is killed at
some moment, and another takes its place, which may run the lost task again. Every run writes rows of its own
name, so that readers see a mix, a gap, and rows that somebody else had replaced. In the end what nobody needs
is swept away, and what is left is explained.

The seed is printed. It settles what is asked for and when workers are killed; how the machine shares out its
time it cannot settle, so a failure may need some runs to come again.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from local_athena import Fault, LocalAthena
from tests.chaos.judge import Judge
from tests.chaos.tables import TABLES
from tests.chaos.worker import work
from tests.faults.lake import Lake

_WORKERS = 4
_READERS = 2
_SECONDS_BETWEEN_KILLS = (0.5, 6.0)
_SECONDS_BETWEEN_FAULTS = (0.3, 2.0)
_SECONDS_TO_END = 240.0

# What is armed, one at a time: a pattern of calls, and how they fail.
_CALLS = ("glue:*Partition*", "glue:*Table*", "glue:Get*", "s3:PutObject", "s3:GetObject", "s3:*", "athena:*")
_WAYS = (
    {"error": "ThrottlingException", "status": 400},
    {"error": "OperationTimeoutException", "status": 400},
    {"error": "OperationTimeoutException", "status": 400, "when": "after"},
    {"error": "InternalFailure", "status": 500},
    {"error": "InternalFailure", "status": 500, "when": "after"},
    {"when": "lost"},
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"seed {seed}: python -m tests.chaos --seconds {asked.seconds:g} --seed {seed}", flush=True)
    logging.disable(logging.CRITICAL)
    with LocalAthena() as aws, tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        chaos = Chaos(aws, seed, Path(folder))
        chaos.run(asked.seconds)
        problems = chaos.judge()
    print(", ".join(f"{number} {what}" for what, number in chaos.counts.items()), flush=True)
    for problem in problems[:50]:
        print(f"WRONG: {problem}", flush=True)
    print(f"{len(problems)} problems (seed {seed})")
    return min(len(problems), 1)


class Chaos:
    """The tables, the workers, and the records of what they said."""

    def __init__(self, aws: LocalAthena, seed: int, folder: Path) -> None:
        self._aws = aws
        self._folder = folder
        self._random = random.Random(seed)
        first = Lake.open(aws)
        self.lakes = {name: first.another() for name in TABLES}
        self.counts: Counter[str] = Counter()
        self._stop = multiprocessing.get_context("forkserver").Event()
        self._started: Counter[int] = Counter()
        self.reads: list[tuple[str, float, float, object]] = []

    def run(self, seconds: float) -> None:
        """Let them work, and kill them, until the time is over and those that are left have ended."""
        for name, table in TABLES.items():
            table.prepare(self.lakes[name])
        until = time.monotonic() + seconds
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.chaos.worker"])
        workers = {slot: self._start(slot) for slot in range(_WORKERS)}
        with ThreadPoolExecutor(_READERS) as pool:
            reading = [pool.submit(self._read, until, number) for number in range(_READERS)]
            kill_at, arm_at = self._soon(_SECONDS_BETWEEN_KILLS), self._soon(_SECONDS_BETWEEN_FAULTS)
            while time.monotonic() < until:
                time.sleep(0.05)
                if time.monotonic() >= kill_at:
                    slot = self._random.randrange(_WORKERS)
                    workers[slot].kill()
                    workers[slot].join()
                    self.counts["kills"] += 1
                    workers[slot] = self._start(slot)
                    kill_at = self._soon(_SECONDS_BETWEEN_KILLS)
                if time.monotonic() >= arm_at:
                    self._arm()
                    arm_at = self._soon(_SECONDS_BETWEEN_FAULTS)
            self._aws.set_faults()
            self._stop.set()
            for reader in reading:
                reader.result()
        self._end(workers)

    def _end(self, workers: dict[int, ForkServerProcess]) -> None:
        until = time.monotonic() + _SECONDS_TO_END
        for worker in workers.values():
            worker.join(max(0.0, until - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()
                self.counts["workers that did not end"] += 1
            elif worker.exitcode:
                self.counts["workers that failed"] += 1

    def _soon(self, between: tuple[float, float]) -> float:
        return time.monotonic() + self._random.uniform(*between)

    def _start(self, slot: int) -> ForkServerProcess:
        self._started[slot] += 1
        process = multiprocessing.get_context("forkserver").Process(
            target=work,
            args=(self.lakes, self._record(slot), self._random.randrange(2**32), self._stop),
            daemon=True,
        )
        process.start()
        return process

    def _record(self, slot: int) -> Path:
        return self._folder / f"worker-{slot}"

    def _arm(self) -> None:
        call, way = self._random.choice(_CALLS), self._random.choice(_WAYS)
        skip, times = self._random.randrange(4), self._random.randint(1, 3)
        self._aws.set_faults(Fault(call, skip=skip, times=times, **way))
        self.counts["armed faults"] += 1

    def _read(self, until: float, number: int) -> None:
        """Read the tables in turn, as a client beside the workers does."""
        clients = {name: lake.new_clients() for name, lake in self.lakes.items()}
        chooses = random.Random(number)
        while time.monotonic() < until:
            name = chooses.choice(sorted(TABLES))
            begun = time.monotonic()
            try:
                rows = self.lakes[name].read(clients[name], TABLES[name].summary, poll_seconds=0.1)
            except Exception:  # the reader meets armed faults, too: it reads again
                self.counts["reads that met a fault"] += 1
                continue
            self.reads.append((name, begun, time.monotonic(), rows))
            self.counts["reads"] += 1

    def judge(self) -> list[str]:
        """Return what was wrong."""
        judge = Judge(self.lakes, [self._record(slot) for slot in range(_WORKERS)])
        self.counts |= judge.counts
        problems = [problem for read in self.reads for problem in judge.read(*read)]  # type: ignore[arg-type]
        return [*problems, *judge.end(), *self._unended()]

    def _unended(self) -> list[str]:
        return [f"{n} {what}" for what, n in self.counts.items() if what.startswith("workers that")]


if __name__ == "__main__":
    sys.exit(main())
