"""What an insert overwrite takes beside the blog's method, in one run: queries, calls, seconds, and the gap.

Every Athena query takes one second longer than on this machine, and every other call 30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.flows.overwrite.sweep import sweep_generations
from benchmarks.blog import StatementFailed
from benchmarks.lake import BUCKET, DATABASE, ENFORCING, LATENCY, OLD_ROW, Lake, Row, Run, folder_of
from benchmarks.report import Report
from local_athena import LocalAthena

DAY, NEXT_DAY = "2026-01-01", "2026-01-02"
FEW_FILES, MANY_FILES = 20, 2_000
ROWS = 1_000
SET = 300
MOST_OTHER_CALLS = 15
MOST_CALLS = 12  # of an overwrite of one partition, the start of its query included
# The numbers 1 to ROWS. With keys of its own: the same, dealt out to the set's partitions in turn.
NUMBERS = f"SELECT n, 'v' || CAST(n AS varchar) AS v FROM UNNEST(sequence(1, {ROWS})) AS t(n)"
SET_ROWS = 10 * SET
SET_NUMBERS = (
    f"SELECT n, 'v' || CAST(n AS varchar) AS v, 'k' || CAST(n % {SET} AS varchar) AS k "
    f"FROM UNNEST(sequence(1, {SET_ROWS})) AS t(n)"
)
SUMMARY = "count(*), count(DISTINCT n), sum(n)"

# Counted once at the wire of a local Athena, from these clients' own calls; their polls are left out, and
# dbt's one call to STS.
PEERS = (
    ("awswrangler 3.17.1, overwrite_partitions", "0", "2", "3", "first delete → last PUT"),
    ("dbt-athena 1.11.1, insert_overwrite", "4", "9", "6", "first delete → end of INSERT"),
    ("Airflow, S3DeleteObjects and INSERT", "1", "0", "2", "first delete → end of INSERT"),
)


def summary_of(numbers: Iterable[int]) -> Row:
    """Return what SUMMARY answers for these numbers."""
    listed = list(numbers)
    return str(len(listed)), str(len(set(listed))), str(sum(listed))


NEW = summary_of(range(1, ROWS + 1))
ONE_OLD = summary_of([OLD_ROW])
NEW_SET = {f"k{k}": summary_of(n for n in range(1, SET_ROWS + 1) if n % SET == k) for k in range(SET)}


def by_partition(lake: Lake, table: str, key: str, where: str = "true") -> dict[str | None, Row]:
    """Return the summary of each partition."""
    rows = lake.rows(f"SELECT {key}, {SUMMARY} FROM {table} WHERE {where} GROUP BY {key}")
    return {row[0]: row[1:] for row in rows}


# ------------------------------------------------------------------------------------------- one partition


def one_partition(lake: Lake, report: Report) -> None:
    """Overwrite a day over few and over many old files, by both methods."""
    ours: dict[int, Run] = {}
    blog: dict[int, Run] = {}
    for files in (FEW_FILES, MANY_FILES):
        for method, runs in (("ours", ours), ("blog", blog)):
            runs[files] = _overwrite_day(lake, report, method, files)
    one, theirs = ours[MANY_FILES], blog[MANY_FILES]
    report.section(f"One daily partition over {MANY_FILES:,} old files")
    _add_counts(report, one, "1", beside=theirs)
    _add_seconds(report, one, beside=theirs)
    _add_split(report, one, beside=theirs)
    for figure, share in (
        ("until visible, ours / the blog's", one.seconds_to_visible / theirs.seconds_to_visible),
        ("in all, ours / the blog's", one.seconds / theirs.seconds),
    ):
        report.add(figure, f"{share:.3f}", "≤ 0.333")
    report.add(
        "a reader sees no or partial rows", _s(one.seconds_broken), "0.00 s", _s(theirs.seconds_broken)
    )
    few, few_theirs = ours[FEW_FILES], blog[FEW_FILES]
    report.section(f"The same, {MANY_FILES:,} old files / {FEW_FILES} old files")
    report.add("other calls before visible", _both(one, few), "equal", _both(theirs, few_theirs))
    report.add("until visible, the one / the other", _ratio(one, few), "about 1", _ratio(theirs, few_theirs))


def _overwrite_day(lake: Lake, report: Report, method: str, files: int) -> Run:
    table, live = f"daily_{method}_{files}", f"dt={DAY}/"
    lake.create_table(table, {"dt": "string"}, old={live: files, f"dt={NEXT_DAY}/": 1})
    work: Callable[[], object]
    if method == "ours":
        work = partial(lake.overwrite, table, NUMBERS, {"dt": DAY})
    else:
        work = partial(lake.blog.overwrite, table, folder_of(table), {"dt": DAY}, NUMBERS)
    run = lake.measure(table, work, live=live)
    report.check(table, by_partition(lake, table, "dt"), {DAY: NEW, NEXT_DAY: ONE_OLD})
    return run


# -------------------------------------------------------------------------------------- a set of partitions


def many_partitions(lake: Lake, report: Report) -> None:
    """Overwrite a static prefix with dynamic partitions below it: into nothing, and over what there is."""
    asked = {"partitioned_by": (("dt", "string"), ("k", "string"))}
    runs = []
    for _ in range(2):
        runs.append(lake.measure("many", partial(lake.overwrite, "many", SET_NUMBERS, {"dt": DAY}, **asked)))
        report.check("many", by_partition(lake, "many", "k", f"dt = '{DAY}'"), NEW_SET)
    for title, run in zip(("first run", "over existing ones"), runs, strict=True):
        report.section(f"{SET} dynamic partitions below a prefix, {title}")
        _add_counts(report, run, f"≤ {3 + -(-SET // 100)}", most_calls=None)
        _add_seconds(report, run)
        _add_split(report, run)
        report.add("queries that ran side by side, at most", str(run.most_at_once), str(-(-SET // 100)))
        report.add("some partitions new, others old, each whole", _s(run.seconds_mixed))
    _blog_set(lake, report, runs[1])


def _blog_set(lake: Lake, report: Report, ours: Run) -> None:
    """The blog's method has no means for more than 100 partitions: once as it is, then one by one."""
    folders = [f"dt={DAY}/k={key}/" for key in NEW_SET]
    lake.create_table("many_blog", {"dt": "string", "k": "string"}, old=dict.fromkeys(folders, 1))
    one = f"SELECT n, v FROM ({SET_NUMBERS}) WHERE k = 'k7'"
    keys = {"dt": DAY, "k": "k7"}
    folder = folder_of("many_blog")
    run = lake.measure(
        "many_blog", partial(lake.blog.overwrite, "many_blog", folder, keys, one), live=f"dt={DAY}/k=k7/"
    )
    expected = {**dict.fromkeys(NEW_SET, ONE_OLD), "k7": NEW_SET["k7"]}
    report.check("many_blog", by_partition(lake, "many_blog", "k"), expected)
    all_of_them = run.seconds * SET
    report.add(
        "in all, ours / the blog's",
        f"{ours.seconds / all_of_them:.4f}",
        "",
        f"extrapolated: {run.seconds:.2f} s × {SET} = {all_of_them:,.0f} s",
    )
    try:
        lake.measure(
            "many_blog",
            partial(lake.blog.overwrite, "many_blog", folder, {"dt": DAY}, SET_NUMBERS, dynamic=("k",)),
        )
        outcome = "succeeded"
    except StatementFailed as failed:
        outcome = f"fails: {str(failed).partition(':')[0]}"
    left = len(by_partition(lake, "many_blog", "k"))
    report.add(f"all {SET} in one CTAS", "", "", f"{outcome}; {SET - left} of {SET} left without rows")


