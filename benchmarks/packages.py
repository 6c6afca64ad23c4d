"""What a package of a million rows takes beside quilt3's own push, and what looking at a registry costs.

Each way runs in a process of its own, whose memory is its own; both make the same manifest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_quilt_athena.core.quilt.table_ddl import packages_location
from airflow_quilt_athena.core.quilt.watch import Memory, Tell, Watch, begin_memory, find_news
from airflow_quilt_athena.flows.quilt.pointers import look_at_all, look_for_changes
from benchmarks.report import Report, stopwatch
from local_athena import LocalAthena

ROWS = 1_000_000
BUCKET, WATCHED = "bench-million-rows", "bench-watched"
PACKAGES, REVISIONS = 10_000, 100
_PAGE = 1000  # keys of a listing


def measure() -> Sequence[Report]:
    """Return the figures."""
    return (_measure_package(), _measure_looks())


# --------------------------------------------------------------------------------- a million rows


def _measure_package() -> Report:
    report = Report(f"A package of {ROWS:,} rows with size and hash")
    with LocalAthena() as aws:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="raw/0/0.csv", Body=b"0")
        ours, theirs = (_run(aws, way) for way in ("ours", "quilt3"))
    report.check("the top hash", ours["top_hash"], theirs["top_hash"])
    pushed = theirs["push_seconds"]
    report.add("quilt3: Package.push alone", f"{pushed:.0f} s", "")
    report.add("quilt3: with Package.set for each row", f"{pushed + theirs['set_seconds']:.0f} s", "")
    report.add("quilt3: peak memory", f"{theirs['peak_mebibytes']:,.0f} MiB", "")
    report.add(
        "ours, rows read and checked",
        f"{ours['seconds']:.0f} s, {ours['seconds'] / pushed:.2f} times the push",
        "at most 1.5 times",
    )
    report.add("ours: peak memory", f"{ours['peak_mebibytes']:,.0f} MiB", "at most 1,024 MiB")
    return report


def _run(aws: LocalAthena, way: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        quiet = {"QUILT_MINIMIZE_STDOUT": "true", "QUILT_DISABLE_USAGE_METRICS": "true"}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.packages_process", way, BUCKET, str(ROWS)],
            env=os.environ | aws.environment | quiet | {"XDG_DATA_HOME": home},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


# ------------------------------------------------------------------------------ looks at a registry


class _Registry:
    """S3's answers about a registry of many pointers: a million objects would take long to put."""

    def __init__(self, packages: int, revisions: int) -> None:
        self.calls = 0
        self._now = datetime.now(UTC).replace(microsecond=0)
        old = self._now - timedelta(days=10)
        root = packages_location(WATCHED).key
        self._groups: list[tuple[str, datetime | None]] = []  # with the time of a tag, or none of a group
        self._keys: list[tuple[str, datetime]] = []
        for number in range(packages):
            name = f"{root}team-{number % 50:02}/pkg-{number:05}/"
            changed = number == packages // 2
            for revision in range(revisions):
                new = changed and revision == revisions - 1
                self._keys.append((f"{name}{1_700_000_000 + revision}", self._now if new else old))
            self._keys.append((f"{name}latest", self._now if changed else old))
            self._groups += [(f"{name}1", None), (f"{name}latest", self._now if changed else old)]
        self._keys.sort()
        self._groups.sort()

    def list_objects_v2(self, *, Prefix: str, **request: Any) -> dict[str, Any]:  # noqa: N803
        self.calls += 1
        items: list[Any] = self._groups if "Delimiter" in request else self._keys
        if Prefix != packages_location(WATCHED).key:
            items = [item for item in items if item[0].startswith(Prefix)]
        start = int(request.get("ContinuationToken", 0))
        page = items[start : start + min(_PAGE, request.get("MaxKeys", _PAGE))]
        more = start + _PAGE < len(items) and "MaxKeys" not in request
        contents = [{"Key": key, "LastModified": at, "ETag": key[-1]} for key, at in page if at is not None]
        return {
            "Contents": contents,
            "CommonPrefixes": [{"Prefix": key} for key, at in page if at is None],
            "IsTruncated": more,
            **({"NextContinuationToken": str(start + _PAGE)} if more else {}),
        }


def _measure_looks() -> Report:
    report = Report(
        f"A look at a registry of {PACKAGES:,} packages, of which one has a new revision",
        ("look", "calls", "time here", "wanted"),
    )
    watch = Watch(WATCHED, "*", frozenset({Tell.CREATED}))
    calls = {}
    for revisions in (10, REVISIONS):
        registry: Any = _Registry(PACKAGES, revisions)
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        memory: Memory = begin_memory(watch, hour_ago)
        for name, look in (("changes", look_for_changes), ("all pointers", look_at_all)):
            registry.calls = 0
            with stopwatch() as watched:
                found = find_news(watch, memory, look(registry, WATCHED, hour_ago))
            calls[name, revisions] = registry.calls
            report.check(f"{name}, {revisions} revisions each: what is told", len(found), 1)
            wanted = "the same for any history" if name == "changes" else "rarely: grows with history"
            title = f"{name}, {revisions} revisions each"
            report.add(title, str(registry.calls), f"{watched.seconds:.2f} s", wanted)
    same = calls["changes", 10] == calls["changes", REVISIONS]
    report.check("the calls of a look for changes are the same for any history", same, True)
    return report
