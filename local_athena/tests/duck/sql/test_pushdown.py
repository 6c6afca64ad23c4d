"""Which columns a query asks its scans for, and which partitions and files its conditions leave to read."""

# ruff: noqa: E501  # a case is one line
from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from local_athena.data.catalog import Catalog
from local_athena.duck.sql import gate
from local_athena.duck.sql.relations import TableScan
from local_athena.duck.sql.translate import translate
from support.selects import FakeGlue, session, view


def table(*keys: str) -> dict[str, Any]:
    columns = [
        {"Name": "id", "Type": "int"},
        {"Name": "name", "Type": "string"},
        {"Name": "amount", "Type": "double"},
    ]
    return {
        "TableType": "EXTERNAL_TABLE",
        "StorageDescriptor": {"Columns": columns, "Location": "s3://bucket/t/"},
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys],
    }


TABLES = {
    ("db", "t"): table("dt", "region"),
    ("db", "u"): table("dt"),
    ("db", "v"): view("SELECT id + 1 AS id1, dt AS day, name FROM t WHERE amount > 1", id1="integer", day="varchar", name="varchar"),
    ("db", "vv"): view("SELECT day, count(*) AS n FROM v GROUP BY day", day="varchar", n="bigint"),
    ("db", "latest"): view(
        "SELECT * FROM (SELECT id, dt, row_number() OVER (PARTITION BY dt ORDER BY id) AS rn FROM t) WHERE rn = 1",
        id="integer", dt="varchar", rn="bigint",
    ),
    ("db", "both"): view("SELECT dt, id FROM t UNION ALL SELECT dt, id FROM u", dt="varchar", id="integer"),
}  # fmt: skip


def scans(sql: str) -> dict[str, TableScan]:
    """The scans of a query, by table (the last one of each)."""
    made = translate(
        gate.parse(sql),
        catalog=Catalog(session(FakeGlue(TABLES)).clients),
        database="db",
        parameters=(),
        now=dt.datetime(2026, 1, 2),
    )
    return {scan.table.name: scan for scan in made.scans}


def filters(sql: str, name: str = "t") -> list[str]:
    return scans(sql)[name].filters


SUNK: list[tuple[str, list[str]]] = [
    ("SELECT id FROM t WHERE dt = 'x'", ["""("dt" = 'x')"""]),
    (
        "SELECT id FROM t WHERE dt = 'x' AND id = 1 AND region IN ('a', 'b')",
        ["""("dt" = 'x')""", """("region" IN ('a', 'b'))"""],
    ),
    ("SELECT id FROM t WHERE dt = 'x' OR region = 'y'", ["""(("dt" = 'x') OR ("region" = 'y'))"""]),
    ("SELECT id FROM t WHERE dt = 'x' OR id = 1", []),
    ("SELECT id FROM t WHERE \"$path\" IN ('s3://a', 's3://b')", ["""("$path" IN ('s3://a', 's3://b'))"""]),
    ("SELECT id FROM t AS a WHERE a.dt BETWEEN 'x' AND 'y'", ["""("dt" BETWEEN 'x' AND 'y')"""]),
    # through subqueries, WITH and views
    ("SELECT * FROM (SELECT id, dt AS d FROM t) WHERE d = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT * FROM (SELECT dt || 'z' AS d FROM t) WHERE d = 'xz'", ["""((("dt" || 'z')) = 'xz')"""]),
    ("WITH w AS (SELECT * FROM t) SELECT * FROM w WHERE dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT id1 FROM v WHERE day = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT n FROM vv WHERE day = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT id FROM latest WHERE dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT id FROM both WHERE dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT DISTINCT id FROM (SELECT DISTINCT id, dt FROM t) WHERE dt = 'x'", ["""("dt" = 'x')"""]),
    # through joins: only where no row of the result can come of what is left out
    ("SELECT 1 FROM t JOIN u ON t.id = u.id WHERE t.dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT 1 FROM t JOIN u ON t.id = u.id AND t.dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT 1 FROM t, u WHERE t.id = u.id AND t.dt = 'x' AND u.dt = 'y'", ["""("dt" = 'x')"""]),
    ("SELECT 1 FROM t LEFT JOIN u ON t.id = u.id WHERE t.dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT 1 FROM u LEFT JOIN t ON t.id = u.id AND t.dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT 1 FROM t JOIN u USING (dt) WHERE dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT x FROM t CROSS JOIN UNNEST(split(name, ',')) AS s(x) WHERE dt = 'x'", ["""("dt" = 'x')"""]),
    ("SELECT (SELECT max(id) FROM t WHERE dt = 'x')", ["""("dt" = 'x')"""]),
    ("SELECT 1 FROM u WHERE id IN (SELECT id FROM t WHERE dt = 'x')", ["""("dt" = 'x')"""]),
    (
        "WITH w AS (SELECT * FROM t) SELECT 1 FROM w a JOIN w b ON a.id = b.id WHERE a.dt = 'x' AND b.dt = 'y'",
        ["""((("dt" = 'x')) OR (("dt" = 'y')))"""],
    ),
    # and where they would change the result, they stay
    ("SELECT 1 FROM t LEFT JOIN u ON t.id = u.id AND t.dt = 'x'", []),
    ("SELECT 1 FROM u LEFT JOIN t ON t.id = u.id WHERE t.dt = 'x'", []),
    ("SELECT 1 FROM u FULL JOIN t ON t.id = u.id WHERE t.dt = 'x'", []),
    ("SELECT 1 FROM t JOIN u ON t.id = u.id WHERE t.dt = u.dt", []),
    ("SELECT * FROM (SELECT * FROM t LIMIT 5) WHERE dt = 'x'", []),
    ("SELECT * FROM (SELECT dt, rank() OVER (ORDER BY id) AS r FROM t) WHERE dt = 'x'", []),
    ("SELECT * FROM (SELECT max(dt) AS dt FROM t) WHERE dt = 'x'", []),
    ("SELECT * FROM (SELECT dt, count(*) FROM t GROUP BY ROLLUP (dt)) WHERE dt = 'x'", []),
    ("WITH w AS (SELECT * FROM t) SELECT 1 FROM w a, w b WHERE a.dt = 'x'", []),
    ("SELECT * FROM (SELECT random() < 0.5 AS r, dt FROM t) WHERE r", []),
    ("SELECT 1 FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.dt = u.dt)", []),
]


