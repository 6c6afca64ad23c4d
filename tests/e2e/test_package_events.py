"""Revisions that quilt3 pushes become runs, each once, over killed processes; and packages again."""

from __future__ import annotations

import json
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_quilt_athena.core.provisioning.mark import OUR_TAG
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from demo.stack import RUN_ENDED, StackError
from local_athena import LocalAthena
from tests.e2e.conftest import WATCHED_BUCKET
from tests.e2e.driver import Airflow
from tests.e2e.lake import RESULTS, Lake
from tests.integration.quilt_registry import push, reached_by_quilt3

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

PUSHES = 200
# By the number of the push before which it happens; of one both are gone for a while.
KILLED_AT = {40: "triggerer", 65: "scheduler", 90: "triggerer", 95: "scheduler", 150: "triggerer"}
STARTED_AT = {55: "triggerer", 80: "scheduler", 100: "triggerer", 110: "scheduler", 199: "triggerer"}
URI = f"s3://{WATCHED_BUCKET}"


def push_one(
    aws: LocalAthena, quilt3: Any, name: str, at: datetime, *, event: bool = True, **rest: Any
) -> str:
    """Push a revision as a client does, and have the platform tell of it as EventBridge does."""
    files = rest.pop("files", {"a.csv": (f"{name} {at}", {"kind": "reading"})})
    top_hash = push(quilt3, URI, name, files, at=int(at.timestamp()), **rest)
    if event:
        detail = {
            "version": "0.1",
            "type": "created",
            "bucket": WATCHED_BUCKET,
            "handle": name,
            "topHash": top_hash,
        }
        entry = {"Source": "com.quiltdata", "DetailType": "package-revision", "Detail": json.dumps(detail)}
        aws.client("events").put_events(Entries=[entry])
    return top_hash


def watching(aws: LocalAthena, airflow: Airflow, dag_id: str, asset: str) -> None:
    """Unpause a DAG and wait until its watcher has kept where it began."""
    airflow.unpause(dag_id)

    def begun() -> bool:
        found = airflow.api("GET", "/assets", name_pattern=asset)["assets"]
        return any(airflow.api("GET", f"/assets/{one['id']}/state-store")["total_entries"] for one in found)

    airflow.wait(f"the watcher of {asset} to begin", begun, timeout_seconds=180)


def ended(airflow: Airflow, dag_id: str) -> list[dict[str, Any]]:
    return [run for run in airflow.runs(dag_id) if run["state"] in RUN_ENDED]


def told(airflow: Airflow) -> list[tuple[str, str, str]]:
    """What all runs that have ended told, each revision as often as it was told."""
    found = []
    for run in ended(airflow, "revisions_told"):
        assert run["state"] == "success"
        value = airflow.xcom("revisions_told", run["dag_run_id"], "tell")
        found += [tuple(one) for one in (json.loads(value) if isinstance(value, str) else value)]
    return found


def events_of(airflow: Airflow, asset: str) -> list[dict[str, Any]]:
    """The payloads of all events of an asset."""
    (found,) = airflow.api("GET", "/assets", name_pattern=asset)["assets"]
    events: list[dict[str, Any]] = []
    while True:
        page = airflow.api("GET", "/assets/events", asset_id=found["id"], limit=50, offset=len(events))
        events += [event["extra"]["payload"] for event in page["asset_events"]]
        if len(events) >= page["total_entries"]:
            return events


def identities(airflow: Airflow) -> set[str]:
    try:
        return {one["id"] for one in events_of(airflow, "watched_revisions")}
    except StackError as error:
        # Airflow 3.3 answers so while a run that an event made is queued, and has no start date yet.
        if "HTTP 500" not in str(error):
            raise
        return set()


def test_two_hundred_pushes_are_told_once_each_over_killed_triggerers_and_schedulers(
    aws: LocalAthena, airflow: Airflow
) -> None:
    watching(aws, airflow, "revisions_told", "watched_revisions")
    wanted = set()
    base = datetime.now(UTC).replace(microsecond=0)
    with reached_by_quilt3(aws) as quilt3:
        for number in range(PUSHES):
            if number in KILLED_AT:
                airflow.end_component(KILLED_AT[number], signal.SIGKILL)
            name = f"watched/pkg-{number % 7}"
            # Some were made days ago, and of some the event is lost.
            at = base - timedelta(days=number % 3, seconds=number)
            top_hash = push_one(aws, quilt3, name, at, event=number % 5 != 0)
            wanted.add((name, str(int(at.timestamp())), top_hash))
            if number in STARTED_AT:
                airflow.start_component(STARTED_AT[number])
        airflow.wait("all events", lambda: len(wanted) <= len(identities(airflow)), timeout_seconds=400)
        time.sleep(15)  # for what would be told a second time
        airflow.wait("the runs to end", lambda: all_ended(airflow, "revisions_told"), timeout_seconds=120)
        # Airflow 3.3 may leave an event that is stored while a run is made to the next run (#56050).
        if len(told(airflow)) < len(wanted):
            at = base + timedelta(seconds=1)
            top_hash = push_one(aws, quilt3, "watched/last", at)
            wanted.add(("watched/last", str(int(at.timestamp())), top_hash))
            airflow.wait("the next run", lambda: wanted <= set(told(airflow)), timeout_seconds=120)
    found = told(airflow)
    assert sorted(found) == sorted(wanted)
    events = events_of(airflow, "watched_revisions")
    assert sorted((one["package"], one["revision"], one["top_hash"]) for one in events) == sorted(wanted)


