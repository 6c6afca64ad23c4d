"""What Quilt's tables and views take beside the method of Quilt's documentation of 2022, in one run.

Every Athena query takes one second longer than on this machine, and every other call 30 ms.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.core.quilt.revisions import Interval
from airflow_quilt_athena.flows.overwrite.overwrite_result import OverwriteResult
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.hidden_packages import find_hidden_packages
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from benchmarks import registry
from benchmarks.lake import BUCKET, DATABASE, LATENCY, TIMEOUT_SECONDS, WORKGROUP, Lake, Row, Run
from benchmarks.report import Report
from local_athena import LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements

UNCHANGED, CREATED, BY_SEED = 100, 20, 4  # buckets
PACKAGES, ENTRIES = 2_000, 50
LARGE = "bench-large-registry"
SEED_DATABASE = "bench_seed"
DAY = datetime.fromtimestamp(registry.FIRST_POINTER, UTC).replace(hour=0, minute=0, second=0) + timedelta(30)


@dataclass(frozen=True, slots=True)
class Documentation:
    """The documentation's own way: each object dropped, then made, one after the other, with its waiting."""

    athena: Any
    database: str

    def create(self, buckets: Sequence[str]) -> None:
        """Make the two tables and two views of each bucket."""
        for bucket in buckets:
            for name, statement in seed_statements(self.database, bucket).items():
                self._run(f"DROP TABLE `{self.database}.{name}`;")
                if not self._run(statement):
                    raise SystemExit(f"The documentation's statement failed:\n{statement}")

    def _run(self, sql: str) -> bool:
        started = self.athena.start_query_execution(
            WorkGroup=WORKGROUP,
            QueryString=sql,
            ResultConfiguration={"OutputLocation": f"s3://{BUCKET}/results/"},
        )
        if not self._wait(started["QueryExecutionId"]):
            return False
        self.athena.get_query_results(QueryExecutionId=started["QueryExecutionId"])
        return True

    def _wait(self, query_execution_id: str) -> bool:
        for _ in range(10):
            answer = self.athena.get_query_execution(QueryExecutionId=query_execution_id)
            state = answer["QueryExecution"]["Status"]["State"]
            if state in {"SUCCEEDED", "FAILED"}:
                return bool(state == "SUCCEEDED")
            time.sleep(1)
        return False


def refresh(lake: Lake, database: str, buckets: Sequence[str]) -> Plan:
    """Refresh with this project's method."""
    request = RefreshRequest(tuple(buckets), database, WORKGROUP)
    return refresh_bucket_views(lake.athena, lake.glue, request, timeout_seconds=TIMEOUT_SECONDS)


def write_small_registries(lake: Lake, prefix: str, count: int) -> list[str]:
    """Make buckets with a few packages each."""
    buckets = [f"{prefix}-{number}" for number in range(count)]
    for bucket in buckets:
        lake.s3.create_bucket(Bucket=bucket)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda bucket: registry.write(lake.s3, bucket, packages=2, entries=3), buckets))
    return buckets


# ---------------------------------------------------------------------------------------------- unchanged


def unchanged(lake: Lake, report: Report) -> None:
    """Refresh a hundred buckets whose tables and views are as wanted."""
    database = "bench_unchanged"
    lake.glue.create_database(DatabaseInput={"Name": database})
    buckets = write_small_registries(lake, "bench-unchanged", UNCHANGED)
    refresh(lake, database, buckets)
    plans: list[Plan] = []
    run = lake.measure("", lambda: plans.append(refresh(lake, database, buckets)))
    report.check("something of unchanged buckets was changed", plans[0].changed, False)
    tables = UNCHANGED * 8
    report.section(f"{UNCHANGED} unchanged buckets, {tables} tables and views")
    report.add("Athena queries", f"{run.query_count}", "0")
    report.add("other calls", _operations(run), f"GetTables × {-(-tables // 100)}")
    report.add("seconds", _s(run.seconds))
    hidden: list[tuple[str, ...]] = []
    look = lake.measure("", lambda: hidden.extend(find_hidden_packages(lake.s3, b) for b in buckets))
    report.check("hidden packages", hidden, [()] * UNCHANGED)
    report.add("to look for hidden packages besides: calls", _operations(look))
    report.add("to look for hidden packages besides: seconds", _s(look.seconds))


