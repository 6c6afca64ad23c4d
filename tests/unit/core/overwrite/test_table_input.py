from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_quilt_athena.core.glue.file_format import FileFormat
from airflow_quilt_athena.core.glue.tables import parse_table
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Query
from airflow_quilt_athena.core.overwrite.query_role import DESCRIBE, STAGE
from airflow_quilt_athena.core.overwrite.request import parse_partitioned_by
from airflow_quilt_athena.core.overwrite.table_input import (
    WriteFacts,
    build_partition_input,
    build_repointed_table,
    build_table_input,
    refuse_unwritable_new,
)
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.lake_examples import ATTEMPT, BASE, NOON, change, entry, glue_table, request, table

FACTS = WriteFacts("q1", "dag/task", datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC))
LOCATION = f"s3://lake/sales/orders/.generations/dt=2026-01-01/{ATTEMPT.name}/"
WRITTEN = {
    "quilt_athena.generation": ATTEMPT.name,
    "quilt_athena.query_id": "q1",
    "quilt_athena.rows": "7",
    "quilt_athena.written_by": "dag/task",
    "quilt_athena.written_at": "2026-01-02T03:04:05.000678+00:00",
}
ROLLED_BACK = {"quilt_athena.rolled_back_at": "2026-01-02T03:04:05.000678+00:00"}
STATISTICS = {
    "numRows": "5", "numFiles": "1", "totalSize": "9", "rawDataSize": "9", "recordCount": "5",
    "COLUMN_STATS_ACCURATE": "true", "transient_lastDdlTime": "1",
}  # fmt: skip


def test_a_published_partition_takes_every_field_from_the_table() -> None:
    previous = {
        "Values": ["2026-01-01"],
        "StorageDescriptor": {"Location": "s3://lake/old/", "Columns": [{"Name": "drifted", "Type": "int"}]},
        "Parameters": {**STATISTICS, "quilt_athena.rows": "5", "quilt_athena.base": "x", "team": "blue"},
    }
    built = build_partition_input(
        table(),
        change(
            "2026-01-01", location=LOCATION, rows=7, previous=previous, previous_location="s3://lake/old/"
        ),
        FACTS,
    )
    assert built == {
        "Values": ["2026-01-01"],
        "StorageDescriptor": glue_table()["StorageDescriptor"] | {"Location": LOCATION},
        "Parameters": {"team": "blue", "quilt_athena.previous_location": "s3://lake/old/", **WRITTEN},
    }


def test_a_new_partition_has_no_previous_location() -> None:
    built = build_partition_input(table(), change("2026-01-01", location=LOCATION, rows=7), FACTS)
    assert built["Values"] == ["2026-01-01"]
    assert built["Parameters"] == WRITTEN


def test_a_partition_keeps_the_spelling_that_glue_has() -> None:
    previous = {"Values": ["01"], "StorageDescriptor": {}}
    assert build_partition_input(table(), change("1", previous=previous), FACTS)["Values"] == ["01"]


def test_what_is_restored_is_as_it_was_to_the_last_field() -> None:
    restored: dict[str, Any] = {
        "Values": ["01"],
        "StorageDescriptor": {"Location": "s3://x/y"},
        "Parameters": {"a": "b"},
    }
    built = build_partition_input(table(), change("1", restored=restored), FACTS)
    # But for when it was restored: whoever comes next says to come after that.
    assert built == {**restored, "Parameters": {"a": "b", **ROLLED_BACK}}
    assert restored["Parameters"] == {"a": "b"}


def test_building_changes_neither_the_table_nor_the_partition() -> None:
    read = table(PartitionKeys=[])
    build_partition_input(read, change("1", location=LOCATION, previous={"Parameters": {"a": "b"}}), FACTS)
    build_repointed_table(read, change(location=LOCATION), FACTS)
    assert read.raw == glue_table(PartitionKeys=[])


def test_the_facts_of_a_write_are_those_of_its_journal_entry() -> None:
    queries = (Query(DESCRIBE, "q0"), Query(STAGE, "q1"))
    published = entry(queries=queries, published_at=NOON.replace(hour=13))
    assert WriteFacts.of(published) == WriteFacts("q1", "dag/task/-1/run/0", NOON.replace(hour=13))
    assert WriteFacts.of(entry()) == WriteFacts("", "dag/task/-1/run/0", NOON)


def test_a_table_without_keys_is_pointed_elsewhere_and_keeps_what_others_noted() -> None:
    found = table(PartitionKeys=[], Parameters={**STATISTICS, "owner": "me", "quilt_athena.rows": "1"})
    built = build_repointed_table(
        found, change(location=LOCATION, rows=7, previous_location="s3://lake/sales/orders/"), FACTS
    )
    assert built == {
        "Name": "orders",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [],
        "StorageDescriptor": glue_table()["StorageDescriptor"]
        | {"Location": LOCATION, "Parameters": {"quilt_athena.base": str(BASE)}},
        "Parameters": {
            "owner": "me",
            "quilt_athena.base": str(BASE),
            "quilt_athena.previous_location": "s3://lake/sales/orders/",
            **WRITTEN,
        },
    }


def test_a_table_that_is_pointed_again_keeps_its_first_base() -> None:
    found = table(PartitionKeys=[], descriptor={"Location": LOCATION})
    built = build_repointed_table(found, change(location=f"{BASE}.generations/other/"), FACTS)
    assert built["Parameters"]["quilt_athena.base"] == str(BASE)


