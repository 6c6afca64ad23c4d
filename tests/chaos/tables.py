"""The tables, and what is asked for each: drawn by chance, and described as a record can keep it."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.overwrite.request import Replace
from airflow_quilt_athena.flows.aws.clients import LakeClients
from tests.faults.lake import TABLE, Lake, rows_query

Values = tuple[str, ...]
_DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
_COUNTRIES = ("ch", "de", "fr", "it")


@dataclass(frozen=True)
class Order:
    """What a worker is to do: an overwrite of some partitions, a rollback or a sweep."""

    table: str
    kind: str
    run: str
    fixed: Mapping[str, str]
    written: tuple[Values, ...]

    def carry_out(self, lake: Lake, clients: LakeClients) -> None:
        if self.kind == "rollback":
            lake.rollback(self.run, clients)
        elif self.kind == "sweep":
            from airflow_quilt_athena.flows.overwrite.sweep import sweep_generations

            sweep_generations(clients, lake.name)
        else:
            self._overwrite(lake, clients)

    def _overwrite(self, lake: Lake, clients: LakeClients) -> None:
        keys = TABLES[self.table].keys
        dynamic = [number for number, key in enumerate(keys) if key not in self.fixed]
        rows = [
            (number, self.run, *(values[place] for place in dynamic))
            for values in self.written
            for number in range(row_count(self.run, values))
        ]
        columns = ", ".join(["id", "note", *(keys[place] for place in dynamic)])
        asked: dict[str, Any] = {"partitioned_by": tuple((key, "string") for key in keys)}
        if not keys:
            asked["replace"] = Replace.TABLE
        lake.overwrite(rows_query(columns, rows), dict(self.fixed), self.run, clients=clients, **asked)

    def replaces(self, values: Values) -> bool:
        """Whether the order, once done, says what the partition holds: its rows, or that it is gone."""
        if self.kind in {"rollback", "sweep"}:
            return False
        return values in self.written or (self.kind == "set" and values[0] == self.fixed["dt"])


def row_count(run: str, values: Values) -> int:
    """How many rows a run has for a partition: of its own, so that half of them is seen."""
    return 3 + zlib.crc32(repr((run, values)).encode()) % 4


@dataclass(frozen=True)
class ChaosTable:
    """A table without a past, and what is drawn for it."""

    keys: tuple[str, ...]
    draw: Callable[[random.Random, str], Order]
    first: tuple[Order, ...]
    is_undone: bool = False  # rollbacks take it back: then older rows are no mistake

    @property
    def summary(self) -> str:
        """A query of what readers count."""
        columns = ", ".join(["note", *self.keys])
        return f"SELECT {columns}, count(*), count(DISTINCT id) FROM {TABLE} GROUP BY {columns}"

    def prepare(self, lake: Lake) -> None:
        for order in self.first:
            order.carry_out(lake, lake.clients())


def _draw_days(chance: random.Random, run: str) -> Order:
    if chance.random() < 0.1:
        return Order("days", "sweep", run, {}, ())
    if chance.random() < 0.25:
        written = tuple((day,) for day in _DAYS if chance.random() < 0.6) or ((_DAYS[0],),)
        return Order("days", "some", run, {}, written)
    day = chance.choice(_DAYS)
    return Order("days", "one", run, {"dt": day}, ((day,),))


def _draw_sets(chance: random.Random, run: str) -> Order:
    """The first day is written by sets alone: there the whole day is of one run."""
    if chance.random() < 0.1:
        return Order("sets", "sweep", run, {}, ())
    if chance.random() < 0.6:
        day = chance.choice(_DAYS[:2])
        countries: Sequence[str] = [c for c in _COUNTRIES if chance.random() < 0.6] or ["ch"]
        return Order("sets", "set", run, {"dt": day}, tuple((day, country) for country in countries))
    values = (_DAYS[1], chance.choice(_COUNTRIES))
    return Order("sets", "one", run, dict(zip(("dt", "country"), values, strict=True)), (values,))


def _draw_whole(chance: random.Random, run: str) -> Order:
    if chance.random() < 0.1:
        return Order("whole", "sweep", run, {}, ())
    return Order("whole", "whole", run, {}, ((),))


def _draw_undone(chance: random.Random, run: str) -> Order:
    if chance.random() < 0.4:
        return Order("undone", chance.choice(["rollback", "rollback", "sweep"]), run, {}, ())
    day = chance.choice(_DAYS)
    return Order("undone", "one", run, {"dt": day}, ((day,),))


TABLES = {
    "days": ChaosTable(
        ("dt",), _draw_days, tuple(Order("days", "one", f"first {d}", {"dt": d}, ((d,),)) for d in _DAYS)
    ),
    "sets": ChaosTable(
        ("dt", "country"),
        _draw_sets,
        tuple(
            Order("sets", "set", f"first {day}", {"dt": day}, tuple((day, c) for c in _COUNTRIES))
            for day in _DAYS[:2]
        ),
    ),
    "whole": ChaosTable((), _draw_whole, (Order("whole", "whole", "first", {}, ((),)),)),
    "undone": ChaosTable(
        ("dt",),
        _draw_undone,
        tuple(
            Order("undone", "one", f"{word} {day}", {"dt": day}, ((day,),))
            for word in ("first", "second")
            for day in _DAYS
        ),
        is_undone=True,
    ),
}
