from __future__ import annotations

import pytest

from airflow_quilt_athena.core.athena.hive_types import parse_hive_type, without_lengths
from airflow_quilt_athena.exceptions import InvalidCallError


@pytest.mark.parametrize(
    ("hive", "trino"),
    [
        ("string", "varchar"),
        ("int", "integer"),
        ("INTEGER", "integer"),
        ("float", "real"),
        ("binary", "varbinary"),
        ("timestamp", "timestamp(3)"),
        ("decimal(12,3)", "decimal(12,3)"),
        ("decimal(12)", "decimal(12,0)"),
        ("decimal", "decimal(10,0)"),
        ("varchar( 5 )", "varchar(5)"),
        ("array<array<int>>", "array(array(integer))"),
        ("map<string,struct<a:int,b:date>>", 'map(varchar, row("a" integer, "b" date))'),
        ("struct<odd name:int>", 'row("odd name" integer)'),
    ],
)
def test_a_hive_type_is_named_in_trinos_words(hive: str, trino: str) -> None:
    assert parse_hive_type(hive).trino == trino


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Map< String , Array< INTEGER > >", "map<string,array<int>>"),
        ("STRUCT<A: numeric(3, 1), b:char( 2 )>", "struct<a:decimal(3,1),b:char(2)>"),
        ("dec", "decimal(10,0)"),
    ],
)
def test_one_type_has_one_text_however_it_is_written(written: str, kept: str) -> None:
    assert parse_hive_type(written).hive == kept
    assert parse_hive_type(written) == parse_hive_type(kept)


@pytest.mark.parametrize(
    "text",
    [
        "", "uniontype<int,string>", "array<int", "map<int>", "struct<int>", "int int", "varchar", "array",
        "array<>", "decimal(1", "interval",
    ],
)  # fmt: skip
def test_a_type_that_cannot_be_written_is_refused(text: str) -> None:
    with pytest.raises(InvalidCallError, match="cannot be written"):
        parse_hive_type(text)


def test_lengths_of_the_first_result_do_not_bind_later_ones() -> None:
    assert without_lengths("varchar(3)") == "string"
    assert without_lengths("struct<a:varchar(3),b:char(2)>") == "struct<a:string,b:char(2)>"
