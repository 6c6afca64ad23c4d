"""Every statement of the table gives the answer the real Trino gave; what does not is listed, with why."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest

from local_athena import LocalAthena
from local_athena.conformance import table
from local_athena.conformance.lake import Lake

pytestmark = pytest.mark.integration

CASES = [
    pytest.param(topic, sql, id=f"{topic}-{number}")
    for topic, statements in table.topics().items()
    for number, sql in enumerate(statements, 1)
]


@pytest.fixture(scope="module")
def lake(aws: LocalAthena) -> Iterator[Lake]:
    """The table's answers; the count of UNLOAD, which AWS does not document, is told for the test of it."""
    aws.tell_unload_rows("rows")
    try:
        yield Lake.on(aws.client, uuid.uuid4().hex[:10])
    finally:
        aws.tell_unload_rows()


@pytest.mark.parametrize(("topic", "sql"), CASES)
def test_a_statement_is_answered_as_trino_answered_it(
    lake: Lake, topic: str, sql: str, request: pytest.FixtureRequest
) -> None:
    reason = table.differences().get(topic, {}).get(sql)
    if reason and request.config.getoption("--local-athena-engine") != "trino":
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))
    found = lake.answers(topic)[sql]
    assert table.comparable(found) == table.recorded(topic)[sql], f"{sql}\n{found.get('reason', '')}"


@pytest.mark.parametrize(
    ("topic", "sql"),
    [
        (topic, sql)
        for topic, statements in table.topics().items()
        for sql in statements
        if sql.startswith("UNLOAD") and "error" not in table.recorded(topic)[sql]
    ],
)
def test_an_unload_writes_all_rows_of_its_query(lake: Lake, topic: str, sql: str) -> None:
    query = re.fullmatch(r"UNLOAD \((.+)\)\s+TO '.+", sql, re.S)
    assert query, sql
    counted = lake.answer(f"SELECT count(*) FROM (\n{query[1]}\n)")
    assert [[str(lake.answers(topic)[sql][table.UNLOAD_COUNT])]] == counted["rows"]


def test_every_statement_has_a_recorded_answer_and_no_answer_is_left_over() -> None:
    recorded = {topic: set(table.recorded(topic)) for topic in table.topics()}
    assert recorded == {topic: set(statements) for topic, statements in table.topics().items()}
    assert {path.stem for path in (table.HERE / "answers").glob("*.json")} == set(recorded)


def test_no_statement_is_in_a_topic_twice() -> None:
    for topic, statements in table.topics().items():
        assert len(statements) == len(set(statements)), topic


def test_every_listed_difference_is_a_statement_of_the_table_and_has_a_reason() -> None:
    for topic, reasons in table.differences().items():
        assert set(reasons) <= set(table.topics()[topic])
        assert all(reasons.values())


@pytest.mark.not_on_trino("Trino agrees with itself")
@pytest.mark.parametrize(
    ("topic", "sql"), [(topic, sql) for topic, reasons in table.differences().items() for sql in reasons]
)
def test_a_listed_difference_is_refused_by_duckdb_or_is_as_athena(lake: Lake, topic: str, sql: str) -> None:
    assert table.verdict(topic, sql, lake.answers(topic)[sql]) in {"refused", "as Athena"}


def test_the_table_holds_at_least_300_statements_that_reach_the_engine() -> None:
    statements = [sql for group in table.topics().values() for sql in group]
    assert sum(map(table.reaches_the_engine, statements)) >= 300
