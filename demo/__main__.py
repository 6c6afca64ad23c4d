"""Run the main job on real input and check every row of it: ``python -m demo [--engine trino] [--ui]``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from botocore.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from airflow_quilt_athena.exceptions import QuiltAthenaError
from demo import packages
from demo.lake import Lake
from demo.stack import AirflowStack, StackError
from local_athena import LocalAthena
from local_athena.server import ENGINES

ROOT = Path(__file__).parents[1]
BUCKET = "demo-quilt-registry"
WAREHOUSE = "demo-warehouse"
REGISTRY = f"s3://{BUCKET}"
VARIABLES = {
    "AIRFLOW_VAR_QUILT_BUCKET": BUCKET,
    "AIRFLOW_VAR_QUILT_RESULTS_BUCKET": "demo-quilt-results",
    "AIRFLOW_VAR_QUILT_WAREHOUSE": f"s3://{WAREHOUSE}/tables/",
    "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}',
}
console = Console(highlight=False)


class Steps:
    """Says which step runs, and how long it took."""

    def __init__(self) -> None:
        self._number = 0
        self._started = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step and, after it, its time."""
        self._number += 1
        console.print(f"\n[bold cyan]{self._number}.[/] [bold]{title}[/]")
        started = time.monotonic()
        yield
        console.print(f"   [dim]done in {time.monotonic() - started:.1f} s[/]")

    @property
    def seconds(self) -> float:
        """Time since the first step."""
        return time.monotonic() - self._started


