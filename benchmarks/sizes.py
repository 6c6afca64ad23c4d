"""What an overwrite and a sweep take at the largest sizes, and of many workers of one table at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.insert_overwrite import insert_overwrite
from benchmarks.lake import BUCKET, DATABASE, LATENCY, TIMEOUT_SECONDS, WORKGROUP, Lake, folder_of
from benchmarks.report import Report
from benchmarks.sizes_process import ENTRIES, PARTITIONS, SET_COLUMNS, SET_PARTITIONS, day_of
from local_athena import LocalAthena

WORKERS = 32
_ROOT = Path(__file__).parents[1]


def _measured(job: str) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sizes_process", job]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=1800)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def large(report: Report) -> None:
    """Add what was measured in processes of their own."""
    entry = _measured("entry")
    report.section(f"The journal entry of a set of {SET_PARTITIONS:,} partitions × {SET_COLUMNS} columns")
    report.check("an entry, read and rendered again", entry["same"], True)
    report.add("size", f"{entry['bytes'] / 1e6:.2f} MB", "≤ 2 MB")
    report.add("rendering", f"{entry['render_cpu_seconds']:.2f} CPU s", "≤ 0.30 CPU s")
    report.add("reading", f"{entry['parse_cpu_seconds']:.2f} CPU s")
    report.add("XCom of the task", f"{entry['xcom_bytes'] / 1024:.1f} KB", "< 48 KB")
    report.add("peak memory, with what Glue told", _mb(entry))
    for job, title, most in (
        ("sweep_entries", f"A sweep over {ENTRIES:,} entries", "≤ 300 MB"),
        ("sweep_partitions", f"A sweep of a table of {PARTITIONS:,} partitions", ""),
    ):
        swept = _measured(job)
        report.section(title)
        report.check(f"{title}: all is kept", swept["kept"], True)
        report.add("calls", f"{swept['calls']:,}")
        report.add("CPU seconds", f"{swept['seconds']:.1f}")
        report.add("peak memory", _mb(swept), most)
    one = _measured("overwrite_one")
    report.section(f"One partition of {PARTITIONS:,}")
    report.add("calls besides polls", str(one["calls"]))
    report.add("lists of partitions", str(one["lists"]), "0")
    report.add("peak memory", _mb(one))


def _mb(found: dict[str, Any]) -> str:
    return f"{found['peak_mb']:.0f} MB ({found['before_mb']:.0f} MB before it began)"


def crowd(report: Report) -> None:
    """Let workers overwrite days of one table at once, and beside that days of tables of their own."""
    report.section(f"{WORKERS} workers at once, each one day; {_latency()}")
    with LocalAthena() as aws:
        lake = Lake(aws)
        tables = {"one table": ["crowd"] * WORKERS, "a table each": [f"crowd_{n}" for n in range(WORKERS)]}
        seconds = {}
        for title, names in tables.items():
            for table in sorted(set(names)):
                lake.create_table(table, {"dt": "string"}, old={})
            lake.overwrite(names[0], _query(0), {"dt": "warm"})
            aws.set_latency(LATENCY)
            seconds[title] = _at_once(aws, names)
            aws.set_latency()
            found = sorted(str(row[0]) for name in set(names) for row in lake.rows(_written(name)))
            report.check(f"days of {title}", found, sorted(day_of(number) for number in range(WORKERS)))
            report.add(title, f"{seconds[title]:.2f} s")
    ratio = seconds["one table"] / seconds["a table each"]
    report.add("one table / a table each", f"{ratio:.2f}", "≤ 1.5")


def _at_once(aws: LocalAthena, tables: list[str]) -> float:
    """Have each worker overwrite its day, all from one moment on; return how long it took until all had."""
    clients = [LakeClients(*(aws.client(name) for name in ("athena", "glue", "s3"))) for _ in tables]
    ready = Barrier(len(tables) + 1)

    def work(number: int) -> None:
        request = OverwriteRequest(
            query=_query(number),
            table=TableName(DATABASE, tables[number]),
            partition={"dt": day_of(number)},
            database=DATABASE,
            workgroup=WORKGROUP,
            location=S3Uri(BUCKET, folder_of(tables[number])),
        )
        ready.wait()
        insert_overwrite(clients[number], request, f"crowd {number}", timeout_seconds=TIMEOUT_SECONDS)

    with ThreadPoolExecutor(len(tables)) as pool:
        working = [pool.submit(work, number) for number in range(len(tables))]
        ready.wait()
        started = time.monotonic()
        for one in working:
            one.result()
        return time.monotonic() - started


def _query(number: int) -> str:
    return f"SELECT CAST({number} AS bigint) AS n, 'v' AS v"


def _written(table: str) -> str:
    return f"SELECT DISTINCT dt FROM {table} WHERE dt <> 'warm'"


def _latency() -> str:
    return f"{LATENCY['athena:query']:g} s for each query, {1000 * LATENCY['*']:.0f} ms for each call"


def measure() -> tuple[Report, ...]:
    """Take all figures."""
    report = Report("Sizes: memory and CPU of one process each; S3 and Glue answer from memory")
    large(report)
    crowd(report)
    return (report,)
