"""JSON lines: what each SerDe makes of them.

Expected values follow the OpenX page of the Athena user guide and Trino's notes on the format
(lib/trino-hive-formats, openxjson/README.md); where the two differ the Athena guide counts.
"""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from local_athena.data.type_parser import parse_hive
from local_athena.duck.scans.serdes.openx_json import OpenXJson
from local_athena.duck.scans.table_files import arrow_array
from local_athena.errors import QueryFailed
from support.scanning import DELIMITED, HIVE_JSON, OPENX, World, table

TOLERANT = {"ignore.malformed.json": "true"}
CASED = {"case.insensitive": "false"}


@pytest.fixture
def world() -> World:
    return World()


def value(
    world: World, text: str, kind: str, parameters: Mapping[str, str] | None = None, serde: str = OPENX
) -> Any:
    """The one column ``c`` of a line whose key ``c`` holds ``text``."""
    world.put("t/x", f'{{"c": {text}}}')
    ((found,),) = world.rows(table({"c": kind}, serde, serde_parameters=parameters), "SELECT c FROM t")
    return found


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ('"plain"', "string", "plain"),
        ("12", "string", "12"),
        ("1.50", "string", "1.50"),
        ("1e3", "string", "1E+3"),
        ("-0.0", "string", "0.0"),
        ("123456789012345678901234567890", "string", "123456789012345678901234567890"),
        ("true", "string", "true"),
        ("TRUE", "string", "true"),
        ("0x1F", "string", "31"),
        ("017", "string", "15"),
        ("bare", "string", "bare"),
        ("null", "string", None),
        ('{"a" : [1, 2.50, "x\\"y", null, {}] }', "string", '{"a":[1,2.50,"x\\"y",null,{}]}'),
        ('["</script>"]', "string", '["<\\/script>"]'),
        ('"\\u00e9\\n"', "string", "é\n"),
        ('"\\ud83d\\ude00"', "string", "😀"),
        ('"\\ud83d"', "string", "?"),
        ('"abcdef"', "varchar(3)", "abc"),
        ("12", "bigint", 12),
        ('"12"', "bigint", 12),
        ('"0x10"', "int", 16),
        ("12.9", "int", 12),
        ("-1e2", "smallint", -100),
        ("9223372036854775808", "bigint", None),
        ("128", "tinyint", None),
        ('"x"', "int", None),
        ("true", "int", None),
        ("1", "double", 1.0),
        ('"1.5"', "double", 1.5),
        ('"Infinity"', "double", float("inf")),
        ('"x"', "double", None),
        ("1.25", "float", 1.25),
        ("1.005", "decimal(5,2)", Decimal("1.01")),
        ("1234.5", "decimal(5,2)", None),
        ("true", "boolean", True),
        ('"True"', "boolean", True),
        ("1", "boolean", False),
        ("{}", "boolean", False),
        ('"2026-01-31"', "date", datetime.date(2026, 1, 31)),
        ('"2026-01-31 junk"', "date", datetime.date(2026, 1, 31)),
        ("20", "date", datetime.date(1970, 1, 21)),
        ('"soon"', "date", None),
        ('"2026-01-31 10:30:00.1236"', "timestamp", datetime.datetime(2026, 1, 31, 10, 30, 0, 124000)),
        ('"2026-01-31T10:30:00Z"', "timestamp", datetime.datetime(2026, 1, 31, 10, 30)),
        ('"2026-01-31T10:30:00+02:00"', "timestamp", datetime.datetime(2026, 1, 31, 8, 30)),
        ("1769855400", "timestamp", datetime.datetime(2026, 1, 31, 10, 30)),
        ("1769855400123", "timestamp", datetime.datetime(2026, 1, 31, 10, 30, 0, 123000)),
        ("1769855400.5", "timestamp", datetime.datetime(2026, 1, 31, 10, 30, 0, 500000)),
        ('"aGk="', "binary", b"hi"),
        ('["a", 1, null]', "array<string>", ["a", "1", None]),
        ('"a"', "array<string>", ["a"]),
        ('""', "array<string>", None),
        ("[]", "array<int>", []),
        ('{"a": 1, "b": "2"}', "map<string,int>", {"a": 1, "b": 2}),
        ('" "', "map<string,int>", None),
        ('{"X": 1, "z": 2}', "struct<x:int,y:string>", {"x": 1, "y": None}),
        ('[5, "v"]', "struct<x:int,y:string>", {"x": 5, "y": "v"}),
        ('""', "struct<x:int,y:string>", {"x": None, "y": None}),
        (
            '{"x": [{"y": {"k": 1.5}}]}',
            "struct<x:array<struct<y:map<string,double>>>>",
            {"x": [{"y": {"k": 1.5}}]},
        ),
    ],
)
def test_openx_reads_a_value_by_its_column_s_type(world: World, text: str, kind: str, expected: Any) -> None:
    assert value(world, text, kind) == expected


