"""What waiting for Athena takes: the import, 1,000 deferred queries beside Amazon's trigger, a short task."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import airflow_quilt_athena
from benchmarks.report import Report, stopwatch
from benchmarks.triggers_process import Usage
from local_athena import LocalAthena

ROOT = Path(__file__).resolve().parent.parent
AMAZON_PYTHON = ROOT / ".venv-amazon/bin/python"
AMAZON_TARGET = "make .venv-amazon/.installed"

IMPORT_RUNS = 7
AMAZON_MODULE = "airflow.providers.amazon.aws.operators.athena"
MOST_MILLISECONDS_OVER = 50

WORKGROUP = "bench-waiting"

TRIGGERS = 1_000
POLL_SECONDS = 5
LEAST_START_SECONDS, MOST_START_SECONDS = 25, 300  # our own looks have slowed down to POLL_SECONDS by then
STEADY_SECONDS = 30
IDS_IN_A_CALL = 50
LOOKS = {"ours": "BatchGetQueryExecution", "amazon": "GetQueryExecution"}
NEVER_SECONDS = 3_600

TASK_RUNS = 5
QUERY_SECONDS = 2
MOST_SECONDS_OVER = 1


# ------------------------------------------------------------------------------------------------- import


def our_modules(*rooms: str) -> list[str]:
    """Return the names of all modules of these rooms."""
    package = Path(airflow_quilt_athena.__file__).parent
    files = [file for room in rooms for file in (package / room).glob("*.py")]
    names = (".".join(file.relative_to(package.parent).with_suffix("").parts) for file in files)
    return sorted(name.removesuffix(".__init__") for name in names)


def importing() -> Report:
    """Import Amazon's operator, and then ours, in fresh interpreters; ours alone is what a DAG file pays."""
    report = Report("Import")
    measured = {
        "our operators and sensors": our_modules("operators", "sensors"),
        "our triggers as well": our_modules("operators", "sensors", "triggers"),
    }
    taken: dict[str, list[float]] = {"Amazon's AthenaOperator": [], **{name: [] for name in measured}}
    with airflow_environment() as environment:
        for _ in range(IMPORT_RUNS + 1):
            for name, modules in measured.items():
                amazon, ours = _import_milliseconds(modules, environment)
                taken["Amazon's AthenaOperator"].append(amazon)
                taken[name].append(ours)
    for name, values in taken.items():
        over = f"≤ {MOST_MILLISECONDS_OVER} ms" if name == "our operators and sensors" else ""
        best = min(values[1:])  # the first compiles and reads the disk
        told = f"{name}{'' if name not in measured else ', over it'}, best of {IMPORT_RUNS}"
        report.add(told, f"{best:.0f} ms", over)
    return report


