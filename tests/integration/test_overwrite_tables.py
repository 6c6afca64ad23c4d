"""Tables as overwrites make and keep them: with keys or without, of any format, bucketed, described."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from tests.integration.lab import Lab
from tests.integration.overwriting import (
    BASE,
    DAY,
    actions,
    data_keys,
    next_second,
    overwrite,
    queries,
    registered,
    rollback,
    select,
    sorted_rows,
    stored,
    sweep_later,
    table,
    values,
)

pytestmark = pytest.mark.integration


# -------------------------------------------------------------------------------------------- unpartitioned


def test_a_table_without_partitions_is_made_and_then_replaced(lab: Lab) -> None:
    for note, action in (("a", "created"), ("b", "replaced"), ("c", "replaced")):
        ran = overwrite(lab, values((1, note)), {}, run_id=note)
        assert stored(lab, "id, note") == [("1", note)]
        (change,) = ran.result["partitions"]
        assert (change["values"], change["action"], change["rows"]) == ({}, action, 1)
        descriptor = table(lab)["StorageDescriptor"]
        assert descriptor["Location"] == change["location"]
        assert change["location"].startswith(f"s3://{lab.bucket}/{BASE}.generations/{change['generation']}")
    assert table(lab)["Parameters"]["quilt_athena.base"] == f"s3://{lab.bucket}/{BASE}"
    assert table(lab)["Parameters"]["quilt_athena.previous_location"] == change["previous_location"]


def test_a_table_without_partitions_needs_no_partition_of_the_run(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {})
    overwrite(lab, values((2, "b")), None)
    assert stored(lab, "id, note") == [("2", "b")]


def test_ten_overwrites_in_a_row_never_nest(lab: Lab) -> None:
    for number in range(10):
        overwrite(lab, values((number, "x")), {}, run_id=f"run {number}")
        assert stored(lab, "id") == [(str(number),)]
    assert {key.count(".generations/") for key in data_keys(lab)} == {1}
    assert len(data_keys(lab)) == 10
    sweep_later(lab)
    current = table(lab)["StorageDescriptor"]["Location"].removeprefix(f"s3://{lab.bucket}/")
    assert data_keys(lab) == lab.keys(current)
    assert stored(lab, "id") == [("9",)]


@pytest.mark.parametrize("partition", [DAY, "2026-01-01"])
def test_a_partition_of_a_table_without_any_is_refused(lab: Lab, partition: Any) -> None:
    overwrite(lab, values((1, "a")), {})
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException, match="has no partition keys"):
        overwrite(lab, values((2, "b")), partition)
    assert lab.started() == []
    assert stored(lab, "id, note") == [("1", "a")]


def test_a_table_without_partitions_may_read_itself(lab: Lab) -> None:
    overwrite(lab, values((1, "a"), (1, "a"), (2, "b")), {})
    overwrite(lab, "SELECT DISTINCT id, note FROM orders", {})
    assert stored(lab, "id, note") == [("1", "a"), ("2", "b")]


def test_what_else_is_said_of_a_table_without_partitions_stays(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {})
    lab.run("ALTER TABLE orders SET TBLPROPERTIES ('owner' = 'sales', 'numRows' = '1')")
    overwrite(lab, values((2, "b")), {})
    parameters = table(lab)["Parameters"]
    assert parameters["owner"] == "sales"
    assert "numRows" not in parameters


# ------------------------------------------------------------------------------------------------ new tables


def test_a_new_table_is_as_it_was_asked_for(lab: Lab) -> None:
    overwrite(
        lab,
        values((1, "a")),
        partitioned_by={"dt": "date"},
        compression="zstd",
        compression_level=7,
        table_comment="one row for each order",
        column_comments={"id": "of the order", "Note": "free text", "dt": "day of the order"},
        table_properties={"team": "sales"},
    )
    made = table(lab)
    assert made["StorageDescriptor"]["Location"] == f"s3://{lab.bucket}/{BASE}"
    assert made["StorageDescriptor"]["Columns"] == [
        {"Name": "id", "Type": "int", "Comment": "of the order"},
        {"Name": "note", "Type": "string", "Comment": "free text"},
    ]
    assert made["PartitionKeys"] == [{"Name": "dt", "Type": "date", "Comment": "day of the order"}]
    assert made["TableType"] == "EXTERNAL_TABLE"
    expected = {
        "comment": "one row for each order",
        "team": "sales",
        "classification": "parquet",
        "compression_level": "7",
        "write.compression": "ZSTD",
    }
    assert {name: made["Parameters"].get(name) for name in expected} == expected
    with queries(lab) as sent:
        overwrite(lab, values((2, "b")))
    assert "compression_level = 7" in sent[0]
    assert "write_compression = 'ZSTD'" in sent[0]
    assert compressions(lab) == {"ZSTD"}
    assert stored(lab, "id, note, dt") == [("2", "b", "2026-01-01")]


def compressions(lab: Lab) -> set[str]:
    """How the files of the table's Parquet partitions are compressed."""
    found = set()
    for folder in registered(lab).values():
        for key in lab.keys(folder):
            body = lab.client("s3").get_object(Bucket=lab.bucket, Key=key)["Body"].read()
            group = pq.ParquetFile(io.BytesIO(body)).metadata.row_group(0)
            found |= {group.column(number).compression for number in range(group.num_columns)}
    return found