def test_a_table_that_is_pointed_back_has_our_notes_of_then_and_the_others_of_now() -> None:
    found = table(PartitionKeys=[], Parameters={"owner": "new", "quilt_athena.rows": "9", "numRows": "9"})
    then = {"owner": "old", "quilt_athena.rows": "1", "quilt_athena.generation": "a-then"}
    back = change(location="s3://lake/sales/orders/", restored={"Parameters": then})
    assert build_repointed_table(found, back, FACTS)["Parameters"] == {
        "owner": "new",
        "quilt_athena.rows": "1",
        "quilt_athena.generation": "a-then",
        "quilt_athena.base": str(BASE),
        **ROLLED_BACK,
    }


def test_a_table_whose_parameters_were_dropped_keeps_its_base_all_the_same() -> None:
    elsewhere = f"s3://lake/generations/{ATTEMPT.name}/"
    found = table(PartitionKeys=[])
    flipped = build_repointed_table(found, change(location=elsewhere), FACTS)
    kept = parse_table({**flipped, "DatabaseName": "sales", "Parameters": {}})
    assert kept.base == BASE
    descriptor = {**flipped["StorageDescriptor"], "Parameters": {}}
    lost = {**flipped, "DatabaseName": "sales", "Parameters": {}, "StorageDescriptor": descriptor}
    with pytest.raises(InvalidCallError, match=r"quilt_athena\.base is gone.*SET TBLPROPERTIES"):
        _ = parse_table(lost).base


@pytest.mark.parametrize(
    ("properties", "file_format", "problem"),
    [
        ({"projection.enabled": "true"}, None, "projected"),
        ({"table_type": "ICEBERG"}, None, "of type iceberg"),
        ({"table_type": "hudi"}, FileFormat.ORC, "of type hudi"),
        ({"spark.sql.sources.provider": "delta"}, None, "of type delta"),
        ({"skip.header.line.count": "1"}, FileFormat.TEXTFILE, "skips header lines"),
        ({"quilt_athena.base": "s3://elsewhere/"}, None, "writes itself"),
        ({"EXTERNAL": "FALSE"}, None, "EXTERNAL is not TRUE"),
    ],
)
def test_a_table_to_be_made_is_judged_as_it_will_be_once_it_is_there(
    properties: dict[str, str], file_format: FileFormat | None, problem: str
) -> None:
    asked = request(table_properties=properties, file_format=file_format)
    with pytest.raises(InvalidCallError, match=problem):
        refuse_unwritable_new(asked)


@pytest.mark.parametrize("file_format", [None, *FileFormat])
def test_harmless_properties_of_a_table_to_be_made_are_taken(file_format: FileFormat | None) -> None:
    properties = {"team": "blue", "projection.enabled": "false", "skip.header.line.count": "0"}
    refuse_unwritable_new(request(table_properties=properties, file_format=file_format))


def test_a_created_table_has_the_results_columns_without_lengths() -> None:
    staged = table(
        Name="tmp",
        PartitionKeys=[],
        descriptor={
            "Columns": [{"Name": "code", "Type": "varchar(3)"}, {"Name": "dt", "Type": "date"}],
            "Location": "s3://lake/gen/",
        },
    )
    asked = request(
        table_properties={"team": "blue", "classification": "mine"},
        compression="zstd",
        compression_level=4,
        table_comment="the orders",
        column_comments={"CODE": "a code", "Dt": "the day"},
    )
    built = build_table_input(asked, staged, (("dt", "date"),), BASE, FileFormat.PARQUET)
    assert built == {
        "Name": "orders",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "dt", "Type": "date", "Comment": "the day"}],
        "StorageDescriptor": glue_table()["StorageDescriptor"]
        | {"Location": str(BASE), "Columns": [{"Name": "code", "Type": "string", "Comment": "a code"}]},
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "mine",
            "write.compression": "ZSTD",
            "compression_level": "4",
            "comment": "the orders",
            "team": "blue",
            "quilt_athena.base": str(BASE),
        },
    }
    assert parse_table({**built, "DatabaseName": "sales"}).compression == "ZSTD"


def test_a_created_table_says_no_more_than_it_was_told() -> None:
    staged = table(PartitionKeys=[], descriptor={"Columns": [{"Name": "n", "Type": "int"}]})
    built = build_table_input(request(), staged, parse_partitioned_by("dt"), BASE, FileFormat.TEXTFILE)
    assert built["Parameters"] == {
        "EXTERNAL": "TRUE",
        "classification": "csv",
        "quilt_athena.base": str(BASE),
    }
    assert built["StorageDescriptor"]["Columns"] == [{"Name": "n", "Type": "int"}]


def test_the_base_is_ours_to_say() -> None:
    asked = request(table_properties={"quilt_athena.base": "s3://lake/"})
    built = build_table_input(asked, table(), (), BASE, FileFormat.ORC)
    assert built["Parameters"]["quilt_athena.base"] == str(BASE)
    assert built["Parameters"]["classification"] == "orc"


def test_a_removed_partition_is_remembered_so_that_it_can_be_had_again() -> None:
    previous = {"Values": ["1"], "StorageDescriptor": {"Location": "s3://x/y/"}}
    gone = change("1", action=Action.REMOVED, location=None, previous=previous)
    again = change("1", action=Action.CREATED, restored=gone.previous)
    assert build_partition_input(table(), again, FACTS) == {**previous, "Parameters": ROLLED_BACK}
