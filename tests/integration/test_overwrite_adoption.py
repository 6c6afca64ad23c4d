"""Tables that something else filled are taken over without losing or doubling a row, and left whole."""

from __future__ import annotations

import logging

import pytest

from airflow_quilt_athena.flows.overwrite.sweep import Adopted
from tests.integration.lab import Lab
from tests.integration.overwriting import (
    BASE,
    data_keys,
    next_second,
    overwrite,
    registered,
    rollback,
    select,
    sorted_rows,
    stored,
    sweep,
    sweep_later,
    table,
    values,
)

pytestmark = pytest.mark.integration

NATURAL = f"{BASE}dt=2026-01-01/"
FLOWS = "airflow_quilt_athena.flows"


def place(lab: Lab, key: str = BASE) -> str:
    return f"s3://{lab.bucket}/{key}"


def create_as_the_blog(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE orders (id INT, note STRING) PARTITIONED BY (dt STRING) STORED AS ORC "
        f"LOCATION '{place(lab)}' TBLPROPERTIES ('orc.compress' = 'ZLIB')"
    )
    lab.run("MSCK REPAIR TABLE orders")


def fill_as_the_blog(lab: Lab, query: str, folder: str = NATURAL) -> None:
    """Purge the partition's folder, write it by a CTAS of its own, repair, and forget the CTAS's table."""
    lab.run("DROP TABLE IF EXISTS blog_tmp")
    purge(lab, folder)
    lab.run(
        f"CREATE TABLE blog_tmp WITH (external_location = '{place(lab, folder)}', format = 'ORC', "
        f"orc_compression = 'ZLIB') AS {query}"
    )
    lab.run("MSCK REPAIR TABLE orders")
    lab.run("DROP TABLE IF EXISTS blog_tmp")


def purge(lab: Lab, folder: str) -> None:
    s3 = lab.client("s3")
    for key in lab.keys(folder):
        s3.delete_object(Bucket=lab.bucket, Key=key)


def put(lab: Lab, key: str, body: bytes = b"x") -> str:
    lab.client("s3").put_object(Bucket=lab.bucket, Key=key, Body=body)
    return key


def test_a_table_filled_as_in_the_blog_is_taken_over(lab: Lab) -> None:
    create_as_the_blog(lab)
    fill_as_the_blog(lab, values((1, "a"), (2, "b")))
    fill_as_the_blog(lab, values((3, "c")), f"{BASE}dt=2026-01-02/")
    assert stored(lab) == sorted_rows(
        [(1, "a", "2026-01-01"), (2, "b", "2026-01-01"), (3, "c", "2026-01-02")]
    )
    overwrite(lab, values((4, "d"), (4, "d")), location=None)
    assert stored(lab) == sorted_rows([(4, "d", "2026-01-01")] * 2 + [(3, "c", "2026-01-02")])
    assert table(lab)["StorageDescriptor"]["Location"].rstrip("/") == place(lab).rstrip("/")
    assert table(lab)["Parameters"]["orc.compress"] == "ZLIB"
    lab.run("MSCK REPAIR TABLE orders")
    assert stored(lab) == sorted_rows([(4, "d", "2026-01-01")] * 2 + [(3, "c", "2026-01-02")])


def test_old_files_are_kept_until_their_time_and_then_swept(lab: Lab) -> None:
    create_as_the_blog(lab)
    fill_as_the_blog(lab, values((1, "a")))
    stray = put(lab, f"{NATURAL}_unknown_to_glue")
    old = lab.keys(NATURAL)
    next_second()
    overwrite(lab, values((2, "b")))
    assert sweep(lab)["objects_deleted"] == 0
    sweep_later(lab, hours=23)
    assert lab.keys(NATURAL) == old
    rollback(lab)
    assert stored(lab) == [("1", "a", "2026-01-01")]
    rollback(lab, run_id="forward again")
    kept = sweep_later(lab).as_dict()
    assert lab.keys(NATURAL) == old
    assert kept["adopted"][place(lab, NATURAL)]["objects"] == len(old) - 1
    would = sweep_later(lab, adopted=Adopted.DELETE, dry_run=True).as_dict()
    assert lab.keys(NATURAL) == old
    told = sweep_later(lab, adopted=Adopted.DELETE).as_dict()
    assert stray in old
    assert lab.keys(NATURAL) == {stray}  # Athena never read it
    assert data_keys(lab) == lab.keys(registered(lab)[("2026-01-01",)]) | {stray}
    assert told["folders"] == would["folders"] == {place(lab, NATURAL): len(old) - 1}
    assert stored(lab) == [("2", "b", "2026-01-01")]
    assert sweep_later(lab, adopted=Adopted.DELETE).as_dict()["objects_deleted"] == 0


def test_files_newer_than_the_flip_and_those_of_other_tables_stay(lab: Lab) -> None:
    create_as_the_blog(lab)
    fill_as_the_blog(lab, values((1, "a")))
    old = lab.keys(NATURAL)
    lab.run(
        f"CREATE TABLE nested WITH (external_location = '{place(lab, NATURAL)}nested/', format = 'ORC') AS "
        f"{values((8, 'nested'))}"
    )
    nested = lab.keys(f"{NATURAL}nested/")
    next_second()
    overwrite(lab, values((2, "b")))
    newer = put(lab, f"{NATURAL}newer")
    told = sweep_later(lab, adopted=Adopted.DELETE).as_dict()
    assert old
    assert lab.keys(NATURAL) == old | nested | {newer}
    assert any(f"table {lab.database}.nested lies there" in why for why in told["left"].values())
    assert told["foreign"] == {place(lab, NATURAL): 1}
    assert lab.rows("SELECT id FROM nested") == [("8",)]
    lab.run("DROP TABLE nested")
    sweep_later(lab, adopted=Adopted.DELETE)
    # What lay below the folder was read as part of the partition, and was listed with it.
    assert lab.keys(NATURAL) == {newer}


