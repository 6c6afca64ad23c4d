"""What an argument may be, where its text could be taken for something else."""

from __future__ import annotations

import pytest

from airflow_quilt_athena.core.arguments import any_text, choice, mapping, read_printed, several
from airflow_quilt_athena.core.names import column
from airflow_quilt_athena.core.quilt.watch import Tell
from airflow_quilt_athena.exceptions import InvalidCallError


@pytest.mark.parametrize("value", [Tell.DELETED, "deleted"])
def test_a_choice_is_told_by_the_enums_member_or_by_its_text(value: object) -> None:
    assert choice(Tell)("tell", value) is Tell.DELETED


def test_another_choice_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidCallError, match="Expected one of created, rolled_back, deleted"):
        choice(Tell)("tell", "DELETED")


@pytest.mark.parametrize("value", ["(1)", "('a')", "[a]", "{", "a, b"])
def test_text_that_prints_no_list_or_mapping_stays_text(value: str) -> None:
    assert read_printed(value) == value
    assert several(any_text)("names", value) == (value,)


def test_a_mapping_with_one_name_in_two_spellings_is_refused() -> None:
    judge = mapping(column, any_text, "a mapping from column to comment")
    assert judge("comments", '{"A": "x"}') == {"a": "x"}
    with pytest.raises(InvalidCallError, match=r"comments has one of its names twice: A, a\."):
        judge("comments", {"A": "x", "a": "y"})
