"""New rows are looked at before anybody else sees them. Rows that do not pass are never published."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from tests.integration.lab import Lab
from tests.integration.overwriting import (
    EMPTY,
    GENERATIONS,
    data_keys,
    overwrite,
    overwrite_task,
    queries,
    registered,
    select,
    stored,
    sweep_later,
    temporary_tables,
    values,
)

pytestmark = pytest.mark.integration

OLD = [("1", "a", "2026-01-01")]


def test_an_empty_result_empties_the_partition(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    ran = overwrite(lab, EMPTY)
    assert ran.result["rows"] == 0
    assert stored(lab) == []


def test_an_empty_result_may_be_skipped(lab: Lab) -> None:
    overwrite(lab, values((1, "a")))
    with pytest.raises(AirflowSkipException):
        overwrite(lab, EMPTY, on_empty="skip")
    assert stored(lab) == OLD
    assert temporary_tables(lab) == set()


@pytest.mark.parametrize(
    ("query", "arguments", "message"),
    [
        (EMPTY, {"on_empty": "fail"}, "no rows"),
        (values((2, "b")), {"min_rows": 2}, "1 rows.*at least 2"),
        (
            values((2, "b")),
            {
                "checks": {
                    "has rows": "SELECT count(*) > 0 FROM {staged}",
                    "small ids": "SELECT max(id) < 2 FROM {staged}",
                }
            },
            "'small ids'",
        ),
    ],
)
def test_a_failed_audit_leaves_the_old_rows(
    lab: Lab, query: str, arguments: dict[str, Any], message: str
) -> None:
    overwrite(lab, values((1, "a")))
    with pytest.raises(AirflowFailException, match=f"(?s){message}.*old data is as it was"):
        overwrite(lab, query, **arguments)
    assert stored(lab) == OLD
    assert temporary_tables(lab) == set()


def test_an_audit_of_the_first_result_comes_before_the_table(lab: Lab) -> None:
    with pytest.raises(AirflowFailException, match="never"):
        overwrite(lab, values((1, "a")), checks={"never": "SELECT count(*) < 0 FROM {staged}"})
    assert lab.tables() == set()


def test_checks_that_pass_publish(lab: Lab) -> None:
    checks = {"unique": "SELECT count(*) = count(DISTINCT id) FROM {staged}"}
    ran = overwrite(lab, values((1, "a"), (2, "b")), checks=checks, min_rows=2)
    assert len(ran.result["query_execution_ids"]) == 2
    assert stored(lab, "id") == [("1",), ("2",)]


@pytest.mark.parametrize("writer", ["ctas", "unload"])
def test_checks_and_counts_are_of_the_new_rows(lab: Lab, writer: str) -> None:
    overwrite(lab, values((1, "a")))
    checks = {
        "new rows only": "SELECT min(id) = 2 AND max(id) = 3 FROM {staged}",
        "braces of one's own": "SELECT '{x}' = '{x}' AND count(*) = 2 FROM {staged} AS t",
    }
    with queries(lab) as sent:
        overwrite(lab, values((2, "b"), (3, "c")), checks=checks, min_rows=2, writer=writer)
    assert stored(lab, "id") == [("2",), ("3",)]
    assert len([sql for sql in sent if sql.startswith("SELECT min(id)")]) == 1
    with pytest.raises(AirflowFailException, match="'new rows only'"):
        overwrite(lab, values((2, "b"), (4, "c")), checks=checks, writer=writer)
    with pytest.raises(AirflowFailException, match=r"1 rows.*at least 2"):
        overwrite(lab, values((2, "b")), min_rows=2, writer=writer)
    assert stored(lab, "id") == [("2",), ("3",)]
    assert temporary_tables(lab) == set()


def test_the_rows_of_a_set_are_checked_before_they_are_cut_into_slices(lab: Lab) -> None:
    checks = {"all days": "SELECT count(DISTINCT dt) = 2 FROM {staged}"}
    good = select("id, note, dt", [(1, "a", "d1"), (2, "b", "d2")])
    overwrite(lab, good, {}, partitioned_by=["dt"], checks=checks)
    before = registered(lab)
    with queries(lab) as sent, pytest.raises(AirflowFailException, match="'all days'"):
        overwrite(lab, select("id, note, dt", [(3, "c", "d1")]), {}, checks=checks)
    assert len(sent) == 3  # rows, count, check
    assert registered(lab) == before
    assert stored(lab) == [("1", "a", "d1"), ("2", "b", "d2")]


@pytest.mark.parametrize("check", ["SELECT NULL FROM {staged}", "SELECT 1 FROM {staged} WHERE false"])
def test_a_check_without_an_answer_does_not_pass(lab: Lab, check: str) -> None:
    overwrite(lab, values((1, "a")))
    with pytest.raises(AirflowFailException, match="'odd' did not pass"):
        overwrite(lab, values((2, "b")), checks={"odd": check})
    assert stored(lab) == OLD


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("SELEC count(*) FROM {staged}", "(?i)SELEC"),
        ("SELECT no_such_column > 0 FROM {staged}", "no_such_column"),
    ],
)
def test_a_check_that_athena_does_not_take_fails_clearly_and_publishes_nothing(
    lab: Lab, check: str, message: str
) -> None:
    overwrite(lab, values((1, "a")))
    before = registered(lab)
    with pytest.raises(AirflowFailException, match=message):
        overwrite(lab, values((2, "b")), checks={"odd": check})
    assert registered(lab) == before
    assert stored(lab) == OLD
    assert temporary_tables(lab) == set()


def test_a_first_result_that_did_not_pass_makes_no_table(lab: Lab) -> None:
    for writer in ("ctas", "unload"):
        with pytest.raises(AirflowFailException, match="at least 2"):
            overwrite(lab, values((1, "a")), min_rows=2, writer=writer, on_failed_audit="drop")
        assert lab.tables() == set()
    assert data_keys(lab) == set()
    assert lab.keys(GENERATIONS) != set()  # the journal tells why


def test_a_table_without_partitions_may_be_emptied_skipped_or_left(lab: Lab) -> None:
    overwrite(lab, values((1, "a")), {})
    with pytest.raises(AirflowSkipException):
        overwrite(lab, EMPTY, {}, on_empty="skip")
    with pytest.raises(AirflowFailException, match="no rows"):
        overwrite(lab, EMPTY, {}, on_empty="fail")
    assert stored(lab, "id, note") == [("1", "a")]
    assert overwrite(lab, EMPTY, {}).result["rows"] == 0
    assert stored(lab, "id, note") == []


def test_a_skipped_task_tells_what_it_found(lab: Lab) -> None:
    xcoms: dict[str, Any] = {}
    task = overwrite_task(lab, EMPTY, on_empty="skip")
    overwrite(lab, values((1, "a")))
    with pytest.raises(AirflowSkipException, match="gave no rows"):
        lab.run_task(task, xcoms=xcoms)
    assert xcoms["return_value"]["outcome"] == "skipped"
    assert xcoms["return_value"]["rows"] == 0
    assert xcoms["return_value"]["partitions"] == []


@pytest.mark.parametrize("partition", [{"dt": "2026-01-01"}, {}])
def test_rows_that_did_not_pass_are_kept_for_a_while_or_dropped_at_once(
    lab: Lab, partition: dict[str, str]
) -> None:
    columns = "id, note" if partition else "id, note, dt"

    def write(number: int, **arguments: Any) -> None:
        row = (number, "a") if partition else (number, "a", "2026-01-01")
        overwrite(lab, select(columns, [row]), partition, partitioned_by=["dt"], **arguments)

    write(1)
    before = data_keys(lab)
    with pytest.raises(AirflowFailException, match=r"(?s)old data is as it was; the new files were dropped"):
        write(2, min_rows=5, on_failed_audit="drop")
    assert data_keys(lab) == before
    with pytest.raises(
        AirflowFailException, match=r"(?s)kept, unpublished, at s3://\S+/.generations/"
    ) as caught:
        write(3, min_rows=5, on_failed_audit="keep", retain="48h")
    kept = data_keys(lab) - before
    folder = str(caught.value).rpartition(" at ")[2].rstrip(".")
    assert kept
    assert {key for key in kept if f"s3://{lab.bucket}/{key}".startswith(folder)} == kept
    sweep_later(lab, hours=47)
    assert data_keys(lab) == before | kept
    sweep_later(lab, hours=49)
    assert data_keys(lab) == before
    assert stored(lab) == OLD
