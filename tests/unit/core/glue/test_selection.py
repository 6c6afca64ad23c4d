from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.glue.partitions import HIVE_DEFAULT_PARTITION
from airflow_quilt_athena.core.glue.selection import (
    Selection,
    all_text,
    build_expression,
    build_range,
    describe_keys,
    identity,
    parse_partitions,
)
from airflow_quilt_athena.core.overwrite.asked_partitions import plan_keys, plan_selection
from airflow_quilt_athena.core.overwrite.request import Replace, parse_partitioned_by
from airflow_quilt_athena.exceptions import InvalidCallError
from tests.unit.lake_examples import request, table

DT = (("dt", "date"),)
DT_AND_C = (("dt", "date"), ("c", "string"))


def selected(keys: Any, partition: Any, **changes: Any) -> Selection:
    return plan_selection(keys, request(partition=partition, **changes))


# ------------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("value", [None, "", "None", "  "])
@pytest.mark.parametrize("keys", [(("dt", "string"),), DT_AND_C])
def test_a_partition_without_a_value_is_refused(keys: Any, value: Any) -> None:
    with pytest.raises(InvalidCallError, match="dt"):
        selected(keys, {"dt": value})


@pytest.mark.parametrize("partition", ["", " ", "None"])
@pytest.mark.parametrize("keys", [(("dt", "string"),), DT_AND_C, ()])
def test_a_template_that_found_nothing_does_not_stand_for_whatever_the_result_has(
    keys: Any, partition: str
) -> None:
    with pytest.raises(InvalidCallError, match=r"template that found no value|no partition keys"):
        selected(keys, partition)


@pytest.mark.parametrize(
    ("hive_type", "value", "canonical"),
    [
        ("string", "01", "01"),
        ("int", "01", "1"),
        ("date", date(2026, 1, 2), "2026-01-02"),
        ("bigint", 7, "7"),
        ("string", "a b/c'd=e%f:g", "a b/c'd=e%f:g"),
    ],
)
def test_values_are_canonical_for_their_type(hive_type: str, value: Any, canonical: str) -> None:
    assert selected((("k", hive_type),), {"K": value}).values == (canonical,)


def test_values_come_in_the_order_of_the_keys() -> None:
    assert selected((("a", "string"), ("b", "int")), {"b": 2, "a": "x"}).values == ("x", "2")


