from __future__ import annotations

import pytest

from airflow_quilt_athena.core.overwrite.misfits import (
    describe_misfits,
    describe_unlike,
    describe_unwritable,
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("bigint", "integer"),
        ("int", "smallint"),
        ("string", "varchar(3)"),
        ("string", "char(3)"),
        ("varchar(5)", "varchar(3)"),
        ("double", "real"),
        ("double", "bigint"),
        ("decimal(10,2)", "decimal(5,2)"),
        ("decimal(10,2)", "smallint"),
        ("timestamp", "timestamp(0)"),
        ("timestamp", "date"),
        ("date", "unknown"),
        ("struct<a:int,b:string>", "row(a integer, b varchar)"),
        ("array<bigint>", "array(bigint)"),
        ("map<string,int>", "map(varchar, integer)"),
    ],
)
def test_what_the_engine_brings_together_is_no_misfit(wanted: str, found: str) -> None:
    assert describe_misfits((("c", wanted),), {"c": found}) == ()


@pytest.mark.parametrize(
    ("wanted", "found", "advice"),
    [
        ("bigint", "varchar(1)", 'CAST("c" AS bigint) AS "c"'),
        ("int", "bigint", 'CAST("c" AS integer) AS "c"'),
        ("string", "integer", 'CAST("c" AS varchar) AS "c"'),
        ("varchar(3)", "varchar(5)", 'CAST("c" AS varchar(3)) AS "c"'),
        ("decimal(5,2)", "integer", 'CAST("c" AS decimal(5,2)) AS "c"'),
        ("timestamp", "timestamp(6)", 'CAST("c" AS timestamp(3)) AS "c"'),
        ("timestamp", "timestamp(3) with time zone", 'CAST("c" AT TIME ZONE \'UTC\' AS timestamp(3)) AS "c"'),
        ("string", "row(a integer)", 'json_format(CAST("c" AS json)) AS "c"'),
        ("string", "json", 'json_format("c") AS "c"'),
        ("string", "varbinary", 'from_utf8("c") AS "c"'),
        (
            "struct<a:int,b:string>",
            "row(b varchar, a integer)",
            'CAST(ROW("c"."a", "c"."b") AS row("a" integer, "b" varchar)) AS "c"',
        ),
        ("struct<a:int>", "row(a bigint)", 'CAST("c" AS row("a" integer)) AS "c"'),
        ("struct<a:int>", "row(x integer)", "Its fields are x; expected a"),
        ("array<int>", "array(bigint)", "array(integer)"),
    ],
)
def test_a_misfit_names_the_column_both_types_and_the_cast(wanted: str, found: str, advice: str) -> None:
    (line,) = describe_misfits((("c", wanted), ("d", "int")), {"c": found, "d": "integer"})
    assert line.startswith(f"c: the table has {wanted}, the result {found}. ")
    assert advice in line


def test_what_was_staged_wider_than_the_table_is_named_with_its_cast() -> None:
    (line,) = describe_unlike((("n", "bigint"), ("m", "int")), (("n", "double"), ("m", "integer")))
    assert line == 'n: the table has bigint, the result double. Write CAST("n" AS bigint) AS "n"'


def test_of_what_was_staged_wider_the_results_own_type_is_told_where_it_is_known() -> None:
    (line,) = describe_unlike((("n", "bigint"),), (("n", "decimal(20,1)"),), {"n": "decimal(2,1)"})
    assert line == 'n: the table has bigint, the result decimal(2,1). Write CAST("n" AS bigint) AS "n"'


@pytest.mark.parametrize(
    "kind", ["timestamp(6)", "timestamp(0)", "timestamp(3) with time zone", "time(3)", "json", "uuid"]
)
def test_what_no_table_keeps_is_named_with_what_it_can_be(kind: str) -> None:
    (line,) = describe_unwritable({"c": kind, "n": "integer", "t": "timestamp(3)"})
    assert line.startswith(f"c: a table cannot keep {kind}. Write ")


@pytest.mark.parametrize(
    ("wanted", "found", "advice"),
    [
        (
            "array<int>",
            "varchar",
            "Make it array(integer) in the query, or "
            'CAST(json_parse("c") AS array(integer)) where it is JSON text',
        ),
        ("binary", "varchar(3)", 'Write to_utf8("c") AS "c"'),
        ("string", "varbinary", 'Write from_utf8("c") AS "c"'),
    ],
)
def test_what_no_cast_alone_does_is_told_with_what_does(wanted: str, found: str, advice: str) -> None:
    assert describe_misfits((("c", wanted),), {"c": found}) == (
        f"c: the table has {wanted}, the result {found}. {advice}",
    )
