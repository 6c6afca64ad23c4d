"""What is done once cleanly, and then again with each of its calls failing once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.overwrite.request import Replace
from airflow_quilt_athena.exceptions import AuditFailedError
from airflow_quilt_athena.flows.aws.clients import LakeClients
from tests.faults.lake import Lake, Row, Rows, counted, rows_query

TASK = "task"  # the key of the task that fails; what prepares has others
DAY, NEXT_DAY = "2026-01-01", "2026-01-02"
BY_DAY = (("dt", "string"),)
BY_DAY_AND_COUNTRY = (("dt", "string"), ("country", "string"))


@dataclass(frozen=True, eq=False)
class Scenario:
    """``work`` takes a table from one set of rows to another. Its last columns are the partitions' keys."""

    name: str
    prepare: Callable[[Lake], object]
    work: Callable[[Lake, LakeClients], object]
    before: Rows
    after: Rows
    keys: int = 1
    every_call: bool = True  # otherwise the first and the last call of each operation

    def partition_of(self, row: Row) -> Row:
        """The partition a row is in; () in a table without keys."""
        return row[len(row) - self.keys :]

    def by_partition(self, rows: Rows) -> dict[Row, Rows]:
        """The rows of each partition that has any."""
        found: dict[Row, Rows] = {}
        for row, times in rows.items():
            found.setdefault(self.partition_of(row), Counter())[row] = times
        return found


# ------------------------------------------------------------------------------- one static partition

_ONE_OLD, _ONE_NEW = [(1, "old"), (2, "old")], [(1, "new"), (3, "new"), (4, "new")]


def _of_day(rows: list[tuple[int, str]], day: str = DAY) -> Rows:
    return counted((*row, day) for row in rows)


def _overwrite_day(lake: Lake, rows: list[tuple[int, str]], task_key: str, **more: Any) -> None:
    lake.overwrite(rows_query("id, note", rows), {"dt": DAY}, task_key, partitioned_by=BY_DAY, **more)


ONE_PARTITION = Scenario(
    "one static partition",
    prepare=lambda lake: _overwrite_day(lake, _ONE_OLD, "before"),
    work=lambda lake, clients: _overwrite_day(lake, _ONE_NEW, TASK, clients=clients),
    before=_of_day(_ONE_OLD),
    after=_of_day(_ONE_NEW),
)

UNLOADED = Scenario(
    "one partition by UNLOAD",
    prepare=lambda lake: _overwrite_day(lake, _ONE_OLD, "before"),
    work=lambda lake, clients: _overwrite_day(
        lake, _ONE_NEW, TASK, clients=clients, workgroup=lake.enforcing
    ),
    before=_of_day(_ONE_OLD),
    after=_of_day(_ONE_NEW),
)

FIRST_CREATION = Scenario(
    "first creation of a table",
    prepare=lambda lake: None,
    work=lambda lake, clients: _overwrite_day(lake, _ONE_NEW, TASK, clients=clients),
    before=Counter(),
    after=_of_day(_ONE_NEW),
)

# ------------------------------------------------------------------------------------- a set of three

_SET_OLD = [(1, "old", "ch"), (2, "old", "ch"), (3, "old", "de"), (4, "old", "fr")]
SET_NEW = [(1, "new", "ch"), (3, "new", "de"), (5, "new", "de"), (6, "new", "it")]
_NEIGHBOUR = [(9, "old", "ch", NEXT_DAY)]  # below another prefix: nobody may touch it


def of_set(rows: list[tuple[int, str, str]]) -> Rows:
    return counted([(number, note, DAY, country) for number, note, country in rows]) + counted(
        (number, note, day, country) for number, note, country, day in _NEIGHBOUR
    )


def _prepare_set(lake: Lake) -> None:
    rows = [(*row, DAY) for row in _SET_OLD] + _NEIGHBOUR
    query = rows_query("id, note, country, dt", rows)
    lake.overwrite(query, {}, "before", partitioned_by=BY_DAY_AND_COUNTRY)


def overwrite_set(lake: Lake, clients: LakeClients | None, task_key: str = TASK) -> None:
    lake.overwrite(rows_query("id, note, country", SET_NEW), {"dt": DAY}, task_key, clients=clients)


THREE_PARTITIONS = Scenario(
    "three dynamic partitions, one new and one vanishing",
    prepare=_prepare_set,
    work=overwrite_set,
    before=of_set(_SET_OLD),
    after=of_set(SET_NEW),
    keys=2,
)

