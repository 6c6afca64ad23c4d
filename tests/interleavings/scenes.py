"""What is held at each of its calls, and who acts in between; each with what it does to the model."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from airflow_quilt_athena.core.overwrite.request import Replace
from airflow_quilt_athena.flows.aws.clients import LakeClients
from tests.fakes.lake import FakeLake
from tests.fakes.world import Killed, World, killed_after, killed_before
from tests.faults.lake import TABLE, rows_query
from tests.interleavings.model import (
    Operation,
    Ran,
    State,
    Values,
    overwrite,
    recreation,
    rollback,
    stranger,
)

DAY, NEXT_DAY = "2026-01-01", "2026-01-02"
HELD = "held"  # the run that is held, by its task key
Work = Callable[[FakeLake, LakeClients], object]

_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "Parameters": {"serialization.format": "1"},
    },
}
_COLUMNS = [{"Name": "id", "Type": "int"}, {"Name": "note", "Type": "string"}]


def row_count(run: str, values: Values) -> int:
    """How many rows a run has for a partition: of its own, so that half of them is seen."""
    return 2 + zlib.crc32(repr((run, values)).encode()) % 3


@dataclass(frozen=True)
class Act:
    """Something that somebody does, and what it does to the table."""

    name: str
    work: Work
    operation: Operation = lambda state: state
    pause: float = 0.0  # how long it is until then
    is_ours: bool = True  # what is not ours cannot fail


def write(
    run: str,
    keys: Sequence[str],
    fixed: Mapping[str, str],
    written: Sequence[Values],
    *,
    all_of: Replace = Replace.PARTITIONS,
    task_key: str | None = None,
    **asked: Any,
) -> Act:
    """An overwrite of a partition, of a set, or of a table without keys."""
    dynamic = [number for number, key in enumerate(keys) if key not in fixed]
    rows = [
        (number, run, *(values[place] for place in dynamic))
        for values in written
        for number in range(row_count(run, values))
    ]
    columns = ", ".join(["id", "note", *(keys[place] for place in dynamic)])
    request = {"partitioned_by": tuple((key, "string") for key in keys), "replace": all_of, **asked}

    def goes(values: Values) -> bool:
        below = all(fixed.get(key, value) == value for key, value in zip(keys, values, strict=True))
        return below and (bool(fixed) or all_of is Replace.TABLE)

    return Act(
        run,
        lambda lake, clients: lake.overwrite(
            rows_query(columns, rows), dict(fixed), task_key or run, clients=clients, **request
        ),
        overwrite(run, written, goes),
    )


# ------------------------------------------------------------------------------------- families of tables


@dataclass(frozen=True)
class Family:
    """Tables of one shape, and who may come in between there."""

    keys: tuple[str, ...]
    natural: Values | None  # of a partition that others wrote before us
    before: tuple[Act, ...]
    others: tuple[Act, ...]


def _stranger(values: Values) -> Act:
    def work(lake: FakeLake, _: LakeClients) -> None:
        table = lake.table
        if table is None:
            return
        place = put_rows(lake, "elsewhere/", "stranger", values)
        pointer = table.partitions.get(values) if values else table.definition
        if pointer is not None:
            pointer["StorageDescriptor"]["Location"] = place
            table.version += not values

    return Act("a stranger", work, stranger("stranger", values), is_ours=False)


def _recreation(keys: Sequence[str]) -> Act:
    def work(lake: FakeLake, _: LakeClients) -> None:
        if lake.table is not None:
            lake.world.glue.delete_table(DatabaseName=lake.database, Name=TABLE)
            make_table(lake, keys)
            if not keys:
                put_rows(
                    lake, lake.base, "natural", ()
                )  # as they are already, where there was a table before

    whole = stranger("natural", ())
    return Act("drop and re-creation", work, recreation if keys else whole, is_ours=False)


_SWEEP = Act("a sweep", lambda lake, clients: lake.sweep_now(clients))
_LATE_SWEEP = Act("a sweep two days later", lambda lake, clients: lake.sweep_now(clients), pause=2 * 86_400)
_ROLLBACK = Act("a rollback", lambda lake, clients: lake.rollback("undo", clients), rollback)

_DAYS = Family(
    ("dt",),
    (DAY,),
    (
        write("first", ["dt"], {"dt": DAY}, [(DAY,)]),
        write("neighbour", ["dt"], {"dt": NEXT_DAY}, [(NEXT_DAY,)]),
        write("before", ["dt"], {"dt": DAY}, [(DAY,)]),
    ),
    (
        write("other", ["dt"], {"dt": DAY}, [(DAY,)]),
        write("of next day", ["dt"], {"dt": NEXT_DAY}, [(NEXT_DAY,)]),
        write("other set", ["dt"], {}, [(DAY,), ("2026-01-03",)]),
        write("other table", ["dt"], {}, [(DAY,), ("2026-01-03",)], all_of=Replace.TABLE),
        _SWEEP,
        _LATE_SWEEP,
        _ROLLBACK,
        _stranger((DAY,)),
        _recreation(["dt"]),
    ),
)
_NEW_DAY = replace(_DAYS, before=(*_DAYS.before[:1], _DAYS.before[2], _DAYS.before[1]))
_TWO = ("dt", "country")
_SETS = Family(
    _TWO,
    (DAY, "ch"),
    (
        write("first", _TWO, {"dt": DAY}, [(DAY, "ch"), (DAY, "de")]),
        write("neighbour", _TWO, {"dt": NEXT_DAY}, [(NEXT_DAY, "ch")]),
        write("before", _TWO, {"dt": DAY}, [(DAY, "ch"), (DAY, "de"), (DAY, "fr")]),
    ),
    (
        write("other", _TWO, {"dt": DAY, "country": "ch"}, [(DAY, "ch")]),
        write("other set", _TWO, {"dt": DAY}, [(DAY, "ch"), (DAY, "it")]),
        write("other some", _TWO, {}, [(DAY, "de"), (NEXT_DAY, "ch")]),
        _SWEEP,
        _LATE_SWEEP,
        _ROLLBACK,
        _stranger((DAY, "ch")),
        _recreation(_TWO),
    ),
)
_WHOLE = Family(
    (),
    (),
    (
        write("first", (), {}, [()], all_of=Replace.TABLE),
        write("before", (), {}, [()], all_of=Replace.TABLE),
    ),
    (
        write("other", (), {}, [()], all_of=Replace.TABLE),
        _SWEEP,
        _LATE_SWEEP,
        _ROLLBACK,
        _stranger(()),
        _recreation(()),
    ),
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A table, and what is done to it, held at each of its calls."""

    name: str
    family: Family
    held: Act
    creates: bool = False  # there is no table yet
    dead: Act | None = None  # a run that died before, at this call:
    died_at: str = ""
    died_after: bool = False

    def prepare(self, lake: FakeLake) -> tuple[State, list[Ran]]:
        """Make the table; return it as it is, and the run that died, which may have changed it since."""
        plant(lake, None if self.creates else self.family)
        state = State()
        if self.creates:
            return state, []
        if self.family.natural is not None:
            state = state.changed_by_stranger({self.family.natural: "natural"})
        for act in self.family.before:
            act.work(lake, lake.clients())
            state = act.operation(state)
        return state, [self._kill(lake, self.dead)] if self.dead else []

    def _kill(self, lake: FakeLake, dead: Act) -> Ran:
        number = calls_of(Scene("", self.family, dead)).index(self.died_at) + 1
        kill = killed_after if self.died_after else killed_before
        begun = lake.world.monotonic()
        try:
            dead.work(lake, lake.world.worker(kill(number)).clients)
        except Killed:
            return Ran(dead.operation, begun, lake.world.monotonic(), certain=False)
        raise AssertionError("it did not die")