def test_another_partition_below_an_adopted_folder_keeps_its_files(lab: Lab) -> None:
    create_as_the_blog(lab)
    fill_as_the_blog(lab, values((1, "a")))
    inner = f"{NATURAL}inner/"
    lab.run(
        f"CREATE TABLE inner_tmp WITH (external_location = '{place(lab, inner)}', format = 'ORC') AS "
        f"{values((5, 'inner'))}"
    )
    lab.run("DROP TABLE inner_tmp")
    lab.run(f"ALTER TABLE orders ADD PARTITION (dt = 'inner') LOCATION '{place(lab, inner)}'")
    kept = lab.keys(inner)
    overwrite(lab, values((2, "b")))
    told = sweep_later(lab, adopted=Adopted.DELETE).as_dict()
    assert kept < lab.keys(NATURAL)
    assert any("partition ['inner'] of table" in why for why in told["left"].values())
    assert stored(lab) == sorted_rows([(2, "b", "2026-01-01"), (5, "inner", "inner")])


def test_a_foreign_location_is_replaced_but_never_deleted_from(lab: Lab) -> None:
    create_as_the_blog(lab)
    foreign = "somebody/elses/"
    lab.run(
        f"CREATE TABLE foreign_tmp WITH (external_location = '{place(lab, foreign)}', format = 'ORC') AS "
        f"{values((1, 'a'))}"
    )
    lab.run("DROP TABLE foreign_tmp")
    lab.run(f"ALTER TABLE orders ADD PARTITION (dt = '2026-01-01') LOCATION '{place(lab, foreign)}'")
    kept = lab.keys(foreign)
    next_second()
    ran = overwrite(lab, values((2, "b")))
    assert ran.result["partitions"][0]["previous_location"] == place(lab, foreign)
    sweep_later(lab, adopted=Adopted.DELETE)
    assert kept
    assert lab.keys(foreign) == kept
    assert stored(lab) == [("2", "b", "2026-01-01")]


def test_a_tool_that_rewrites_the_natural_folder_is_told_of_and_touches_nothing(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    create_as_the_blog(lab)
    fill_as_the_blog(lab, values((1, "a")))
    next_second()
    with caplog.at_level(logging.WARNING, FLOWS):
        overwrite(lab, values((2, "b")), run_id="one")
        assert warnings(caplog) == []
        ours = lab.keys(registered(lab)[("2026-01-01",)])
        fill_as_the_blog(lab, values((9, "lost")))
        assert ours <= data_keys(lab)
        assert stored(lab) == [("2", "b", "2026-01-01")]
        overwrite(lab, values((3, "c")), run_id="two")
    (told,) = warnings(caplog)
    assert place(lab, NATURAL) in told
    assert "2026-01-01" in told
    assert stored(lab) == [("3", "c", "2026-01-01")]
    theirs = lab.keys(NATURAL)
    swept = sweep_later(lab, adopted=Adopted.DELETE).as_dict()
    assert theirs
    assert lab.keys(NATURAL) == theirs
    assert swept["foreign"] == {place(lab, NATURAL): len(theirs)}
    assert stored(lab) == [("3", "c", "2026-01-01")]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith(FLOWS)
    ]


def test_a_table_without_partitions_is_taken_over(lab: Lab) -> None:
    lab.run(
        f"CREATE TABLE orders WITH (external_location = '{place(lab)}', format = 'ORC') AS {values((1, 'a'))}"
    )
    natural = lab.keys(BASE)
    next_second()
    for number in (2, 3):
        overwrite(lab, values((number, "b")), None, run_id=f"run {number}", location=None)
        assert stored(lab, "id") == [(str(number),)]
    assert natural <= data_keys(lab)
    rollback(lab)
    assert stored(lab, "id") == [("2",)]
    sweep_later(lab)
    assert natural <= data_keys(lab)
    sweep_later(lab, adopted=Adopted.DELETE)
    location = table(lab)["StorageDescriptor"]["Location"].removeprefix(place(lab, ""))
    assert data_keys(lab) == lab.keys(location)
    assert stored(lab, "id") == [("2",)]


def test_a_rollback_to_what_was_there_before_keeps_it_from_the_sweep(lab: Lab) -> None:
    create_as_the_blog(lab)
    fill_as_the_blog(lab, values((1, "a")))
    natural = lab.keys(NATURAL)
    next_second()
    overwrite(lab, values((2, "b")))
    rollback(lab)
    sweep_later(lab, adopted=Adopted.DELETE)
    assert data_keys(lab) == natural
    assert stored(lab) == [("1", "a", "2026-01-01")]


def test_a_set_of_partitions_is_taken_over(lab: Lab) -> None:
    create_as_the_blog(lab)
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        fill_as_the_blog(lab, values((1, "a")), f"{BASE}dt={day}/")
    next_second()
    overwrite(
        lab, select("id, note, dt", [(2, "b", "2026-01-01"), (3, "c", "2026-01-04")]), {}, replace="table"
    )
    assert stored(lab) == sorted_rows([(2, "b", "2026-01-01"), (3, "c", "2026-01-04")])
    sweep_later(lab, adopted=Adopted.DELETE)
    lab.run("MSCK REPAIR TABLE orders")
    assert stored(lab) == sorted_rows([(2, "b", "2026-01-01"), (3, "c", "2026-01-04")])
    assert data_keys(lab) == {key for folder in registered(lab).values() for key in lab.keys(folder)}
