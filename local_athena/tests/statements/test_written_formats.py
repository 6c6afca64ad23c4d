"""What the writer writes, the scanner reads back: every format, compression and type."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from local_athena.data.catalog import Catalog
from local_athena.data.file_formats import COMPRESSIONS, STORAGE
from local_athena.data.session import Clients, Session
from local_athena.duck.scans.scanner import Scanner, ScanRequest
from support.statement_lab import Lab

TYPES = {
    "yes": "boolean",
    "tiny": "tinyint",
    "small": "smallint",
    "whole": "integer",
    "big": "bigint",
    "single": "real",
    "twice": "double",
    "money": "decimal(38,10)",
    "cents": "decimal(9,2)",
    "text": "varchar",
    "short": "varchar(10)",
    "raw": "varbinary",
    "day": "date",
    "moment": "timestamp(3)",
    "list": "array(varchar)",
    "lists": "array(array(integer))",
    "pairs": "map(varchar, bigint)",
    "one": "row(a integer, b varchar)",
    "deep": "array(row(k varchar, v map(varchar, decimal(5,2))))",
    "times": "array(timestamp(3))",
}
FULL: tuple[Any, ...] = (
    True, -128, -32768, 2**31 - 1, -(2**63), 0.5, 1e300, Decimal("1234567890123456789012345678.0123456789"),
    Decimal("-0.05"), 'quote " back\\slash ünïcødé 🐘', "ten chars!",
    b"\x00bytes \xc3\xbc", dt.date(1969, 12, 31),
    dt.datetime(2026, 1, 2, 3, 4, 5, 678000), ["a", None, "c d"], [[1, 2], [3]], [("k", 1), ("ü", None)],
    {"a": 1, "b": None}, [{"k": "x", "v": [("p", Decimal("1.50"))]}], [dt.datetime(2026, 1, 1), None],
)  # fmt: skip
PLAIN: tuple[Any, ...] = (
    False, 0, 1, 2, 3, -1.25, 0.1, Decimal("0E-10"), Decimal("99.90"), "plain", "", b"", dt.date(2026, 2, 28),
    dt.datetime(1970, 1, 1), ["x"], [[5]], [("a", 0)], {"a": 2, "b": "y"}, [{"k": "z", "v": [("q", None)]}],
    [dt.datetime(2026, 1, 1, 0, 0, 0, 1000)],
)  # fmt: skip
NULLS = (None,) * len(TYPES)


def scan(lab: Lab, name: str) -> list[dict[str, Any]]:
    clients = Clients(lab.objects, lab.glue, "123456789012", "us-east-1")
    table = Catalog(clients).get_table("db", name)
    assert table is not None
    with duckdb.connect() as con:
        session = Session("q", "db", clients, "s3://lab/results/")
        Scanner().bind(con, [ScanRequest("bound", table)], session)
        rows: list[dict[str, Any]] = con.sql("SELECT * FROM bound").to_arrow_table().to_pylist()
    return rows


def expected(names: list[str], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


EVERY = [(kind, compression) for kind, names in COMPRESSIONS.items() for compression in names]


@pytest.mark.parametrize(("file_format", "compression"), [(k.value, c) for k, c in EVERY if k in STORAGE])
def test_every_type_comes_back_from_every_format_and_compression(
    lab: Lab, file_format: str, compression: str
) -> None:
    rows = [FULL, PLAIN, NULLS]
    lab.engine.learn("SELECT 1", TYPES, rows)
    lab.run(
        f"CREATE TABLE t WITH (format='{file_format}', write_compression='{compression}', "
        "external_location='s3://lab/t/') AS SELECT 1"
    )
    assert scan(lab, "t") == expected(list(TYPES), rows)


@pytest.mark.parametrize("file_format", ["PARQUET", "ORC", "JSON", "TEXTFILE"])
def test_partitions_and_inserted_rows_come_back(lab: Lab, file_format: str) -> None:
    columns = {"id": "integer", "dt": "date", "note": "varchar"}
    day = dt.date(2026, 1, 2)
    lab.engine.learn("SELECT 1", columns, [(1, day, "a b:c/d"), (2, None, None)])
    lab.engine.learn("SELECT 2", columns, [(3, day, "a b:c/d")])
    lab.run(
        f"CREATE TABLE t WITH (format='{file_format}', external_location='s3://lab/t/', "
        "partitioned_by=ARRAY['dt', 'note']) AS SELECT 1"
    )
    lab.run("INSERT INTO t SELECT 2")
    found = sorted(scan(lab, "t"), key=lambda row: int(row["id"]))
    assert found == expected(list(columns), [(1, day, "a b:c/d"), (2, None, None), (3, day, "a b:c/d")])


@pytest.mark.parametrize(
    "storage",
    [
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'",
        "ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'",
        "STORED AS ORC TBLPROPERTIES ('orc.compress'='SNAPPY')",
        "STORED AS PARQUET TBLPROPERTIES ('parquet.compression'='ZSTD')",
        r"ROW FORMAT DELIMITED FIELDS TERMINATED BY '|' ESCAPED BY '\\' COLLECTION ITEMS TERMINATED BY ';' "
        r"MAP KEYS TERMINATED BY '=' NULL DEFINED AS 'nil'",
    ],
)
def test_inserts_come_back_through_the_tables_own_serde(lab: Lab, storage: str) -> None:
    before, _, properties = storage.partition("TBLPROPERTIES")
    lab.run(
        "CREATE EXTERNAL TABLE t (a string, b array<string>, c map<string,int>, d decimal(5,1), e timestamp) "
        f"{before} LOCATION 's3://lab/t/' {'TBLPROPERTIES' + properties if properties else ''}"
    )
    columns = {
        "a": "varchar", "b": "array(varchar)", "c": "map(varchar, integer)", "d": "decimal(5,1)",
        "e": "timestamp(3)",
    }  # fmt: skip
    rows: list[tuple[Any, ...]] = [
        (
            "a|b;c=d\\e",
            ["x;y", "z=1"],
            [("k=v", 1), ("l", 2)],
            Decimal("1.5"),
            dt.datetime(2026, 1, 1, 1, 2, 3),
        ),
        (None, None, None, None, None),
    ]
    lab.engine.learn("SELECT 1", columns, rows)
    lab.run("INSERT INTO t SELECT 1")
    assert scan(lab, "t") == expected(list(columns), rows)


def test_bytes_that_are_no_text_come_back_through_openx_as_they_were(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE t (raw binary, at map<string,binary>) "
        "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://lab/t/'"
    )
    rows: list[tuple[Any, ...]] = [(b"\x00\xff", [("k", b"\xfe")])]
    lab.engine.learn("SELECT 1", {"raw": "varbinary", "at": "map(varchar, varbinary)"}, rows)
    lab.run("INSERT INTO t SELECT 1")
    assert scan(lab, "t") == expected(["raw", "at"], rows)


def test_csv_tables_keep_separators_and_quotes_inside_values(lab: Lab) -> None:
    lab.run(
        "CREATE EXTERNAL TABLE t (a string, b string) "
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' LOCATION 's3://lab/t/'"
    )
    rows = [('say "hi", \\ there', "x"), ("", "two words")]
    lab.engine.learn("SELECT 1", {"a": "varchar", "b": "varchar"}, rows)
    lab.run("INSERT INTO t SELECT 1")
    assert scan(lab, "t") == expected(["a", "b"], rows)