# -------------------------------------------------------------------------------- 250 dynamic partitions

_MANY = 250
_STAYS = "stays"  # a partition that the result does not have


def _prepare_many(lake: Lake) -> None:
    # 30 of the partitions are new: creating and repointing are different calls.
    numbers = "UNNEST(sequence(31, 250))"
    query = f"SELECT n AS id, CAST(n AS varchar) AS k FROM {numbers} AS t(n) UNION ALL SELECT 0, '{_STAYS}'"
    lake.overwrite(query, {}, "before", partitioned_by=(("k", "string"),))


def _overwrite_many(lake: Lake, clients: LakeClients) -> None:
    numbers = f"UNNEST(sequence(1, {_MANY}))"
    query = f"SELECT n + 1000 AS id, CAST(n AS varchar) AS k FROM {numbers} AS t(n)"
    lake.overwrite(query, {}, TASK, clients=clients)


MANY_PARTITIONS = Scenario(
    "250 dynamic partitions",
    prepare=_prepare_many,
    work=_overwrite_many,
    before=counted([*((n, n) for n in range(31, _MANY + 1)), (0, _STAYS)]),
    after=counted([*((n + 1000, n) for n in range(1, _MANY + 1)), (0, _STAYS)]),
    every_call=False,
)

# ---------------------------------------------------------------------------------- a table without keys


def overwrite_whole(
    lake: Lake, rows: list[tuple[int, str]], task_key: str, clients: LakeClients | None = None
) -> None:
    lake.overwrite(rows_query("id, note", rows), {}, task_key, clients=clients, replace=Replace.TABLE)


UNPARTITIONED = Scenario(
    "a table without keys",
    prepare=lambda lake: overwrite_whole(lake, _ONE_OLD, "before"),
    work=lambda lake, clients: overwrite_whole(lake, _ONE_NEW, TASK, clients),
    before=counted(_ONE_OLD),
    after=counted(_ONE_NEW),
    keys=0,
)

UNPARTITIONED_CREATION = Scenario(
    "first creation of a table without keys",
    prepare=lambda lake: None,
    work=lambda lake, clients: overwrite_whole(lake, _ONE_NEW, TASK, clients),
    before=Counter(),
    after=counted(_ONE_NEW),
    keys=0,
)

# ------------------------------------------------------------------------------ rolling back and sweeping


def _overwrite_day_twice(lake: Lake) -> None:
    _overwrite_day(lake, _ONE_OLD, "before")
    _overwrite_day(lake, _ONE_NEW, "undone")


ROLLBACK_OF_ONE = Scenario(
    "rollback of one partition",
    prepare=_overwrite_day_twice,
    work=lambda lake, clients: lake.rollback(TASK, clients),
    before=_of_day(_ONE_NEW),
    after=_of_day(_ONE_OLD),
)


def _overwrite_set_twice(lake: Lake) -> None:
    _prepare_set(lake)
    overwrite_set(lake, None, "undone")


ROLLBACK_OF_THREE = Scenario(
    "rollback of three partitions",
    prepare=_overwrite_set_twice,
    work=lambda lake, clients: lake.rollback(TASK, clients),
    before=of_set(SET_NEW),
    after=of_set(_SET_OLD),
    keys=2,
)


def _leave_much_behind(lake: Lake) -> None:
    """Replaced partitions, one that vanished, and an attempt that did not pass its check."""
    _overwrite_set_twice(lake)
    query = rows_query("id, note, country", [(7, "bad", "ch")])
    try:
        lake.overwrite(query, {"dt": DAY}, "bad", min_rows=2)
    except AuditFailedError:
        return
    raise AssertionError("an overwrite with too few rows was published")


SWEEP = Scenario(
    "sweep",
    prepare=_leave_much_behind,
    work=lambda lake, clients: lake.sweep(clients),
    before=of_set(SET_NEW),
    after=of_set(SET_NEW),
    keys=2,
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        ONE_PARTITION,
        THREE_PARTITIONS,
        MANY_PARTITIONS,
        FIRST_CREATION,
        UNPARTITIONED,
        UNPARTITIONED_CREATION,
        UNLOADED,
        ROLLBACK_OF_ONE,
        ROLLBACK_OF_THREE,
        SWEEP,
    )
}