def test_a_new_table_without_a_location_lies_in_its_databases(lab: Lab) -> None:
    place = f"s3://{lab.bucket}/sales/"
    lab.client("glue").update_database(
        Name=lab.database, DatabaseInput={"Name": lab.database, "LocationUri": place}
    )
    overwrite(lab, values((1, "a")), location=None)
    assert table(lab)["StorageDescriptor"]["Location"] == f"{place}orders/"
    assert all(key.startswith("sales/orders/.generations/") for key in lab.keys("sales/"))
    assert stored(lab, "id") == [("1",)]


@pytest.mark.parametrize("writer", ["ctas", "unload"])
@pytest.mark.parametrize(
    ("file_format", "compression", "ending"),
    [
        ("PARQUET", "GZIP", ""),
        ("ORC", "ZLIB", ""),
        ("JSON", "GZIP", ".gz"),
        ("JSON", "ZSTD", ".zst"),
        ("TEXTFILE", "GZIP", ".gz"),
        ("TEXTFILE", None, ""),
    ],
)
def test_every_format_reads_back_what_was_written(
    lab: Lab, file_format: str, compression: str | None, ending: str, writer: str
) -> None:
    query = (
        "SELECT * FROM (VALUES "
        "(1, 'ä, \"b\"', 1.5e0, DATE '2026-01-02', TIMESTAMP '2026-01-02 03:04:05.678', true), "
        "(2, NULL, NULL, NULL, NULL, NULL)) AS t (n, s, x, d, t, b)"
    )
    expected = sorted_rows(
        [(1, 'ä, "b"', 1.5, "2026-01-02", "2026-01-02 03:04:05.678", True), (2, None, None, None, None, None)]
    )
    for _ in range(2):
        overwrite(lab, query, file_format=file_format, compression=compression, writer=writer)
        assert stored(lab, "n, s, x, d, t, b") == expected
    assert all(key.endswith(ending) for key in data_keys(lab))


@pytest.mark.parametrize(("partition", "writer"), [(DAY, "ctas"), (DAY, "unload"), ({}, "ctas")])
def test_a_text_table_refuses_what_it_would_read_back_as_something_else(
    lab: Lab, partition: dict[str, str], writer: str
) -> None:
    columns = "id, note" if partition else "id, note, dt"

    def write(note: str) -> None:
        row = (1, note) if partition else (1, note, "2026-01-01")
        arguments = {"file_format": "TEXTFILE", "partitioned_by": ["dt"], "writer": writer}
        overwrite(lab, select(columns, [row]), partition, **arguments)

    write("plain")
    for text in ("two\nlines", "field\x01delimiter", "\\N", "carriage\rreturn"):
        with pytest.raises(AirflowFailException, match="cannot be kept in a TEXTFILE table"):
            write(text)
        assert stored(lab, "id, note") == [("1", "plain")]


def test_a_text_table_by_hand_keeps_its_delimiter(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE orders (id int, note string) PARTITIONED BY (dt string) ROW FORMAT DELIMITED "
        f"FIELDS TERMINATED BY '|' LOCATION 's3://{lab.bucket}/{BASE}'"
    )
    overwrite(lab, values((1, "a,b")))
    assert stored(lab) == [("1", "a,b", "2026-01-01")]
    with pytest.raises(AirflowFailException, match="cannot be kept in a TEXTFILE table"):
        overwrite(lab, values((1, "a|b")))


# --------------------------------------------------------------------------------------------------- buckets


def files_of(lab: Lab) -> Counter[tuple[str, ...]]:
    return Counter({found: len(lab.keys(folder)) for found, folder in registered(lab).items()})


NUMBERS = "SELECT n AS id, 'x' || CAST(n AS varchar) AS note FROM UNNEST(sequence({first}, {last})) AS t (n)"