@pytest.mark.parametrize(("text", "kind"), [("{}", "int"), ("[1]", "double"), ("1", "map<string,int>")])
def test_openx_fails_on_a_value_of_another_shape(world: World, text: str, kind: str) -> None:
    with pytest.raises(QueryFailed, match=r"HIVE_CURSOR_ERROR: .* can not be coerced to a"):
        value(world, text, kind)


LINES = (
    '{"a": 1, "b": "x"}',
    "",
    "junk",
    "  ",
    '{"a": 2, "b"',
    '{"a": 3} trailing',
    "{'a': 4; b => y}",
    "[5]",
)
ROWS = [(1, "x"), (None, None), (None, None), (None, None), (None, None), (3, None), (4, "y"), (5, None)]


def test_lines_that_are_no_json_are_rows_of_nulls(world: World) -> None:
    world.put("t/x", *LINES)
    rows = world.rows(table({"a": "int", "b": "string"}, serde_parameters=TOLERANT))
    assert sorted(rows, key=repr) == sorted(ROWS, key=repr)


def test_a_torn_line_fails_the_query_unless_told_otherwise(world: World) -> None:
    world.put("t/x", *LINES)
    described = table({"a": "int", "b": "string"})
    reason = "HIVE_CURSOR_ERROR: Row is not a valid JSON Object - JSONException: "
    assert world.failure(described).startswith(reason)
    # A count of rows reads no column, and Trino then looks into no line.
    assert world.rows(described, "SELECT count(*) FROM t", columns=()) == [(len(LINES),)]


def test_without_torn_lines_others_than_json_do_not_fail(world: World) -> None:
    world.put("t/x", '{"a": 1}', "", "junk")
    assert sorted(world.rows(table({"a": "int"})), key=repr) == [(1,), (None,), (None,)]


@pytest.mark.parametrize("columns", [(), ("a",)])
def test_every_line_counts(world: World, columns: tuple[str, ...]) -> None:
    world.put("t/x", *LINES)
    world.objects.bodies["t/y"] = b'{"a": 1}\r\n{"a": 2}\r\n\r\n{"a": 3}'
    world.objects.bodies["t/z"] = b'\xef\xbb\xbf{"a": 1}'
    described = table({"a": "int", "b": "string"}, serde_parameters=TOLERANT)
    assert world.rows(described, "SELECT count(*) FROM t", columns=columns) == [(len(LINES) + 4 + 1,)]


METADATA = '{"CellLine": "HeLa", "n": [{"Ünder": 1.50}]}'


def test_case_insensitive_lowers_the_keys_inside_json_text(world: World) -> None:
    assert value(world, METADATA, "string") == '{"cellline":"HeLa","n":[{"ünder":1.50}]}'
    assert value(world, '{"CellLine": "HeLa"}', "map<string,string>") == {"cellline": "HeLa"}


def test_case_sensitive_keeps_the_keys_inside_json_text(world: World) -> None:
    assert value(world, METADATA, "string", CASED) == '{"CellLine":"HeLa","n":[{"Ünder":1.50}]}'
    assert value(world, '{"X": 1, "x": 2}', "struct<x:int>", CASED) == {"x": 2}