def _operations(run: Run) -> str:
    operations = [call.operation for call in run.others]
    return ", ".join(f"{one} × {operations.count(one)}" for one in dict.fromkeys(operations))


# ------------------------------------------------------------------------------------------------ created

_SHARED_COLUMNS = {
    "packages": '"user", "name", "hash", "timestamp", "message"',
    "objects": '"user", "name", "timestamp", tophash, logical_key, physical_keys, "size", "hash"',
}


def created(lake: Lake, report: Report) -> None:
    """Make tables and views of twenty buckets for the first time."""
    database = "bench_created"
    for name in (database, SEED_DATABASE):
        lake.glue.create_database(DatabaseInput={"Name": name})
    buckets = write_small_registries(lake, "bench-created", CREATED)
    ours = lake.measure("", lambda: refresh(lake, database, buckets))
    by_seed = Documentation(lake.athena, SEED_DATABASE)
    theirs = lake.measure("", partial(by_seed.create, buckets[:BY_SEED]))
    for bucket in buckets[:BY_SEED]:
        names = BucketNames.of(bucket)
        for kind, view in (("packages", names.packages_view), ("objects", names.objects_view)):
            found, expected = (
                sorted(lake.rows(f"SELECT {_SHARED_COLUMNS[kind]} FROM {place}.{view}"))
                for place in (database, SEED_DATABASE)
            )
            report.check(f"rows of {view}", found, expected)
    of_all = theirs.seconds * CREATED / BY_SEED
    report.section(f"{CREATED} buckets for the first time")
    report.add("tables and views", f"{CREATED * 8}", "", f"{CREATED * 4}")
    report.add("Athena queries", f"{ours.query_count}", "", f"{theirs.query_count * CREATED // BY_SEED}")
    report.add("queries that ran side by side, at most", f"{ours.most_at_once}", "", "1")
    report.add("other calls", f"{ours.other_count}", "", f"{theirs.other_count * CREATED // BY_SEED}")
    measured = f"{BY_SEED} buckets measured: {_s(theirs.seconds)}, × {CREATED / BY_SEED:g} = {_s(of_all)}"
    report.add("seconds", _s(ours.seconds), "", measured)
    report.add("ours / the documentation's", f"{ours.seconds / of_all:.3f}", "≤ 0.200")


# ---------------------------------------------------------------------------------------------- one day

COLUMNS = "pkg_name, top_hash, logical_key, size"


def write_large_registry(lake: Lake) -> int:
    """Make it, with our tables and views and the documentation's; return the bytes of its manifests."""
    lake.s3.create_bucket(Bucket=LARGE)
    size_bytes = registry.write(lake.s3, LARGE, PACKAGES, ENTRIES)
    refresh(lake, DATABASE, [LARGE])
    for statement in seed_statements(SEED_DATABASE, LARGE).values():
        lake.run(statement)
    return size_bytes


