r"""Delimited text, CSV and compressed files.

Expected values follow Hive's LazySimpleSerDe and OpenCSVSerde as Trino's readers document them, and the
Athena user guide's pages on both.
"""

from __future__ import annotations

import bz2
import datetime
import gzip
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from support.scanning import CSV, DELIMITED, OPENX, World, table

COMMA = {"field.delim": ","}


@pytest.fixture
def world() -> World:
    return World()


def value(
    world: World, text: str, kind: str, parameters: Mapping[str, str] | None = None, serde: str = DELIMITED
) -> Any:
    """The one column of a file of one line."""
    world.put("t/x", text)
    ((found,),) = world.rows(table({"c": kind}, serde, serde_parameters=parameters))
    return found


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("plain text", "string", "plain text"),
        ("", "string", ""),
        ("\\N", "string", None),
        ("", "int", None),
        ("12", "int", 12),
        ("+12", "bigint", 12),
        ("12.99", "int", 12),
        ("12.9x", "int", None),
        (" 12", "int", None),
        ("2147483648", "int", None),
        ("-128", "tinyint", -128),
        ("1.5", "double", 1.5),
        (" 1.5 ", "double", 1.5),
        ("1e3", "float", 1000.0),
        ("NaN", "double", None),
        ("1.005", "decimal(5,2)", Decimal("1.01")),
        ("123456", "decimal(5,2)", None),
        ("TRUE", "boolean", True),
        ("false", "boolean", False),
        ("1", "boolean", None),
        ("2026-01-31", "date", datetime.date(2026, 1, 31)),
        ("soon", "date", None),
        ("2026-01-31 10:30:00.5", "timestamp", datetime.datetime(2026, 1, 31, 10, 30, 0, 500000)),
        ("2026-01-31T10:30:00", "timestamp", datetime.datetime(2026, 1, 31, 10, 30)),
        ("2026-01-31", "timestamp", datetime.datetime(2026, 1, 31)),
        ("aGk=", "binary", b"hi"),
        ("abcdef", "varchar(3)", "abc"),
        ("a\x02b\x02\\N", "array<string>", ["a", "b", None]),
        ("", "array<int>", []),
        ("1\x032\x023\x034", "map<int,int>", {1: 2, 3: 4}),
        ("k\x03\\N\x02j", "map<string,int>", {"k": None, "j": None}),
        ("7\x02x", "struct<a:int,b:string,c:int>", {"a": 7, "b": "x", "c": None}),
        ("1\x032\x023", "array<array<int>>", [[1, 2], [3]]),
        (
            "k\x03a\x041\x065\x052\x066",
            "map<string,struct<x:string,y:map<int,int>>>",
            {"k": {"x": "a", "y": {1: 5, 2: 6}}},
        ),
    ],
)
def test_delimited_text_reads_a_value_by_its_column_s_type(
    world: World, text: str, kind: str, expected: Any
) -> None:
    found = value(world, text, kind)
    if text == "NaN":
        assert found != found
    else:
        assert found == expected


def test_lines_may_be_short_long_or_empty(world: World) -> None:
    world.put("t/x", "a,1", "b", "c,3,more", "", ",5")
    rows = world.rows(table({"s": "string", "i": "int"}, DELIMITED, serde_parameters=COMMA))
    assert rows == [("a", 1), ("b", None), ("c", 3), ("", None), ("", 5)]


def test_one_hash_without_a_line_end_is_one_row(world: World) -> None:
    """As Quilt's pointers are."""
    world.objects.bodies["t/ns/pkg/1700000000"] = b"ab" * 32
    rows = world.rows(table({"hash": "string"}, DELIMITED, serde_parameters=COMMA), path=True)
    assert rows == [("ab" * 32, "s3://data/t/ns/pkg/1700000000")]


