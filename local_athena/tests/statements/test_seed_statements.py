"""Every statement of the two documents the project began with, over HTTP; the blog's typos are mended."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from local_athena import LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements
from support.athena_runner import Runner

pytestmark = pytest.mark.integration

TEST_QUERY = """
SELECT * FROM {db}.{objects_view}
WHERE substr(logical_key, -5)='.tiff'
-- extract and query package-level metadata
AND json_extract_scalar(meta, '$.user_meta.nucmembsegmentationalgorithmversion') LIKE '1.3%'
AND json_array_contains(json_extract(meta, '$.user_meta.cellindex'), '5');
"""


def put_package(
    runner: Runner, name: str, pointer: str, top_hash: str, lines: list[dict[str, object]]
) -> None:
    body = "".join(json.dumps(line) + "\n" for line in lines)
    runner.s3.put_object(Bucket=runner.bucket, Key=f".quilt/packages/{top_hash}", Body=body.encode())
    key = f".quilt/named_packages/{name}/{pointer}"
    runner.s3.put_object(Bucket=runner.bucket, Key=key, Body=top_hash.encode())


def test_the_notebooks_tables_views_and_query(aws: LocalAthena, unique: Callable[[str], str]) -> None:
    runner = Runner(aws, unique("seed-bucket"), "default")
    db = unique("quilt_query")
    seed = seed_statements(db, runner.bucket)
    packages_view, objects_view = (name for name in seed if name.endswith("_view"))
    test_query = TEST_QUERY.format(db=db, objects_view=objects_view)
    cells = {"user_meta": {"nucmembsegmentationalgorithmversion": "1.3.1", "cellindex": ["5", "7"]}}
    header: dict[str, object] = {"version": "v0", "message": "first", "user_meta": {"a": 1}}
    hit: dict[str, object] = {
        "logical_key": "cells/a.tiff",
        "physical_keys": ["s3://data/a.tiff?versionId=1"],
        "size": 12,
        "hash": {"type": "SHA256", "value": "ab"},
        "meta": cells,
    }
    put_package(
        runner, "lab/cells", "1667312000", "aa11", [header, hit, {**hit, "logical_key": "cells/a.csv"}]
    )
    other = {"user_meta": {**cells["user_meta"], "nucmembsegmentationalgorithmversion": "1.2"}}
    put_package(runner, "lab/other", "1667312001", "bb22", [header, {**hit, "meta": other}])

    runner.ok(f"create database {db}")
    for name, statement in seed.items():
        reason = runner.fails(f"DROP TABLE `{db}.{name}`;")
        assert reason.startswith("FAILED: SemanticException [Error 10001]: Table not found")
        runner.ok(statement)
    expected = ("lab", "cells", "1667312000", "aa11", "cells/a.tiff", "[s3://data/a.tiff?versionId=1]", "12")
    found = runner.rows(test_query)
    assert [row[:7] for row in found] == [expected]
    assert found[0][7] == "{type=SHA256, value=ab}"
    assert json.loads(str(found[0][8])) == cells
    packages = runner.rows(f'SELECT "user", name, message FROM {db}.{packages_view} ORDER BY name')
    assert packages == [("lab", "cells", "first"), ("lab", "other", "first")]
    # Run again as the notebook does: each object is dropped, the views by DROP TABLE too, and made anew.
    for name, statement in seed.items():
        runner.ok(f"DROP TABLE `{db}.{name}`;")
        runner.ok(statement)
    assert runner.rows(test_query) == found


def test_the_blogs_insert_overwrite(aws: LocalAthena, unique: Callable[[str], str]) -> None:
    runner = Runner(aws, unique("blog-bucket"), unique("blog"))
    db, bucket = runner.database, runner.bucket
    runner.ok(f"CREATE DATABASE {db}")
    runner.ok(f"DROP TABLE IF EXISTS {db}.sales;")
    runner.ok(
        f"""
            CREATE EXTERNAL TABLE {db}.sales
            (id INT, name STRING)
            PARTITIONED BY (year INT, month STRING)
            STORED AS ORC
            LOCATION 's3://{bucket}/sales/'
            TBLPROPERTIES ('orc.compress' = 'ZLIB');
        """
    )
    runner.ok(f"MSCK REPAIR TABLE {db}.sales;")

    def overwrite(path: str, partitioned_by: str, sql: str) -> None:
        temporary = f"{db}.tmp_05123"
        runner.ok(f"DROP TABLE IF EXISTS {temporary};")
        for key in runner.keys(path):
            runner.s3.delete_object(Bucket=bucket, Key=key)
        runner.ok(
            f"""
            CREATE TABLE {temporary}
            WITH (
                external_location = 's3://{bucket}/{path}',
                format = 'ORC',
                {partitioned_by}
                orc_compression = 'ZLIB'
            )
            AS
            {sql}
        ;"""
        )
        runner.ok(f"MSCK REPAIR TABLE {db}.sales;")
        runner.ok(f"DROP TABLE IF EXISTS {temporary};")

    one = "SELECT * FROM (VALUES (1, CAST('a' AS varchar)), (2, 'b')) AS t(id, name)"
    overwrite("sales/year=2026/month=01/", "", one)
    overwrite(
        "sales/year=2025/",
        "partitioned_by = ARRAY['month'],",
        "SELECT * FROM (VALUES (3, CAST('c' AS varchar), '11'), (4, 'd', '12')) AS t(id, name, month)",
    )
    everything = f"SELECT id, name, year, month FROM {db}.sales ORDER BY id"
    assert runner.rows(everything) == [
        ("1", "a", "2026", "01"),
        ("2", "b", "2026", "01"),
        ("3", "c", "2025", "11"),
        ("4", "d", "2025", "12"),
    ]
    overwrite("sales/year=2026/month=01/", "", "SELECT 9 AS id, CAST('z' AS varchar) AS name")
    assert runner.rows(f"SELECT id FROM {db}.sales WHERE year = 2026") == [("9",)]
    assert len(runner.rows(everything)) == 3
