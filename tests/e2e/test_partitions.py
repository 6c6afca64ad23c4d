"""The example DAG over a month of real packages: on schedule, backfilled, backfilled again, and refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest
from botocore.config import Config

from demo import packages
from demo.lake import DATABASE, TABLE
from demo.lake import Lake as PackageLake
from demo.packages import FileRow, Push
from demo.stack import RUN_ENDED
from local_athena import LocalAthena
from tests.e2e.driver import Airflow
from tests.e2e.history import BACKFILLED_DAYS, REGISTRY, REGISTRY_BUCKET, days_until, pushes_of
from tests.e2e.lake import Lake

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DAG_ID, FOLLOWER = "daily_package_partitions", "refresh_on_new_partition"

Pushed = dict[date, list[Push]]


@pytest.fixture(scope="module")
def pushed(aws: LocalAthena, lake: Lake) -> Pushed:
    """Every revision of every day, pushed with quilt3."""
    packages.use_client(aws.client("s3", config=Config(max_pool_connections=20)))
    PackageLake(aws, REGISTRY_BUCKET).create_bucket(REGISTRY_BUCKET, versioned=True)
    pushed = {day: list(pushes_of(number)) for number, day in enumerate(days_until(datetime.now(UTC)))}
    for day, pushes in pushed.items():
        for push in pushes:
            packages.push(REGISTRY, day, push)
    return pushed


@pytest.fixture(scope="module")
def by_quilt3(pushed: Pushed) -> dict[date, list[FileRow]]:
    """The rows of each day as quilt3 reads them."""
    rows = sorted(packages.browse(REGISTRY))
    return {day: [row for row in rows if row.revision_at.date() == day] for day in pushed}


@pytest.fixture(scope="module")
def provisioned(_stack: Airflow, aws: LocalAthena, pushed: Pushed) -> PackageLake:
    """The registry's tables and views, made by the example DAG; the daily DAG, switched on."""
    _stack.unpause("provision_and_refresh_views")
    run_id = _stack.trigger("provision_and_refresh_views")
    _stack.succeed("provision_and_refresh_views", run_id)
    _stack.unpause(DAG_ID)
    return PackageLake(aws, REGISTRY_BUCKET)


@pytest.fixture(scope="module")
def backfilled(_stack: Airflow, provisioned: PackageLake, pushed: Pushed) -> list[date]:
    """The days of the backfill, which is done."""
    days = sorted(pushed)[:BACKFILLED_DAYS]
    backfill(_stack, days)
    return days


def backfill(airflow: Airflow, days: Sequence[date], **options: str) -> set[str]:
    """Backfill days and wait for the end; returns the ids of the runs, each of which succeeded."""
    created = airflow.backfill(DAG_ID, days[0].isoformat(), days[-1].isoformat(), **options)
    airflow.wait(
        f"backfill {created['id']}",
        lambda: airflow.api("GET", f"/backfills/{created['id']}")["completed_at"],
        timeout_seconds=600,
    )
    runs = [run for run in airflow.runs(DAG_ID) if run["run_after"] and run["run_type"] == "backfill"]
    wanted = {str(day) for day in days}
    newest = {run["partition_key"]: run for run in runs if run["partition_key"] in wanted}
    assert {key: run["state"] for key, run in newest.items()} == dict.fromkeys(wanted, "success")
    return {str(run["dag_run_id"]) for run in newest.values()}


def check_rows(
    lake: PackageLake, day: date, pushed: Sequence[Push], by_quilt3: Sequence[FileRow]
) -> list[FileRow]:
    """Compare a day's partition with what quilt3 reads and with what was pushed; returns its rows."""
    rows = lake.partition(day)
    assert rows == by_quilt3
    assert sorted((row.pkg_name, row.revision_at, row.logical_key, row.size, row.kind) for row in rows) == (
        sorted(
            (push.name, datetime.combine(day, push.at, UTC), key, len(content.encode()), meta.get("kind"))
            for push in pushed
            for key, (content, meta) in push.files.items()
        )
    )
    return rows


def test_the_scheduler_writes_the_partition_of_the_day_that_ended(
    airflow: Airflow, provisioned: PackageLake, pushed: Pushed, by_quilt3: dict[date, list[FileRow]]
) -> None:
    def scheduled() -> str | None:
        for key, run in airflow.runs_by_partition(DAG_ID, "scheduled").items():
            if run["state"] == "success":
                return key
        return None

    airflow.wait("the scheduled run", scheduled, timeout_seconds=180)
    day = date.fromisoformat(str(scheduled()))
    assert day in sorted(pushed)[-2:]  # yesterday, or today when midnight has passed meanwhile
    assert check_rows(provisioned, day, pushed[day], by_quilt3[day])


