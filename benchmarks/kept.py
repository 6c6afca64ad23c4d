"""What the tables that keep a registry's rows read, beside the views over its manifests: bytes and queries.

Nothing is slowed down here: what is measured is not time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.flows.athena.queries import wait_for_queries
from airflow_quilt_athena.flows.kept.keep_quilt_tables import Keeping, KeepRequest, KeepResult
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from benchmarks import registry
from benchmarks.lake import BUCKET, DATABASE, WORKGROUP, Lake, Row
from benchmarks.report import Report
from local_athena import LocalAthena

ENTRIES = 50
KEPT_DATABASE, BUCKET_OF_PACKAGES = "bench_kept", "bench-kept-registry"
TIMEOUT_SECONDS = 600


class Kept:
    """A registry, its plain views in one database, and its views on kept tables in another."""

    def __init__(self, lake: Lake, packages: int) -> None:
        self.lake, self.packages = lake, packages
        self.names = BucketNames.of(BUCKET_OF_PACKAGES)
        lake.s3.create_bucket(Bucket=BUCKET_OF_PACKAGES)
        lake.glue.create_database(DatabaseInput={"Name": KEPT_DATABASE})
        self.manifest_bytes = registry.write(lake.s3, BUCKET_OF_PACKAGES, packages, ENTRIES)
        for database in (DATABASE, KEPT_DATABASE):
            self.refresh(database)

    def refresh(self, database: str, *, materialized: bool = False, always_fresh: bool = False) -> bool:
        """Refresh the views; whether anything changed."""
        request = RefreshRequest(
            (BUCKET_OF_PACKAGES,),
            database,
            WORKGROUP,
            materialized=materialized,
            always_fresh=always_fresh,
        )
        lake = self.lake
        plan = refresh_bucket_views(
            lake.athena, lake.glue, request, timeout_seconds=TIMEOUT_SECONDS, s3=lake.s3
        )
        return plan.changed

    def keep(self) -> KeepResult:
        """Bring the tables up to date."""
        request = KeepRequest(BUCKET_OF_PACKAGES, KEPT_DATABASE, WORKGROUP, S3Uri(BUCKET, "kept/"))
        return Keeping(self.lake.clients, request, f"bench {time.time()}").run(self._wait)

    def _wait(self, query_execution_ids: tuple[str, ...]) -> None:
        wait_for_queries(self.lake.athena, query_execution_ids, timeout_seconds=TIMEOUT_SECONDS)

    def push(self) -> int:
        """Push one package more; return the bytes of its manifest."""
        body = registry.manifest(BUCKET_OF_PACKAGES, self.packages, ENTRIES)
        top_hash = hashlib.sha256(body).hexdigest()
        at = registry.FIRST_POINTER + self.packages * registry.SECONDS_BETWEEN
        put = self.lake.s3.put_object
        put(Bucket=BUCKET_OF_PACKAGES, Key=f".quilt/packages/{top_hash}", Body=body)
        for pointer in (str(at), "latest"):
            key = f".quilt/named_packages/user/pkg-{self.packages}/{pointer}"
            put(Bucket=BUCKET_OF_PACKAGES, Key=key, Body=top_hash.encode())
        return len(body)

    def ask(self, database: str, where: str) -> tuple[int, list[Row]]:
        """Return the bytes that a question about entries reads, and the rows."""
        name = f"{database}.{self.names.entries}"
        query_id = self.lake.run(f"SELECT * FROM {name} WHERE {where}")
        found = self.lake.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        rows = sorted(self.lake.rows(f"SELECT * FROM {name} WHERE {where}"), key=repr)
        return int(found["Statistics"]["DataScannedInBytes"]), rows


def measure_packages(packages: int, engine: str = "duckdb") -> Callable[[], tuple[Report, ...]]:
    """Return what takes the figures over so many packages."""

    def measure() -> tuple[Report, ...]:
        report = Report(f"Kept tables over {packages:,} packages × {ENTRIES}, engine {engine}")
        with LocalAthena(engine=engine) as aws:
            _measure(Kept(Lake(aws), packages), report)
        return (report,)

    return measure


def _measure(kept: Kept, report: Report) -> None:
    first = kept.keep()
    kept.refresh(KEPT_DATABASE, materialized=True)
    report.section("the first time")
    report.add("bytes of manifests", f"{kept.manifest_bytes:,}")
    report.add("bytes scanned, all steps", f"{first.bytes_scanned:,}")
    report.add("Athena queries", f"{len(first.query_execution_ids)}")
    day = datetime.fromtimestamp(registry.FIRST_POINTER + 30 * 86_400, UTC).date()
    questions = {"one package": "pkg_name = 'user/pkg-7'", "one day": f"revision_date = DATE '{day}'"}
    for name, where in questions.items():
        ours, rows = kept.ask(KEPT_DATABASE, where)
        view, expected = kept.ask(DATABASE, where)
        report.check(f"rows of {name}", rows, expected)
        report.section(f"{name}: {len(rows):,} entries")
        report.add("bytes scanned, the view over manifests", f"{view:,}")
        report.add("bytes scanned, on kept tables", f"{ours:,}")
        report.add("ours / the view's", f"1/{view / max(ours, 1):.0f}", "≤ 1/50")
    kept.refresh(KEPT_DATABASE, materialized=True, always_fresh=True)
    report.section("views that are never stale")
    _ask_fresh(kept, report, questions["one package"], "nothing newer")
    pushed = kept.push()
    where = f"pkg_name = 'user/pkg-{kept.packages}'"
    _ask_fresh(kept, report, where, "one push newer")
    after = kept.keep()
    report.section("one push more")
    report.add("bytes of its manifest", f"{pushed:,}")
    report.add(
        "bytes scanned", f"{after.bytes_scanned:,}", f"≤ {2 * pushed:,}: for its files, and for its header"
    )
    report.add("Athena queries", f"{len(after.query_execution_ids)}", "≤ 3")
    again = kept.refresh(KEPT_DATABASE, materialized=True, always_fresh=True)
    report.check("the views had to be made again", again, False)
    report.check("rows of the push", kept.ask(KEPT_DATABASE, where)[1], kept.ask(DATABASE, where)[1])
    report.check("something was left to be kept", bool(kept.keep().query_execution_ids), False)


def _ask_fresh(kept: Kept, report: Report, where: str, title: str) -> None:
    """How much is read depends on the engine: whether it closes files by what a query finds as it runs."""
    ours, rows = kept.ask(KEPT_DATABASE, where)
    view, expected = kept.ask(DATABASE, where)
    report.check(f"rows of {where}, {title}", rows, expected)
    report.add(f"bytes scanned of one package, {title}", f"{ours:,}")
    report.add("  the view over manifests", f"{view:,}")
