"""Print what the local Athena takes, beside what it should: ``python -m benchmarks``.

Times are of one machine and one run; read them against the column beside them, not against another day's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from airflow_quilt_athena.local import LocalAthena
from benchmarks import registry
from tests.seeds import seed_statements

PACKAGES, ENTRIES, PARTITIONS = 2_000, 50, 365
BUCKET = "bench-registry"
DATABASE = "bench"


class Bench:
    """One local Athena and the figures taken of it."""

    def __init__(self, aws: LocalAthena) -> None:
        self._aws = aws
        self._athena = aws.client("athena")
        self.s3 = aws.client("s3")
        self.table = Table("figure", "measured", "wanted", title="Local Athena", title_justify="left")

    def add(self, figure: str, measured: str, wanted: str = "") -> None:
        """Add a row to the report."""
        self.table.add_row(figure, measured, wanted)

    def run(self, sql: str) -> dict[str, Any]:
        """Run one statement as a client does: start, poll, end; returns the QueryExecution."""
        started = self._athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": DATABASE},
            ResultConfiguration={"OutputLocation": f"s3://{BUCKET}-results/"},
        )
        while True:
            answer = self._athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])
            query: dict[str, Any] = answer["QueryExecution"]
            state = query["Status"]["State"]
            if state == "SUCCEEDED":
                return query
            if state in {"FAILED", "CANCELLED"}:
                raise SystemExit(f"{state}: {query['Status'].get('StateChangeReason')}\n{sql}")
            time.sleep(0.01)

    def rows(self, query: dict[str, Any]) -> list[list[str | None]]:
        """Return the first page of a query's rows, without the header."""
        answer = self._athena.get_query_results(QueryExecutionId=query["QueryExecutionId"])
        return [[v.get("VarCharValue") for v in row["Data"]] for row in answer["ResultSet"]["Rows"][1:]]

    def memory_mib(self) -> float:
        """Return the peak resident memory of the server's process."""
        status = Path(f"/proc/{self._aws.pid}/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024


@contextmanager
def _stopwatch() -> Any:
    started = time.perf_counter()
    yield lambda: time.perf_counter() - started


def ready_seconds() -> float:
    """Start and stop a local Athena five times; returns the median time to be ready."""
    times = []
    for _ in range(5):
        with _stopwatch() as elapsed, LocalAthena():
            times.append(elapsed())
    return statistics.median(times)


def select_one(bench: Bench) -> None:
    """Start, poll and fetch ``SELECT 1``, fifty times."""
    times = []
    for _ in range(50):
        with _stopwatch() as elapsed:
            bench.rows(bench.run("SELECT 1"))
            times.append(elapsed() * 1000)
    bench.add("SELECT 1 through boto3, median of 50", f"{statistics.median(times):.0f} ms", "60 ms")


def quilt_registry(bench: Bench, seed: Sequence[str]) -> None:
    """Count the seed's objects view over a large registry, cold and warm."""
    size_bytes = registry.write(bench.s3, BUCKET, PACKAGES, ENTRIES)
    for statement in seed:
        bench.run(statement)
    for name, wanted in (("cold", "2.0 s"), ("again", "")):
        with _stopwatch() as elapsed:
            query = bench.run(f"SELECT count(*) FROM {DATABASE}.bench_registry_quilt_objects_view")
            seconds = elapsed()
        # Every entry once for its revision pointer and once for `latest`: the seed counts both.
        if bench.rows(query) != [[str(2 * PACKAGES * ENTRIES)]]:
            raise SystemExit(f"The seed's objects view counts {bench.rows(query)}")
        bench.add(
            f"seed's objects view, {PACKAGES} × {ENTRIES}, count(*), {name}", f"{seconds:.2f} s", wanted
        )
    scanned = query["Statistics"]["DataScannedInBytes"]
    bench.add("  bytes scanned / bytes of all manifests", f"{scanned / size_bytes:.2f}")


def partitions(bench: Bench) -> None:
    """Read one partition of 365 and all of them."""
    bench.run(
        f"CREATE EXTERNAL TABLE {DATABASE}.daily (n bigint) PARTITIONED BY (dt string) "
        f"STORED AS TEXTFILE LOCATION 's3://{BUCKET}/daily/'"
    )
    for day in range(PARTITIONS):
        bench.s3.put_object(Bucket=BUCKET, Key=f"daily/dt={day:03}/data.txt", Body=b"1\n2\n")
    bench.run(f"MSCK REPAIR TABLE {DATABASE}.daily")
    scanned: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for name, where in (("all", ""), ("one", "WHERE dt = '100'")):
        with _stopwatch() as elapsed:
            query = bench.run(f"SELECT sum(n) FROM {DATABASE}.daily {where}")
            seconds[name] = elapsed()
        scanned[name] = query["Statistics"]["DataScannedInBytes"]
    bench.add(
        f"{PARTITIONS} partitions pruned to one: share of bytes read",
        f"1/{scanned['all'] / scanned['one']:.0f}",
        f"1/{PARTITIONS}",
    )
    bench.add("  time of one / time of all", f"{seconds['one'] / seconds['all']:.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.parse_args(arguments)
    ready = ready_seconds()
    with LocalAthena() as aws:
        bench = Bench(aws)
        bench.add("ready after, median of 5", f"{ready:.2f} s", "1.0 s")
        bench.s3.create_bucket(Bucket=BUCKET)
        bench.s3.create_bucket(Bucket=f"{BUCKET}-results")
        bench.run(f"CREATE DATABASE {DATABASE}")
        steps: tuple[Callable[[], None], ...] = (
            lambda: select_one(bench),
            lambda: quilt_registry(bench, list(seed_statements(DATABASE, BUCKET).values())),
            lambda: partitions(bench),
        )
        for step in steps:
            step()
        bench.add("peak memory of the server", f"{bench.memory_mib():.0f} MiB", "1024 MiB")
    Console().print(bench.table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
