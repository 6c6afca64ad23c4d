from __future__ import annotations

import pytest

from airflow_quilt_athena.core.glue.schema_diff import differences, doubled_names, name_differences


def test_column_differences_are_all_shown() -> None:
    expected = (("a", "int"), ("b", "struct<x:int,y:string>"), ("c", "string"), ("d", "date"))
    found = (("b", "struct<y:string,x:int>"), ("a", "INTEGER"), ("c", "double"), ("e", "int"))
    lines = "\n".join(differences(expected, found))
    assert "d (date): missing" in lines
    assert "e: not a column" in lines
    assert "b: the table has struct<x:int,y:string>" in lines
    assert "c: the table has string, the result double" in lines
    assert "a:" not in lines
    assert name_differences((("a", "int"),), ["A"]) == ()


@pytest.mark.parametrize(
    ("table_type", "result_type"),
    [
        ("bigint", "double"),
        ("int", "bigint"),
        ("string", "varchar(3)"),
        ("varchar(3)", "varchar(4)"),
        ("decimal(4,2)", "decimal(4,1)"),
        ("date", "timestamp"),
        ("array<struct<x:int,y:int>>", "array<struct<y:int,x:int>>"),
        ("struct<x:int>", "struct<y:int>"),
    ],
)
def test_a_type_in_which_a_value_could_be_rounded_cut_or_moved_is_a_difference(
    table_type: str, result_type: str
) -> None:
    assert differences((("c", table_type),), (("c", result_type),)) == (
        f"c: the table has {table_type}, the result {result_type}",
    )


def test_names_that_come_twice_are_told_whatever_their_case() -> None:
    assert doubled_names(["a", "B", "b", "A", "a"]) == (
        "a: 3 times in the result",
        "b: 2 times in the result",
    )
    assert name_differences((("a", "int"),), ["a", "A"]) == ("a: 2 times in the result",)