@pytest.mark.parametrize(("sql", "expected"), SUNK, ids=[sql[:90] for sql, _ in SUNK])
def test_a_condition_sinks_to_the_scan_where_that_is_sound(sql: str, expected: list[str]) -> None:
    assert filters(sql) == expected


def test_a_condition_reaches_every_branch_of_a_union() -> None:
    sql = "SELECT * FROM (SELECT dt FROM t UNION ALL SELECT dt FROM u) WHERE dt = 'x'"
    assert filters(sql, "t") == filters(sql, "u") == ["""("dt" = 'x')"""]


COLUMNS: list[tuple[str, set[str]]] = [
    ("SELECT id FROM t", {"id"}),
    ("SELECT count(*) FROM t", set()),
    ("SELECT * FROM t", {"id", "name", "amount", "dt", "region"}),
    ("SELECT id FROM t WHERE amount > 1 ORDER BY name", {"id", "amount", "name"}),
    ("SELECT id FROM (SELECT * FROM t)", {"id"}),
    ("SELECT id1 FROM v", {"id", "amount"}),
    ("WITH w AS (SELECT * FROM t) SELECT id FROM w", {"id"}),
    ("SELECT id FROM both", {"id"}),
    ("SELECT x FROM (SELECT id AS x, lower(name) AS y FROM t) GROUP BY x", {"id"}),
    ("SELECT 1 FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.id = u.id)", {"id"}),
    ("SELECT count(*) FROM (SELECT DISTINCT id, name FROM t)", {"id", "name"}),
]


@pytest.mark.parametrize(("sql", "expected"), COLUMNS, ids=[sql for sql, _ in COLUMNS])
def test_a_scan_reads_only_columns_the_query_uses(sql: str, expected: set[str]) -> None:
    assert scans(sql)["t"].columns == expected


def test_the_path_is_asked_for_only_when_it_is_used() -> None:
    assert not scans("SELECT * FROM t")["t"].wants_path
    assert scans('SELECT "$path" FROM t')["t"].wants_path
    assert scans("SELECT id FROM t WHERE \"$path\" LIKE '%x'")["t"].wants_path
    assert not scans('SELECT id FROM (SELECT id, "$path" AS p FROM t)')["t"].wants_path


def test_a_query_named_by_with_and_never_used_reads_nothing() -> None:
    assert scans("WITH w AS (SELECT * FROM t) SELECT id FROM u").keys() == {"u"}