_WHOLE_TABLE = write(
    HELD, _TWO, {}, [(DAY, "ch"), (DAY, "it"), (NEXT_DAY, "de")], all_of=Replace.TABLE, task_key=HELD
)
_ONE = write(HELD, ["dt"], {"dt": DAY}, [(DAY,)])
_SET = write(HELD, _TWO, {"dt": DAY}, [(DAY, "ch"), (DAY, "de"), (DAY, "it")])
_TABLE = write(HELD, (), {}, [()], all_of=Replace.TABLE)
_UNDO = Act(HELD, lambda lake, clients: lake.rollback(HELD, clients), rollback)
_SWEEPS_LATER = Act("held sweep", lambda lake, clients: lake.sweep_now(clients), pause=2 * 86_400)
_DEAD_ONE = write("dead", ["dt"], {"dt": DAY}, [(DAY,)])
_DEAD_SET = write("dead", _TWO, {"dt": DAY}, [(DAY, "ch"), (DAY, "de"), (DAY, "it")])
_FLIP, _FLIPS = "glue:UpdatePartition", "glue:BatchUpdatePartition"

SCENES = (
    Scene("one partition", _DAYS, _ONE),
    Scene(
        "one partition by UNLOAD", _DAYS, write(HELD, ["dt"], {"dt": DAY}, [(DAY,)], workgroup="wg_enforcing")
    ),
    Scene("a set", _SETS, _SET),
    Scene("all partitions", _SETS, _WHOLE_TABLE),
    Scene("a table without keys", _WHOLE, _TABLE),
    Scene("first creation", _DAYS, _ONE, creates=True),
    Scene("first creation of a set", _SETS, _SET, creates=True),
    Scene("first creation of a table without keys", _WHOLE, _TABLE, creates=True),
    Scene("rollback of one partition", _DAYS, _UNDO),
    Scene("rollback of a partition that was new", _NEW_DAY, _UNDO),
    Scene("rollback of a set", _SETS, _UNDO),
    Scene("rollback of a table without keys", _WHOLE, _UNDO),
    Scene("sweep", _SETS, _SWEEPS_LATER),
    Scene("sweep of a table without keys", _WHOLE, _SWEEPS_LATER),
    Scene("one partition after a dead flip", _DAYS, _ONE, dead=_DEAD_ONE, died_at=_FLIP),
    Scene(
        "one partition after a dead flip that landed",
        _DAYS,
        _ONE,
        dead=_DEAD_ONE,
        died_at=_FLIP,
        died_after=True,
    ),
    Scene("a set after half a dead one", _SETS, _SET, dead=_DEAD_SET, died_at=_FLIPS),
    Scene("a set after most of a dead one", _SETS, _SET, dead=_DEAD_SET, died_at=_FLIPS, died_after=True),
    Scene("sweep after a dead flip", _DAYS, _SWEEPS_LATER, dead=_DEAD_ONE, died_at=_FLIP),
    Scene(
        "sweep after a dead flip that landed",
        _DAYS,
        _SWEEPS_LATER,
        dead=_DEAD_ONE,
        died_at=_FLIP,
        died_after=True,
    ),
    Scene("sweep after half a dead set", _SETS, _SWEEPS_LATER, dead=_DEAD_SET, died_at=_FLIPS),
    Scene(
        "sweep after most of a dead set",
        _SETS,
        _SWEEPS_LATER,
        dead=_DEAD_SET,
        died_at=_FLIPS,
        died_after=True,
    ),
)