def test_a_backfill_of_thirty_days_writes_what_quilt3_says(
    airflow: Airflow,
    backfilled: list[date],
    provisioned: PackageLake,
    lake: Lake,
    pushed: Pushed,
    by_quilt3: dict[date, list[FileRow]],
) -> None:
    rows = [row for day in backfilled for row in check_rows(provisioned, day, pushed[day], by_quilt3[day])]
    assert len(rows) == sum(len(push.files) for day in backfilled for push in pushed[day]) == 96
    there = lake.partitions(DATABASE, TABLE)
    assert {(str(day),) for day in backfilled} <= set(there)  # days without revisions have a partition, too


def test_the_same_backfill_again_doubles_nothing(
    airflow: Airflow,
    backfilled: list[date],
    provisioned: PackageLake,
    lake: Lake,
    pushed: Pushed,
    by_quilt3: dict[date, list[FileRow]],
) -> None:
    before = lake.partitions(DATABASE, TABLE)
    files_before = {values: len(lake.files(location)) for values, location in before.items()}
    first = {run["dag_run_id"] for run in airflow.runs(DAG_ID)}
    second = backfill(airflow, backfilled, reprocess_behavior="completed")
    assert len(second) == BACKFILLED_DAYS
    assert not first & second  # really run again
    for day in backfilled:
        check_rows(provisioned, day, pushed[day], by_quilt3[day])
    after = lake.partitions(DATABASE, TABLE)
    assert set(after) == set(before)
    assert {values: len(lake.files(location)) for values, location in after.items()} == files_before
    for day in backfilled:
        assert after[(str(day),)] != before[(str(day),)]  # a generation of its own, and no other reachable


def test_what_depends_on_a_partition_runs_under_its_key_when_it_is_written(
    airflow: Airflow, backfilled: list[date], provisioned: PackageLake, by_quilt3: dict[date, list[FileRow]]
) -> None:
    days = backfilled[2:5]  # the last without packages
    airflow.unpause(FOLLOWER)
    backfill(airflow, days, reprocess_behavior="completed")

    def followed() -> bool:
        runs = airflow.runs(FOLLOWER)
        return len(runs) >= len(days) and all(run["state"] in RUN_ENDED for run in runs)

    airflow.wait(f"the runs of {FOLLOWER}", followed)
    assert sorted((run["partition_key"], run["state"]) for run in airflow.runs(FOLLOWER)) == [
        (str(day), "success") for day in days
    ]
    _, rows = provisioned.query("SELECT dt, pkg_name, files, bytes FROM package_sizes_daily")
    of_day = {
        (str(day), row.pkg_name): [each.size for each in by_quilt3[day] if each.pkg_name == row.pkg_name]
        for day in days
        for row in by_quilt3[day]
    }
    assert len(of_day) >= 2
    assert sorted(map(tuple, rows)) == sorted(
        (*key, str(len(sizes)), str(sum(sizes))) for key, sizes in of_day.items()
    )


def test_the_submitted_example_ends_with_its_queries_and_their_results(
    airflow: Airflow, provisioned: PackageLake, lake: Lake, by_quilt3: dict[date, list[FileRow]]
) -> None:
    run_id = airflow.start_run("submit_then_sense")
    airflow.succeed("submit_then_sense", run_id)
    (query_id,) = airflow.xcom("submit_then_sense", run_id, "largest_packages")["query_execution_ids"]
    files = [row for rows in by_quilt3.values() for row in rows]
    latest = {row.pkg_name: max(r.revision_at for r in files if r.pkg_name == row.pkg_name) for row in files}
    sizes = {
        name: sum(row.size for row in files if row.pkg_name == name and row.revision_at == at)
        for name, at in latest.items()
    }
    assert sorted(lake.rows(query_id)) == sorted((name, str(size)) for name, size in sizes.items())


def test_a_run_by_hand_without_a_partition_key_is_refused_and_says_what_to_do(
    airflow: Airflow, provisioned: PackageLake, lake: Lake
) -> None:
    before = lake.starts()
    run_id = airflow.start_run(DAG_ID)
    assert airflow.wait_for_end(DAG_ID, run_id, timeout_seconds=60) == "failed"
    assert ("None",) not in lake.partitions(DATABASE, TABLE)
    assert lake.starts() == before
    task = airflow.task(DAG_ID, run_id, "overwrite_day")
    assert task["try_number"] == 1  # the retries of the example cannot help
    log = airflow.task_log(DAG_ID, run_id, "overwrite_day", 1)
    assert "partition_key" in log
    assert "airflow backfill create" in log
