"""Parquet and ORC: columns by name and by position, types that do not fit, and the bytes that count."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from support.scanning import BUCKET, ORC, PARQUET, World, partition, table


@pytest.fixture
def world() -> World:
    return World()


def parquet(rows: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(rows, sink, **options)
    return sink.getvalue()


def orc_file(rows: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    orc.write_table(rows, sink, **options)
    return sink.getvalue()


WRITERS: dict[str, Callable[..., bytes]] = {PARQUET: parquet, ORC: orc_file}
BOTH = pytest.mark.parametrize("serde", [PARQUET, ORC], ids=["parquet", "orc"])

TYPES = {
    "b": "boolean",
    "i": "int",
    "l": "bigint",
    "d": "double",
    "n": "decimal(12,3)",
    "s": "string",
    "x": "binary",
    "day": "date",
    "at": "timestamp",
    "list": "array<int>",
    "map": "map<string,double>",
    "rec": "struct<a:int,b:array<struct<c:string>>>",
}
VALUES: list[dict[str, Any]] = [
    {
        "b": True,
        "i": 1,
        "l": 2**40,
        "d": 1.5,
        "n": Decimal("1.250"),
        "s": "ä",
        "x": b"\x00\xff",
        "day": datetime.date(2026, 1, 31),
        "at": datetime.datetime(2026, 1, 31, 10, 30, 0, 123000),
        "list": [1, None],
        "map": {"k": 2.5},
        "rec": {"a": 7, "b": [{"c": "z"}]},
    },
    dict.fromkeys(TYPES),
]
ARROW = pa.schema(
    {
        "b": pa.bool_(),
        "i": pa.int32(),
        "l": pa.int64(),
        "d": pa.float64(),
        "n": pa.decimal128(12, 3),
        "s": pa.string(),
        "x": pa.binary(),
        "day": pa.date32(),
        "at": pa.timestamp("us"),
        "list": pa.list_(pa.int32()),
        "map": pa.map_(pa.string(), pa.float64()),
        "rec": pa.struct({"a": pa.int32(), "b": pa.list_(pa.struct({"c": pa.string()}))}),
    }
)


def every_type() -> pa.Table:
    columns = {name: [row[name] for row in VALUES] for name in TYPES}
    columns["map"] = [list(row["map"].items()) if row["map"] else None for row in VALUES]
    return pa.table(columns, schema=ARROW)


@BOTH
def test_all_types_and_nulls_come_back(world: World, serde: str) -> None:
    world.objects.bodies["t/x"] = WRITERS[serde](every_type())
    rows = world.rows(table(TYPES, serde))
    assert rows == [tuple(row.values()) for row in VALUES]


@pytest.mark.parametrize("compression", ["UNCOMPRESSED", "ZLIB", "SNAPPY", "ZSTD", "LZ4"])
def test_orc_is_read_in_every_compression(world: World, compression: str) -> None:
    world.objects.bodies["t/x"] = orc_file(every_type(), compression=compression)
    assert world.rows(table(TYPES, ORC), "SELECT s, l FROM t") == [("ä", 2**40), (None, None)]


@pytest.mark.parametrize("compression", ["NONE", "GZIP", "SNAPPY", "ZSTD", "LZ4", "BROTLI"])
def test_parquet_is_read_in_every_compression(world: World, compression: str) -> None:
    world.objects.bodies["t/x"] = parquet(every_type(), compression=compression)
    assert world.rows(table(TYPES, PARQUET), "SELECT s, l FROM t") == [("ä", 2**40), (None, None)]


def test_parquet_columns_go_by_name(world: World) -> None:
    world.objects.bodies["t/x"] = parquet(pa.table({"B": ["x"], "other": [1], "a": [7]}))
    described = table({"a": "bigint", "b": "string", "new": "int"}, PARQUET)
    assert world.rows(described) == [(7, "x", None)]


def test_orc_columns_go_by_position(world: World) -> None:
    world.objects.bodies["t/x"] = orc_file(pa.table({"_col0": [7], "_col1": ["x"]}))
    described = table({"a": "bigint", "b": "string", "new": "int"}, ORC)
    assert world.rows(described) == [(7, "x", None)]
    assert world.rows(described, "SELECT * FROM t", columns=["b"]) == [("x",)]


@BOTH
def test_fields_of_structs_go_by_name(world: World, serde: str) -> None:
    world.objects.bodies["t/x"] = WRITERS[serde](pa.table({"r": [{"Y": 1, "x": "a"}, None]}))
    described = table({"r": "struct<x:string,y:bigint,z:int>"}, serde)
    assert world.rows(described) == [({"x": "a", "y": 1, "z": None},), (None,)]


@BOTH
@pytest.mark.parametrize(
    ("stored", "kind", "expected"),
    [
        (pa.array([7], pa.int32()), "bigint", 7),
        (pa.array([7], pa.int64()), "int", 7),
        (pa.array([1.5], pa.float32()), "double", 1.5),
        (pa.array([Decimal("1.25")], pa.decimal128(5, 2)), "decimal(10,3)", Decimal("1.250")),
        (pa.array([Decimal("1.25")], pa.decimal128(5, 2)), "decimal(5,1)", Decimal("1.3")),
        (pa.array(["abcdef"]), "varchar(3)", "abc"),
        (
            pa.array([datetime.datetime(2026, 1, 31, 0, 0, 0, 1500)], pa.timestamp("us")),
            "timestamp",
            datetime.datetime(2026, 1, 31, 0, 0, 0, 2000),
        ),
        (pa.array([[1]], pa.list_(pa.int32())), "array<bigint>", [1]),
    ],
)
def test_a_column_may_be_stored_narrower_or_finer(
    world: World, serde: str, stored: pa.Array, kind: str, expected: Any
) -> None:
    world.objects.bodies["t/x"] = WRITERS[serde](pa.table({"c": stored}))
    assert world.rows(table({"c": kind}, serde)) == [(expected,)]


def test_an_instant_of_parquet_is_its_time_in_utc(world: World) -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 1, 31, 12, 0, tzinfo=east)
    world.objects.bodies["t/x"] = parquet(pa.table({"c": pa.array([moment], pa.timestamp("us", "UTC"))}))
    assert world.rows(table({"c": "timestamp"}, PARQUET)) == [(datetime.datetime(2026, 1, 31, 10, 0),)]


def test_timestamps_of_hive_in_parquet_are_read(world: World) -> None:
    moment = datetime.datetime(1600, 1, 2, 3, 4, 5)
    body = parquet(
        pa.table({"c": pa.array([moment], pa.timestamp("us"))}), use_deprecated_int96_timestamps=True
    )
    world.objects.bodies["t/x"] = body
    assert world.rows(table({"c": "timestamp"}, PARQUET)) == [(moment,)]


@pytest.mark.parametrize(
    ("stored", "kind", "physical"),
    [
        (pa.array(["7"]), "int", "BINARY"),
        (pa.array([7], pa.int64()), "string", "INT64"),
        (pa.array([2**40], pa.int64()), "int", "INT64"),
        (pa.array([1.5]), "bigint", "DOUBLE"),
    ],
)
def test_parquet_that_does_not_fit_its_column_fails_the_query(
    world: World, stored: pa.Array, kind: str, physical: str
) -> None:
    world.objects.bodies["t/x"] = parquet(pa.table({"c": stored}))
    failure = world.failure(table({"c": kind}, PARQUET))
    assert failure.startswith(f"HIVE_BAD_DATA: Field c's type {physical} in parquet file s3://{BUCKET}/t/x")
    assert "is incompatible with type" in failure


def test_orc_that_does_not_fit_its_column_fails_the_query(world: World) -> None:
    world.objects.bodies["t/x"] = orc_file(pa.table({"c": ["7"]}))
    failure = world.failure(table({"c": "int"}, ORC))
    assert failure.startswith("HIVE_BAD_DATA: Malformed ORC file. Cannot read SQL type 'integer'")


@BOTH
def test_a_file_of_another_format_fails_the_query(world: World, serde: str) -> None:
    world.put("t/x", "this is text, whatever the table says about it")
    failure = world.failure(table({"c": "int"}, serde))
    assert failure.startswith("HIVE_BAD_DATA: Not ")
    assert f"s3://{BUCKET}/t/x" in failure


def wide() -> pa.Table:
    """A small column and a large one that does not compress."""
    import random

    rng = random.Random(1)
    return pa.table({"small": list(range(1000)), "large": [rng.randbytes(200) for _ in range(1000)]})


@BOTH
def test_count_costs_next_to_nothing(world: World, serde: str) -> None:
    world.objects.bodies["t/x"] = WRITERS[serde](wide())
    described = table({"small": "bigint", "large": "binary"}, serde)
    assert world.rows(described, "SELECT count(*) FROM t", columns=()) == [(1000,)]
    assert world.session.scanned_bytes == 0


@BOTH
def test_only_the_columns_used_are_paid_for(world: World, serde: str) -> None:
    body = WRITERS[serde](wide(), compression="ZSTD")
    world.objects.bodies["t/x"] = body
    described = table({"small": "bigint", "large": "binary"}, serde)
    world.rows(described, "SELECT sum(small) FROM t", columns=["small"])
    small = world.session.scanned_bytes
    assert 0 < small < 20_000
    world.session = world.new_session()
    world.rows(described)
    assert 200_000 < world.session.scanned_bytes <= len(body)


def test_parquet_costs_the_column_chunks_of_its_footer(world: World) -> None:
    body = parquet(every_type(), row_group_size=1)
    world.objects.bodies["t/x"] = body
    world.rows(table(TYPES, PARQUET), columns=["rec", "s"])
    metadata = pq.ParquetFile(pa.BufferReader(body)).metadata
    groups = (metadata.row_group(n) for n in range(metadata.num_row_groups))
    chunks = [group.column(n) for group in groups for n in range(group.num_columns)]
    expected = sum(c.total_compressed_size for c in chunks if c.path_in_schema.split(".")[0] in ("rec", "s"))
    assert world.session.scanned_bytes == expected > 0


@BOTH
def test_an_older_partition_has_null_in_a_newer_column(world: World, serde: str) -> None:
    old, new = {"a": "int"}, {"a": "bigint", "b": "string"}
    world.objects.bodies["t/1/x"] = WRITERS[serde](pa.table({"a": pa.array([1], pa.int32())}))
    world.objects.bodies["t/2/x"] = WRITERS[serde](pa.table({"a": [2], "b": ["y"]}))
    world.partitions(
        partition(["1"], old, serde, f"s3://{BUCKET}/t/1/"),
        partition(["2"], new, serde, f"s3://{BUCKET}/t/2/"),
    )
    rows = world.rows(table(new, serde, keys={"k": "int"}), "SELECT a, b, k FROM t ORDER BY k")
    assert rows == [(1, None, 1), (2, "y", 2)]


@BOTH
def test_a_year_of_small_files_is_one_scan(world: World, serde: str) -> None:
    for number in range(365):
        world.objects.bodies[f"t/{number}/x"] = WRITERS[serde](pa.table({"a": [number]}))
    places = [partition([str(n)], {"a": "bigint"}, serde, f"s3://{BUCKET}/t/{n}/") for n in range(365)]
    world.partitions(*places)
    described = table({"a": "bigint"}, serde, keys={"k": "int"})
    assert world.rows(described, "SELECT count(*), sum(a), sum(k) FROM t") == [(365, 66430, 66430)]
    world.objects.read_keys.clear()
    assert world.rows(described, filters=['"k" = 200']) == [(200, 200)]
    assert world.objects.read_keys == ["t/200/x"]


@BOTH
def test_partition_keys_in_the_file_too_are_the_partition_s(world: World, serde: str) -> None:
    world.objects.bodies["t/1/x"] = WRITERS[serde](pa.table({"a": [1], "k": ["in the file"]}))
    world.partitions(partition(["of glue"], {"a": "bigint"}, serde, f"s3://{BUCKET}/t/1/"))
    assert world.rows(table({"a": "bigint"}, serde, keys={"k": "string"})) == [(1, "of glue")]
