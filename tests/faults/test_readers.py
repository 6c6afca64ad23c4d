"""Clients read in a loop while partitions and tables are overwritten again and again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_quilt_athena.core.overwrite.request import Replace
from tests.faults.lake import Lake, Row, Rows, counted, rows_query

pytestmark = pytest.mark.integration

_READERS = 10
_POLL_SECONDS = 0.05  # looking more often would only take time from the others
_READS_OVER_A_FLIP = 200
_MAX_OVERWRITES = 400
_FLIPS = {"UpdatePartition", "BatchUpdatePartition", "UpdateTable"}
_COUNTRIES = ("ch", "de", "fr")


@dataclass
class Watch:
    """What the writer did, and when; what the readers saw, and when. One clock for all."""

    flips: list[tuple[float, float]] = field(default_factory=list)  # sent, answered
    begun: list[float] = field(default_factory=list)  # by generation
    done: list[float] = field(default_factory=list)
    reads: list[tuple[float, float, Rows]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _sent: float = 0.0

    def sent(self, event_name: str, **_: object) -> None:
        if event_name.split(".")[2] in _FLIPS:
            self._sent = time.monotonic()

    def answered(self, event_name: str, **_: object) -> None:
        if event_name.split(".")[2] in _FLIPS:
            self.flips.append((self._sent, time.monotonic()))

    def over_a_flip(self) -> int:
        """How many reads began before a flip was sent, and ended after it was answered."""
        flips = list(self.flips)
        return sum(
            any(start < sent and answered < end for sent, answered in flips)
            for start, end, _ in list(self.reads)
        )

    def visible(self, start: float, end: float) -> range:
        """The generations that a read may see: from the last one done before it, to the last one begun."""
        oldest = max(number for number, at in enumerate(self.done) if at < start)
        newest = max(number for number, at in enumerate(self.begun) if at < end)
        return range(oldest, newest + 1)


def rows_of(generation: int) -> list[tuple[int, str]]:
    """The rows of one partition in a generation: of their own, and of a number of their own."""
    return [(generation, f"row {number}") for number in range(3 + generation % 4)]


def watch_overwrites(lake: Lake, overwrite: Callable[[int, Any], object]) -> Watch:
    """Overwrite until enough reads were under way at a flip; an error of a reader is raised."""
    watch = Watch()
    writer = lake.new_clients(before_send=watch.sent, response_received=watch.answered)

    def write(generation: int) -> None:
        watch.begun.append(time.monotonic())
        overwrite(generation, writer)
        watch.done.append(time.monotonic())

    def read() -> None:
        clients = lake.new_clients()
        while not watch.stop.is_set():
            start = time.monotonic()
            rows = lake.read(clients, poll_seconds=_POLL_SECONDS)
            watch.reads.append((start, time.monotonic(), rows))

    write(0)
    with ThreadPoolExecutor(_READERS) as pool:
        readers = [pool.submit(read) for _ in range(_READERS)]
        try:
            for generation in range(1, _MAX_OVERWRITES):
                write(generation)
                if watch.over_a_flip() >= _READS_OVER_A_FLIP or any(reader.done() for reader in readers):
                    break
        finally:
            watch.stop.set()
        for reader in readers:
            reader.result()
    assert watch.over_a_flip() >= _READS_OVER_A_FLIP, f"too few of {len(watch.reads)} reads"
    return watch


def assert_whole_generations(watch: Watch, partition_of: Callable[[Row], Row], partitions: set[Row]) -> None:
    for start, end, rows in watch.reads:
        seen: dict[Row, Rows] = {partition: Counter() for partition in partitions}
        for row, times in rows.items():
            seen[partition_of(row)][row] = times
        for partition, its_rows in seen.items():
            allowed = [
                counted((*row, *partition) for row in rows_of(number)) for number in watch.visible(start, end)
            ]
            assert its_rows in allowed, f"a read of {partition} saw {its_rows}"


def test_readers_of_a_partition_see_one_generation_whole(lake: Lake) -> None:
    def overwrite(generation: int, clients: Any) -> None:
        query = rows_query("g, note", rows_of(generation))
        keys = (("dt", "string"),)
        lake.overwrite(query, {"dt": "1"}, f"g{generation}", clients=clients, partitioned_by=keys)

    watch = watch_overwrites(lake, overwrite)

    assert_whole_generations(watch, lambda row: row[2:], {("1",)})


@pytest.mark.faults
def test_readers_of_a_table_without_keys_see_one_generation_whole(lake: Lake) -> None:
    def overwrite(generation: int, clients: Any) -> None:
        query = rows_query("g, note", rows_of(generation))
        lake.overwrite(query, {}, f"g{generation}", clients=clients, replace=Replace.TABLE)

    watch = watch_overwrites(lake, overwrite)

    assert_whole_generations(watch, lambda row: (), {()})


@pytest.mark.faults
def test_readers_of_a_set_see_each_partition_whole(lake: Lake) -> None:
    def overwrite(generation: int, clients: Any) -> None:
        rows = [(*row, country) for row in rows_of(generation) for country in _COUNTRIES]
        query = rows_query("g, note, country", rows)
        keys = (("dt", "string"), ("country", "string"))
        lake.overwrite(query, {"dt": "1"}, f"g{generation}", clients=clients, partitioned_by=keys)

    watch = watch_overwrites(lake, overwrite)

    assert_whole_generations(watch, lambda row: row[2:], {("1", country) for country in _COUNTRIES})