def test_a_new_revision_becomes_a_partition_and_a_package_of_its_selected_files(
    aws: LocalAthena, airflow: Airflow, lake: Lake
) -> None:
    provision(aws, lake)
    watching(aws, airflow, "package_on_new_revision", "assay_revisions")
    days = [datetime(2026, 3, number, 12, tzinfo=UTC) for number in (1, 2)]
    files = {
        "plate 1.csv": ("well,od\nA1,0.5\n", {"kind": "reading", "Plate": 1}),
        "notes.txt": ("none", {"kind": "note"}),
    }
    with reached_by_quilt3(aws) as quilt3:
        names = [f"selected/{day.date()}" for day in days]
        # One after the other: Airflow may leave the second of two to the asset's next event (#56050).
        for day, name in zip(days, names, strict=True):
            push_one(aws, quilt3, "assays/plates", day, files=files, message="read")

            def made(name: str = name) -> bool:
                return name in quilt3.list_packages(URI) and all_ended(airflow, "package_on_new_revision")

            airflow.wait(f"{name} to be made of the selected files", made, timeout_seconds=200)
        source = quilt3.Package.browse("assays/plates", registry=URI)
        for name in names:
            package = quilt3.Package.browse(name, registry=URI)
            assert [key for key, _ in package.walk()] == ["assays/plates/plate 1.csv"]
            entry = package["assays/plates/plate 1.csv"]
            assert entry.hash == source["plate 1.csv"].hash
            assert entry.meta == {"kind": "reading", "Plate": 1}
            assert entry.get_bytes() == source["plate 1.csv"].get_bytes()
    runs = ended(airflow, "package_on_new_revision")
    links = [airflow.xcom("package_on_new_revision", run["dag_run_id"], "tell") for run in runs]
    for name in names:
        assert f"https://quilt.example.com/b/{WATCHED_BUCKET}/packages/{name}/tree/" in json.dumps(links)


def test_late_revisions_have_their_days_written_again(aws: LocalAthena, airflow: Airflow, lake: Lake) -> None:
    provision(aws, lake)
    watching(aws, airflow, "rerun_days_of_late_revisions", "all_revisions")
    late = datetime(2026, 2, 3, 4, tzinfo=UTC)
    dag_id = "rerun_days_of_late_revisions"
    with reached_by_quilt3(aws) as quilt3:
        push_one(aws, quilt3, "lab/today", datetime.now(UTC), message="made now")
        airflow.wait("a run for today's", lambda: ended(airflow, dag_id), timeout_seconds=200)
        push_one(aws, quilt3, "lab/offline", late, message="made offline")
    airflow.wait("a run for late revisions", lambda: written(airflow, dag_id), timeout_seconds=200)
    airflow.wait("the runs to end", lambda: all_ended(airflow, dag_id), timeout_seconds=120)
    assert lake.query("SELECT DISTINCT dt, pkg_name FROM quilt_query.package_files_daily") == [
        (str(late.date()), "lab/offline")
    ]


def written(airflow: Airflow, dag_id: str) -> bool:
    """Whether a run has overwritten a day."""
    tasks = [task for run in airflow.runs(dag_id) for task in airflow.tasks(dag_id, run["dag_run_id"])]
    return any(task["task_id"] == "overwrite_day" and task["state"] == "success" for task in tasks)


def all_ended(airflow: Airflow, dag_id: str) -> bool:
    return all(run["state"] in RUN_ENDED for run in airflow.runs(dag_id))


def provision(aws: LocalAthena, lake: Lake) -> None:
    """Make what provision_and_refresh_views makes, under the names that the examples use."""
    glue, athena = aws.client("glue"), aws.client("athena")
    if "quilt_query" not in {one["Name"] for one in glue.get_databases()["DatabaseList"]}:
        glue.create_database(DatabaseInput={"Name": "quilt_query"})
    if "quilt-query" not in {one["Name"] for one in athena.list_work_groups()["WorkGroups"]}:
        output = {"OutputLocation": f"s3://{RESULTS}/quilt/"}
        athena.create_work_group(
            Name="quilt-query",
            Configuration={"ResultConfiguration": output, "EnforceWorkGroupConfiguration": False},
            Tags=[OUR_TAG],  # so that the example finds it to be its own
        )
    request = RefreshRequest((WATCHED_BUCKET,), "quilt_query", "quilt-query")
    refresh_bucket_views(athena, glue, request, timeout_seconds=120)
