"""Types in four tongues, and values as Athena prints them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from local_athena.data.printing import render, render_column
from local_athena.data.type_parser import from_arrow, parse_duckdb, parse_hive, parse_trino
from local_athena.data.types import UnknownTypeError

PAIRS = [
    ("boolean", "boolean", "BOOLEAN"),
    ("tinyint", "tinyint", "TINYINT"),
    ("smallint", "smallint", "SMALLINT"),
    ("int", "integer", "INTEGER"),
    ("bigint", "bigint", "BIGINT"),
    ("float", "real", "FLOAT"),
    ("double", "double", "DOUBLE"),
    ("decimal(10,2)", "decimal(10,2)", "DECIMAL(10,2)"),
    ("string", "varchar", "VARCHAR"),
    ("varchar(12)", "varchar(12)", "VARCHAR"),
    ("char(3)", "char(3)", "VARCHAR"),
    ("binary", "varbinary", "BLOB"),
    ("date", "date", "DATE"),
    ("timestamp", "timestamp(3)", "TIMESTAMP"),
    ("array<int>", "array(integer)", "INTEGER[]"),
    ("map<string,array<double>>", "map(varchar, array(double))", "MAP(VARCHAR, DOUBLE[])"),
    (
        "struct<a:int,b:struct<c:string>>",
        "row(a integer, b row(c varchar))",
        'STRUCT("a" INTEGER, "b" STRUCT("c" VARCHAR))',
    ),
]


@pytest.mark.parametrize(("hive", "trino", "duckdb"), PAIRS)
def test_a_type_reads_the_same_in_every_tongue(hive: str, trino: str, duckdb: str) -> None:
    kind = parse_hive(hive)
    assert (kind.hive, kind.trino, kind.duckdb) == (hive, trino, duckdb)
    assert parse_trino(trino) == kind
    lost_in_duckdb = kind.name in ("char", "timestamp") or trino == "varchar(12)"
    assert lost_in_duckdb or parse_duckdb(duckdb) == kind
    lost_in_arrow = lost_in_duckdb
    assert lost_in_arrow or from_arrow(kind.arrow()) == kind


def test_hive_synonyms_and_spaces_are_understood() -> None:
    assert parse_hive("INTEGER").trino == "integer"
    assert parse_hive("decimal").trino == "decimal(10,0)"
    assert parse_hive("STRUCT< A : int , b:map< string , string > >").trino == (
        "row(a integer, b map(varchar, varchar))"
    )


def test_trino_types_without_a_hive_type_are_refused() -> None:
    for text in ("json", "time(3)", "timestamp(3) with time zone", "interval day to second"):
        with pytest.raises(UnknownTypeError):
            _ = parse_trino(text).hive


def test_a_nonsense_type_is_refused() -> None:
    for text in ("", "array<", "struct<a>", "decimal(39,2)", "frob", "array<int>>"):
        with pytest.raises(UnknownTypeError):
            parse_hive(text)


def test_row_fields_keep_quoted_names() -> None:
    kind = parse_trino('row("Some Name" integer, b varchar(3), double)')
    assert kind.trino == 'row("Some Name" integer, b varchar(3), double)'
    assert kind.field_names == ("Some Name", "b", None)


STAMP = dt.datetime(2026, 1, 2, 3, 4, 5, 678000)
PRINTED = [
    ("boolean", True, "true"),
    ("bigint", -5, "-5"),
    ("double", 1.0, "1.0"),
    ("double", 0.001, "0.001"),
    ("double", 0.0001, "1.0E-4"),
    ("double", 9999999.0, "9999999.0"),
    ("double", 1e7, "1.0E7"),
    ("double", 1.5e300, "1.5E300"),
    ("double", -0.0, "-0.0"),
    ("double", float("nan"), "NaN"),
    ("double", float("-inf"), "-Infinity"),
    ("double", 123456.789, "123456.789"),
    ("real", 3.140000104904175, "3.14"),
    ("decimal(10,2)", Decimal("1.5"), "1.50"),
    ("decimal(38,10)", Decimal("0"), "0.0000000000"),
    ("varchar", "a\tb", "a\tb"),
    ("char(5)", "ab", "ab   "),
    ("varbinary", b"\x00hi\xff", "00 68 69 ff"),
    ("date", dt.date(26, 1, 2), "0026-01-02"),
    ("timestamp(3)", STAMP, "2026-01-02 03:04:05.678"),
    ("timestamp(0)", STAMP, "2026-01-02 03:04:05.678"),
    ("timestamp(6)", STAMP, "2026-01-02 03:04:05.678000"),
    (
        "timestamp(3) with time zone",
        {"t": STAMP, "z": "America/New_York"},
        "2026-01-01 22:04:05.678 America/New_York",
    ),
    ("timestamp(3) with time zone", {"t": STAMP, "z": "+05:30"}, "2026-01-02 08:34:05.678 +05:30"),
    ("time(3)", dt.time(3, 4, 5), "03:04:05.000"),
    ("interval day to second", 2 * 86_400_000 + 3 * 3_600_000 + 5, "2 03:00:00.005"),
    ("interval year to month", -15, "-1-3"),
    ("array(integer)", [1, None, 2], "[1, null, 2]"),
    ("map(varchar, integer)", [("k", 1), ("j", None)], "{k=1, j=null}"),
    ("row(p integer, q varchar)", {"p": 1, "q": "x"}, "{p=1, q=x}"),
    ("row(integer, varchar)", (1, "x"), "{field0=1, field1=x}"),
    ("array(row(a double))", [{"a": 1e10}], "[{a=1.0E10}]"),
    ("json", '{"a":1}', '{"a":1}'),
    ("bigint", None, None),
]


@pytest.mark.parametrize(("trino", "value", "text"), PRINTED)
def test_a_value_is_printed_as_athena_prints_it(trino: str, value: object, text: str | None) -> None:
    assert render(value, parse_trino(trino)) == text


def test_a_column_is_printed_like_its_values() -> None:
    for kind, values in ((pa.bool_(), [True, None]), (pa.int64(), [1, None]), (pa.list_(pa.int32()), [[1]])):
        column = pa.chunked_array([pa.array(values, kind)])
        assert render_column(column, from_arrow(kind)) == [render(one, from_arrow(kind)) for one in values]
