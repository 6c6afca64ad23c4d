"""Which objects a table's rows come from, and what reading them costs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from local_athena.data.session import ScanCutoff
from local_athena.data.tables import parse_table
from local_athena.duck.scans.scanner import Scanner, ScanRequest
from local_athena.errors import QueryCancelled
from support.scanning import BUCKET, DELIMITED, OPENX, World, table

AWKWARD = [
    "a b",
    "ünï/日本",
    "100%20",
    "a+b",
    "x[1]*?.txt",
    "it's",
    "~tilde",
    "back\\slash",
    "a",
    "a/b",
    "two//slashes",
    "k" * 230,
    'quote"d',
    "new\u2028line",
    "dt=2026-01-01/#frag",
    "trailing.",
]


@pytest.fixture
def world() -> World:
    return World()


def names(world: World, location: str) -> list[str]:
    rows = world.rows(table({"v": "string"}, DELIMITED, location), "SELECT v FROM t ORDER BY v")
    return [v for (v,) in rows]


@pytest.mark.parametrize("location", [f"s3://{BUCKET}/t", f"s3://{BUCKET}/t/", f"s3a://{BUCKET}/t/"])
def test_a_table_never_reads_what_lies_beside_its_location(world: World, location: str) -> None:
    for key in ("t/in", "t/deep/er/in", "tt/out", "t.txt", "t", "other/t/out"):
        world.put(key, key)
    assert names(world, location) == ["t/deep/er/in", "t/in"]


def test_hidden_names_below_the_location_hide_all_under_them(world: World) -> None:
    for key in ("t/_tmp/x", "t/.hidden", "t/a/_SUCCESS", "t/a/.b/c/d", "t/a_b/ok", "t/a.b"):
        world.put(key, key)
    assert names(world, f"s3://{BUCKET}/t/") == ["t/a.b", "t/a_b/ok"]


def test_a_location_inside_a_dot_folder_is_read(world: World) -> None:
    world.put("w/.generations/dt=1/a1/part", "one")
    world.put(".quilt/packages/abc", "two")
    assert names(world, f"s3://{BUCKET}/w/.generations/dt=1/a1/") == ["one"]
    assert names(world, f"s3://{BUCKET}/.quilt/packages/") == ["two"]
    assert names(world, f"s3://{BUCKET}/w/") == []


def test_folder_markers_and_empty_objects_hold_no_rows(world: World) -> None:
    world.objects.bodies |= {"t/": b"", "t/a/": b"", "t/a_$folder$": b"", "t/empty": b""}
    world.put("t/a/x", "row")
    assert names(world, f"s3://{BUCKET}/t/") == ["row"]


def test_the_whole_bucket_may_be_a_location(world: World) -> None:
    world.put("x", "row")
    assert names(world, f"s3://{BUCKET}") == ["row"]


def test_path_is_the_exact_uri_of_awkward_keys(world: World) -> None:
    for key in AWKWARD:
        world.put(f"t/{key}", key)
    rows = world.rows(table({"v": "string"}, DELIMITED), 'SELECT v, "$path" FROM t', path=True)
    assert sorted(rows) == sorted((key, f"s3://{BUCKET}/t/{key}") for key in AWKWARD)


def test_a_condition_on_path_reads_only_those_files(world: World) -> None:
    for name in ("a", "b", "c"):
        world.put(f"t/{name}", name)
    wanted = f"\"$path\" IN ('s3://{BUCKET}/t/b', 's3://{BUCKET}/t/missing')"
    rows = world.rows(table({"v": "string"}, DELIMITED), filters=[wanted], path=True)
    assert rows == [("b", f"s3://{BUCKET}/t/b")]
    assert world.objects.read_keys == ["t/b"]
    assert world.session.scanned_bytes == len("b\n")


def test_a_condition_that_cannot_be_judged_prunes_nothing(world: World) -> None:
    world.put("t/a", "a")
    broken = 'CAST("$path" AS INTEGER) = 1'
    assert world.rows(table({"v": "string"}, DELIMITED), "SELECT v FROM t", filters=[broken]) == [("a",)]


def test_text_costs_the_whole_bytes_of_the_files_read(world: World) -> None:
    world.put("t/a", "12345")
    world.put("t/b", "1")
    world.rows(table({"v": "string"}, DELIMITED), "SELECT count(*) FROM t", columns=())
    assert world.session.scanned_bytes == len("12345\n") + len("1\n")


def test_a_scan_beyond_the_cut_off_is_stopped_before_it_reads_on(world: World) -> None:
    for name in "abcdef":
        world.put(f"t/{name}", "x" * 9)
    world.session = world.new_session(cutoff=25)
    with pytest.raises(ScanCutoff, match="Bytes scanned limit was exceeded"):
        world.rows(table({"v": "string"}, DELIMITED))
    assert world.objects.read_keys == ["t/a", "t/b"]


def test_a_stopped_query_reads_no_further_file(world: World) -> None:
    world.put("t/a", "x")
    world.session.cancel()
    with pytest.raises(QueryCancelled):
        world.rows(table({"v": "string"}, DELIMITED))
    assert world.objects.read_keys == []


def test_one_table_named_twice_is_read_once(world: World) -> None:
    world.put("t/a", "1\x012")
    described = parse_table(table({"a": "int", "b": "int"}, DELIMITED))
    requests = [
        ScanRequest("left side", described, frozenset({"a"})),
        ScanRequest("r", described, frozenset({"b"})),
    ]
    with duckdb.connect() as connection:
        Scanner().bind(connection, requests, world.session)
        assert connection.execute('SELECT l.a, r.b FROM "left side" l, r').fetchall() == [(1, 2)]
    assert world.objects.read_keys == ["t/a"]
    assert world.session.scanned_bytes == len("1\x012\n")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Parameters": {"table_type": "ICEBERG"}}, "Iceberg"),
        ({"Parameters": {"spark.sql.sources.provider": "delta"}}, "Delta"),
        ({"TableType": "VIRTUAL_VIEW", "ViewOriginalText": "SELECT 1"}, "Hive view"),
    ],
)
def test_what_is_no_table_of_files_is_refused_by_name(
    world: World, change: dict[str, object], reason: str
) -> None:
    failure = world.failure(table({"v": "string"}) | change)
    assert failure.startswith("NOT_SUPPORTED")
    assert reason in failure
    assert "'db.t'" in failure


@pytest.mark.parametrize(
    ("serde", "named"),
    [
        ("org.apache.hadoop.hive.serde2.avro.AvroSerDe", "Avro"),
        ("com.example.OtherSerDe", "com.example.OtherSerDe"),
    ],
)
def test_a_serde_nobody_reads_is_refused_by_name(world: World, serde: str, named: str) -> None:
    world.put("t/a", "x")
    assert named in world.failure(table({"v": "string"}, serde))


def test_a_table_outside_s3_is_refused(world: World) -> None:
    assert "hdfs://nn/t" in world.failure(table({"v": "string"}, DELIMITED, "hdfs://nn/t"))


def test_queries_side_by_side_do_not_see_each_other_s_rows() -> None:
    """Each on its own cursor of one database, as the engine runs them."""
    worlds = []
    for number in range(8):
        world = World()
        world.put("t/x", *[f'{{"a": "{number}", "B": {{"K": "{n}"}}}}' for n in range(500)])
        worlds.append(world)
    described = parse_table(table({"a": "string", "b": "string"}, OPENX))
    with duckdb.connect() as database, ThreadPoolExecutor(4) as pool:

        def count(world: World) -> list[tuple[str, int]]:
            with database.cursor() as cursor:
                Scanner().bind(cursor, [ScanRequest("t", described)], world.session)
                return cursor.execute("SELECT a, count(DISTINCT b) FROM t GROUP BY a").fetchall()

        found = list(pool.map(count, worlds * 3))
    assert found == [[(str(number), 500)] for number in range(8)] * 3
