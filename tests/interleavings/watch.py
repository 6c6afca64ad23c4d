"""A reader at every moment: whenever anybody wrote, it looks at the table as a query would.

Whoever looked where the partitions are may read for half an hour, and finds all that was there then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from tests.fakes.athena import find_files, read_rows
from tests.fakes.lake import FakeLake

READS_FOR = timedelta(minutes=30)


class Watch:
    """Notes what was seen that nobody may see."""

    def __init__(self, lake: FakeLake, foreign: frozenset[str] = frozenset()) -> None:
        self._lake = lake
        self._foreign = foreign  # keys that others wrote, which nobody deletes
        self._readers: dict[str, tuple[datetime, frozenset[str]]] = {}  # by folder: begun last, what is there
        self.seen: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        world = self._lake.world
        world.on_write.append(self.look)
        try:
            yield self
        finally:
            world.on_write.remove(self.look)
            self.look()

    def look(self) -> None:
        world = self._lake.world
        objects = world.s3.objects
        if gone := self._foreign - objects.keys():
            self._note(f"files of others are gone: {sorted(gone)}")
        locations = self._lake.locations() if self._lake.table else {}
        for values, location in locations.items():
            runs = {row["note"] for row in read_rows(world.s3, location)}
            if len(runs) > 1:
                self._note(f"{values} is a mix of {sorted(map(str, runs))}")
            known = self._readers.get(location, (world.now, frozenset()))[1]
            self._readers[location] = (world.now, known or frozenset(find_files(world.s3, location)))
        for location, (since, keys) in list(self._readers.items()):
            if world.now - since > READS_FOR:
                del self._readers[location]
            elif missing := keys - objects.keys():
                self._note(f"who reads {location} since {since:%d %H:%M} misses {sorted(missing)}")
                del self._readers[location]

    def _note(self, what: str) -> None:
        if what not in self.seen:
            self.seen.append(what)