def test_delimiters_are_given_as_characters_or_numbers(world: World) -> None:
    world.put("t/x", "1|a;b|k=v;l=w")
    columns = {"i": "int", "l": "array<string>", "m": "map<string,string>"}
    for collection in ("collection.delim", "colelction.delim"):
        parameters = {"field.delim": "124", collection: ";", "mapkey.delim": "="}
        rows = world.rows(table(columns, DELIMITED, serde_parameters=parameters))
        assert rows == [(1, ["a", "b"], {"k": "v", "l": "w"})]


def test_the_tab_is_a_delimiter_by_serialization_format(world: World) -> None:
    world.put("t/x", "1\ta")
    parameters = {"serialization.format": "\t"}
    assert world.rows(table({"i": "int", "s": "string"}, DELIMITED, serde_parameters=parameters)) == [
        (1, "a")
    ]


def test_an_escaped_delimiter_is_text(world: World) -> None:
    world.put("t/x", r"a\,b,c\\d,e\nf,1\,2")
    columns = {"a": "string", "b": "string", "c": "string", "d": "array<string>"}
    parameters = {**COMMA, "escape.delim": "\\", "collection.delim": ";"}
    rows = world.rows(table(columns, DELIMITED, serde_parameters=parameters))
    assert rows == [("a,b", "c\\d", "e\nf", ["1,2"])]
    assert world.rows(table({"a": "string"}, DELIMITED, serde_parameters=COMMA)) == [("a\\",)]


def test_the_null_format_is_the_table_s(world: World) -> None:
    world.put("t/x", "NULL,\\N,")
    columns = {"a": "string", "b": "string", "c": "string"}
    parameters = {**COMMA, "serialization.null.format": "NULL"}
    assert world.rows(table(columns, DELIMITED, serde_parameters=parameters)) == [(None, "\\N", "")]
    parameters = {**COMMA, "serialization.null.format": ""}
    assert world.rows(table(columns, DELIMITED, serde_parameters=parameters)) == [("NULL", "\\N", None)]


def test_quotes_mean_nothing_in_delimited_text(world: World) -> None:
    world.put("t/x", '"a,b",c')
    columns = {"a": "string", "b": "string", "c": "string"}
    assert world.rows(table(columns, DELIMITED, serde_parameters=COMMA)) == [('"a', 'b"', "c")]


@pytest.mark.parametrize("serde", [DELIMITED, CSV])
def test_headers_and_footers_are_skipped_in_each_file(world: World, serde: str) -> None:
    for name in ("a", "b"):
        world.put(f"t/{name}", "name", "-----", name, "total")
    world.put("t/c", "name")  # nothing but a header
    parameters = {"skip.header.line.count": "2", "skip.footer.line.count": "1"}
    assert sorted(world.rows(table({"s": "string"}, serde, parameters=parameters))) == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a,b,c", ["a", "b", "c"]),
        ('"a","b,c","d"', ["a", "b,c", "d"]),
        ('"say ""hi""",x,', ['say "hi"', "x", ""]),
        (r'"a \"q\" b","c\\d",e', ['a "q" b', "c\\d", "e"]),
        ("a", ["a", None, None]),
        ("", [None, None, None]),
        ("a,b,c,d", ["a", "b", "c"]),
        (',"",', ["", "", ""]),
        ('a, "x, y",c', ["a", "x, y", "c"]),  # blanks before a quote are left out
        ('a,b"q"c,d', ["a", 'b"q"c', "d"]),
        ('a,"open', ["a", None, None]),
        ("NULL,\\N,n", ["NULL", "N", "n"]),
    ],
)
def test_csv_values_are_text(world: World, line: str, expected: list[str | None]) -> None:
    world.put("t/x", line)
    rows = world.rows(table({"a": "string", "b": "string", "c": "string"}, CSV))
    assert [list(row) for row in rows] == [expected]


