"""What a run, a rollback and a sweep do when others change the table, or the journal, between two calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError, RetryableError
from airflow_quilt_athena.flows.overwrite.sweep import Adopted
from tests.fakes.world import Killed, interrupted, killed_after, killed_before
from tests.interleavings.scenes import make_table, write
from tests.unit.flows.overwrite.played import (
    DAY,
    NEXT_DAY,
    WEEK,
    Happening,
    Table,
    one,
    refused,
    several,
    sweep,
    undo,
)

PUT, FLIP, FLIPS = "s3:PutObject", "glue:UpdatePartition", "glue:BatchUpdatePartition"


def when(actor: Callable[[], object], *, after_seconds: float = 0) -> Happening:
    """Somebody else acts before the call."""
    return lambda number: interrupted(number, actor, seconds=after_seconds)


@pytest.fixture
def table() -> Iterator[Table]:
    with Table.made() as table:
        yield table


# ---------------------------------------------------------------------------------------------- overwrites


def test_a_run_whose_entry_is_gone_says_so(table: Table) -> None:
    def forgets() -> None:
        table.take(*table.files("-1.json"))

    with pytest.raises(RetryableError, match="Run the task again"):
        table.act(one("run"), ("glue:GetPartition", when(forgets)))
    assert table.places() == {}


def test_a_table_that_is_dropped_just_after_it_was_made_is_told() -> None:
    with Table.made() as table:
        table.drop()
        with pytest.raises(RetryableError, match="vanished right after it was created"):
            table.act(one("run"), ("glue:GetTable", when(table.drop)), nth=3)


def test_a_table_that_others_make_meanwhile_has_to_have_the_keys_that_were_meant() -> None:
    with Table.made() as table:
        table.drop()
        with pytest.raises(InvalidCallError, match="was created meanwhile"):
            table.act(one("run"), ("glue:CreateTable", when(lambda: make_table(table.lake, ("other",)))))


def test_a_retry_makes_the_new_table_as_what_was_staged_says() -> None:
    with Table.made() as table:
        table.drop()
        with pytest.raises(Killed):
            table.act(one("run"), ("glue:CreateTable", killed_before))
        table.act(one("run"))
        assert set(table.places()) == {DAY}


def test_a_retry_without_what_was_staged_says_where_the_rows_are() -> None:
    with Table.made() as table:
        table.drop()
        with pytest.raises(Killed):
            table.act(one("run"), (FLIP.replace("Update", "Create"), killed_before))
        table.drop()
        table.drop_temporary()
        with pytest.raises(ManualActionError, match=r"Its rows are at s3://lake/w/t/"):
            table.act(one("run"))


def test_what_staged_and_is_dropped_before_it_was_looked_at_is_told(table: Table) -> None:
    with pytest.raises(RetryableError, match=r"succeeded, but its table .* is gone"):
        table.act(one("run"), ("glue:GetTable", when(table.drop_temporary)), nth=2)


def test_a_slice_that_somebody_took_is_told(table: Table) -> None:
    happens = when(lambda: table.take(*table.files("/s1/")))
    with pytest.raises(RetryableError, match="was written, and is gone"):
        table.act(several("run"), ("s3:ListObjectsV2", happens), nth=2)
    assert table.places() == {}


def test_a_slice_that_somebody_added_to_is_not_published(table: Table) -> None:
    def add() -> None:
        table.lake.put(table.files("/s1/")[0].replace(DAY, "2026-01-09"), b"{}")

    with pytest.raises(ManualActionError, match="Nothing was published"):
        table.act(several("run"), ("s3:ListObjectsV2", when(add)), nth=2)
    assert table.places() == {}


def test_another_request_of_a_task_first_finishes_what_was_left_half_published(table: Table) -> None:
    table.act(several("first"))
    with pytest.raises(Killed):
        table.act(several("run"), (FLIPS, killed_after))
    table.act(several("run", [NEXT_DAY], min_rows=1))
    assert table.states() == {"first 1": "published", "run 1": "published", "run 2": "published"}


def test_another_request_of_a_task_ends_a_flip_that_was_not_made(table: Table) -> None:
    table.act(one("first"))
    with pytest.raises(Killed):
        table.act(one("run"), (FLIP, killed_before))
    table.act(one("run", NEXT_DAY))
    assert table.states() == {"first 1": "published", "run 1": "aborted", "run 2": "published"}


def test_a_set_left_in_a_table_that_was_made_again_is_ended_there(table: Table) -> None:
    table.act(several("first"))
    with pytest.raises(Killed):
        table.act(several("second"), (FLIPS, killed_before))
    table.drop()
    table.world.pass_time(120)
    make_table(table.lake, ("dt",))
    table.act(one("third"))
    assert set(table.places()) == {DAY}
    assert table.states()["second 1"] == "aborted"


def test_what_a_set_staged_and_may_not_be_deleted_is_left_to_the_sweep(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    table.act(several("run"), ("s3:DeleteObjects", refused))
    assert "What attempt" in caplog.text
    assert "could not all be removed" in caplog.text
    assert table.files("/scratch/")
    table.act(sweep())
    assert not table.files("/scratch/")


def test_who_needs_lake_formation_is_told_for_a_table_that_it_governs(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    assert table.lake.table is not None
    table.lake.table.definition["IsRegisteredWithLakeFormation"] = True
    caplog.set_level(logging.INFO)
    table.act(one("run"))
    assert "is registered with Lake Formation" in caplog.text


def test_a_table_without_keys_that_is_dropped_before_it_was_pointed_is_told() -> None:
    with Table.made(keys=()) as table, pytest.raises(RetryableError, match="vanished while it was being"):
        table.act(write("run", (), {}, [()]), ("glue:GetTable", when(table.drop)), nth=3)


# ---------------------------------------------------------------------------------------------- rollbacks


@pytest.fixture
def twice(table: Table) -> Table:
    """A partition that was overwritten twice."""
    table.act(one("first"))
    table.act(one("second"))
    return table


def test_what_is_being_published_is_no_fact_to_undo_yet(table: Table) -> None:
    table.act(several("first"))
    with pytest.raises(Killed):
        table.act(several("second"), (FLIPS, killed_after))
    with pytest.raises(RetryableError, match="is publishing the partitions"):
        table.act(undo())


def test_a_rollback_whose_files_a_sweep_takes_meanwhile_gives_up(twice: Table) -> None:
    twice.world.pass_time(WEEK)
    before = twice.places()
    with pytest.raises(ManualActionError, match="Nothing was changed"):
        twice.act(undo(), (PUT, when(twice.lake.sweep_now)))
    assert twice.places() == before


def test_of_two_tries_of_one_rollback_one_says_that_the_other_has_begun(twice: Table) -> None:
    with pytest.raises(RetryableError, match="Another process began rollback"):
        twice.act(undo(), (PUT, when(lambda: twice.lake.rollback("undo"))))


def test_a_rollback_gives_way_to_an_overwrite_that_came_while_it_stood_still(twice: Table) -> None:
    with pytest.raises(RetryableError, match="published by another run while they were rolled back"):
        twice.act(undo(), (FLIP, when(lambda: twice.act(one("third")), after_seconds=120)))
    assert twice.states()["third 1"] == "published"
    assert f"a{twice.entry_of('third')}-" in twice.places()[DAY]


@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_place_outside_the_table_that_has_changed_is_not_gone_back_to(table: Table, change: str) -> None:
    table.point_elsewhere(DAY)
    table.act(one("run"))
    table.world.pass_time(60)
    if change == "added":
        table.lake.put("elsewhere/more.parquet", b"{}")
    else:
        table.take(*table.lake.keys("elsewhere/"))
    said = {"added": "1 files were written there since", "removed": "files were removed from there"}
    with pytest.raises(ManualActionError, match=said[change]):
        table.act(undo())


# ------------------------------------------------------------------------------------- files of others


@pytest.fixture
def taken_over(table: Table) -> Table:
    """A partition whose rows others had written, overwritten more than a week ago."""
    table.point_elsewhere(DAY, f"{table.lake.base}dt={DAY}/")
    table.act(one("first"))
    table.world.pass_time(WEEK)
    return table


def files(table: Table) -> set[str]:
    return set(table.files("/")) - set(table.files("/.generations/"))


def test_files_that_were_taken_over_go_when_that_is_asked(taken_over: Table) -> None:
    assert files(taken_over)
    taken_over.act(sweep(adopted=Adopted.DELETE))
    assert files(taken_over) == set()


def test_they_stay_while_another_table_lies_there(taken_over: Table) -> None:
    before = files(taken_over)
    other = {"Name": "other", "StorageDescriptor": {"Columns": [], "Location": f"s3://lake/w/t/dt={DAY}/"}}
    taken_over.world.glue.create_table(DatabaseName="db", TableInput=other)
    result = taken_over.act(sweep(adopted=Adopted.DELETE))
    assert files(taken_over) == before
    assert any("other lies there as well" in why for why in result.left.values())


def test_they_stay_when_glue_points_at_them_again_meanwhile(taken_over: Table) -> None:
    before = files(taken_over)
    result = taken_over.act(
        sweep(adopted=Adopted.DELETE),
        (PUT, when(lambda: again(taken_over))),
    )
    assert files(taken_over) >= before
    assert any("Glue points at it again" in why for why in result.left.values())


def again(table: Table) -> None:
    table.point_elsewhere(DAY, f"{table.lake.base}dt={DAY}/")


def test_they_stay_when_the_entry_is_changed_meanwhile(taken_over: Table) -> None:
    before = files(taken_over)
    result = taken_over.act(
        sweep(adopted=Adopted.DELETE),
        (PUT, when(lambda: taken_over.lake.rollback("undo"))),
    )
    assert files(taken_over) == before
    assert result.left


def test_they_stay_while_a_rollback_goes_back_to_them(taken_over: Table) -> None:
    before = files(taken_over)
    with pytest.raises(Killed):
        taken_over.act(undo(), (FLIP, killed_before))
    result = taken_over.act(sweep(adopted=Adopted.DELETE))
    assert files(taken_over) == before
    assert any("is being worked at" in why for why in result.left.values())


@pytest.mark.parametrize(
    ("call", "nth", "unread"),
    [
        ("glue:GetDatabases", 1, "databases of catalog of the caller"),
        ("glue:GetTables", 1, "database db"),
        ("glue:GetPartitions", -1, "table db.z"),
    ],
)
def test_what_may_not_be_looked_at_for_other_readers_is_said(
    taken_over: Table, call: str, nth: int, unread: str
) -> None:
    keys = [{"Name": "k", "Type": "string"}]
    descriptor = {"Columns": [], "Location": "s3://lake/other/"}
    other = {"Name": "z", "StorageDescriptor": descriptor, "PartitionKeys": keys}
    taken_over.world.glue.create_table(DatabaseName="db", TableInput=other)
    result = taken_over.act(sweep(adopted=Adopted.DELETE), (call, refused), nth=nth)
    assert any(line.startswith(unread) for line in result.unread)


# -------------------------------------------------------------------------------------------- sweeps


def test_a_set_that_a_sweep_may_not_finish_is_left_and_said(table: Table) -> None:
    table.act(several("first"))
    with pytest.raises(Killed):
        table.act(several("second"), (FLIPS, killed_before))
    table.take(*table.files("/lease"))
    table.world.pass_time(7200)
    result = table.act(sweep(), (FLIPS, refused))
    (why,) = result.left.values()
    assert "AccessDenied" in why
    assert table.act(sweep()).rolled_forward


def test_a_generation_that_glue_points_at_again_is_not_emptied(twice: Table) -> None:
    twice.world.pass_time(WEEK)

    def point_back() -> None:
        assert twice.lake.table is not None
        place = f"s3://lake/{generation_of(twice, 'first')}"
        twice.lake.table.partitions[DAY,]["StorageDescriptor"]["Location"] = place

    result = twice.act(sweep(), (PUT, when(point_back)))
    assert any("Glue points at" in why for why in result.left.values())
    assert twice.files(generation_of(twice, "first"))


def generation_of(table: Table, task_key: str) -> str:
    """The folder that an overwrite of a day wrote."""
    (folder,) = {key.rpartition("/")[0] for key in table.files(f"a{table.entry_of(task_key)}-")}
    return f"{folder}/"


def test_what_another_sweep_takes_meanwhile_is_left_to_it(twice: Table) -> None:
    twice.world.pass_time(WEEK)
    result = twice.act(sweep(), ("s3:GetObject", when(twice.lake.sweep_now)), nth=-1)
    assert set(result.left.values()) == {"it was changed meanwhile"}
    assert twice.lake.rows()
