"""Judges what readers saw, and what is there in the end, by the records of the workers alone."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.chaos.tables import TABLES, Order, Values, row_count
from tests.chaos.worker import read_order
from tests.faults.lake import Lake, Rows
from tests.faults.whole import sweep_all


@dataclass
class Run:
    """An order, from when it was first begun to when it ended for the last time."""

    order: Order
    begun: float
    ended: float = math.inf  # or died; what it left half done somebody else may finish, as of then
    published: bool = False
    failed: bool = False


@dataclass
class Judge:
    lakes: dict[str, Lake]
    records: list[Path]
    runs: dict[str, Run] = field(default_factory=dict)  # by name
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for table in TABLES.values():
            for order in table.first:
                self.runs[f"{order.table} {order.run}"] = Run(order, 0.0, 0.0, published=True)
        for record in self.records:
            self._read_record(record)
        self.counts["runs"] = len(self.runs)
        self.counts["runs that said published"] = sum(run.published for run in self.runs.values())
        self.counts["runs that failed"] = sum(run.failed for run in self.runs.values())

    def _read_record(self, record: Path) -> None:
        current: Run | None = None
        for line in record.read_text().splitlines() if record.exists() else ():
            if not line.endswith("}"):
                continue  # killed while it wrote
            document = json.loads(line)
            if "started" in document:
                if current is not None:
                    current.ended = document["started"]
                    self.counts["runs that were killed"] += 1
                current = None
            elif "order" in document:
                order = read_order(document["order"])
                current = self.runs.setdefault(f"{order.table} {order.run}", Run(order, document["begun"]))
                current.failed, current.ended = False, math.inf
            elif current is not None:
                self._end(current, document)
                current = None

    def _end(self, run: Run, document: dict[str, Any]) -> None:
        run.ended, error = document["ended"], document["error"]
        run.published, run.failed = not error, bool(error)
        if error.startswith("NOT OURS"):
            self.problems.append(f"{run.order.kind} of {run.order.table}: {error}")
        if error and not error.startswith(("RetryableError", "ManualActionError", "LeaseLost", "Journal")):
            self.problems.append(f"{run.order.kind} of {run.order.table} failed for ever: {error}")

    # --------------------------------------------------------------------------------------- what was seen

    def read(self, name: str, begun: float, ended: float, rows: Rows) -> Iterator[str]:
        """Yield what a reader of a table may not have seen."""
        seen: dict[Values, str] = {}
        for note, *values, count, distinct in rows:
            partition = tuple(values)
            if partition in seen:
                yield f"{name} {partition}: a mix of {seen[partition]} and {note}"
            seen[partition] = note
            expected = row_count(note, partition)
            if (int(count), int(distinct)) != (expected, expected):
                yield f"{name} {partition}: {count} rows of {note}; expected {expected}"
        yield from self._old_or_unknown(name, seen, begun, ended)

    def _old_or_unknown(
        self, name: str, seen: dict[Values, str], begun: float, ended: float
    ) -> Iterator[str]:
        partitions = set(seen) | {values for run in self._of(name) for values in run.order.written}
        for partition in partitions:
            note = seen.get(partition)
            run = self.runs.get(f"{name} {note}") if note is not None else None
            if note is not None and (run is None or run.begun > ended):
                yield f"{name} {partition}: rows of {note}, which nobody wrote"
                continue
            if TABLES[name].is_undone:
                continue
            if note is None and self._may_be_gone(name, partition, begun, ended):
                continue
            later = self._replaced_by(name, partition, run, begun)
            if later is not None:
                yield (
                    f"{name} {partition}: {note} is seen, but {later.order.run} said published before "
                    f"({begun - later.ended:.3f} s), begun after it had ended"
                )

    def _of(self, name: str) -> list[Run]:
        return [run for run in self.runs.values() if run.order.table == name]

    def _replaced_by(self, name: str, partition: Values, run: Run | None, begun: float) -> Run | None:
        """Return a run that was published whole between the end of ``run`` and the read."""
        since = -1.0 if run is None else run.ended
        for other in self._of(name):
            if (
                other is not run
                and other.published
                and other.begun > since
                and other.ended < begun
                and other.order.replaces(partition)
                and (run is not None or partition in other.order.written)
            ):
                return other
        return None

    def _may_be_gone(self, name: str, partition: Values, begun: float, ended: float) -> bool:
        """Whether a run took the partition away, or may have."""
        takers = [
            run
            for run in self._of(name)
            if run.order.replaces(partition) and partition not in run.order.written and run.begun <= ended
        ]
        return any(self._replaced_by(name, partition, run, begun) is None for run in takers)

    # ----------------------------------------------------------------------------------------- in the end

    def end(self) -> list[str]:
        """Return what is wrong when all have ended, and after everything was swept that is old."""
        for name, lake in self.lakes.items():
            lake.sweep(later=timedelta(hours=2))  # ends what dead workers left half done
            before = lake.rows(TABLES[name].summary)
            self.problems += [f"in the end: {p}" for p in self.read(name, math.inf, math.inf, before)]
            if name == "sets":
                self.problems += self._mixed_days(before)
            left = sweep_all(lake)
            if left:
                self.problems.append(f"{name}: the sweep left {sorted(left)[:5]} ({len(left)})")
            if lake.rows(TABLES[name].summary) != before:
                self.problems.append(f"{name}: the sweep changed rows")
        return self.problems

    def _mixed_days(self, rows: Rows) -> Iterator[str]:
        """A day that only sets are written to is of one run, and has just its partitions."""
        found = {tuple(values): note for note, *values, _, _ in rows}
        day = min(values[0] for values in found)
        notes = {note for values, note in found.items() if values[0] == day}
        there = {values for values in found if values[0] == day}
        written = {values for note in notes for values in self.runs[f"sets {note}"].order.written}
        if len(notes) != 1 or there != written:
            yield f"sets {day}: {sorted(there)} of {sorted(notes)}; expected one run, and its partitions"
