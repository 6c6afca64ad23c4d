"""What this package did not write stays; what no entry explains goes; a torn journal stops nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.request import Adopted
from airflow_quilt_athena.flows.overwrite.sweep import sweep_generations
from airflow_quilt_athena.operators.lake import lake_clients
from tests.integration.lab import Lab
from tests.integration.overwriting import (
    BASE,
    JOURNAL,
    data_keys,
    overwrite,
    registered,
    rollback,
    select,
    sorted_rows,
    stored,
    sweep_later,
    values,
)

pytestmark = pytest.mark.integration

NATURAL = f"{BASE}dt=2026-01-01/"


def place(lab: Lab, key: str = BASE) -> str:
    return f"s3://{lab.bucket}/{key}"


def put(lab: Lab, key: str, body: bytes = b"x") -> str:
    lab.client("s3").put_object(Bucket=lab.bucket, Key=key, Body=body)
    return key


def fill(lab: Lab, folder: str = NATURAL, database: str | None = None) -> None:
    """Register a table at the base, with one partition that something else wrote."""
    within = f"{database}." if database else ""
    lab.run(
        f"CREATE EXTERNAL TABLE {within}orders (id INT, note STRING) PARTITIONED BY (dt STRING) "
        f"STORED AS ORC LOCATION '{place(lab)}'"
    )
    if not lab.keys(folder):
        lab.run(
            f"CREATE TABLE filled WITH (external_location = '{place(lab, folder)}', format = 'ORC') AS "
            f"{values((1, 'a'))}"
        )
        lab.run("DROP TABLE filled")
    lab.run(f"ALTER TABLE {within}orders ADD PARTITION (dt = '2026-01-01') LOCATION '{place(lab, folder)}'")


# ----------------------------------------------------------------------------------- folders read by others


@pytest.mark.parametrize("beside", ["another database", "the same database", "a parent folder"])
def test_a_folder_that_another_table_reads_as_well_is_never_deleted_from(
    lab: Lab, beside: str, unique: Callable[[str], str]
) -> None:
    fill(lab)
    other = lab.database
    if beside == "another database":
        other = unique("twin")
        lab.client("glue").create_database(DatabaseInput={"Name": other})
        fill(lab, database=other)
        twin = f"{other}.orders"
    elif beside == "the same database":
        lab.run(
            f"CREATE EXTERNAL TABLE twin (id INT, note STRING) STORED AS ORC LOCATION '{place(lab, NATURAL)}'"
        )
        twin = "twin"
    else:
        lab.run(
            "CREATE EXTERNAL TABLE twin (id INT, note STRING) STORED AS ORC LOCATION "
            f"'{place(lab, 'warehouse/')}'"
        )
        twin = "twin"
    old = lab.keys(NATURAL)
    overwrite(lab, values((2, "b")), run_id="one")
    overwrite(lab, values((3, "c")), run_id="two")
    for adopted in Adopted:
        told = sweep_later(lab, adopted=adopted).as_dict()
    assert lab.keys(NATURAL) == old
    assert any(
        f"table {other}.{twin.rpartition('.')[2]} lies there" in why or "partition" in why
        for why in told["left"].values()
    )
    if beside != "a parent folder":
        assert ("1",) in lab.rows(f"SELECT id FROM {twin}")
    assert stored(lab) == [("3", "c", "2026-01-01")]


def test_hidden_folders_and_files_that_came_later_stay(lab: Lab) -> None:
    fill(lab)
    hidden = {
        put(lab, f"{NATURAL}{name}") for name in ("_archive/old", ".hidden/x", "deep/_tmp/y", "_SUCCESS")
    }
    overwrite(lab, values((2, "b")))
    later = put(lab, f"{NATURAL}later")
    sweep_later(lab, adopted=Adopted.DELETE)
    assert lab.keys(NATURAL) == hidden | {later}


def test_a_file_that_was_written_over_since_it_was_listed_stays(lab: Lab) -> None:
    fill(lab)
    changed = put(lab, f"{NATURAL}changed", b"then")
    overwrite(lab, values((2, "b")))
    put(lab, changed, b"now")
    sweep_later(lab, adopted=Adopted.DELETE)
    assert lab.keys(NATURAL) == {changed}


def test_more_files_than_fit_into_an_entry_are_listed_beside_it(lab: Lab) -> None:
    fill(lab)
    for number in range(1001):
        put(lab, f"{NATURAL}f{number:04d}", b"")
    overwrite(lab, values((2, "b")))
    assert any(key.startswith(f"{JOURNAL}adopted/") for key in lab.keys(JOURNAL))
    kept = sweep_later(lab).as_dict()
    assert kept["adopted_objects"] == 1002
    rollback(lab, dry_run=True)
    told = sweep_later(lab, adopted=Adopted.DELETE).as_dict()
    assert told["objects_deleted"] == 1002
    assert lab.keys(NATURAL) == set()


def test_what_a_dead_folder_of_a_table_costs_is_told_and_counted_once(lab: Lab) -> None:
    fill(lab)
    overwrite(lab, values((2, "b")))
    told = sweep_later(lab).as_dict()
    assert told["adopted"] == {
        place(lab, NATURAL): {
            "objects": 1,
            "bytes": sum(
                item["Size"]
                for item in lab.client("s3").list_objects_v2(Bucket=lab.bucket, Prefix=NATURAL)["Contents"]
            ),
        }
    }


# -------------------------------------------------------------------------------------------- a new table


@pytest.mark.parametrize("key", [f"{BASE}part-0", f"{BASE}dt=2026-01-01/x", f"{BASE}_SUCCESS"])
def test_a_table_is_not_made_where_files_lie(lab: Lab, key: str) -> None:
    put(lab, key)
    with pytest.raises(AirflowFailException, match=rf"files lie already: s3://{lab.bucket}/{key}"):
        overwrite(lab, values((1, "a")))
    assert lab.keys("warehouse/") == {key}
    assert lab.tables() == set()


def test_the_marker_of_an_empty_folder_is_no_file(lab: Lab) -> None:
    put(lab, BASE, b"")
    overwrite(lab, values((1, "a")))
    assert stored(lab) == [("1", "a", "2026-01-01")]


@pytest.mark.parametrize(("other", "where"), [(BASE, "at"), ("warehouse/", "above"), (f"{BASE}x/", "below")])
def test_a_table_is_not_made_over_the_folder_of_another(lab: Lab, other: str, where: str) -> None:
    lab.run(f"CREATE EXTERNAL TABLE other (id INT) STORED AS ORC LOCATION '{place(lab, other)}'")
    with pytest.raises(AirflowFailException, match=rf"table {lab.database}\.other lies {where} it"):
        overwrite(lab, values((1, "a")))
    assert lab.tables() == {"other"}


# ------------------------------------------------------------------------------------ what nothing explains


def test_what_no_entry_explains_goes_after_a_day(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    stray = "a0123456789ab-1-0f0f0f0f"
    keys = {put(lab, f"{BASE}.generations/dt=2026-01-09/{stray}/part-{n}") for n in range(3)}
    unlike = put(lab, f"{BASE}.generations/dt=2026-01-09/somebodys/part-0")
    lab.client("glue").create_table(
        DatabaseName=lab.database,
        TableInput={"Name": "tmp_quilt_0123456789ab_1_0f0f0f0f", "Parameters": {}},
    )
    lab.client("glue").create_table(
        DatabaseName=lab.database, TableInput={"Name": "tmp_quilt_of_somebody", "Parameters": {}}
    )
    soon = sweep_later(lab, hours=23).as_dict()
    assert keys < lab.keys(BASE)
    assert (soon["objects_deleted"], soon["tables"]) == (0, [])
    would = sweep_later(lab, dry_run=True).as_dict()
    assert keys < lab.keys(BASE)
    told = sweep_later(lab).as_dict()
    assert (
        told["folders"] == would["folders"] == {place(lab, f"{BASE}.generations/dt=2026-01-09/{stray}/"): 3}
    )
    assert told["tables"] == ["tmp_quilt_0123456789ab_1_0f0f0f0f"]
    assert unlike in lab.keys(BASE)
    assert lab.tables() == {"orders", "tmp_quilt_of_somebody"}
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_what_glue_points_at_stays_though_its_entry_is_lost(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    for key in lab.keys(JOURNAL):
        lab.client("s3").delete_object(Bucket=lab.bucket, Key=key)
    sweep_later(lab, hours=99)
    assert stored(lab) == [("1", "a", "2026-01-01")]


# ------------------------------------------------------------------------------------------ a torn journal


@pytest.mark.parametrize("body", [b"", b"{torn", b"[" * 100_000, b"{}"])
def test_a_torn_entry_is_named_and_stops_nobody(lab: Lab, body: bytes) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    put(lab, f"{JOURNAL}0123456789ab-1.json", body)
    overwrite(lab, values((2, "b")), run_id="two")
    rollback(lab)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    rollback(lab, run_id="forward")
    told = sweep_later(lab).as_dict()
    assert list(told["unreadable"]) == ["0123456789ab-1"]
    assert f"{JOURNAL}0123456789ab-1.json" in lab.keys(JOURNAL)
    assert data_keys(lab) == lab.keys(registered(lab)[("2026-01-01",)])


def test_a_task_whose_own_entry_is_torn_begins_anew(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    (entry,) = lab.keys(JOURNAL)
    put(lab, entry, b"torn")
    overwrite(lab, values((2, "b")))
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_an_entry_that_was_copied_here_with_its_table_deletes_nothing_there(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    there = lab.keys(BASE)
    s3 = lab.client("s3")
    for key in there:
        copy = key.replace(BASE, "copy/orders/")
        s3.copy_object(Bucket=lab.bucket, Key=copy, CopySource={"Bucket": lab.bucket, "Key": key})
    table = lab.client("glue").get_table(DatabaseName=lab.database, Name="orders")["Table"]
    taken = {name: table[name] for name in ("Name", "StorageDescriptor", "PartitionKeys", "Parameters")}
    taken["StorageDescriptor"]["Location"] = place(lab, "copy/orders/")
    taken["Parameters"]["quilt_athena.base"] = place(lab, "copy/orders/")
    lab.client("glue").create_database(DatabaseInput={"Name": f"{lab.database}_copy"})
    lab.client("glue").create_table(DatabaseName=f"{lab.database}_copy", TableInput=taken)
    name = TableName(f"{lab.database}_copy", "orders")
    now = datetime.now(UTC) + timedelta(days=9)
    told = sweep_generations(lake_clients(lab.hook), name, now=now)
    assert len(told.unreadable) == 2
    assert lab.keys(BASE) == there


@pytest.mark.parametrize("body", [b"", b"{torn", b"[" * 100_000])
def test_a_torn_lease_keeps_nobody_waiting(lab: Lab, body: bytes) -> None:
    overwrite(lab, select("id, note, dt", [(1, "a", "d1"), (2, "b", "d2")]), {}, partitioned_by=["dt"])
    put(lab, f"{JOURNAL}lease", body)
    overwrite(lab, select("id, note, dt", [(3, "c", "d1"), (4, "d", "d2")]), {})
    assert stored(lab) == sorted_rows([(3, "c", "d1"), (4, "d", "d2")])
    assert f"{JOURNAL}lease" not in lab.keys(JOURNAL)


# ------------------------------------------------------------------------------------- small at any size


def test_what_a_set_tells_stays_small(lab: Lab) -> None:
    rows = [(number, "x" * 20, f"{number:04d}" + "v" * 200) for number in range(300)]
    ran = overwrite(lab, select("id, note, k", rows), {}, partitioned_by=["k"])
    told = json.dumps(ran.result)
    assert len(told) < 48_000
    assert len(ran.result["partitions"]) == 20
    assert (ran.result["partitions_total"], ran.result["partitions_by_action"]) == (300, {"created": 300})
    undone = rollback(lab)
    assert len(json.dumps(undone)) < 48_000
    assert undone["partitions_total"] == 300