def test_columns_are_found_in_any_case_unless_told_otherwise(world: World) -> None:
    world.put("t/x", '{"EventName": "a"}', '{"eventname": "b"}', '{"eventName": "c"}')
    columns = {"eventname": "string"}
    assert sorted(world.rows(table(columns))) == [("a",), ("b",), ("c",)]
    rows = world.rows(table(columns, serde_parameters=CASED))
    assert sorted(rows, key=repr) == [("b",), (None,), (None,)]


@pytest.mark.parametrize("columns", [("a",), ("a", "meta")])
def test_keys_that_differ_only_in_case_tear_their_line(world: World, columns: tuple[str, ...]) -> None:
    """Whichever columns are asked for: the SerDe reads the whole line."""
    world.put("t/x", '{"a": "1", "meta": {"K": 1, "k": 2}}', '{"a": "2", "meta": {"K": {"k": 1}}}')
    described = {"a": "string", "meta": "string"}
    rows = world.rows(table(described, serde_parameters=TOLERANT), "SELECT a FROM t", columns=columns)
    assert sorted(rows, key=repr) == [("2",), (None,)]
    assert "Duplicate key" in world.failure(table(described), columns=columns)
    rows = world.rows(table(described, serde_parameters=CASED), "SELECT a FROM t", columns=columns)
    assert sorted(rows) == [("1",), ("2",)]


def test_a_key_twice_counts_the_last_time(world: World) -> None:
    world.put("t/x", '{"a": 1, "a": 2}')
    assert world.rows(table({"a": "int"})) == [(2,)]


def test_mapping_gives_a_column_another_key(world: World) -> None:
    world.put("t/x", '{"Time": "10", "ts": "no", "in": {"Time": "11"}}')
    parameters = {"mapping.ts": "time"}
    rows = world.rows(table({"ts": "string", "in": "struct<ts:string>"}, serde_parameters=parameters))
    assert rows == [("10", {"ts": "11"})]
    rows = world.rows(table({"ts": "string"}, serde_parameters={"mapping.ts": "Time", **CASED}))
    assert rows == [("10",)]


def test_dots_in_keys_are_underscores_when_asked_for(world: World) -> None:
    world.put("t/x", '{"a.b": "1", "c": {"d.e": "2"}}')
    columns = {"a_b": "string", "c": "struct<d_e:string>"}
    assert world.rows(table(columns, serde_parameters={"dots.in.keys": "true"})) == [("1", {"d_e": "2"})]
    assert world.rows(table(columns)) == [(None, {"d_e": None})]


def test_odd_column_names_find_their_keys(world: World) -> None:
    world.put("t/x", json.dumps({"a/b~c": "1", "with space": "2", "quo'te": "3", '"q"': "4", "per.iod": "5"}))
    columns = {
        "a/b~c": "string",
        "with space": "string",
        "quo'te": "string",
        '"q"': "string",
        "per.iod": "string",
    }
    assert world.rows(table(columns)) == [("1", "2", "3", "4", "5")]


def test_a_long_file_is_read_in_pieces_without_losing_a_line(world: World) -> None:
    """Five megabytes in one object, an odd line here and there."""
    count = 40_000
    lines = [json.dumps({"n": n, "pad": "x" * 100}) for n in range(count)]
    lines[7] = '{"n": "0x7", "pad": 1}'
    lines[count - 1] = '{"n": torn'
    world.put("t/x", *lines)
    described = table({"n": "bigint", "pad": "string"}, serde_parameters=TOLERANT)
    rows = world.rows(described, "SELECT count(*), count(n), sum(n), count(pad), min(length(pad)) FROM t")
    assert rows == [(count, count - 1, sum(range(count - 1)), count - 1, 1)]


# --- the quick reader against the exact one

