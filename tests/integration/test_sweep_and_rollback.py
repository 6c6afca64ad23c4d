"""The sweep and the rollback, as tasks. Expected keys and rows come from what the overwrites were given."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from local_athena import Fault
from tests.integration.lab import Lab
from tests.integration.overwriting import (
    BASE,
    DAY,
    JOURNAL,
    actions,
    data_keys,
    overwrite,
    registered,
    rollback,
    select,
    sorted_rows,
    stored,
    sweep,
    sweep_later,
    values,
)

pytestmark = pytest.mark.integration

KEYS = ["dt", "country"]
COLUMNS = "id, dt, country"
SOME = ["d2", {"dt": "d2"}, [{"dt": "d2"}, "d7"]]


def three_days(lab: Lab) -> dict[str, str]:
    """Write two generations of three days; return the folders of the first."""
    days = {}
    for day in ("d1", "d2", "d3"):
        overwrite(lab, values((1, "old")), {"dt": day}, run_id=f"{day} old")
        days[day] = registered(lab)[(day,)]
        overwrite(lab, values((2, "new")), {"dt": day}, run_id=f"{day} new")
    return days


def set_of_days(lab: Lab) -> dict[str, str]:
    """Write two generations of a set of three days; return the folders of the first."""
    days = ["d1", "d2", "d3"]
    before: dict[tuple[str, ...], str] = {}
    for number, note in ((1, "old"), (2, "new")):
        rows = [(number, note, day) for day in days]
        overwrite(lab, select("id, note, dt", rows), {}, partitioned_by=["dt"], run_id=note)
        before = before or registered(lab)
    return {day: before[(day,)] for day in days}


def below(lab: Lab, *folders: str) -> set[str]:
    return {key for folder in folders for key in lab.keys(folder)}


def emptied(result: dict[str, Any]) -> dict[str, int]:
    """Folders that objects went from, and how many."""
    return {folder: count for folder, count in result["folders"].items() if count}


# ---------------------------------------------------------------------------------------------------- sweep


def test_a_sweep_removes_nothing_whose_time_is_not_over(lab: Lab) -> None:
    three_days(lab)
    before = lab.keys(BASE)
    assert sweep(lab)["objects_deleted"] == 0
    assert sweep_later(lab, hours=23).folders == {}
    assert lab.keys(BASE) == before


def test_after_its_time_a_sweep_leaves_what_glue_points_at(lab: Lab) -> None:
    old = three_days(lab)
    gone = below(lab, *old.values())
    current = below(lab, *registered(lab).values())
    size_bytes = sum(
        lab.client("s3").head_object(Bucket=lab.bucket, Key=key)["ContentLength"] for key in gone
    )
    result = sweep_later(lab).as_dict()
    assert data_keys(lab) == current
    assert stored(lab) == sorted_rows([(2, "new", day) for day in old])
    assert result["objects_deleted"] == len(gone)
    assert result["bytes_deleted"] == size_bytes
    assert emptied(result) == {f"s3://{lab.bucket}/{folder}": 1 for folder in old.values()}
    assert (result["stayed"], result["foreign"], result["dry_run"]) == ([], {}, False)


def test_a_sweep_after_a_sweep_finds_nothing_to_do(lab: Lab) -> None:
    three_days(lab)
    sweep_later(lab)
    before = lab.keys(BASE)
    assert sweep_later(lab).folders == {}
    assert lab.keys(BASE) == before


def test_a_dry_run_of_a_sweep_changes_nothing_and_tells_what_would_go(lab: Lab) -> None:
    old = three_days(lab)
    before = lab.keys(BASE)
    journal = {key: body_of(lab, key) for key in lab.keys(JOURNAL)}
    told = sweep_later(lab, dry_run=True).as_dict()
    assert lab.keys(BASE) == before
    assert {key: body_of(lab, key) for key in lab.keys(JOURNAL)} == journal
    assert told["dry_run"] is True
    assert emptied(told) == {f"s3://{lab.bucket}/{folder}": 1 for folder in old.values()}
    done = sweep_later(lab).as_dict()
    assert done | {"dry_run": True} == told
    assert sweep(lab, dry_run=True)["dry_run"] is True


def body_of(lab: Lab, key: str) -> bytes:
    return bytes(lab.client("s3").get_object(Bucket=lab.bucket, Key=key)["Body"].read())


@pytest.mark.parametrize("partitions", SOME)
def test_a_sweep_may_look_at_some_partitions_alone(lab: Lab, partitions: Any) -> None:
    old = set_of_days(lab)
    kept = below(lab, old["d1"], old["d3"])
    sweep_later(lab, partitions=partitions)
    assert below(lab, *old.values()) == kept
    assert stored(lab) == sorted_rows([(2, "new", day) for day in old])


def test_a_generation_is_kept_for_as_long_as_the_overwrite_that_replaced_it_promised(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), retain="30m", run_id="one")
    overwrite(lab, values((2, "b")), retain="48h", run_id="two")
    before = data_keys(lab)
    sweep_later(lab, hours=47)
    assert data_keys(lab) == before
    sweep_later(lab, hours=49)
    assert data_keys(lab) == below(lab, registered(lab)[("2026-01-01",)])


def test_the_journal_forgets_what_nobody_can_go_back_to(lab: Lab) -> None:
    for number in range(4):
        overwrite(lab, values((number, "x")), run_id=f"run {number}")
    sweep_later(lab)
    assert len(lab.keys(JOURNAL)) == 1
    assert stored(lab, "id") == [("3",)]


def test_what_a_failed_attempt_left_goes_with_a_sweep(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    before = lab.keys(BASE)
    with pytest.raises(AirflowFailException, match="at least 5"):
        overwrite(lab, values((2, "b")), min_rows=5, run_id="two")
    assert before < lab.keys(BASE)
    sweep_later(lab)
    assert lab.keys(BASE) == before


def test_a_sweep_of_no_table_says_so(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match="There is no table"):
        sweep(lab)


@pytest.mark.parametrize("partitions", [{"day": "d1"}, [{"dt": "d1"}, {"day": "d1"}]])
def test_partitions_that_do_not_fit_the_keys_are_refused(lab: Lab, partitions: Any) -> None:
    overwrite(lab, values((1, "a")))
    for task in (sweep, rollback):
        with pytest.raises(AirflowFailException, match="names day; the keys are dt"):
            task(lab, partitions=partitions)


# -------------------------------------------------------------------------------------------------- rollback


def test_a_rollback_brings_back_replaced_created_and_removed_partitions(lab: Lab) -> None:
    overwrite(lab, select("id, country", [(1, "ch"), (2, "de")]), {"dt": "d1"}, partitioned_by=KEYS)
    before = registered(lab)
    files = data_keys(lab)
    overwrite(lab, select("id, country", [(3, "de"), (4, "fr")]), {"dt": "d1"}, run_id="two")
    told = rollback(lab, dry_run=True)
    assert stored(lab, COLUMNS) == sorted_rows([(3, "d1", "de"), (4, "d1", "fr")])
    done = rollback(lab)
    assert stored(lab, COLUMNS) == sorted_rows([(1, "d1", "ch"), (2, "d1", "de")])
    assert registered(lab) == before
    assert files < data_keys(lab)
    undone = {tuple(found["values"].values()): found["action"] for found in done["partitions"]}
    assert undone == {("d1", "ch"): "created", ("d1", "de"): "replaced", ("d1", "fr"): "removed"}
    assert told | {"dry_run": False, "journal_entry": done["journal_entry"]} == done


def test_a_restored_partition_is_told_as_it_was(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    (before,) = lab.partitions("orders")
    overwrite(lab, values((2, "b")), run_id="two")
    rollback(lab)
    (after,) = lab.partitions("orders")
    rolled_back_at = after["Parameters"].pop("quilt_athena.rolled_back_at")
    assert datetime.fromisoformat(rolled_back_at).tzinfo is not None
    for field in ("Values", "StorageDescriptor", "Parameters"):
        assert after[field] == before[field]


def test_rolling_back_twice_returns_to_the_overwrite(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    expected = [("1", "a", "2026-01-01")], [("2", "b", "2026-01-01")], [("1", "a", "2026-01-01")]
    for number, rows in enumerate(expected):
        rollback(lab, run_id=f"back {number}")
        assert stored(lab) == rows


def test_a_retry_undoes_nothing_twice_and_clearing_does(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    first = rollback(lab)
    assert rollback(lab) == first
    assert stored(lab) == [("1", "a", "2026-01-01")]
    rollback(lab, clears=1)
    assert stored(lab) == [("2", "b", "2026-01-01")]


@pytest.mark.parametrize("partitions", SOME)
def test_a_rollback_may_be_of_some_partitions_alone(lab: Lab, partitions: Any) -> None:
    old = set_of_days(lab)
    rollback(lab, partitions=partitions)
    assert stored(lab) == sorted_rows([(2, "new", "d1"), (1, "old", "d2"), (2, "new", "d3")])
    assert registered(lab)[("d2",)] == old["d2"]


def test_a_rollback_may_be_of_several_partitions_of_several_overwrites(lab: Lab) -> None:
    three_days(lab)
    rollback(lab, partitions=["d1", "d3"])
    assert stored(lab) == sorted_rows([(1, "old", "d1"), (2, "new", "d2"), (1, "old", "d3")])


def test_without_partitions_a_rollback_is_of_the_last_overwrite(lab: Lab) -> None:
    three_days(lab)
    rollback(lab)
    assert stored(lab) == sorted_rows([(2, "new", "d1"), (2, "new", "d2"), (1, "old", "d3")])


def test_a_rollback_of_the_first_overwrite_removes_its_partition(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    rollback(lab)
    assert registered(lab) == {}
    assert stored(lab) == []
    rollback(lab, run_id="again")
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_a_table_without_partitions_is_rolled_back(lab: Lab) -> None:
    for number in (1, 2):
        overwrite(lab, f"SELECT {number} AS id", {}, run_id=f"run {number}")
    rollback(lab)
    assert stored(lab, "id") == [("1",)]
    overwrite(lab, "SELECT 3 AS id", {}, run_id="run 3")
    assert stored(lab, "id") == [("3",)]
    rollback(lab, run_id="back")
    assert stored(lab, "id") == [("1",)]


def test_where_there_is_nothing_to_go_back_to_nothing_changes(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match="There is no table"):
        rollback(lab)
    overwrite(lab, "SELECT 1 AS id", {})
    with pytest.raises(AirflowFailException, match=r"(?s)made by the overwrite to undo.*Nothing was changed"):
        rollback(lab)
    assert stored(lab, "id") == [("1",)]


def test_a_partition_that_no_overwrite_wrote_is_refused(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    lab.run(f"ALTER TABLE orders ADD PARTITION (dt = 'other') LOCATION 's3://{lab.bucket}/elsewhere/'")
    with pytest.raises(AirflowFailException, match=r"(?s)other.*not written by an overwrite.*Nothing"):
        rollback(lab, partitions=["other", "2026-01-01"])
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_after_the_sweep_a_rollback_is_refused(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    sweep_later(lab)
    before = registered(lab)
    with pytest.raises(AirflowFailException, match=r"Nothing\s+was changed"):
        rollback(lab)
    with pytest.raises(AirflowFailException, match=r"Nothing\s+was changed"):
        rollback(lab, partitions=DAY)
    assert registered(lab) == before
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_what_a_rollback_replaced_is_kept_as_long_and_then_swept(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    rollback(lab)
    before = data_keys(lab)
    sweep_later(lab, hours=23)
    assert data_keys(lab) == before
    sweep_later(lab)
    assert data_keys(lab) == below(lab, registered(lab)[("2026-01-01",)])
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_after_a_rollback_the_next_overwrite_replaces_what_it_brought_back(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    rollback(lab)
    ran = overwrite(lab, values((3, "c")), run_id="three")
    assert actions(ran) == {("2026-01-01",): "replaced"}
    rollback(lab, run_id="again")
    assert stored(lab) == [("1", "a", "2026-01-01")]
    sweep_later(lab)
    assert data_keys(lab) == below(lab, registered(lab)[("2026-01-01",)])


def test_an_overwrite_whose_partition_something_else_moved_since_is_not_undone(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    place = f"s3://{lab.bucket}/elsewhere/"
    lab.run(
        f"CREATE TABLE other WITH (external_location = '{place}', format = 'PARQUET') AS {values((9, 'z'))}"
    )
    lab.run(f"ALTER TABLE orders PARTITION (dt = '2026-01-01') SET LOCATION '{place}'")
    with pytest.raises(AirflowFailException, match="Nothing was changed"):
        rollback(lab, partitions=DAY)
    assert stored(lab) == [("9", "z", "2026-01-01")]


# ------------------------------------------------------------------------------------------ as time passes


def age_journal(lab: Lab, hours: float) -> None:
    """Move all times in the journal back, as if what it tells of had been so long ago."""
    for key in lab.keys(JOURNAL):
        entry = json.loads(body_of(lab, key))
        for name in ("created_at", "updated_at", "published_at", "settled_at", "keep_until"):
            if entry[name]:
                moved = datetime.fromisoformat(entry[name]) - timedelta(hours=hours)
                entry[name] = moved.isoformat()
        lab.client("s3").put_object(Bucket=lab.bucket, Key=key, Body=json.dumps(entry).encode())


def test_an_overwrite_removes_what_its_partition_had_when_the_time_of_that_is_over(lab: Lab) -> None:
    folders = []
    for number in range(4):
        overwrite(lab, values((number, "x")), run_id=f"run {number}")
        folders.append(registered(lab)[("2026-01-01",)])
        if number < 3:
            age_journal(lab, 25)
    # The last replaced one is kept from now on; that it replaced another was 25 hours ago.
    assert [bool(lab.keys(folder)) for folder in folders] == [False, False, True, True]
    assert stored(lab, "id") == [("3",)]


def test_the_task_sweeps_what_is_old(lab: Lab) -> None:
    old = three_days(lab)
    age_journal(lab, 25)
    assert sum(emptied(sweep(lab, partitions="d1")).values()) == 1
    assert emptied(sweep(lab)) == {f"s3://{lab.bucket}/{old[day]}": 1 for day in ("d2", "d3")}
    assert data_keys(lab) == below(lab, *registered(lab).values())


def test_a_set_left_half_published_is_rolled_forward_by_the_sweep(lab: Lab) -> None:
    days = ["d1", "d2", "d3"]
    old = [(1, "old", day) for day in days]
    new = [(2, "new", day) for day in (*days, "d4")]
    overwrite(lab, select("id, note, dt", old), {}, partitioned_by=["dt"], run_id="before")
    lab.aws.set_faults(Fault(call="glue:BatchUpdatePartition", error="AccessDeniedException", times=1))
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        overwrite(lab, select("id, note, dt", new), {}, run_id="half")
    assert stored(lab) == sorted_rows([*old, new[-1]])
    assert len(sweep_later(lab, hours=2, dry_run=True).rolled_forward) == 1
    assert stored(lab) == sorted_rows([*old, new[-1]])
    # Its worker lived to say that it left work: nobody has to wait until it must be dead.
    assert len(sweep_later(lab, hours=0.5).rolled_forward) == 1
    assert stored(lab) == sorted_rows(new)
    assert sweep_later(lab, hours=2).rolled_forward == []


def test_partitions_of_a_table_without_any_are_refused(lab: Lab) -> None:
    overwrite(lab, "SELECT 1 AS id", {})
    for task in (sweep, rollback):
        with pytest.raises(AirflowFailException, match="has no partition keys; leave partitions out"):
            task(lab, partitions="d1")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE orders PARTITION (dt = '2026-01-01') SET LOCATION 's3://{bucket}/elsewhere/'",
        "ALTER TABLE orders DROP PARTITION (dt = '2026-01-01')",
    ],
)
def test_a_generation_that_something_else_replaced_is_kept_from_when_that_is_seen(
    lab: Lab, statement: str
) -> None:
    overwrite(lab, values((1, "a")))
    files = data_keys(lab)
    lab.run(statement.replace("{bucket}", lab.bucket))
    sweep_later(lab, hours=100)
    assert data_keys(lab) == files
    sweep_later(lab, hours=123)
    assert data_keys(lab) == files
    sweep_later(lab, hours=125)
    assert data_keys(lab) == set()


def test_a_sweep_of_another_table_at_the_same_place_leaves_what_ours_reads(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    overwrite(lab, values((2, "b")), run_id="two")
    lab.run(
        "CREATE EXTERNAL TABLE copied (id int, note string) PARTITIONED BY (dt string) STORED AS PARQUET "
        f"LOCATION 's3://{lab.bucket}/{BASE}'"
    )
    for hours in (25, 50, 75):
        sweep_later(lab, hours=hours, table_name="copied")
        assert stored(lab) == [("2", "b", "2026-01-01")]


def test_an_overwrite_of_another_table_at_the_same_place_leaves_what_ours_reads(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), run_id="one")
    lab.run(
        "CREATE EXTERNAL TABLE copied (id int, note string) PARTITIONED BY (dt string) STORED AS PARQUET "
        f"LOCATION 's3://{lab.bucket}/{BASE}'"
    )
    for number in range(3):
        overwrite(lab, values((5, "copied")), table="copied", run_id=f"copied {number}")
        age_journal(lab, 25)
    sweep_later(lab, table_name="copied")
    sweep_later(lab, hours=60, table_name="copied")
    assert stored(lab) == [("1", "a", "2026-01-01")]
    assert lab.rows("SELECT id FROM copied") == [("5",)]