def test_a_bare_value_is_that_of_the_only_key() -> None:
    assert selected(DT, "2026-01-01").values == ("2026-01-01",)
    with pytest.raises(InvalidCallError, match="mapping"):
        selected((("a", "string"), ("b", "string")), "x")


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ({"dt": "x", "country": "ch"}, "names country"),
        ({"dt": "2026-02-30"}, "not a date"),
        ({"dt": "2026-01-01", "DT": "2026-01-02"}, "twice: dt, DT"),
    ],
)
def test_keys_that_do_not_fit_are_refused(partition: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        selected(DT, partition)


def test_a_partition_of_a_table_without_keys_is_refused() -> None:
    with pytest.raises(InvalidCallError, match="no partition keys"):
        selected((), {"dt": "2026-01-01"})


def test_replacing_the_table_and_naming_a_partition_contradict_each_other() -> None:
    with pytest.raises(InvalidCallError, match=r'replace is "table"'):
        selected(DT_AND_C, {"dt": "2026-01-01"}, replace=Replace.TABLE)


@pytest.mark.parametrize("hive_type", ["double", "float", "binary", "array<string>"])
@pytest.mark.parametrize("partition", [{}, {"x": "1"}])
def test_a_key_of_a_type_that_no_folder_can_be_named_by_is_refused(hive_type: str, partition: Any) -> None:
    with pytest.raises(InvalidCallError, match=r"x: A partition key of type .* cannot be written"):
        selected((("x", hive_type),), partition)


# ------------------------------------------------------------------------------------ what may change


@pytest.mark.parametrize(
    ("keys", "partition", "replace", "dynamic", "removes", "prefix", "title"),
    [
        ((), {}, "partitions", [], True, "", "the table"),
        ((), {}, "table", [], True, "", "the table"),
        (DT, {"dt": "2026-01-01"}, "partitions", [], True, "dt=2026-01-01", "partition {'dt': '2026-01-01'}"),
        (DT_AND_C, {}, "partitions", ["dt", "c"], False, "", "the partitions in the result"),
        (DT_AND_C, {}, "table", ["dt", "c"], True, "", "the partitions in the result"),
        (
            DT_AND_C,
            {"dt": "2026-01-01"},
            "partitions",
            ["c"],
            True,
            "dt=2026-01-01",
            "the partitions of {'dt': '2026-01-01'}",
        ),
        (DT_AND_C, {"c": "a/b"}, "partitions", ["dt"], True, "c=a%2Fb", "the partitions of {'c': 'a/b'}"),
    ],
)
def test_what_is_given_is_fixed_and_the_rest_is_the_results(
    keys: Any, partition: Any, replace: str, dynamic: list[str], removes: bool, prefix: str, title: str
) -> None:
    selection = selected(keys, partition, replace=Replace(replace))
    assert [name for name, _ in selection.dynamic] == dynamic
    assert selection.is_set is bool(dynamic)
    assert selection.is_unpartitioned is not keys
    assert selection.is_unpartitioned == (keys == ())
    assert selection.removes is removes
    assert selection.prefix_path == prefix
    assert selection.title == title
    assert selection.describe() == {name: str(value) for name, value in partition.items()}


def test_the_results_values_are_put_between_those_given() -> None:
    keys = (("a", "string"), ("b", "int"), ("c", "string"))
    selection = selected(keys, {"b": "2"})
    assert selection.complete(("x", "z")) == ("x", "2", "z")
    assert selection.describe(("x", "2", "z")) == {"a": "x", "b": "2", "c": "z"}
    assert selection.covers(("x", "2", "z"))
    assert not selection.covers(("x", "3", "z"))


def test_every_partition_is_covered_where_nothing_is_given() -> None:
    assert Selection(DT_AND_C, {}).covers(("2026-01-01", "x"))
    assert Selection((), {}, removes=True).covers(())


def test_one_partition_or_several_may_be_meant() -> None:
    (one,) = parse_partitions(DT_AND_C, {"dt": date(2026, 1, 1)})
    assert one.covers(("2026-01-01", "x"))
    assert not one.covers(("2026-01-02", "x"))
    several = parse_partitions(DT_AND_C, [{"c": "x"}, {"dt": "2026-01-02", "c": "y"}])
    assert [selection.fixed for selection in several] == [{"c": "x"}, {"dt": "2026-01-02", "c": "y"}]
    assert [s.fixed for s in parse_partitions(DT, ["2026-01-01", "2026-01-02"])] == [
        {"dt": "2026-01-01"},
        {"dt": "2026-01-02"},
    ]
    with pytest.raises(InvalidCallError, match="names x"):
        parse_partitions(DT, {"x": "1"})


# -------------------------------------------------------------------------------------------------- keys


def test_the_keys_of_a_new_table_are_strings_unless_told_otherwise() -> None:
    assert plan_keys(None, request()) == (("dt", "string"),)
    assert plan_keys(None, request(partitioned_by=parse_partitioned_by({"dt": "date"}))) == (("dt", "date"),)
    assert plan_keys(None, request(partitioned_by=parse_partitioned_by("dt"))) == (("dt", "string"),)


def test_a_new_table_may_have_no_keys_when_that_is_said() -> None:
    assert plan_keys(None, request(partition={})) == ()


def test_a_new_table_whose_keys_are_not_known_is_refused() -> None:
    with pytest.raises(InvalidCallError, match="partitioned_by"):
        plan_keys(None, request(partition="2026-01-01"))


def test_keys_other_than_the_tables_are_refused() -> None:
    assert plan_keys(table(), request(partitioned_by=(("dt", "string"),))) == (("dt", "string"),)
    with pytest.raises(InvalidCallError, match=r"dt \(date\).*dt \(string\)"):
        plan_keys(table(), request(partitioned_by=DT))
    with pytest.raises(InvalidCallError, match=r"dt \(date\).*nothing"):
        plan_keys(table(PartitionKeys=[]), request(partitioned_by=DT))


def test_keys_are_described_with_their_types() -> None:
    assert describe_keys(DT_AND_C) == "dt (date), c (string)"
    assert describe_keys(()) == "nothing"


def test_only_text_has_one_spelling() -> None:
    assert all_text((("a", "string"), ("b", "varchar(3)"), ("c", "char(2)")))
    assert not all_text(DT_AND_C)


# ---------------------------------------------------------------------------------------------- identity

SPELLINGS = {
    "int": ("1", "01", "+1", " 1 "),
    "bigint": ("-7", "-07"),
    "boolean": ("true", "TRUE", "True"),
    "decimal(6,2)": ("1.5", "1.50", "01.5", "+1.5"),
    "timestamp": ("2026-01-02 03:04:05", "2026-01-02T03:04:05", "2026-01-02 03:04:05.000"),
    "date": ("2026-01-02", " 2026-01-02"),
}


@pytest.mark.parametrize(("hive_type", "spellings"), SPELLINGS.items())
def test_two_spellings_of_one_value_are_one_partition(hive_type: str, spellings: tuple[str, ...]) -> None:
    keys = (("k", hive_type),)
    assert {identity(keys, [text]) for text in spellings} == {(spellings[0],)}


def test_what_is_no_value_of_the_type_stands_for_itself() -> None:
    keys = (("n", "int"), ("s", "string"), ("d", "date"))
    values = (HIVE_DEFAULT_PARTITION, HIVE_DEFAULT_PARTITION, "soon")
    assert identity(keys, values) == values
    assert identity((("s", "string"),), [""]) == ("",)


TYPES = (
    "int",
    "bigint",
    "string",
    "date",
    "boolean",
    "decimal(6,2)",
    "decimal(38,10)",
    "timestamp",
    "char(9)",
)
TEXTS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    st.from_regex(r"[+-]?0{0,2}[0-9]{1,4}(\.[0-9]{0,3})?", fullmatch=True),
    st.dates().map(str),
    st.datetimes().map(str),
    st.sampled_from(["TRUE", "false", HIVE_DEFAULT_PARTITION, "None", ""]),
)