def bar() -> Progress:
    """Return a progress bar for the parts that take long."""
    columns = (TextColumn("   {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def demo_days(now: datetime) -> list[date]:
    """Return the days of the demo: the last is yesterday, which the scheduler runs by itself."""
    last = now.date() - timedelta(days=1)
    count = len(packages.DAYS)
    return [last - timedelta(days=count - 1 - number) for number in range(count)]


def push_packages(lake: Lake, days: Sequence[date]) -> None:
    """Make the registry bucket and push every revision of every day."""
    lake.create_bucket(BUCKET, versioned=True)
    lake.create_bucket(WAREHOUSE)
    pushes = [(day, push) for day, of_day in zip(days, packages.DAYS, strict=True) for push in of_day]
    with bar() as progress:
        for day, push in progress.track(pushes, description="revisions"):
            packages.push(REGISTRY, day, push)
    names = sorted({push.name for _, push in pushes})
    console.print(f"   {len(pushes)} revisions of {len(names)} packages: {', '.join(names)}")


def run_by_hand(airflow: AirflowStack, dag_id: str, **body: str) -> None:
    """Start a run as a person does in the UI, and tell what its tasks do."""
    airflow.unpause(dag_id)
    run_id = airflow.trigger(dag_id, **body)
    told: set[tuple[str, str]] = set()
    for task in airflow.watch_run(dag_id, run_id):
        state = (task["task_id"], task["state"] or "waiting")
        if state not in told:
            told.add(state)
            console.print(f"   {state[0]}: {state[1]}")


def backfill(airflow: AirflowStack, first: date, last: date) -> None:
    """Backfill ``daily_package_partitions`` over whole days and follow its runs."""
    dag_id = "daily_package_partitions"
    airflow.unpause(dag_id)
    airflow.backfill(dag_id, first.isoformat(), last.isoformat())
    with bar() as progress:
        task = progress.add_task("runs", total=(last - first).days + 1)

        def done() -> bool:
            states = [run["state"] for run in airflow.runs(dag_id) if run["run_type"] == "backfill"]
            if "failed" in states:
                raise StackError(f"A run of the backfill failed. Task logs: {airflow.home / 'logs'}")
            progress.update(task, completed=states.count("success"))
            return progress.finished

        airflow.wait("the backfill", done, timeout_seconds=300)


def scheduled_run(airflow: AirflowStack, day: date) -> None:
    """Wait for the run that the scheduler made by itself."""
    dag_id = "daily_package_partitions"

    def succeeded() -> bool:
        return any(
            run["partition_key"] == day.isoformat() and run["state"] == "success"
            for run in airflow.runs(dag_id)
            if run["run_type"] == "scheduled"
        )

    airflow.wait(f"the scheduled run of {day}", succeeded, timeout_seconds=300)


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console.print(table)


class Verdict:
    """Compares what Athena says with what quilt3 says, and remembers every difference."""

    def __init__(self) -> None:
        self.differences = 0

    def compare(self, what: str, found: Sequence[object], expected: Sequence[object]) -> None:
        """Print one line for equal rows, and every row that is only on one side."""
        missing = [row for row in expected if row not in found]
        extra = [row for row in found if row not in expected]
        doubled = len(found) - len(set(found)) if not (missing or extra) else 0
        self.differences += len(missing) + len(extra) + doubled
        verdict = "[green]equal[/]" if not (missing or extra or doubled) else "[red]DIFFERENT[/]"
        console.print(f"   {verdict}: {what}: {len(found)} rows, {len(expected)} expected from quilt3")
        for mark, rows in (("missing", missing), ("not expected", extra)):
            for row in rows:
                console.print(Text(f"      {mark}: {row}", style="red"))
        if doubled:
            console.print(f"      [red]{doubled} rows are there more than once[/]")


def check_everything(lake: Lake, days: Sequence[date], verdict: Verdict) -> None:
    """Compare the table and the clean views with the packages, row by row."""
    expected = sorted(packages.browse(REGISTRY))
    for day in days:
        rows = [row for row in expected if row.revision_at.date() == day]
        verdict.compare(f"package_files_daily, dt={day}", lake.partition(day), rows)
    verdict.compare("entries view, all revisions", lake.entries(), expected)
    verdict.compare("revisions view", lake.revisions(), sorted(packages.revisions(REGISTRY)))
    verdict.compare("tags view", lake.tags(), sorted(packages.tags(REGISTRY)))


def overwrite_again(airflow: AirflowStack, lake: Lake, day: date) -> None:
    """Push one more revision into a day that is done, run the day again and show what changed."""
    rows, location = len(lake.partition(day)), lake.location(day)
    packages.push(REGISTRY, day, packages.LATE)
    run_by_hand(airflow, "daily_package_partitions", partition_key=day.isoformat())
    show(
        f"Partition dt={day} before and after",
        ("", "rows", "location"),
        [("before", rows, location), ("after", len(lake.partition(day)), lake.location(day))],
    )


def run(home: Path, *, engine: str, ui: bool) -> int:
    """Run all steps, with Airflow's database and logs below ``home``; returns the exit code."""
    shutil.rmtree(home, ignore_errors=True)
    steps, verdict = Steps(), Verdict()
    with steps.step(f"Start the local Athena, on {engine}"):
        aws = LocalAthena(engine=engine).__enter__()
    try:
        console.print(f"   S3, Glue, IAM, STS and Athena answer on {aws.endpoint_url}")
        os.environ.update(aws.environment)
        packages.use_client(aws.client("s3", config=Config(max_pool_connections=20)))
        lake = Lake(aws, BUCKET)
        days = demo_days(datetime.now(UTC))
        with steps.step(f"Push Quilt packages with quilt3, dated {days[0]} to {days[-1]}"):
            push_packages(lake, days)
        with steps.step("Start Airflow: scheduler, triggerer, DAG processor, API server"):
            airflow = AirflowStack(home / "airflow", [ROOT / "example_dags"], VARIABLES).__enter__()
        try:
            tell_story(steps, airflow, lake, days, verdict)
            if ui:
                stay(airflow)
        finally:
            airflow.stop()
    finally:
        aws.__exit__(None, None, None)
    return summary(steps, verdict, home)


def tell_story(
    steps: Steps, airflow: AirflowStack, lake: Lake, days: Sequence[date], verdict: Verdict
) -> None:
    """Provision, fill, overwrite and query."""
    with steps.step("Run provision_and_refresh_views"):
        run_by_hand(airflow, "provision_and_refresh_views")
    with steps.step(f"Backfill daily_package_partitions, {days[0]} to {days[-2]}; {days[-1]} is on schedule"):
        backfill(airflow, days[0], days[-2])
        scheduled_run(airflow, days[-1])
    with steps.step(f"Run {days[1]} again with one more revision: replaced, not doubled"):
        overwrite_again(airflow, lake, days[1])
    with steps.step("Query the table and the views, and compare every row with quilt3.Package.browse"):
        show("package_files_daily", *lake.sample_of_table())
        show("Latest revisions", *lake.sample_of_revisions())
        check_everything(lake, days, verdict)
    show("Queries run", *lake.queries())


def stay(airflow: AirflowStack) -> None:
    """Leave everything running until Ctrl-C."""
    console.print(
        f"\n[bold]The Airflow UI is at {airflow.url}[/] (no login). Ctrl-C ends it and the local Athena."
    )
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print("\nStopping.")


def summary(steps: Steps, verdict: Verdict, home: Path) -> int:
    """Say how it went and where to look next."""
    if verdict.differences:
        console.print(f"\n[bold red]{verdict.differences} rows differ from what quilt3 says.[/]")
        return 1
    console.print(f"\n[bold green]Every row is as quilt3 says.[/] {steps.seconds:.0f} s in all.")
    console.print(
        "Look next at:\n"
        "  example_dags/            the two DAGs that ran, unchanged from what you would run on AWS\n"
        f"  {home.name}/airflow/logs/      what each task logged\n"
        "  make demo-ui             the same, with the Airflow UI left running\n"
        "  .venv/bin/quilt-athena local   the local Athena alone, for your own SQL and DAGs\n"
        "  README.md                your first DAG, and what to set up on AWS"
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="leave the Airflow UI running until Ctrl-C")
    parser.add_argument(
        "--engine", choices=ENGINES, default="duckdb", help="what runs the SQL (default: %(default)s)"
    )
    parser.add_argument("--home", type=Path, default=ROOT / ".demo", help="emptied, then used for Airflow")
    options = parser.parse_args(arguments)
    try:
        return run(options.home, engine=options.engine, ui=options.ui)
    except (StackError, QuiltAthenaError) as error:
        console.print(Text(f"\n{error}", style="bold red"))
        return 1


if __name__ == "__main__":
    sys.exit(main())
