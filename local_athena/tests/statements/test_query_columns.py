"""CTAS and CREATE VIEW keep the names a query gives, and refuse a column it does not name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from local_athena import LocalAthena
from support.athena_runner import Runner

pytestmark = pytest.mark.integration


@pytest.fixture
def runner(aws: LocalAthena, unique: Callable[[str], str]) -> Runner:
    runner = Runner(aws, unique("names-bucket"), unique("names"))
    runner.ok(f"CREATE DATABASE {runner.database}")
    return runner


@pytest.mark.parametrize("query", ["SELECT 'a' AS a, count(*)", "SELECT * FROM (SELECT 'a' AS a, 1 + 1)"])
def test_a_column_without_a_name_is_refused_at_its_position(runner: Runner, query: str) -> None:
    for statement in ("CREATE TABLE t AS", "CREATE VIEW t AS"):
        reason = runner.fails(f"{statement} {query}")
        assert "Column name not specified at position 2" in reason


def test_a_name_that_looks_like_none_is_a_name(runner: Runner) -> None:
    runner.ok('CREATE TABLE t AS SELECT 7 AS "_col0", 8 AS _col5')
    assert runner.rows("SELECT _col5, _col0 FROM t") == [("8", "7")]