# ---------------------------------------------------------------------------------------- a large table


def large_table(lake: Lake, report: Report) -> None:
    """Overwrite one partition beside 9 others, and beside 9,999."""
    report.section("One partition of 10,000 / of 10")
    first = date(2000, 1, 1)
    for kind in ("string", "date"):
        runs = []
        for count in (10, 10_000):
            table = f"large_{kind}_{count}"
            lake.create_table(table, {"dt": kind}, old={})
            lake.add_partitions(table, [str(first + timedelta(days=day)) for day in range(count)])
            runs.append(lake.measure(table, partial(lake.overwrite, table, NUMBERS, {"dt": str(first)})))
            report.check(table, by_partition(lake, table, "CAST(dt AS varchar)"), {str(first): NEW})
        few, many = runs
        report.add(f"{kind} key: other calls before visible", _both(many, few), "equal")
        report.add(f"{kind} key: until visible, the one / the other", _ratio(many, few), "about 1")


# --------------------------------------------------------------------------------------- other kinds


def other_kinds(lake: Lake, report: Report) -> None:
    """Overwrite a table without keys, a bucketed partition, and a day by UNLOAD."""
    lake.create_table("whole", {}, old={"": MANY_FILES})
    run = lake.measure("whole", partial(lake.overwrite, "whole", NUMBERS, {}), live="")
    report.check("whole", lake.rows(f"SELECT {SUMMARY} FROM whole"), [NEW])
    report.section(f"An unpartitioned table over {MANY_FILES:,} old files")
    _add_counts(report, run, "1")
    _add_seconds(report, run)
    report.add("a reader sees no or partial rows", _s(run.seconds_broken), "0.00 s")

    asked = {"partitioned_by": (("dt", "string"),), "bucketed_by": ("n",), "bucket_count": 8}
    for day in (DAY, NEXT_DAY):
        lake.overwrite("bucketed", f"SELECT CAST({OLD_ROW} AS bigint) AS n, 'old' AS v", {"dt": day}, **asked)
    run = lake.measure("bucketed", partial(lake.overwrite, "bucketed", NUMBERS, {"dt": DAY}))
    report.check("bucketed", by_partition(lake, "bucketed", "dt"), {DAY: NEW, NEXT_DAY: ONE_OLD})
    report.section("A bucketed partition")
    _add_counts(report, run, "1")
    _add_seconds(report, run)

    lake.create_table("unloaded", {"dt": "string"}, old={f"dt={DAY}/": FEW_FILES, f"dt={NEXT_DAY}/": 1})
    run = lake.measure(
        "unloaded", partial(lake.overwrite, "unloaded", NUMBERS, {"dt": DAY}, workgroup=ENFORCING)
    )
    report.check("unloaded", by_partition(lake, "unloaded", "dt"), {DAY: NEW, NEXT_DAY: ONE_OLD})
    report.section("A daily partition by UNLOAD, in an enforcing workgroup")
    _add_counts(report, run, "1")
    _add_seconds(report, run)


