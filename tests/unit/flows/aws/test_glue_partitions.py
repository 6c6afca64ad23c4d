"""Partitions in Glue, as it answers when somebody else was there first."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.glue.selection import Selection
from airflow_quilt_athena.exceptions import AccessError, ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws.glue_partitions import (
    create_partitions,
    delete_partitions,
    observe_partitions,
    update_partitions,
)
from tests.unit.athena_fake import client_error
from tests.unit.lake_examples import partition, table

ONE = {"Values": ["1"]}
TWO = {"Values": ["2"]}


class Glue:
    """Answers every write of partitions alike."""

    def __init__(self, code: str | None = None, listed: list[dict[str, Any]] | None = None) -> None:
        self.code, self.listed = code, listed or []
        self.calls: list[str] = []

    def get_partitions(self, **_: Any) -> dict[str, Any]:
        self.calls.append("get_partitions")
        return {"Partitions": self.listed}

    def _single(self, **_: Any) -> dict[str, Any]:
        self.calls.append("single")
        if self.code:
            raise client_error(self.code)
        return {}

    create_partition = update_partition = _single

    def batch_create_partition(self, **_: Any) -> dict[str, Any]:
        return self._errors("PartitionValues")

    batch_delete_partition = batch_create_partition

    def batch_update_partition(self, **_: Any) -> dict[str, Any]:
        return self._errors("PartitionValueList")

    def _errors(self, name: str) -> dict[str, Any]:
        self.calls.append("batch")
        if self.code is None:
            return {}
        return {"Errors": [{name: ["2"], "ErrorDetail": {"ErrorCode": self.code, "ErrorMessage": "as told"}}]}


def glue(code: str | None = None, *listed: dict[str, Any]) -> Any:
    return Glue(code, list(listed))


def test_a_partition_that_somebody_made_first_is_told_and_left() -> None:
    assert create_partitions(glue("AlreadyExistsException"), table(), [ONE]) == {("1",)}
    assert create_partitions(glue("AlreadyExistsException"), table(), [ONE, TWO]) == {("2",)}
    assert create_partitions(glue(), table(), [ONE, TWO]) == set()


def test_a_partition_that_somebody_dropped_is_told_and_not_made_again() -> None:
    assert update_partitions(glue("EntityNotFoundException"), table(), [ONE]) == {("1",)}
    assert update_partitions(glue("EntityNotFoundException"), table(), [ONE, TWO]) == {("2",)}
    assert update_partitions(glue(), table(), [ONE]) == set()


def test_one_of_a_batch_that_was_throttled_is_to_be_looked_at_again() -> None:
    assert update_partitions(glue("ThrottlingException"), table(), [ONE, TWO]) == {("2",)}


def test_one_of_a_batch_that_may_not_be_changed_is_told_with_its_values() -> None:
    with pytest.raises(AccessError, match=r"Cannot repoint 2 partitions of table sales\.orders.*\['2'\]"):
        update_partitions(glue("AccessDeniedException"), table(), [ONE, TWO])


def test_one_of_a_batch_that_glue_refuses_for_good_is_told_with_what_glue_says() -> None:
    with pytest.raises(RetryableError, match="InvalidInputException: as told"):
        create_partitions(glue("InvalidInputException"), table(), [ONE, TWO])
    with pytest.raises(RetryableError, match=r"Cannot remove 1 partitions .*InvalidInputException"):
        delete_partitions(glue("InvalidInputException"), table(), [["2"]])


def test_a_partition_that_is_gone_is_as_good_as_deleted() -> None:
    deleted = glue("EntityNotFoundException")
    delete_partitions(deleted, table(), [["1"], ["2"]])
    assert deleted.calls == ["batch"]


INTEGERS = [{"Name": "n", "Type": "int"}]


def test_two_partitions_of_one_value_are_not_overwritten() -> None:
    numbers = table(PartitionKeys=INTEGERS)
    listed = [partition("7", location="s3://lake/a/"), partition("07", location="s3://lake/b/")]
    with pytest.raises(
        ManualActionError, match=r"partitions \['7'\] and \['07'\], which are one and the same"
    ):
        observe_partitions(glue(None, *listed), numbers, Selection((("n", "int"),), {}, removes=True))


def test_a_result_without_partitions_makes_no_call_to_find_them() -> None:
    asked = glue()
    assert observe_partitions(asked, table(PartitionKeys=INTEGERS), Selection((("n", "int"),), {})) == {}
    assert asked.calls == []
