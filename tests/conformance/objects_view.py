"""What the objects view takes on the real Trino, as Quilt's documentation of 2022 has it and as ours is.

``python -m tests.conformance.objects_view`` measures both, in one run and on one registry, and keeps the
figures in ``objects_view.json``; ``section`` tells them in Markdown.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from benchmarks import registry
from benchmarks.lake import DATABASE, WORKGROUP, Lake
from benchmarks.quilt import ENTRIES, LARGE, PACKAGES, SEED_DATABASE, write_large_registry
from local_athena import LocalAthena
from local_athena.trino.release import VERSION

FIGURES = Path(__file__).with_suffix(".json")
THEIRS, OURS, CLEAN = "the documentation's objects view", "our objects view", "our entries view"
ALL, ONE = "all packages", "one package"

_ONE_PACKAGE = f"pkg-{PACKAGES // 2}"
_RUNS = 3
_TIMEOUT_SECONDS = 600
_POINTERS = ".quilt/named_packages/"

# Rows, and the sum of their sizes.
Totals = tuple[int, int]


def measure() -> dict[str, Any]:
    """Make the registry and run each query on each view, three times in turn; SystemExit on wrong rows.

    Seconds are the median of Athena's ``EngineExecutionTimeInMillis``, bytes its ``DataScannedInBytes``.
    """
    with LocalAthena(engine="trino") as aws:
        lake = Lake(aws)
        lake.glue.create_database(DatabaseInput={"Name": SEED_DATABASE})
        manifest_bytes = write_large_registry(lake)
        expected, queries = _expected(), _queries()
        seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        scanned: dict[tuple[str, str], int] = {}
        for _ in range(_RUNS):
            for case, sql in queries.items():
                totals, taken, scanned[case] = _run(lake, sql)
                if totals != expected[case]:
                    raise SystemExit(
                        f"{case}: rows and bytes are {totals}, expected {expected[case]}:\n{sql}"
                    )
                seconds[case].append(taken)
    figures = [
        {
            "view": view,
            "packages": packages,
            "rows": expected[view, packages][0],
            "seconds": statistics.median(seconds[view, packages]),
            "seconds_of_runs": seconds[view, packages],
            "bytes_scanned": scanned[view, packages],
        }
        for view, packages in queries
    ]
    registry_is = {"packages": PACKAGES, "entries": ENTRIES, "manifest_bytes": manifest_bytes}
    return {"trino": VERSION, "runs": _RUNS, "registry": registry_is, "figures": figures}


def _queries() -> dict[tuple[str, str], str]:
    names = BucketNames.of(LARGE)
    objects = """SELECT count(*), sum(CAST("size" AS bigint)) FROM {}.{}"""
    one_of_objects = f"""{objects} WHERE "user" = 'user' AND "name" = '{_ONE_PACKAGE}'"""
    entries = f'SELECT count(*), sum("size") FROM {DATABASE}.{names.entries}'
    return {
        (THEIRS, ALL): objects.format(SEED_DATABASE, names.objects_view),
        (OURS, ALL): objects.format(DATABASE, names.objects_view),
        (CLEAN, ALL): entries,
        (THEIRS, ONE): one_of_objects.format(SEED_DATABASE, names.objects_view),
        (OURS, ONE): one_of_objects.format(DATABASE, names.objects_view),
        (CLEAN, ONE): f"{entries} WHERE pkg_name = 'user/{_ONE_PACKAGE}'",
    }


def _expected() -> dict[tuple[str, str], Totals]:
    """Count what was written: an objects view has the files of each pointer, entries of each revision."""
    sizes: dict[str, list[int]] = {}  # by top hash
    pointers: list[tuple[str, str, str]] = []  # package, pointer, top hash
    for key, body in registry.objects(LARGE, PACKAGES, ENTRIES):
        if key.startswith(_POINTERS):
            package, _, pointer = key.removeprefix(_POINTERS).rpartition("/")
            pointers.append((package, pointer, body.decode()))
        else:
            lines = map(json.loads, body.splitlines())
            sizes[key.rpartition("/")[2]] = [line["size"] for line in lines if "logical_key" in line]

    def totals(view: str, packages: str) -> Totals:
        files = [
            size
            for package, pointer, top_hash in pointers
            if (view != CLEAN or pointer.isdigit()) and (packages == ALL or package == f"user/{_ONE_PACKAGE}")
            for size in sizes[top_hash]
        ]
        return len(files), sum(files)

    return {
        (view, packages): totals(view, packages) for view in (THEIRS, OURS, CLEAN) for packages in (ALL, ONE)
    }


def _run(lake: Lake, sql: str) -> tuple[Totals, float, int]:
    """Return a query's answer, its seconds, and the bytes it scanned."""
    status = run_query(
        lake.athena, sql, database=DATABASE, workgroup=WORKGROUP, timeout_seconds=_TIMEOUT_SECONDS
    )
    ((rows, size_sum),) = read_rows(lake.athena, status.query_execution_id, max_rows=1)[1]
    found = lake.athena.get_query_execution(QueryExecutionId=status.query_execution_id)
    of_query = found["QueryExecution"]["Statistics"]
    totals = int(rows or 0), int(size_sum or 0)
    return totals, of_query["EngineExecutionTimeInMillis"] / 1000, of_query["DataScannedInBytes"]


def section(measured: dict[str, Any]) -> str:
    """Return what was measured as a section of a page, in Markdown."""
    made, figures = measured["registry"], measured["figures"]
    rows = []
    for one in figures:
        runs = one["seconds_of_runs"]
        seconds = f"{one['seconds']:.1f} ({min(runs):.1f} to {max(runs):.1f})"
        rows.append(
            f"| {one['packages']} | {one['view']} | {one['rows']:,} | {seconds} | {one['bytes_scanned']:,} |"
        )
    return f"""
## The objects view over {made["packages"]:,} packages of {made["entries"]} entries

`SELECT count(*), sum(size)` on Trino {measured["trino"]} behind the local Athena, all in one run over one
registry with {made["manifest_bytes"]:,} bytes of manifests. Seconds are `EngineExecutionTimeInMillis`,
the median of {measured["runs"]}, and the least and the most; bytes are `DataScannedInBytes`.

| of | view | rows | seconds | bytes scanned |
|---|---|--:|--:|--:|
{chr(10).join(rows)}

{_told({(one["view"], one["packages"]): one for one in figures})}
""".lstrip()


def _told(of_case: dict[tuple[str, str], dict[str, Any]]) -> str:
    def ratio(packages: str, of: Callable[[dict[str, Any]], float]) -> str:
        return f"{of(of_case[OURS, packages]) / of(of_case[THEIRS, packages]):.2f}"

    scanned, median, least = (
        f"{ratio(ALL, of)} and {ratio(ONE, of)}"
        for of in (
            lambda one: one["bytes_scanned"],
            lambda one: one["seconds"],
            lambda one: min(one["seconds_of_runs"]),
        )
    )
    return f"""
Our objects view to the documentation's, over all packages and over one: bytes {scanned};
seconds {median} by the medians, {least} by the least, which other work on the machine
disturbs least. No view narrows what is read to one package's manifests: `quilt_revisions` does. The entries
view leaves out the pointer `latest`, which doubles the others' rows.
""".strip()


def main() -> int:
    """Measure, keep the figures, and print the section."""
    measured = measure()
    FIGURES.write_text(json.dumps(measured, indent=2) + "\n")
    print(section(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