# -------------------------------------------------------------------------------------------- the sweep


def sweep(lake: Lake, report: Report) -> None:
    """Remove 1,000 superseded generations that few runs made, and 25 that as many runs made."""
    report.section("Sweep of superseded generations")
    _sweep_sets(lake, report, runs=10, partitions=100)
    _sweep_single(lake, report, runs=25)


def _sweep_sets(lake: Lake, report: Report, *, runs: int, partitions: int) -> None:
    query = (
        f"SELECT n, 'v' AS v, 'k' || CAST(n % {partitions} AS varchar) AS k "
        f"FROM UNNEST(sequence(1, {ROWS})) AS t(n)"
    )
    for _ in range(runs + 1):
        lake.overwrite("sets", query, {"dt": DAY}, partitioned_by=(("dt", "string"), ("k", "string")))
    expected = {
        f"k{k}": summary_of(n for n in range(1, ROWS + 1) if n % partitions == k) for k in range(partitions)
    }
    _sweep(lake, report, "sets", f"{runs * partitions:,} of {runs} runs")
    report.check("sets, swept", by_partition(lake, "sets", "k"), expected)


def _sweep_single(lake: Lake, report: Report, *, runs: int) -> None:
    overwrite = partial(lake.overwrite, "days", NUMBERS, {"dt": DAY}, partitioned_by=(("dt", "string"),))
    for _ in range(runs):
        overwrite()
    last = lake.measure("days", overwrite)
    _sweep(lake, report, "days", f"{runs} of {runs} runs")
    report.check("days, swept", by_partition(lake, "days", "dt"), {DAY: NEW})
    report.section(f"One partition, for the {runs + 1}th time before a sweep")
    _add_counts(report, last, "1")
    _add_seconds(report, last)


