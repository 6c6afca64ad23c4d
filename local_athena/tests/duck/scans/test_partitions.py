"""Partitions: which are read, what their keys hold, and what happens where their columns differ."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from support.scanning import BUCKET, CSV, DELIMITED, OPENX, World, partition, table

COLUMNS = {"a": "bigint"}


def at(place: str) -> str:
    return f"s3://{BUCKET}/{place}"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def year() -> World:
    """365 partitions by day, one row each."""
    world = World()
    days = [datetime.date(2026, 1, 1) + datetime.timedelta(days=n) for n in range(365)]
    for number, day in enumerate(days):
        world.put(f"t/dt={day}/part-0", str(number))
    world.partitions(*[partition([str(d)], COLUMNS, DELIMITED, at(f"t/dt={d}/")) for d in days])
    return world


@pytest.mark.parametrize("key_type", ["date", "string"])
def test_pruning_to_one_of_365_partitions_reads_one(year: World, key_type: str) -> None:
    described = table(COLUMNS, DELIMITED, keys={"dt": key_type})
    literal = "DATE '2026-03-01'" if key_type == "date" else "'2026-03-01'"
    rows = year.rows(described, "SELECT a FROM t", filters=[f'"dt" = {literal}'])
    assert rows == [(59,)]
    assert year.objects.read_keys == ["t/dt=2026-03-01/part-0"]
    assert year.objects.listed == ["t/dt=2026-03-01/"]
    assert year.glue.calls == 1
    assert year.session.scanned_bytes == len("59\n")


def test_all_conditions_prune_together(year: World) -> None:
    described = table(COLUMNS, DELIMITED, keys={"dt": "date"})
    rows = year.rows(
        described,
        "SELECT sum(a) FROM t",
        filters=["\"dt\" >= DATE '2026-12-30'", "\"dt\" <> DATE '2026-12-31'", 'day("dt") > 1'],
    )
    assert rows == [(363,)]


def test_a_condition_on_path_and_key_prunes_files(year: World) -> None:
    described = table(COLUMNS, DELIMITED, keys={"dt": "date"})
    condition = "\"$path\" LIKE '%dt=2026-01-02%' AND \"dt\" > DATE '2026-01-01'"
    assert year.rows(described, "SELECT a FROM t", filters=[condition]) == [(1,)]
    assert year.objects.read_keys == ["t/dt=2026-01-02/part-0"]


def test_without_pruning_every_partition_is_read(year: World) -> None:
    described = table(COLUMNS, DELIMITED, keys={"dt": "date"})
    rows = year.rows(described, "SELECT count(*), sum(a), min(dt), max(dt) FROM t")
    assert rows == [(365, 365 * 364 // 2, datetime.date(2026, 1, 1), datetime.date(2026, 12, 31))]
    assert len(year.objects.read_keys) == 365


def test_keys_have_the_types_the_table_gives_them(world: World) -> None:
    keys = {"i": "int", "d": "date", "n": "decimal(10,2)", "s": "string", "b": "boolean", "v": "varchar(3)"}
    values = ["7", "2026-01-31", "1.50", "a b/ü", "true", "xyz"]
    world.put("t/p/x", "1")
    world.partitions(partition(values, COLUMNS, DELIMITED, at("t/p")))
    (row,) = world.rows(table(COLUMNS, DELIMITED, keys=keys), path=True)
    assert row == (1, 7, datetime.date(2026, 1, 31), Decimal("1.50"), "a b/ü", True, "xyz", at("t/p/x"))


def test_the_default_partition_is_null(world: World) -> None:
    world.put("t/p/x", "1")
    world.put("t/q/x", "2")
    world.partitions(
        partition(["__HIVE_DEFAULT_PARTITION__"], COLUMNS, DELIMITED, at("t/p/")),
        partition(["5"], COLUMNS, DELIMITED, at("t/q/")),
    )
    described = table(COLUMNS, DELIMITED, keys={"k": "int"})
    assert world.rows(described, "SELECT a, k FROM t ORDER BY a") == [(1, None), (2, 5)]
    assert world.rows(described, "SELECT a FROM t", filters=['"k" IS NULL']) == [(1,)]


def test_partitions_may_lie_anywhere(world: World) -> None:
    world.put("t/.generations/k=1/a/part", "1")
    world.put("elsewhere/part", "2")
    world.put("t/k=3/part", "3")  # Glue does not know it
    world.partitions(
        partition(["1"], COLUMNS, DELIMITED, at("t/.generations/k=1/a/")),
        partition(["2"], COLUMNS, DELIMITED, at("elsewhere")),
    )
    rows = world.rows(table(COLUMNS, DELIMITED, keys={"k": "int"}), "SELECT a, k FROM t ORDER BY a")
    assert rows == [(1, 1), (2, 2)]


def test_a_value_that_is_none_of_its_type_fails_the_query(world: World) -> None:
    world.partitions(partition(["soon"], COLUMNS, DELIMITED, at("t/p/")))
    failure = world.failure(table(COLUMNS, DELIMITED, keys={"dt": "date"}))
    assert (
        failure == "HIVE_INVALID_PARTITION_VALUE: Invalid partition value 'soon' for DATE partition key: dt"
    )


def test_a_column_added_later_is_null_in_older_partitions(world: World) -> None:
    world.put("t/1/x", "1\x01ignored")
    world.put("t/2/x", "2\x01new")
    now = {"a": "bigint", "b": "string"}
    world.partitions(
        partition(["1"], {"a": "bigint"}, DELIMITED, at("t/1/")),
        partition(["2"], now, DELIMITED, at("t/2/")),
    )
    rows = world.rows(table(now, DELIMITED, keys={"k": "int"}), "SELECT a, b FROM t ORDER BY a")
    assert rows == [(1, None), (2, "new")]


def test_a_partition_is_read_by_its_own_serde_and_columns(world: World) -> None:
    """Text goes by position, whatever the names; an int column was widened since."""
    world.put("t/1/x", "7,x")
    world.put("t/2/x", '{"b": "y", "a": 8}')
    wide = {"a": "bigint", "b": "string"}
    world.partitions(
        partition(["1"], {"old_a": "int", "old_b": "string"}, DELIMITED, at("t/1/"), {"field.delim": ","}),
        partition(["2"], {"b": "string", "a": "int"}, OPENX, at("t/2/")),
    )
    rows = world.rows(table(wide, DELIMITED, keys={"k": "int"}), "SELECT a, b, k FROM t ORDER BY k")
    assert rows == [(7, "x", 1), (8, "y", 2)]


def test_types_at_odds_between_table_and_partition_fail_the_query(world: World) -> None:
    world.put("t/1/x", "true")
    world.partitions(partition(["1"], {"a": "boolean"}, DELIMITED, at("t/1/")))
    failure = world.failure(table({"a": "int"}, DELIMITED, keys={"k": "int"}))
    assert failure.startswith("HIVE_PARTITION_SCHEMA_MISMATCH: There is a mismatch between")
    assert "The column 'a' in table 'db.t' is declared as type 'int'" in failure
    assert "partition 'k=1' declared column 'a' as type 'boolean'" in failure


@pytest.mark.parametrize(
    ("declared", "text", "wanted", "expected"),
    [
        ("string", "12", "bigint", 12),
        ("string", "x", "int", None),
        ("string", "2026-01-02", "date", datetime.date(2026, 1, 2)),
        ("smallint", "12", "string", "12"),
        ("float", "1.5", "double", 1.5),
        ("decimal(5,2)", "1.25", "decimal(10,3)", Decimal("1.250")),
        ("decimal(5,2)", "1.25", "string", "1.25"),
        ("double", "1.5", "decimal(4,1)", Decimal("1.5")),
    ],
)
def test_a_partition_column_is_coerced_as_trino_does(
    world: World, declared: str, text: str, wanted: str, expected: object
) -> None:
    world.put("t/1/x", text)
    world.partitions(partition(["1"], {"a": declared}, DELIMITED, at("t/1/")))
    assert world.rows(table({"a": wanted}, DELIMITED, keys={"k": "int"}), "SELECT a FROM t") == [(expected,)]


def test_projected_dates_need_no_glue(world: World) -> None:
    for day in ("2026/01/30", "2026/01/31", "2026/02/01", "2026/02/02"):
        world.put(f"logs/{day}/x", day[-2:])
    described = table(
        COLUMNS,
        DELIMITED,
        keys={"dt": "string"},
        parameters={
            "projection.enabled": "true",
            "projection.dt.type": "date",
            "projection.dt.format": "yyyy/MM/dd",
            "projection.dt.range": "2026/01/31,2026/02/01",
            "storage.location.template": f"s3://{BUCKET}/logs/${{dt}}/",
        },
    )
    rows = world.rows(described, "SELECT a, dt FROM t ORDER BY a")
    assert rows == [(1, "2026/02/01"), (31, "2026/01/31")]
    assert world.glue.calls == 0


def test_projected_keys_multiply_and_prune(world: World) -> None:
    for region in ("eu", "us"):
        for hour in ("00", "06", "12", "18"):
            world.put(f"t/region={region}/hour={hour}/x", str(int(hour)))
    described = table(
        COLUMNS,
        DELIMITED,
        keys={"region": "string", "hour": "int"},
        parameters={
            "projection.enabled": "TRUE",
            "projection.region.type": "enum",
            "projection.region.values": "eu, us,ap",
            "projection.hour.type": "integer",
            "projection.hour.range": "0,23",
            "projection.hour.interval": "6",
            "projection.hour.digits": "2",
        },
    )
    assert world.rows(described, "SELECT count(*), sum(a) FROM t") == [(8, 72)]
    world.objects.listed.clear()
    rows = world.rows(described, "SELECT region, hour FROM t", filters=["\"region\" = 'us'", '"hour" = 12'])
    assert rows == [("us", 12)]
    assert world.objects.listed == ["t/region=us/hour=12/"]


def test_an_injected_key_is_taken_from_the_query_or_refused(world: World) -> None:
    world.put("t/id=7/x", "1")
    world.put("t/id=8/x", "2")
    described = table(
        COLUMNS,
        DELIMITED,
        keys={"id": "string"},
        parameters={"projection.enabled": "true", "projection.id.type": "injected"},
    )
    assert world.rows(described, "SELECT a FROM t", filters=["\"id\" = '7'"]) == [(1,)]
    assert world.rows(described, "SELECT sum(a) FROM t", filters=["(\"id\" IN ('7', '8'))"]) == [(3,)]
    assert "static equality conditions" in world.failure(described)


def test_a_projection_that_is_not_whole_says_what_is_missing(world: World) -> None:
    described = table(
        COLUMNS,
        DELIMITED,
        keys={"dt": "string"},
        parameters={"projection.enabled": "true", "projection.dt.type": "date"},
    )
    failure = world.failure(described)
    assert failure.startswith("INVALID_TABLE_PROPERTY")
    assert "projection.dt.format" in failure


def test_csv_partitions_skip_their_header(world: World) -> None:
    world.put("t/1/x.csv", "a,b", "1,x")
    world.partitions(partition(["1"], {"a": "int", "b": "string"}, CSV, at("t/1/")))
    described = table(
        {"a": "int", "b": "string"}, CSV, keys={"k": "int"}, parameters={"skip.header.line.count": "1"}
    )
    assert world.rows(described) == [(1, "x", 1)]