def _import_milliseconds(modules: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Return what Amazon's operator takes, and what these take when it is there; of the CPU, that is."""
    code = (
        f"import time; t = time.process_time(); import {AMAZON_MODULE}; u = time.process_time(); "
        f"import {', '.join(modules)}; print('seconds', u - t, time.process_time() - u)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    amazon, ours = done.stdout.split()[-2:]
    return 1000 * float(amazon), 1000 * float(ours)


# ----------------------------------------------------------------------------------------------- triggers


@dataclass(frozen=True, slots=True)
class Watched:
    """How a process with TRIGGERS triggers fared, first while they started and then for a while."""

    start: Usage
    steady: Usage
    calls_per_minute: float
    looked_at: int  # queries, by the end of the start


def triggers() -> Report:
    """Watch as many queries by our trigger, and by Amazon's."""
    report = Report(
        f"{TRIGGERS:,} deferred queries in one event loop, a look at each every {POLL_SECONDS} s",
        ("figure", "ours", "wanted", "Amazon's AthenaTrigger"),
    )
    seen = {"ours": _watch("ours", Path(sys.executable), report)}
    if AMAZON_PYTHON.exists():
        seen["amazon"] = _watch("amazon", AMAZON_PYTHON, report)
    else:
        print(f"Amazon's trigger is not measured: {AMAZON_TARGET} makes its environment.", file=sys.stderr)

    def add(figure: str, show: Any, wanted: str = "") -> None:
        report.add(figure, show(seen["ours"]), wanted, show(seen["amazon"]) if "amazon" in seen else "")

    report.section(f"For {STEADY_SECONDS} s, once all were looked at")
    most_calls = TRIGGERS // IDS_IN_A_CALL * 60 // POLL_SECONDS
    add("calls per minute", lambda it: f"{it.calls_per_minute:,.0f}", f"about {most_calls}")
    add("CPU", lambda it: f"{it.steady.cpu_seconds:.2f} s")
    add("longest lag of the event loop", lambda it: f"{1000 * it.steady.longest_lag_seconds:.0f} ms")
    add("peak memory of the process", lambda it: f"{it.steady.peak_mebibytes:,.0f} MiB")
    report.section("Before, until all were looked at")
    add(
        f"seconds of it, with the imports {LEAST_START_SECONDS} at least",
        lambda it: f"{it.start.seconds:.1f} s",
    )
    add("were looked at by then", lambda it: f"{it.looked_at:,}", f"{TRIGGERS:,}")
    add("CPU", lambda it: f"{it.start.cpu_seconds:.2f} s")
    add("longest lag of the event loop", lambda it: f"{it.start.longest_lag_seconds:.2f} s")
    return report


def _watch(name: str, python: Path, report: Report) -> Watched:
    with (
        LocalAthena(latency={"athena:query": NEVER_SECONDS}) as aws,
        airflow_environment(aws) as environment,
        tempfile.TemporaryFile("w+") as output,  # a pipe that nobody reads would stop the event loop
    ):
        ids = _start_queries(aws)
        process = subprocess.Popen(
            [python, "-m", "benchmarks.triggers_process", name],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            text=True,
        )
        try:
            assert process.stdin is not None
            print(
                json.dumps({"query_execution_ids": ids, "poll_interval": POLL_SECONDS}),
                file=process.stdin,
                flush=True,
            )
            looked_at = _await_looks(aws, name, process)
            print(file=process.stdin, flush=True)
            time.sleep(STEADY_SECONDS)
            process.stdin.close()
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
        report.check(f"{name}: exit code", process.returncode, 0)
        output.seek(0)
        told = json.loads(output.read().splitlines()[-1])
        start, steady = Usage(**told["start"]), Usage(**told["steady"])
        looks = [call for call in aws.calls if call.operation == LOOKS[name]]
        report.check(f"{name}: triggers that fired", told["fired"], 0)
        report.check(f"{name}: calls that failed", [call.error for call in looks if call.status != 200], [])
        until = steady.began + steady.seconds
        counted = [call for call in looks if steady.began <= call.time < until]
        return Watched(start, steady, len(counted) * 60 / steady.seconds, looked_at)


def _start_queries(aws: LocalAthena) -> list[str]:
    """Start queries that never end. The local Athena runs a few, and the others wait QUEUED, as on Athena."""
    _make_workgroup(aws)
    start = aws.client("athena").start_query_execution
    return [start(QueryString="SELECT 1", WorkGroup=WORKGROUP)["QueryExecutionId"] for _ in range(TRIGGERS)]


def _make_workgroup(aws: LocalAthena) -> None:
    aws.client("s3").create_bucket(Bucket="bench-waiting")
    result = {"OutputLocation": "s3://bench-waiting/results/"}
    aws.client("athena").create_work_group(
        Name=WORKGROUP, Configuration={"ResultConfiguration": result, "EnforceWorkGroupConfiguration": False}
    )


def _await_looks(aws: LocalAthena, name: str, process: subprocess.Popen[str]) -> int:
    """Wait until each query was looked at, and not for ever; return how many were."""
    began = time.monotonic()
    while True:
        time.sleep(1)
        if process.poll() is not None:
            raise RuntimeError(f"The triggers' process ({name}) ended with {process.returncode}.")
        looks = [call for call in aws.calls if call.operation == LOOKS[name]]
        # The calls of our first round are full; Amazon's name their one query.
        looked_at = (
            min(TRIGGERS, len(looks) * IDS_IN_A_CALL)
            if name == "ours"
            else len({call.detail for call in looks})
        )
        waited = time.monotonic() - began
        if waited >= MOST_START_SECONDS or (looked_at == TRIGGERS and waited >= LEAST_START_SECONDS):
            return looked_at


# --------------------------------------------------------------------------------------------------- task


def short_task() -> Report:
    """Run a task with a short query as a worker would, in this process, and compare it with its query."""
    report = Report(f"A task with a query of {QUERY_SECONDS} s, without the start of its worker")
    with LocalAthena(latency={"athena:query": QUERY_SECONDS}) as aws, airflow_environment(aws) as environment:
        _make_workgroup(aws)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.waiting"],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        tasks = json.loads(done.stdout.splitlines()[-1])
        athena = aws.client("athena")
        over = []
        for seconds, query_execution_id in tasks:
            query = athena.get_query_execution(QueryExecutionId=query_execution_id)["QueryExecution"]
            report.check("the query's state", query["Status"]["State"], "SUCCEEDED")
            over.append(seconds - query["Statistics"]["TotalExecutionTimeInMillis"] / 1000)
    report.check("tasks that ran", len(over), TASK_RUNS)
    report.add(
        f"the task over its query, median of {TASK_RUNS}",
        f"{statistics.median(over):.2f} s",
        f"≤ {MOST_SECONDS_OVER} s",
    )
    report.add("the longest of them", f"{max(over):.2f} s", "")
    return report


def run_tasks() -> None:
    """Print the seconds that each task took, and its query: what ``python -m benchmarks.waiting`` does."""
    from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
    from tests.integration.lab import run_task

    tasks = []
    for number in range(TASK_RUNS):
        operator = QuiltAthenaQueryOperator(
            task_id=f"short_{number}",
            query="SELECT 1",
            database="default",
            workgroup=WORKGROUP,
            deferrable=False,
        )
        with stopwatch() as watch:
            ran = run_task(operator)
        tasks.append((watch.seconds, ran.result["query_execution_ids"][0]))
    print(json.dumps(tasks))


# ---------------------------------------------------------------------------------------------- for all


@contextmanager
def airflow_environment(aws: LocalAthena | None = None) -> Iterator[dict[str, str]]:
    """Return the environment of a process with an Airflow of its own, and a connection to ``aws``."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "AWS_"))}
    with tempfile.TemporaryDirectory() as home:
        own |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        if aws is not None:
            own["AIRFLOW_CONN_AWS_DEFAULT"] = _connection(aws)
        yield own


def _connection(aws: LocalAthena) -> str:
    extra = {"region_name": aws.environment["AWS_REGION"], "endpoint_url": aws.endpoint_url}
    login, password = aws.environment["AWS_ACCESS_KEY_ID"], aws.environment["AWS_SECRET_ACCESS_KEY"]
    return json.dumps({"conn_type": "aws", "login": login, "password": password, "extra": extra})


def measure() -> tuple[Report, ...]:
    """Take all figures."""
    return importing(), triggers(), short_task()


if __name__ == "__main__":
    run_tasks()