_TYPES = {
    "a": "string",
    "b": "bigint",
    "c": "int",
    "d": "double",
    "e": "boolean",
    "f": "array<string>",
    "g": "struct<x:string,y:string>",
    "h": "tinyint",
    "i": "date",
    "j": "timestamp",
}
_ATOMS = [
    "1",
    "-0",
    "1.50",
    "1e3",
    "1E-7",
    '"x"',
    '"X"',
    '"é"',
    '"\\u00e9"',
    '"\\u000b"',
    '""',
    "null",
    "true",
    "false",
    '"TRUE"',
    '"12"',
    '"0x1f"',
    "017",
    "08",
    "NaN",
    "-Infinity",
    "123456789012345678901234",
    "9223372036854775807",
    "9223372036854775808",
    "128",
    "-129",
    "2147483648",
    "'q'",
    "bare",
    '"a</b>"',
    '"\\/"',
    '"\\ud83d\\ude00"',
    '"\\ud800"',
    "1.",
    ".5",
    "+1",
    "1e400",
    '"1.5"',
    '"a\\\\"',
    "0.1",
    "100000000000000000.5",
    "-1e-400",
    "0",
    "1.0",
    '"//"',
    '"#"',
    '"a,]"',
    '"a\\"B\\":"',
    '"2026-01-31"',
    '"2026-02-31"',
    '"0000-01-01"',
    '"2026-01-31 10:30:00"',
    '"2026-01-31T10:30:00.125Z"',
    '"2026-01-31 10:30:00Z"',
    '"2026-01-31T10:30:00+02:00"',
    '"2026-01-31 24:00:61"',
    "1769855400",
]
_KEYS = ["a", "b", "A", "Ab", "aB", "x", "y", "X", "é", "É", "a.b", 'k"K', 'k"k', "K k", "#"]
_WHOLE = [
    "",
    "{",
    '[1,"x"]',
    '  {"a":1}',
    '{"a":1} tail',
    "junk",
    "{}",
    '{"a":1,}',
    "// c",
    '{"a" :1, "A" :2}',
]


