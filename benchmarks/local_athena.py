"""What the local Athena takes by itself: to be ready, to answer, to read a registry and a partition."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import registry
from benchmarks.report import Report, stopwatch
from local_athena import LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements

PACKAGES, ENTRIES, PARTITIONS = 2_000, 50, 365
BUCKET = "bench-registry"
DATABASE = "bench"


class Bench:
    """One local Athena and the figures taken of it."""

    def __init__(self, aws: LocalAthena, report: Report) -> None:
        self._aws = aws
        self._athena = aws.client("athena")
        self.s3 = aws.client("s3")
        self.report = report

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


def ready_seconds() -> float:
    """Start and stop a local Athena five times; returns the median time to be ready."""
    times = []
    for _ in range(5):
        with stopwatch() as watch, LocalAthena():
            times.append(watch.seconds)
    return statistics.median(times)


def select_one(bench: Bench) -> None:
    """Start, poll and fetch ``SELECT 1``, fifty times."""
    times = []
    for _ in range(50):
        with stopwatch() as watch:
            rows = bench.rows(bench.run("SELECT 1"))
        times.append(watch.seconds * 1000)
        bench.report.check("SELECT 1", rows, [["1"]])
    bench.report.add("SELECT 1 through boto3, median of 50", f"{statistics.median(times):.0f} ms", "60 ms")


def quilt_registry(bench: Bench, seed: Sequence[str]) -> None:
    """Count the seed's objects view over a large registry, cold and warm."""
    size_bytes = registry.write(bench.s3, BUCKET, PACKAGES, ENTRIES)
    for statement in seed:
        bench.run(statement)
    for name, wanted in (("cold", "2.0 s"), ("again", "")):
        with stopwatch() as watch:
            query = bench.run(f"SELECT count(*) FROM {DATABASE}.bench_registry_quilt_objects_view")
        # Every entry once for its revision pointer and once for `latest`: the seed counts both.
        bench.report.check(
            "rows of the seed's objects view", bench.rows(query), [[str(2 * PACKAGES * ENTRIES)]]
        )
        bench.report.add(
            f"seed's objects view, {PACKAGES} × {ENTRIES}, count(*), {name}", f"{watch.seconds:.2f} s", wanted
        )
    scanned = query["Statistics"]["DataScannedInBytes"]
    bench.report.add("  bytes scanned / bytes of all manifests", f"{scanned / size_bytes:.2f}")


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
    for name, where, days in (("all", "", PARTITIONS), ("one", "WHERE dt = '100'", 1)):
        with stopwatch() as watch:
            query = bench.run(f"SELECT sum(n) FROM {DATABASE}.daily {where}")
        bench.report.check(f"sum over {name} of the partitions", bench.rows(query), [[str(3 * days)]])
        seconds[name] = watch.seconds
        scanned[name] = query["Statistics"]["DataScannedInBytes"]
    bench.report.add(
        f"{PARTITIONS} partitions pruned to one: share of bytes read",
        f"1/{scanned['all'] / scanned['one']:.0f}",
        f"1/{PARTITIONS}",
    )
    bench.report.add("  time of one / time of all", f"{seconds['one'] / seconds['all']:.2f}")


def measure() -> tuple[Report]:
    """Take all figures."""
    report = Report("Local Athena")
    report.add("ready after, median of 5", f"{ready_seconds():.2f} s", "1.0 s")
    with LocalAthena() as aws:
        bench = Bench(aws, report)
        bench.s3.create_bucket(Bucket=BUCKET)
        bench.s3.create_bucket(Bucket=f"{BUCKET}-results")
        bench.run(f"CREATE DATABASE {DATABASE}")
        select_one(bench)
        quilt_registry(bench, list(seed_statements(DATABASE, BUCKET).values()))
        partitions(bench)
        report.add("peak memory of the server", f"{bench.memory_mib():.0f} MiB", "1024 MiB")
    return (report,)