def _sweep(lake: Lake, report: Report, table: str, what: str) -> None:
    later = datetime.now(UTC) + timedelta(hours=25)  # than the default retain
    run = lake.measure(table, partial(sweep_generations, lake.clients, TableName(DATABASE, table), now=later))
    read = {str(path) for (path,) in lake.rows(f'SELECT DISTINCT "$path" FROM {table}')}
    files = {f"s3://{BUCKET}/{key}" for key in lake.keys(folder_of(table)) if "/.journal/" not in key}
    report.check(f"files of {table} after the sweep", files, read)
    report.add(f"{what}: calls", f"{len(run.calls)}")
    report.add(f"{what}: seconds", _s(run.seconds))


# ------------------------------------------------------------------------------------------------- rows


def _add_counts(
    report: Report,
    run: Run,
    wanted_queries: str,
    *,
    most_calls: int | None = MOST_OTHER_CALLS,
    beside: Run | None = None,
) -> None:
    """Add what a run asked of AWS. Looks at queries under way are counted nowhere: they depend on time."""
    most = "" if most_calls is None else f"≤ {most_calls}"
    most_of_all = f"≤ {MOST_CALLS}" if wanted_queries == "1" else ""
    for figure, name, wanted in (
        ("Athena queries", "query_count", wanted_queries),
        ("other calls before visible", "others_before_visible", most),
        ("calls besides polls before visible", "calls_before_visible", most_of_all),
        ("other calls in all", "other_count", ""),
    ):
        theirs = f"{getattr(beside, name):,}" if beside else ""
        report.add(figure, f"{getattr(run, name):,}", wanted, theirs)


def _add_seconds(report: Report, run: Run, *, beside: Run | None = None) -> None:
    for figure, name in (("until the new rows are visible", "seconds_to_visible"), ("in all", "seconds")):
        report.add(figure, _s(getattr(run, name)), "", _s(getattr(beside, name)) if beside else "")


def _add_split(report: Report, run: Run, *, beside: Run | None = None) -> None:
    theirs = beside.split() if beside else {}
    for what, seconds in run.split().items():
        report.add(f"  until visible: {what}", _s(seconds), "", _s(theirs[what]) if theirs else "")


def _s(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _ratio(one: Run, other: Run) -> str:
    return f"{one.seconds_to_visible / other.seconds_to_visible:.2f}"


def _both(one: Run, other: Run) -> str:
    return f"{one.others_before_visible} / {other.others_before_visible}"


def peers() -> Report:
    """Return what other clients' runs asked for when they were counted; nothing here is measured now."""
    report = Report(
        "For comparison, recorded and not measured now: one day over 200 old files",
        ("client", "Athena queries", "Glue calls", "S3 calls", "readers see no or partial rows"),
    )
    for figures in PEERS:
        report.add(*figures)
    return report


def warm_up(lake: Lake, report: Report) -> None:
    """Let nobody's figures hold what only the first use of a server takes."""
    lake.create_table("warm", {"dt": "string"}, old={f"dt={DAY}/": 1})
    lake.overwrite("warm", NUMBERS, {"dt": DAY})
    report.check("warm", by_partition(lake, "warm", "dt"), {DAY: NEW})


def measure() -> tuple[Report, ...]:
    """Take all figures."""
    query_seconds, call_seconds = LATENCY["athena:query"], LATENCY["*"]
    report = Report(
        f"Overwrite, with {query_seconds:g} s added to each Athena query and {1000 * call_seconds:.0f} ms to "
        "each other call",
        ("figure", "measured", "wanted", "the blog's method"),
    )
    with LocalAthena() as aws:
        lake = Lake(aws)
        for scenario in (warm_up, one_partition, many_partitions, large_table, other_kinds, sweep):
            scenario(lake, report)
    return report, peers()
