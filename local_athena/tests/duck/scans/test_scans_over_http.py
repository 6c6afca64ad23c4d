"""Tables read by a running local Athena: what its own S3 and Glue hold, under the caller's own rights."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from local_athena import LocalAthena
from support.athena_runner import Runner

pytestmark = pytest.mark.integration

AWKWARD = ["a b", "ü/日本", "100%20", "x[1]*?", "it's", "back\\slash", "a", "a/b", "two//slashes", "k" * 230]


@pytest.fixture
def runner(aws: LocalAthena, unique: Callable[[str], str]) -> Runner:
    found = Runner(aws, unique("scan-bucket"), unique("scan"))
    assert found.run(f"CREATE DATABASE {found.database}", database="default").state == "SUCCEEDED"
    return found


def rows(runner: Runner, sql: str) -> list[tuple[str | None, ...]]:
    answer = runner.run(sql)
    assert answer.state == "SUCCEEDED", answer.reason
    return list(answer.rows)


def scanned(runner: Runner, sql: str) -> int:
    answer = runner.run(sql)
    assert answer.state == "SUCCEEDED", answer.reason
    return int(answer.execution["Statistics"]["DataScannedInBytes"])


def create(runner: Runner, columns: str, location: str, more: str) -> None:
    statement = f"CREATE EXTERNAL TABLE t ({columns}) {more} LOCATION 's3://{runner.bucket}/{location}'"
    answer = runner.run(statement)
    assert answer.state == "SUCCEEDED", answer.reason


def put(runner: Runner, key: str, body: bytes) -> None:
    runner.s3.put_object(Bucket=runner.bucket, Key=key, Body=body)


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_awkward_keys_come_back_whole_through_path(runner: Runner) -> None:
    for key in AWKWARD:
        put(runner, f"t/{key}", key.encode())
    put(runner, "tt/beside", b"no")
    put(runner, "t/_hidden/x", b"no")
    put(runner, "t/folder/", b"")
    create(runner, "v string", "t", "ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\t'")
    found = rows(runner, 'SELECT v, "$path" FROM t')
    assert sorted(found) == sorted((key, f"s3://{runner.bucket}/t/{key}") for key in AWKWARD)


def test_a_condition_on_path_reads_one_manifest(runner: Runner) -> None:
    """As Quilt's own queries do."""
    for name in ("one", "two"):
        put(runner, f".quilt/packages/{name}", json.dumps({"logical_key": name}).encode() + b"\n")
    serde = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
    create(runner, "logical_key string", ".quilt/packages/", serde)
    one = f"s3://{runner.bucket}/.quilt/packages/one"
    assert rows(runner, f"SELECT logical_key FROM t WHERE \"$path\" = '{one}'") == [("one",)]
    assert scanned(runner, f"SELECT logical_key FROM t WHERE \"$path\" = '{one}'") == len(
        '{"logical_key": "one"}\n'
    )


def test_a_pruned_partition_is_neither_listed_nor_read(aws: LocalAthena, runner: Runner) -> None:
    for day in (1, 2, 3):
        put(runner, f"t/dt=2026-01-0{day}/part", parquet(a=[day], pad=["x" * 1000]))
    create(runner, "a bigint, pad string", "t/", "PARTITIONED BY (dt date) STORED AS PARQUET")
    assert runner.run("MSCK REPAIR TABLE t").state == "SUCCEEDED"
    aws.clear_calls()
    assert rows(runner, "SELECT a FROM t WHERE dt = DATE '2026-01-02'") == [("2",)]
    touched = {
        (call.operation, call.detail)
        for call in aws.calls
        if call.by_athena and call.service == "s3" and f"{runner.bucket}/t/" in call.detail
    }
    assert touched == {
        ("ListObjectsV2", f"{runner.bucket}/t/dt=2026-01-02/"),
        ("GetObject", f"{runner.bucket}/t/dt=2026-01-02/part"),
    }
    assert scanned(runner, "SELECT count(*) FROM t") == 0
    assert 0 < scanned(runner, "SELECT sum(a) FROM t") < 1000


def test_new_and_changed_objects_are_seen_by_the_next_query(runner: Runner) -> None:
    create(runner, "v string", "t/", "ROW FORMAT DELIMITED FIELDS TERMINATED BY ','")
    assert rows(runner, "SELECT v FROM t") == []
    put(runner, "t/x", b"first")
    assert rows(runner, "SELECT v FROM t") == [("first",)]
    put(runner, "t/x", b"other")
    assert rows(runner, "SELECT v FROM t") == [("other",)]
    runner.s3.delete_object(Bucket=runner.bucket, Key="t/x")
    assert rows(runner, "SELECT v FROM t") == []


def test_a_torn_line_fails_a_query_with_athena_s_words(runner: Runner) -> None:
    put(runner, "t/x", b'{"a": "1"\n')
    create(runner, "a string", "t/", "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'")
    answer = runner.run("SELECT * FROM t")
    assert answer.state == "FAILED"
    assert answer.reason.startswith("HIVE_CURSOR_ERROR: Row is not a valid JSON Object - JSONException")


def test_nested_metadata_is_lowered_by_default_and_kept_on_request(runner: Runner) -> None:
    put(runner, "t/x", b'{"meta": {"CellLine": {"isAdmin": 1}}}\n')
    serde = "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"
    create(runner, "meta string", "t/", serde)
    assert rows(runner, "SELECT meta FROM t") == [('{"cellline":{"isadmin":1}}',)]
    assert runner.run("DROP TABLE t").state == "SUCCEEDED"
    create(runner, "meta string", "t/", f"{serde} WITH SERDEPROPERTIES ('case.insensitive'='false')")
    assert rows(runner, "SELECT meta FROM t") == [('{"CellLine":{"isAdmin":1}}',)]
