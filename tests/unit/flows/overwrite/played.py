"""A table of a fake lake, at one of whose calls something happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_quilt_athena.core.overwrite.request import Replace
from airflow_quilt_athena.flows.aws.clients import LakeClients
from tests.fakes.lake import FakeLake
from tests.fakes.world import Call, Event, Worker, World
from tests.faults.lake import TABLE
from tests.interleavings.scenes import Act, make_table, put_rows, write
from tests.unit.athena_fake import client_error

Happening = Callable[[int], Event]  # what happens at the call of that number
DAY, NEXT_DAY = "2026-01-01", "2026-01-02"


@dataclass
class Table:
    """One table, partitioned by ``dt``."""

    world: World
    lake: FakeLake

    @classmethod
    @contextmanager
    def made(cls, keys: Sequence[str] = ("dt",)) -> Iterator[Table]:
        """Yield a table that others have made, without partitions, in a world of its own."""
        with World().entered() as world:
            table = cls(world, FakeLake(world))
            make_table(table.lake, keys)
            yield table

    def drop(self, name: str = TABLE) -> None:
        """Have somebody drop the table, or another one of the database."""
        self.world.glue.delete_table(DatabaseName=self.lake.database, Name=name)

    def drop_temporary(self) -> None:
        """Have somebody drop what only serves staging."""
        for name in self.lake.tables() - {TABLE}:
            self.drop(name)

    def act(self, act: Act, *happens: tuple[str, Happening], nth: int = 1) -> Any:
        """Have a worker do it; something happens at the ``nth`` call of each name, -1 is the last."""
        events = [happening(self._number(act, call, nth)) for call, happening in happens]
        return act.work(self.lake, self.world.worker(*events).clients)

    def _number(self, act: Act, call: str, nth: int) -> int:
        """Return which of all calls that is, by doing it in a copy of the world."""
        with deepcopy(self.world).entered() as world:
            worker = world.worker()
            act.work(FakeLake(world), worker.clients)
        numbers = [number for number, made in enumerate(worker.made, 1) if made == call]
        return numbers[nth - 1 if nth > 0 else nth]

    def point_elsewhere(self, day: str, folder: str = "elsewhere/") -> str:
        """Have somebody else point a partition at rows of his own; return where."""
        place = put_rows(self.lake, folder, "stranger", (day,))
        table = self.lake.table
        assert table is not None
        descriptor = {**table.definition["StorageDescriptor"], "Location": place}
        table.partitions[day,] = {"Values": [day], "StorageDescriptor": descriptor, "Parameters": {}}
        return place

    def files(self, part: str) -> list[str]:
        """The keys of the table's folder that have this in them."""
        return sorted(key for key in self.lake.keys("w/") if part in key)

    def take(self, *keys: str) -> None:
        """Have somebody delete objects."""
        for key in keys:
            del self.world.s3.objects[key]

    def entry_of(self, task_key: str) -> str:
        """The name of the only entry of a task."""
        (name,) = (name for name, entry in self.lake.journal().items() if entry["task_key"] == task_key)
        return name

    def places(self) -> dict[str, str]:
        """Where Glue points, by day."""
        return {day: place for (day,), place in self.lake.locations().items()}

    def states(self) -> dict[str, str]:
        """The states of the journal's entries, by task key and number."""
        return {
            f"{e['task_key']} {name.rpartition('-')[2]}": e["state"]
            for name, e in self.lake.journal().items()
        }


def one(run: str, day: str = DAY, **asked: Any) -> Act:
    """An overwrite of one day."""
    return write(run, ("dt",), {"dt": day}, [(day,)], **asked)


def several(run: str, days: Sequence[str] = (DAY, NEXT_DAY), *, whole: bool = False, **asked: Any) -> Act:
    """An overwrite of the days that the result has; of the whole table when that is asked."""
    replaces = Replace.TABLE if whole else Replace.PARTITIONS
    return write(run, ("dt",), {}, [(day,) for day in days], all_of=replaces, **asked)


def sweep(**asked: Any) -> Act:
    """A sweep at the time that it is."""
    return Act("sweep", lambda lake, clients: lake.sweep_now(clients, **asked))


def undo(name: str = "undo", **asked: Any) -> Act:
    """A rollback."""

    def work(lake: FakeLake, clients: LakeClients) -> object:
        return lake.rollback(name, clients, **asked)

    return Act(name, work)


def refused(number: int) -> Event:
    """The call is refused for want of a permission."""

    def happen(worker: Worker, call: Call) -> None:
        raise client_error("AccessDeniedException")

    return Event(number, happen)


WEEK = timedelta(days=8).total_seconds()
