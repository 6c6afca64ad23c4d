"""What a task tells of many partitions stays small, and says how many there are."""

from __future__ import annotations

import json

from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change
from airflow_quilt_athena.core.overwrite.summary import (
    first_in,
    first_of,
    summarize_changes,
    summarize_queries,
)


def change(number: int, action: Action = Action.CREATED) -> Change:
    return Change((str(number), "x"), action, f"s3://lake/{number}/", "a-1", number, None, None, None)


def test_the_first_partitions_are_told_whole_and_all_are_counted() -> None:
    changes = [change(1), change(2, Action.REPLACED), *(change(n, Action.REMOVED) for n in range(3, 30))]
    told = summarize_changes(["n", "c"], changes)
    assert told["partitions_total"] == 29
    assert told["partitions_by_action"] == {"created": 1, "replaced": 1, "removed": 27}
    assert [one["values"] for one in told["partitions"]] == [{"n": str(n), "c": "x"} for n in range(1, 21)]
    assert told["partitions"][0] == {
        "values": {"n": "1", "c": "x"},
        "action": "created",
        "rows": 1,
        "location": "s3://lake/1/",
        "generation": "a-1",
        "previous_location": None,
        "previous_generation": None,
    }


def test_long_items_are_fewer_and_a_first_one_is_told_however_long_it_is() -> None:
    long = ["x" * 5_000] * 9
    assert first_of(long) == long[:3]
    assert len(json.dumps(first_of(long))) < 16_000
    assert first_of(["y" * 20_000, "z"]) == ["y" * 20_000]
    assert first_in({str(n): n for n in range(30)}) == {str(n): n for n in range(20)}


def test_of_many_queries_the_first_hundred_are_told() -> None:
    assert summarize_queries([f"q{n}" for n in range(250)]) == [f"q{n}" for n in range(100)]
