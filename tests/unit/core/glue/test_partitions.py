from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.partitions import (
    HIVE_DEFAULT_PARTITION,
    canonical_value,
    escape_value,
    partition_path,
    unescape_value,
)
from airflow_quilt_athena.exceptions import InvalidCallError

values = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1).filter(
    lambda v: v != HIVE_DEFAULT_PARTITION
)


@given(values)
def test_escaping_is_undone_and_leaves_one_folder(value: str) -> None:
    escaped = escape_value(value)
    assert unescape_value(escaped) == value
    assert "/" not in escaped
    assert "=" not in escaped


@given(st.lists(st.tuples(values, st.none() | values), min_size=1, max_size=4))
def test_a_path_is_read_back(pairs: list[tuple[str, str | None]]) -> None:
    path = partition_path([name for name, _ in pairs], [value for _, value in pairs])
    parts = [part.split("=") for part in path.split("/")]
    assert [(unescape_value(name), value) for name, value in parts] == [
        (name, HIVE_DEFAULT_PARTITION if value is None else escape_value(value)) for name, value in pairs
    ]


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
paths = st.lists(printable, min_size=2, max_size=2)


@given(paths, paths)
def test_different_values_have_different_paths_and_no_value_reaches_into_another_folder(
    one: list[str], other: list[str]
) -> None:
    first, second = (partition_path(["a", "b"], given) for given in (one, other))
    assert (first == second) is (one == other)
    # The path is read back by nothing but its slashes, its first equals signs and percent signs.
    folders = [folder.split("=", 1)[1] for folder in first.split("/")]
    assert [unquote(folder, encoding="latin-1") for folder in folders] == one


# The characters of Hive's FileUtils.charToEscape, as org.apache.hadoop.hive.common.FileUtils lists them.
HIVE_ESCAPES = "".join(chr(c) for c in range(1, 32)) + "\"#%'*/:=?\\\x7f{[]^"


def test_exactly_hives_characters_are_escaped() -> None:
    assert {chr(c) for c in range(1, 256) if escape_value(chr(c)) != chr(c)} == set(HIVE_ESCAPES)
    assert escape_value("10:30 50%") == "10%3A30 50%25"


def test_names_and_values_must_fit() -> None:
    with pytest.raises(InvalidCallError, match="do not fit"):
        partition_path(["a", "b"], ["1"])


@pytest.mark.parametrize(
    ("value", "hive_type", "text"),
    [
        ("2026-01-02", "date", "2026-01-02"),
        (date(2026, 1, 2), "date", "2026-01-02"),
        ("007", "int", "7"),
        (7, "bigint", "7"),
        ("-0", "smallint", "0"),
        ("a b", "string", "a b"),
        (" a", "string", " a"),
        ("abc", "varchar(3)", "abc"),
        ("TRUE", "boolean", "true"),
        ("1.50", "decimal(4,2)", "1.5"),
        (Decimal("1.5"), "decimal(4,2)", "1.5"),
        ("1.5", "decimal(4, 2)", "1.5"),
        ("100", "decimal(3)", "100"),
        ("9" * 38, "decimal(38,0)", "9" * 38),
        ("12345678901234567890123456789.50", "decimal(38,2)", "12345678901234567890123456789.5"),
        ("-0", "decimal(4,2)", "0"),
        ("2026-01-02T03:04:05.100", "timestamp", "2026-01-02 03:04:05.1"),
        (datetime(2026, 1, 2, 3, 4, 5), "timestamp", "2026-01-02 03:04:05"),
    ],
)
def test_a_value_has_one_text_for_its_type(value: object, hive_type: str, text: str) -> None:
    assert canonical_value(value, hive_type) == text


@pytest.mark.parametrize(
    ("value", "hive_type"),
    [
        ("2026-02-30", "date"),
        ("20260102", "date"),
        ("2026-W05-6", "date"),
        ("２０２６-01-02", "date"),
        (datetime(2026, 1, 2, 3), "date"),
        ("1.0", "int"),
        ("1_000", "int"),
        ("2147483648", "int"),
        ("128", "tinyint"),
        ("abcd", "varchar(3)"),
        ("yes", "boolean"),
        ("1.505", "decimal(4,2)"),
        ("123.45", "decimal(4,2)"),
        ("NaN", "decimal(4,2)"),
        ("2026-01-02", "timestamp"),
        ("2026-13-02 00:00:00", "timestamp"),
        ("2026-02-30 00:00:00", "timestamp"),
        ("2026-01-02 00:00:00.٣", "timestamp"),
        ("9" * 39, "decimal(38,0)"),
        ("Infinity", "decimal(4,2)"),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_refused(value: object, hive_type: str) -> None:
    with pytest.raises(InvalidCallError, match="is not a"):
        canonical_value(value, hive_type)


@pytest.mark.parametrize("hive_type", ["array<string>", "double", "float", "binary", "decimal", ""])
def test_a_type_that_no_folder_is_named_by_is_refused(hive_type: str) -> None:
    with pytest.raises(InvalidCallError, match="cannot be written"):
        canonical_value("1.5", hive_type)


@pytest.mark.parametrize("value", [None, "", "  ", "None"])
def test_a_template_that_found_nothing_is_no_partition(value: object) -> None:
    with pytest.raises(InvalidCallError, match="template that found no value"):
        canonical_value(value, "string")