def test_a_new_bucketed_table_keeps_its_buckets(lab: Lab) -> None:
    for first, last in ((1, 50), (101, 160)):
        query = NUMBERS.format(first=first, last=last)
        arguments = {"bucketed_by": ["id"], "bucket_count": 4} if first == 1 else {}
        overwrite(lab, query, **arguments)
        assert stored(lab, "id, note") == sorted_rows([(n, f"x{n}") for n in range(first, last + 1)])
        assert files_of(lab) == {("2026-01-01",): 4}
        assert lab.rows(f"SELECT note FROM orders WHERE id = {last}") == [(f"x{last}",)]
    descriptor = table(lab)["StorageDescriptor"]
    assert (descriptor["BucketColumns"], descriptor["NumberOfBuckets"]) == (["id"], 4)
    (partition,) = lab.partitions("orders")
    assert partition["StorageDescriptor"]["NumberOfBuckets"] == 4


def test_partitions_and_buckets_together_are_cut_into_slices(lab: Lab) -> None:
    query = "SELECT n AS id, 'p' || CAST(n % 29 AS varchar) AS k FROM UNNEST(sequence(1, 1160)) AS t (n)"
    with queries(lab) as sent:
        overwrite(lab, query, {}, partitioned_by=["k"], bucketed_by=["id"], bucket_count=8)
    assert len(sent) == 1 + 3 + 3  # the names first; 100 // 8 partitions in each slice
    assert stored(lab, "id, k") == sorted_rows([(n, f"p{n % 29}") for n in range(1, 1161)])
    assert files_of(lab) == {(f"p{n}",): 8 for n in range(29)}
    assert lab.rows("SELECT k FROM orders WHERE id = 77") == [("p19",)]


def test_an_unpartitioned_table_may_be_bucketed(lab: Lab) -> None:
    for _ in range(2):
        overwrite(lab, NUMBERS.format(first=1, last=20), {}, bucketed_by=["note"], bucket_count=3)
    assert stored(lab, "id, note") == sorted_rows([(n, f"x{n}") for n in range(1, 21)])
    location = table(lab)["StorageDescriptor"]["Location"].removeprefix(f"s3://{lab.bucket}/")
    assert len(lab.keys(location)) == 3


def test_a_bucketed_table_made_by_hand_keeps_its_buckets(lab: Lab) -> None:
    lab.run(
        f"CREATE TABLE orders WITH (external_location = 's3://{lab.bucket}/{BASE}', format = 'ORC', "
        "partitioned_by = ARRAY['dt'], bucketed_by = ARRAY['id'], bucket_count = 5) AS "
        "SELECT CAST(1 AS bigint) AS id, CAST('a' AS varchar) AS note, '2026-01-01' AS dt"
    )
    next_second()
    overwrite(lab, NUMBERS.format(first=1, last=40))
    assert files_of(lab) == {("2026-01-01",): 5}
    assert stored(lab, "id, note") == sorted_rows([(n, f"x{n}") for n in range(1, 41)])
    rollback(lab)
    assert stored(lab) == [("1", "a", "2026-01-01")]


# ------------------------------------------------------------------------------------- generations elsewhere


def test_generations_may_lie_elsewhere(lab: Lab) -> None:
    elsewhere = f"s3://{lab.bucket}/generations/"
    for number in (1, 2):
        overwrite(lab, values((number, "a")), generations_location=elsewhere, run_id=f"run {number}")
    assert stored(lab, "id") == [("2",)]
    assert data_keys(lab) == set()
    assert len(lab.keys("generations/")) == 2
    rollback(lab)
    assert stored(lab, "id") == [("1",)]
    sweep_later(lab)
    assert lab.keys("generations/") == lab.keys(registered(lab)[("2026-01-01",)])
    ran = overwrite(lab, values((3, "a")), run_id="run 3")
    assert actions(ran) == {("2026-01-01",): "replaced"}
    assert stored(lab, "id") == [("3",)]


# ---------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["date", "order", "key", "1st", "with-dash"])
def test_keys_and_columns_may_have_any_name_that_athena_takes(lab: Lab, name: str) -> None:
    for number in (1, 2):
        overwrite(lab, f'SELECT {number} AS "group", 2 AS "Select"', {name: "a b"}, run_id=f"run {number}")
        query = f'SELECT {number} AS "group", 2 AS "select", \'x\' AS "{name}"'
        overwrite(lab, query, {}, run_id=f"set {number}")
    assert lab.rows(f'SELECT "group", "select", "{name}" FROM orders') == [("2", "2", "a b"), ("2", "2", "x")]
    rollback(lab, partitions={name: "x"})
    assert lab.rows(f'SELECT "group", "{name}" FROM orders') == [("1", "x"), ("2", "a b")]


def test_names_are_written_in_any_case(lab: Lab) -> None:
    for number in (1, 2):
        overwrite(lab, f"SELECT {number} AS Id", {"DT": "d"}, table=f"{lab.database.upper()}.ORDERS")
    assert stored(lab, "id, dt") == [("2", "d")]
