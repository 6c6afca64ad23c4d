"""Revisions that arrive after their day was written: chosen by arrival, told of, and written again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset

from airflow_quilt_athena.flows.quilt import revisions as looking
from airflow_quilt_athena.local import LocalAthena
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.operators.late_revisions import LateRevisionsOperator
from tests.integration.lab import Ran, connection
from tests.integration.overwriting import next_second
from tests.integration.quilt_registry import BASE, DAY, Registry, push, reached_by_quilt3

pytestmark = pytest.mark.integration

LAKE = Asset("s3://lake/kept")


@pytest.fixture
def fresh(aws: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    monkeypatch.setattr(looking, "_CLOCK_MARGIN", timedelta(0))  # or every test would wait for it
    registry = Registry(aws)
    registry.refresh()
    return registry


def day(number: int) -> str:
    return (datetime.fromtimestamp(BASE, UTC) + timedelta(days=number)).date().isoformat()


def overwrite(registry: Registry, **arguments: Any) -> CtasInsertOverwriteOperator:
    given: dict[str, Any] = {
        "task_id": "keep",
        "query": "SELECT pkg_name, top_hash, logical_key FROM {entries}",
        "table": "kept",
        "database": registry.lab.database,
        "workgroup": registry.lab.workgroup,
        "location": f"s3://{registry.lab.bucket}/kept/",
        "partitioned_by": ("dt",),
        "outlets": [LAKE],
    }
    return CtasInsertOverwriteOperator(**(given | arguments))


def write(registry: Registry, number: int, *, run_id: str | None = None, **more: Any) -> Ran:
    arguments: dict[str, Any] = {
        "partition": {"dt": day(number)},
        "quilt_revisions": {"bucket": registry.bucket, "start": day(number), **more},
    }
    return registry.lab.run_task(overwrite(registry, **arguments), run_id=run_id or f"run {number}")


def kept(registry: Registry) -> set[tuple[str | None, ...]]:
    return set(registry.rows("SELECT dt, pkg_name, logical_key FROM kept"))


def expected(registry: Registry) -> set[tuple[str, str, str]]:
    """All files of all revisions by day, as quilt3 lists and browses them."""
    rows = set()
    with reached_by_quilt3(registry.aws) as quilt3:
        for name in quilt3.list_packages(registry.uri):
            for pointer, top_hash in quilt3.list_package_versions(name, registry.uri):
                if pointer.isdigit():
                    date = datetime.fromtimestamp(int(pointer), UTC).date().isoformat()
                    package = quilt3.Package.browse(name, registry=registry.uri, top_hash=top_hash)
                    rows |= {(date, name, key) for key, _ in package.walk()}
    return rows


def late(registry: Registry, **arguments: Any) -> list[dict[str, Any]]:
    task = LateRevisionsOperator(task_id="late", table="kept", database=registry.lab.database, **arguments)
    found: list[dict[str, Any]] = registry.lab.run_task(task).result
    return found


def test_a_run_tells_of_revisions_that_came_after_their_day_was_written(
    fresh: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh.put_revision("team/one", BASE + 10, "a.txt")
    next_second()  # S3 tells whole seconds: what arrived in the second of a look may be new to it
    assert write(fresh, 0).result["late_revisions"] == []
    assert write(fresh, 1).result["late_revisions"] == []
    # A laptop that committed on the first day pushes now; so does one whose clock is a day behind.
    fresh.put_revision("team/laptop", BASE + 20, "b.txt")
    fresh.put_revision("team/clock", BASE + DAY + 5, "c.txt")
    fresh.put_revision("team/clock", BASE + DAY + 6, "d.txt")
    ran = write(fresh, 2)
    told = ran.result["late_revisions"]
    assert [(one["partition"], one["revisions"]) for one in told] == [
        ({"dt": day(0)}, 1),
        ({"dt": day(1)}, 2),
    ]
    assert told[0]["quilt_revisions"]["bucket"] == fresh.bucket
    assert ran.outlet_events[LAKE].extra["late_revisions"] == told
    assert json.loads(json.dumps(told)) == told
    log = capsys.readouterr().out
    assert "3 revisions arrived after 2 partitions of table" in log
    assert f"{{'dt': '{day(0)}'}}: 1 of bucket {fresh.bucket}" in log
    assert ("2026-01-01", "team/laptop", "b.txt") not in kept(fresh)


def test_days_written_again_over_what_the_operator_returns_are_whole(fresh: Registry) -> None:
    fresh.put_revision("team/one", BASE + 10, "a.txt")
    for number in range(3):
        write(fresh, number)
    assert late(fresh) == []
    with reached_by_quilt3(fresh.aws) as quilt3:  # a synchronised registry: all of it is of earlier days
        for number in range(3):
            push(quilt3, fresh.uri, f"old/p{number}", {"x.txt": (str(number), {})}, at=BASE + number * DAY)
    arguments = late(fresh)
    assert [one["partition"]["dt"] for one in arguments] == [day(0), day(1), day(2)]
    assert kept(fresh) != expected(fresh)
    for number, one in enumerate(arguments):
        fresh.lab.run_task(overwrite(fresh, **one), run_id=f"again {number}")
    assert late(fresh) == []
    assert kept(fresh) == expected(fresh)


def test_a_backfill_beside_it_leaves_nothing_late_of_what_it_wrote(fresh: Registry) -> None:
    for number in range(3):
        write(fresh, number)
    fresh.put_revision("team/late", BASE + 5, "a.txt")
    fresh.put_revision("team/late", BASE + DAY + 5, "b.txt")
    # The backfill writes the first day; the daily run beside it still tells of the second.
    assert [o["partition"]["dt"] for o in write(fresh, 0, run_id="backfill").result["late_revisions"]] == [
        day(1)
    ]
    assert [o["partition"]["dt"] for o in write(fresh, 3).result["late_revisions"]] == [day(1)]


def test_days_that_were_never_written_are_not_late(fresh: Registry) -> None:
    write(fresh, 1)
    fresh.put_revision("team/late", BASE + 5, "a.txt")
    assert write(fresh, 2).result["late_revisions"] == []


def test_a_partition_that_is_rolled_back_is_late_again(fresh: Registry) -> None:
    from airflow_quilt_athena.operators.rollback_partitions import RollbackPartitionsOperator

    write(fresh, 0)
    fresh.put_revision("team/late", BASE + 5, "a.txt")
    write(fresh, 0, run_id="again")
    assert late(fresh) == []
    fresh.lab.run_task(RollbackPartitionsOperator(task_id="back", table="kept", database=fresh.lab.database))
    assert [one["partition"]["dt"] for one in late(fresh)] == [day(0)]


def test_by_arrival_every_revision_is_in_the_day_it_came_in(fresh: Registry) -> None:
    fresh.put_revision("team/old", BASE - 400 * DAY, "a.txt")
    fresh.put_revision("team/new", BASE + 10, "b.txt")
    today = datetime.now(UTC).date()
    before = (today - timedelta(days=1)).isoformat()
    arguments = {
        "partition": {"dt": today.isoformat()},
        "quilt_revisions": {
            "bucket": fresh.bucket,
            "start": before,  # midnight may pass meanwhile
            "end": (today + timedelta(days=2)).isoformat(),
            "by": "arrival",
        },
    }
    fresh.lab.run_task(overwrite(fresh, **arguments), run_id="one")
    assert {row[1:] for row in kept(fresh)} == {("team/old", "a.txt"), ("team/new", "b.txt")}
    assert late(fresh) == []
    fresh.put_revision("team/older", BASE - 800 * DAY, "c.txt")
    (again,) = late(fresh)
    assert again["quilt_revisions"]["by"] == "arrival"
    fresh.lab.run_task(overwrite(fresh, **again), run_id="two")
    assert {row[1] for row in kept(fresh)} == {"team/old", "team/new", "team/older"}


def test_a_table_without_keys_and_a_set_of_partitions_are_known_too(fresh: Registry) -> None:
    fresh.put_revision("team/one", BASE, "a.txt")
    revisions = {"bucket": fresh.bucket, "start": day(0)}
    location = f"s3://{fresh.lab.bucket}/"
    whole = overwrite(
        fresh, table="whole", location=location + "whole/", partitioned_by=(), partition={},
        quilt_revisions=revisions,
    )  # fmt: skip
    by_package = overwrite(
        fresh, table="parted", location=location + "parted/", partitioned_by=("pkg_name",), partition={},
        query="SELECT top_hash, logical_key, pkg_name FROM {entries}", quilt_revisions=revisions,
    )  # fmt: skip
    for task in (whole, by_package):
        fresh.lab.run_task(task, run_id=task.table)
    fresh.put_revision("team/two", BASE + 1, "b.txt")
    for table in ("whole", "parted"):
        look = LateRevisionsOperator(task_id="late", table=table, database=fresh.lab.database)
        (found,) = fresh.lab.run_task(look).result
        assert found["partition"] == {}


def test_the_limit_leaves_the_later_days_for_the_next_run(
    fresh: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write(fresh, number)
        fresh.put_revision("team/late", BASE + number * DAY, "a.txt")
    assert [one["partition"]["dt"] for one in late(fresh, limit=2)] == [day(0), day(1)]
    assert "1 partitions are left for a later run" in capsys.readouterr().out


def test_a_table_that_is_not_there_is_refused(fresh: Registry) -> None:
    task = LateRevisionsOperator(task_id="late", table="nowhere", database=fresh.lab.database)
    with pytest.raises(AirflowFailException, match=r"nowhere does not exist\. Expected one"):
        fresh.lab.run_task(task)