def test_csv_separators_are_the_table_s(world: World) -> None:
    world.put("t/x", "'a\tb'\tc")
    parameters = {"separatorChar": "\t", "quoteChar": "'", "escapeChar": "\\"}
    rows = world.rows(table({"a": "string", "b": "string"}, CSV, serde_parameters=parameters))
    assert rows == [("a\tb", "c")]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ('"12"', "int", 12),
        ('"true"', "boolean", True),
        ('"1.5"', "double", 1.5),
        ('"20"', "date", datetime.date(1970, 1, 21)),
        ('"1500"', "timestamp", datetime.datetime(1970, 1, 1, 0, 0, 1, 500000)),
    ],
)
def test_csv_takes_the_types_athena_recognises(world: World, text: str, kind: str, expected: Any) -> None:
    assert value(world, text, kind, serde=CSV) == expected


def test_an_empty_number_in_csv_fails_the_query(world: World) -> None:
    world.put("t/x", '"a",""')
    failure = world.failure(table({"s": "string", "i": "int"}, CSV))
    assert failure == "HIVE_BAD_DATA: Error parsing field value '' for field 1: For input string: \"\""


def hadoop_blocks(codec: str) -> Callable[[bytes], bytes]:
    """Hadoop's framing: the raw size of a block, then its chunks, each with its size before it."""

    def compress(body: bytes) -> bytes:
        chunks = [body[i : i + 7] for i in range(0, len(body), 7)]
        framed = b""
        for chunk in chunks:
            packed = pa.Codec(codec).compress(chunk, asbytes=True)
            framed += len(chunk).to_bytes(4, "big") + len(packed).to_bytes(4, "big") + packed
        return framed

    return compress


def zstandard(body: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    return bytes(sink.getvalue())


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "GZ": gzip.compress,
    "bz2": bz2.compress,
    "deflate": zlib.compress,
    "zst": zstandard,
    "snappy": hadoop_blocks("snappy"),
    "lz4": hadoop_blocks("lz4_raw"),
}


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("serde", [DELIMITED, OPENX])
def test_compressed_text_is_opened_by_its_ending(world: World, ending: str, serde: str) -> None:
    lines = ["ä" * 30, "2"] if serde == DELIMITED else ['{"c": "' + "ä" * 30 + '"}', '{"c": 2}']
    body = COMPRESSIONS[ending]("\n".join(lines).encode())
    world.objects.bodies[f"t/part.{ending}"] = body
    assert world.rows(table({"c": "string"}, serde)) == [("ä" * 30,), ("2",)]
    assert world.session.scanned_bytes == len(body)


def test_parts_of_one_gzip_file_are_all_read(world: World) -> None:
    world.objects.bodies["t/x.gz"] = gzip.compress(b"a\n") + gzip.compress(b"b\n")
    assert world.rows(table({"c": "string"}, DELIMITED)) == [("a",), ("b",)]


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst", "snappy", "lz4", "deflate"])
def test_a_file_that_is_not_what_its_ending_says_fails_the_query(world: World, ending: str) -> None:
    world.put(f"t/x.{ending}", "plain text, and rather more of it than a header")
    failure = world.failure(table({"c": "string"}, DELIMITED))
    assert failure.startswith(f"HIVE_CURSOR_ERROR: Failed to read file: s3://data/t/x.{ending}")


def test_bytes_that_are_no_utf8_become_replacement_characters(world: World) -> None:
    world.objects.bodies["t/x"] = b"caf\xe9\n"
    assert world.rows(table({"c": "string"}, DELIMITED)) == [("caf\ufffd",)]


def test_one_column_of_many_is_the_right_one(world: World) -> None:
    world.put("t/x", "a,b,c")
    described = table({"x": "string", "y": "string", "z": "string"}, DELIMITED, serde_parameters=COMMA)
    assert world.rows(described, "SELECT * FROM t", columns=["y"]) == [("b",)]


def test_a_very_long_csv_value_is_whole(world: World) -> None:
    world.put("t/x", '"' + "x," * 100_000 + '",b')
    rows = world.rows(table({"a": "string", "b": "string"}, CSV), "SELECT length(a), b FROM t")
    assert rows == [(200_000, "b")]