@cache
def prepared(scene: Scene) -> tuple[World, State, list[Ran]]:
    """Return a world in which the scene may be played; take a copy of it."""
    world = World()
    with world.entered():
        state, ran = scene.prepare(FakeLake(world))
    world.s3.calls.clear()
    return world, state, ran


@cache
def calls_of(scene: Scene) -> tuple[str, ...]:
    """Return the calls of what is held when nobody disturbs it."""
    world = deepcopy(prepared(scene)[0])
    with world.entered():
        worker = world.worker()
        world.pass_time(scene.held.pause)
        scene.held.work(FakeLake(world), worker.clients)
    return tuple(worker.made)


# ---------------------------------------------------------------------------------------- what others do


def make_table(lake: FakeLake, keys: Sequence[str]) -> None:
    """Make the table as others do: we know nothing of it."""
    lake.world.glue.create_table(
        DatabaseName=lake.database,
        TableInput={
            "Name": TABLE,
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": {
                **_PARQUET,
                "Columns": _COLUMNS,
                "Location": f"s3://{lake.bucket}/{lake.base}",
            },
            "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys],
            "Parameters": {"EXTERNAL": "TRUE"},
        },
    )


def put_rows(lake: FakeLake, place: str, run: str, values: Values) -> str:
    """Write rows as others do; return where they are."""
    for number in range(row_count(run, values)):
        lake.put(f"{place}{run}-{number}.parquet", json.dumps({"id": number, "note": run}).encode())
    return f"s3://{lake.bucket}/{place}"


_ABOUT = ("w/t2/a.parquet", "w/tt/dt=2026-01-01/a.parquet", "w/a.parquet", "w/t-old/.generations/a.parquet")
_INSIDE = ("_archive/a.parquet", ".hidden/a.parquet", "dt=2025-01-01/a.parquet", ".generations/readme.txt")


def plant(lake: FakeLake, family: Family | None) -> None:
    """Write what others have about the table's folder; and in it, where there is a table."""
    nothing = json.dumps({"id": 0, "note": "others"}).encode()
    for key in _ABOUT:
        lake.put(key, nothing)
    if family is None:
        return
    make_table(lake, family.keys)
    for name in _INSIDE[: None if family.keys else 2]:
        lake.put(lake.base + name, nothing)
    assert family.natural is not None
    folder = "".join(f"{key}={value}/" for key, value in zip(family.keys, family.natural, strict=True))
    place = put_rows(lake, lake.base + folder, "natural", family.natural)
    if family.keys:
        descriptor = {**_PARQUET, "Columns": _COLUMNS, "Location": place}
        given = {"Values": list(family.natural), "StorageDescriptor": descriptor, "Parameters": {}}
        at = {"DatabaseName": lake.database, "TableName": TABLE}
        lake.world.glue.create_partition(**at, PartitionInput=given)
    lake.world.pass_time(3600)