@given(st.lists(st.tuples(st.sampled_from(TYPES), TEXTS), min_size=1, max_size=3))
def test_an_identity_is_its_own_identity(parts: list[tuple[str, str]]) -> None:
    keys = tuple((f"k{number}", hive_type) for number, (hive_type, _) in enumerate(parts))
    once = identity(keys, [text for _, text in parts])
    assert identity(keys, once) == once


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 3))
def test_integers_meet_exactly_when_they_are_equal(one: int, other: int, zeros: int) -> None:
    sign, digits = ("-", str(other)[1:]) if other < 0 else ("", str(other))
    spelled = sign + "0" * zeros + digits
    keys = (("n", "int"),)
    assert (identity(keys, [str(one)]) == identity(keys, [spelled])) is (one == other)


# -------------------------------------------------------------------------------- what Glue is asked for


@pytest.mark.parametrize(
    ("keys", "fixed", "expression"),
    [
        (DT_AND_C, {}, None),
        (DT_AND_C, {"dt": "2026-01-01"}, "dt = '2026-01-01'"),
        (DT_AND_C, {"dt": "2026-01-01", "c": "a b"}, "dt = '2026-01-01' AND c = 'a b'"),
        ((("n", "bigint"), ("v", "varchar(3)")), {"n": "7", "v": "x"}, "n = 7 AND v = 'x'"),
        # what Glue may read otherwise is left out: more is found then, never less
        ((("s", "string"),), {"s": "it's"}, None),
        ((("n", "decimal(4,2)"),), {"n": "1.5"}, None),
        ((("b", "boolean"), ("c", "char(2)")), {"b": "true", "c": "ch"}, None),
        ((("key", "string"), ("c", "string")), {"key": "x", "c": "y"}, "c = 'y'"),
    ],
)
def test_glue_is_asked_only_for_what_it_reads_as_we_do(
    keys: Any, fixed: dict[str, str], expression: str | None
) -> None:
    assert build_expression(keys, fixed) == expression


def test_a_condition_that_is_too_long_for_glue_is_left_out() -> None:
    keys = (("a", "string"), ("b", "string"), ("c", "string"))
    fixed = {"a": "x", "b": "y" * 3000, "c": "z" * 2000}
    expression = build_expression(keys, fixed)
    assert expression == f"a = 'x' AND c = '{'z' * 2000}'"
    assert build_expression(keys, {"b": "y" * 2048}) is None


@pytest.mark.parametrize(
    ("keys", "found", "expression"),
    [
        (DT, [("2026-01-03",), ("2026-01-01",), ("2026-01-02",)], "d >= '2026-01-01' AND d <= '2026-01-03'"),
        ((("n", "int"),), [("9",), ("10",), ("-1",)], "d >= -1 AND d <= 10"),
        (DT, [], None),
        (DT, [("2026-01-03",), (HIVE_DEFAULT_PARTITION,)], None),
        ((("s", "string"),), [("a",)], None),
        ((("when", "date"),), [("2026-01-03",)], None),
    ],
)
def test_a_range_holds_every_partition_that_was_found(
    keys: Any, found: list[tuple[str, ...]], expression: str | None
) -> None:
    name = keys[0][0]
    wanted = expression and expression.replace("d >=", f"{name} >=").replace("d <=", f"{name} <=")
    assert build_range(keys, found) == wanted