def _random_value(rng: random.Random, depth: int = 0) -> str:
    kind = rng.random()
    if kind < 0.6 or depth > 2:
        return rng.choice(_ATOMS)
    blank = rng.choice(["", "", " "])
    end = "," if rng.random() < 0.05 else ""
    inner = [_random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind < 0.8:
        return "[" + blank + f",{blank}".join(inner) + end + "]"
    keys = rng.sample(_KEYS, len(inner))
    pairs = (
        f"{json.dumps(key, ensure_ascii=False)}:{blank}{item}" for key, item in zip(keys, inner, strict=True)
    )
    return "{" + ",".join(pairs) + end + "}"


def _random_line(rng: random.Random) -> str:
    if rng.random() < 0.05:
        return rng.choice(_WHOLE)
    keys = rng.sample([*_TYPES, "A", "B", "zz"], rng.randrange(1, 5))
    return "{" + ", ".join(f'"{key}": {_random_value(rng)}' for key in keys) + "}"


@pytest.mark.parametrize("case_insensitive", ["true", "false"])
@pytest.mark.parametrize("seed", range(6))
def test_the_quick_reader_agrees_with_the_exact_one(world: World, seed: int, case_insensitive: str) -> None:
    """DuckDB reads plain lines, the exact reader the others: one answer, whichever does it."""
    rng = random.Random(seed)
    parameters = {"case.insensitive": case_insensitive, **TOLERANT}
    wanted = rng.sample(list(_TYPES), rng.randrange(1, 4))
    kinds = {name: parse_hive(kind) for name, kind in _TYPES.items()}
    exact = OpenXJson(parameters, list(kinds.items()))
    expected, lines = [], []
    for line in (_random_line(rng) for _ in range(600)):
        try:
            decoded = exact.decode([line], wanted)
        except QueryFailed:
            continue  # fails either way, and would end the scan
        columns = [
            arrow_array(values, kinds[name].arrow()) for name, values in zip(wanted, decoded, strict=True)
        ]
        expected.append(tuple(column[0].as_py() for column in columns))
        lines.append(line)
    world.put("t/x", *lines)
    selected = ", ".join(f'"{name}"' for name in wanted)
    rows = world.rows(table(_TYPES, serde_parameters=parameters), f"SELECT {selected} FROM t", columns=wanted)
    assert sorted(map(repr, rows)) == sorted(map(repr, expected))
    assert len(lines) > 300


# --- Hive's own JSON SerDe


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ('"x"', "string", "x"),
        ("1.50", "string", "1.50"),
        ("true", "string", "true"),
        ("12", "bigint", 12),
        ("12.9", "int", 12),
        ("1", "double", 1.0),
        ("1.005", "decimal(5,2)", Decimal("1.01")),
        ('"1.5"', "decimal(5,2)", Decimal("1.50")),
        ('"x"', "boolean", False),
        ('"2026-01-31"', "date", datetime.date(2026, 1, 31)),
        ('"2026-01-31 10:30:00"', "timestamp", datetime.datetime(2026, 1, 31, 10, 30)),
        ('"hi"', "binary", b"hi"),
        ("[1, null]", "array<int>", [1, None]),
        ('{"A": 1}', "map<string,int>", {"A": 1}),
        ('{"X": 1, "x": 2}', "struct<x:int,y:int>", {"x": 2, "y": None}),
    ],
)
def test_hive_json_reads_a_value_by_its_column_s_type(
    world: World, text: str, kind: str, expected: Any
) -> None:
    assert value(world, text, kind, serde=HIVE_JSON) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{}", "string"),
        ('"1"', "int"),
        ("300", "tinyint"),
        ("1", "array<int>"),
        ('"soon"', "date"),
        ("x", "int"),
    ],
)
def test_hive_json_fails_on_what_does_not_fit(world: World, text: str, kind: str) -> None:
    with pytest.raises(QueryFailed, match="HIVE_CURSOR_ERROR: Row is not a valid JSON Object"):
        value(world, text, kind, serde=HIVE_JSON)


def test_hive_json_finds_columns_in_any_case_and_by_number(world: World) -> None:
    world.put("t/x", '{"A": 1, "b": "x", "more": 1}', '{"_col0": 2, "_col1": "y"}', "{}")
    rows = world.rows(table({"a": "int", "b": "string"}, HIVE_JSON))
    assert sorted(rows, key=repr) == [(1, "x"), (2, "y"), (None, None)]


FORMATS = "MM/dd/yyyy hh:mm a,yyyy-MM-dd'T'HH:mm:ss.SSSZ,millis"


@pytest.mark.parametrize("serde", [OPENX, HIVE_JSON, DELIMITED])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01/31/2026 10:30 PM", datetime.datetime(2026, 1, 31, 22, 30)),
        ("2026-01-31T10:30:00.125+0200", datetime.datetime(2026, 1, 31, 8, 30, 0, 125000)),
        ("1500", datetime.datetime(1970, 1, 1, 0, 0, 1, 500000)),
        ("2026-01-31 10:30:00", datetime.datetime(2026, 1, 31, 10, 30)),
    ],
)
def test_timestamps_may_have_formats_of_the_table_s_own(
    world: World, serde: str, text: str, expected: datetime.datetime
) -> None:
    """They come before the SerDe's own, which still count."""
    parameters = {"timestamp.formats": FORMATS}
    if serde == DELIMITED:
        world.put("t/x", text)
        assert world.rows(table({"c": "timestamp"}, serde, serde_parameters=parameters)) == [(expected,)]
    else:
        assert value(world, json.dumps(text), "timestamp", parameters, serde) == expected


def test_a_timestamp_format_nobody_reads_is_refused(world: World) -> None:
    world.put("t/x", "{}")
    failure = world.failure(table({"c": "timestamp"}, serde_parameters={"timestamp.formats": "YYYY-'W'ww"}))
    assert failure.startswith("NOT_SUPPORTED: 'YYYY' of the timestamp format")
