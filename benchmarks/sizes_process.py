"""One measurement at a size, in a process of its own so that its peak memory is its own: prints it as JSON.

S3 and Glue are in memory, and make what they answer when they are asked: a hundred thousand partitions are
not held here, but by whoever asks for them. What boto3 itself takes to read an answer is not in the figures.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Selection, Values
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import (
    Action,
    Change,
    Entry,
    Kind,
    Query,
    State,
    entry_place,
)
from airflow_quilt_athena.core.overwrite.journal_format import parse_entry, render_entry
from airflow_quilt_athena.core.overwrite.partition_changes import Staged, plan_changes
from airflow_quilt_athena.core.overwrite.query_role import STAGE
from airflow_quilt_athena.flows.overwrite.overwrite_result import OverwriteResult
from airflow_quilt_athena.flows.overwrite.sweep import sweep_generations
from tests.fakes.glue import FakeGlue
from tests.fakes.lake import BUCKET, DATABASE, FakeLake
from tests.fakes.world import Worker, World
from tests.faults.lake import TABLE, rows_query

SET_PARTITIONS, SET_COLUMNS = 5_000, 200
ENTRIES = 10_000
PARTITIONS = 100_000
_BASE = S3Uri(BUCKET, f"w/{TABLE}/")
_FIRST_DAY = datetime(1900, 1, 1, tzinfo=UTC)
_MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)


def day_of(number: int) -> str:
    """Return the value of a partition."""
    return f"{_FIRST_DAY + timedelta(days=number):%Y-%m-%d}"


def _partition(day: str, location: str, columns: list[dict[str, str]], **parameters: str) -> dict[str, Any]:
    serde = {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "Parameters": {"serialization.format": "1"},
    }
    descriptor = {"Columns": deepcopy(columns), "Location": location, "SerdeInfo": serde}
    return {"Values": [day], "StorageDescriptor": descriptor, "Parameters": parameters}


def _columns(count: int) -> list[dict[str, str]]:
    return [
        {"Name": f"a_column_of_a_wide_table_{number}", "Type": "decimal(38,9)"} for number in range(count)
    ]


def _entry(number: int, changes: tuple[Change, ...], folder: str) -> Entry:
    attempt = Attempt(f"{number:012x}", 1, f"{number:08x}")
    return Entry(
        attempt=attempt,
        task_key=f"daily.overwrite {number}",
        table=f"{DATABASE}.{TABLE}",
        database=DATABASE,
        kind=Kind.OVERWRITE,
        state=State.PUBLISHED,
        fingerprint=f"{number:064x}",
        basis=f"{number:064x}",
        retain_seconds=86_400.0,
        created_at=_MADE_AT,
        updated_at=_MADE_AT,
        base=str(_BASE),
        folder=folder,
        queries=(Query(STAGE, f"{number:032x}"),),
        rows=len(changes),
        changes=changes,
        published_at=_MADE_AT,
        settled_at=_MADE_AT,
    )


# ------------------------------------------------------------------------------------- an entry of a set


def entry() -> dict[str, Any]:
    """Render the entry of a set of wide partitions, each as Glue told of it; and what a task tells."""
    columns = _columns(SET_COLUMNS)
    days = [day_of(number) for number in range(SET_PARTITIONS)]
    current: dict[Values, Any] = {
        (day,): _partition(day, f"{_BASE}dt={day}/", columns, numRows="1") for day in days
    }
    attempt = Attempt("0" * 12, 1, "0" * 8)
    folder = f"{_BASE}.generations/{attempt.name}/"
    staged: dict[Values, Staged] = {(day,): Staged(f"{folder}s1/dt={day}/", 1) for day in days}
    selection = Selection((("dt", "string"),), {})
    changes = plan_changes(selection, staged, current, attempt=attempt, base=_BASE)
    made = _entry(0, changes, folder)
    started = time.process_time()
    body = render_entry(made)
    render_seconds = time.process_time() - started
    started = time.process_time()
    read = parse_entry(body, "an entry", made.name, _BASE)
    result = OverwriteResult(
        tuple(f"{number:032x}" for number in range(52)), "published", 1, 1, TABLE, ("dt",), changes, "s3://…"
    )
    return {
        "bytes": len(body),
        "render_cpu_seconds": render_seconds,
        "parse_cpu_seconds": time.process_time() - started,
        "same": render_entry(read) == body,
        "xcom_bytes": len(json.dumps(result.as_dict())),
    }


# -------------------------------------------------------------------------- a large journal, a large table


class ManyPartitions(FakeGlue):
    """Glue with a table of partitions that are made when they are asked for; ``changed`` holds the others."""

    def __init__(self, count: int, generations: bool) -> None:
        super().__init__()
        self._count = count
        self._generations = generations

    def get_partitions(self, **request: Any) -> dict[str, Any]:
        segment = request.get("Segment") or {"TotalSegments": 1, "SegmentNumber": 0}
        numbers = range(segment["SegmentNumber"], self._count, segment["TotalSegments"])
        start = int(request.get("NextToken") or 0)
        size = min(1000 if request.get("ExcludeColumnSchema") else 100, request.get("MaxResults") or 1000)
        page = [self._one(number) for number in numbers[start : start + size]]
        for one in page if request.get("ExcludeColumnSchema") else ():
            del one["StorageDescriptor"]["Columns"]
        return {
            "Partitions": page,
            **({"NextToken": str(start + size)} if start + size < len(numbers) else {}),
        }

    def get_partition(self, **request: Any) -> dict[str, Any]:
        (day,) = request["PartitionValues"]
        return {"Partition": self._one((datetime.fromisoformat(f"{day}T00:00:00+00:00") - _FIRST_DAY).days)}

    def batch_get_partition(self, **request: Any) -> dict[str, Any]:
        asked = [{"PartitionValues": one["Values"]} for one in request["PartitionsToGet"]]
        return {
            "Partitions": [self.get_partition(**one)["Partition"] for one in asked],
            "UnprocessedKeys": [],
        }

    def _one(self, number: int) -> dict[str, Any]:
        day = day_of(number)
        changed = self._of({"DatabaseName": DATABASE, "TableName": TABLE}).partitions.get((day,))
        if changed is not None:
            return deepcopy(changed)
        columns = [{"Name": "id", "Type": "int"}, {"Name": "note", "Type": "string"}]
        if not self._generations:
            return _partition(day, f"{_BASE}dt={day}/", columns)
        name = Attempt(f"{number:012x}", 1, f"{number:08x}").name
        parameters = {
            "quilt_athena.generation": name,
            "quilt_athena.rows": "1",
            "quilt_athena.written_at": _MADE_AT.isoformat(),
        }
        return _partition(day, f"{_BASE}.generations/dt={day}/{name}/", columns, **parameters)

    def _update(self, table: Any, values: Any, given: Any) -> bool:
        table.partitions[tuple(values)] = deepcopy(dict(given))
        return True


def _lake(world: World) -> FakeLake:
    lake = FakeLake(world)
    columns = [{"Name": "id", "Type": "int"}, {"Name": "note", "Type": "string"}]
    definition = _partition("", str(_BASE), columns)
    del definition["Values"]
    definition |= {"Name": TABLE, "TableType": "EXTERNAL_TABLE"}
    definition["PartitionKeys"] = [{"Name": "dt", "Type": "string"}]
    definition["Parameters"] = {"EXTERNAL": "TRUE", "quilt_athena.base": str(_BASE)}
    world.glue.create_table(DatabaseName=DATABASE, TableInput=definition)
    return lake


def sweep_entries() -> dict[str, Any]:
    """Sweep a table of as many partitions as entries, each written once; nothing is to go."""
    world = World(glue=ManyPartitions(ENTRIES, generations=True))
    with world.entered():
        lake = _lake(world)
        for number in range(ENTRIES):
            day = day_of(number)
            folder = f"{_BASE}.generations/dt={day}/{Attempt(f'{number:012x}', 1, f'{number:08x}').name}/"
            change = Change((day,), Action.CREATED, folder, folder.rsplit("/", 2)[1], 1, None, None, None)
            made = _entry(number, (change,), folder)
            world.s3.objects[entry_place(_BASE, made.name).key] = (render_entry(made), _MADE_AT)
            world.s3.objects[S3Uri.parse(folder).key + "0.parquet"] = (b"{}", _MADE_AT)
        before = len(world.s3.objects)
        told = _sweep(world, lake)
        return {**told, "kept": len(world.s3.objects) == before}


def sweep_partitions() -> dict[str, Any]:
    """Sweep a table of many partitions of which one was overwritten."""
    world = World(glue=ManyPartitions(PARTITIONS, generations=False))
    with world.entered():
        lake = _lake(world)
        lake.overwrite(rows_query("id, note", [(1, "new")]), {"dt": day_of(7)}, "before")
        world.pass_time(2 * 86_400)
        return {**_sweep(world, lake), "kept": bool(lake.table and lake.table.partitions)}


def overwrite_one() -> dict[str, Any]:
    """Overwrite one partition of many."""
    world = World(glue=ManyPartitions(PARTITIONS, generations=False))
    with world.entered():
        lake, worker = _lake(world), world.worker()
        query = rows_query("id, note", [(1, "new")])
        seconds = _timed(lambda: lake.overwrite(query, {"dt": day_of(7)}, "task", clients=worker.clients))
        lists = sum(name == "glue:GetPartitions" for name in worker.made)
        return {"seconds": seconds, "calls": len(worker.made), "lists": lists}


def _sweep(world: World, lake: FakeLake) -> dict[str, Any]:
    worker: Worker = world.worker()
    seconds = _timed(lambda: sweep_generations(worker.clients, lake.name))
    return {"seconds": seconds, "calls": len(worker.made)}


def _timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _peak_mb() -> float:
    """Return the most memory that this process has held; getrusage tells of the parent's as well."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("Linux does not tell the peak memory of this process.")


JOBS = {job.__name__: job for job in (entry, sweep_entries, sweep_partitions, overwrite_one)}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    before_mb = _peak_mb()
    measured = JOBS[sys.argv[1]]()
    print(json.dumps({**measured, "before_mb": before_mb, "peak_mb": _peak_mb()}))