def one_day(lake: Lake, report: Report) -> None:
    """Keep a day of a large registry: by its manifests alone, and by views filtered to the day."""
    size_bytes = write_large_registry(lake)
    names, end = BucketNames.of(LARGE), DAY + timedelta(days=1)
    seconds = f"BETWEEN '{DAY.timestamp():.0f}' AND '{end.timestamp() - 1:.0f}'"
    interval = Interval(LARGE, DAY, end)
    ways: dict[str, Callable[[], OverwriteResult]] = {
        "quilt_revisions": partial(
            _keep, lake, "by_revisions", f"SELECT {COLUMNS} FROM {{entries}}", quilt_revisions=interval
        ),
        "the seed's objects view": partial(
            _keep,
            lake,
            "by_seed",
            'SELECT "user" || \'/\' || "name" AS pkg_name, tophash AS top_hash, logical_key, '
            f"CAST(size AS bigint) AS size FROM {SEED_DATABASE}.{names.objects_view} "
            f'WHERE "timestamp" {seconds}',
        ),
        "our entries view": partial(
            _keep,
            lake,
            "by_view",
            f"SELECT {COLUMNS} FROM {names.entries} WHERE revision_date = DATE '{DAY.date()}'",
        ),
    }
    expected = _day_rows()
    runs: dict[str, Run] = {}
    scanned: dict[str, int] = {}
    for way, work in ways.items():
        results: list[OverwriteResult] = []
        runs[way] = lake.measure("", lambda work=work, results=results: results.append(work()))  # type: ignore[misc]
        scanned[way] = results[0].bytes_scanned
        table = results[0].table.rpartition(".")[2]
        report.check(f"rows by {way}", sorted(lake.rows(f"SELECT {COLUMNS} FROM {table}")), expected)
    ours, seed, view = ways
    large = f"{PACKAGES:,} packages × {ENTRIES}, {size_bytes / 1e6:.1f} MB of manifests"
    report.section(f"One day ({len(expected):,} files) of {large}")
    for way in ways:
        where = ("", "", f"{scanned[way]:,}") if way == seed else (f"{scanned[way]:,}", "", "")
        report.add(f"bytes scanned, {way}", *where)
    report.add("bytes scanned, ours / the seed's", f"{scanned[ours] / scanned[seed]:.4f}", "≤ 0.1000")
    report.add("bytes scanned, ours / our entries view's", f"{scanned[ours] / scanned[view]:.4f}")
    report.add("seconds", _s(runs[ours].seconds), "", _s(runs[seed].seconds))
    report.add("  of them: a query runs", *_running(runs[ours], runs[seed]))
    reads = [call.operation for call in runs[ours].others].count("GetObject")
    report.add("pointers read, and other calls", f"{reads}, {runs[ours].other_count - reads}")
    report.add("seconds, ours / the seed's", f"{runs[ours].seconds / runs[seed].seconds:.2f}")


def _keep(lake: Lake, table: str, query: str, **asked: Any) -> OverwriteResult:
    return lake.overwrite(table, query, {}, **asked)


def _day_rows() -> list[Row]:
    """Return the day's rows, from the registry as it was written."""
    rows: list[Row] = []
    top_hash = ""
    for key, body in registry.objects(LARGE, PACKAGES, ENTRIES):
        if re.fullmatch(r"[.]quilt/packages/[0-9a-f]{64}", key):
            top_hash = key[-64:]
            continue
        package, _, pointer = key.removeprefix(".quilt/named_packages/").rpartition("/")
        if pointer.isdigit() and DAY.timestamp() <= int(pointer) < DAY.timestamp() + 86_400:
            assert body.decode() == top_hash
            rows += [(package, top_hash, f"part {n}.csv", str(n)) for n in range(ENTRIES)]
    return sorted(rows)


def _running(ours: Run, theirs: Run) -> tuple[str, str, str]:
    one, other = (
        sum(query.completed_at - query.submitted_at for query in run.queries) for run in (ours, theirs)
    )
    return _s(one), "", _s(other)


def _s(seconds: float) -> str:
    return f"{seconds:.2f} s"


def measure() -> tuple[Report, ...]:
    """Take all figures."""
    query_seconds, call_seconds = LATENCY["athena:query"], LATENCY["*"]
    report = Report(
        f"Quilt, with {query_seconds:g} s added to each Athena query and {1000 * call_seconds:.0f} ms to "
        "each other call",
        ("figure", "measured", "wanted", "the documentation's method"),
    )
    with LocalAthena() as aws:
        lake = Lake(aws)
        for scenario in (unchanged, created, one_day):
            scenario(lake, report)
    return (report,)
