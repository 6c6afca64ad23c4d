"""Views: their names resolve where they were made, and one that no longer fits is refused."""

# ruff: noqa: E501  # SQL reads best unbroken
from __future__ import annotations

import pytest

from local_athena.duck.engine import DuckEngine
from local_athena.errors import QueryCancelled, QueryFailed
from support.selects import FakeGlue, session, view


def query(sql: str, **views: dict[str, object]) -> list[tuple[object, ...]]:
    glue = FakeGlue({tuple(name.split("__")): definition for name, definition in views.items()})  # type: ignore[misc]
    table = DuckEngine().query(sql, session(glue)).table
    return [tuple(row.values()) for row in table.to_pylist()]


def test_a_view_of_a_view_is_read_in_its_own_database() -> None:
    inner = view("SELECT 1 AS a", a="integer")
    outer = view("SELECT a + 1 AS b FROM one", b="integer")  # its default database is db
    assert query("SELECT b FROM db.two", db__one=inner, db__two=outer) == [(2,)]


def test_a_view_knows_nothing_of_the_querys_with() -> None:
    made = view("SELECT a FROM w", a="integer")
    with pytest.raises(QueryFailed, match=r"Table 'awsdatacatalog\.db\.w' does not exist"):
        query("WITH w AS (SELECT 1 AS a) SELECT * FROM v", db__v=made)


def test_a_broken_view_says_which_and_why() -> None:
    with pytest.raises(QueryFailed) as failure:
        query("SELECT * FROM v", db__v=view("SELECT nope FROM (VALUES 1) t(a)", a="integer"))
    assert failure.value.reason.startswith(
        "INVALID_VIEW: line 1:15: Failed analyzing stored view 'awsdatacatalog.db.v': line 1:8: Column 'nope'"
    )


def test_a_view_whose_columns_have_changed_is_stale() -> None:
    changed_type = view("SELECT 'x' AS a", a="integer")
    with pytest.raises(QueryFailed, match=r"VIEW_IS_STALE: line 1:15: View 'awsdatacatalog\.db\.v' is stale"):
        query("SELECT * FROM v", db__v=changed_type)
    more_columns = view("SELECT 1 AS a, 2 AS b", a="integer")
    with pytest.raises(QueryFailed, match="VIEW_IS_STALE"):
        query("SELECT * FROM v", db__v=more_columns)


def test_a_view_whose_type_merely_widened_is_not_stale() -> None:
    assert query("SELECT a FROM v", db__v=view("SELECT 1 AS a", a="bigint")) == [(1,)]


def test_views_in_a_ring_are_refused() -> None:
    one, two = view("SELECT a FROM two", a="integer"), view("SELECT a FROM one", a="integer")
    with pytest.raises(QueryFailed, match="VIEW_IS_RECURSIVE"):
        query("SELECT * FROM one", db__one=one, db__two=two)


def test_information_schema_lists_tables_views_and_their_columns() -> None:
    made = view("SELECT 1 AS a, 'x' AS b", a="integer", b="varchar")
    tables = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'db'"
    assert query(tables, db__v=made) == [("v", "VIEW")]
    columns = (
        "SELECT column_name, data_type, ordinal_position FROM awsdatacatalog.information_schema.columns "
        "WHERE table_schema = 'db' AND table_name = 'v' ORDER BY ordinal_position"
    )
    assert query(columns, db__v=made) == [("a", "integer", 1), ("b", "varchar", 2)]
    views = "SELECT view_definition FROM information_schema.views WHERE table_name = 'v'"
    assert query(views, db__v=made) == [("SELECT 1 AS a, 'x' AS b",)]
    assert query("SELECT schema_name FROM information_schema.schemata ORDER BY 1") == [
        ("db",),
        ("information_schema",),
    ]


def test_a_query_that_is_stopped_ends_at_once() -> None:
    import threading
    import time

    running = session()
    stopper = threading.Timer(0.3, running.cancel)
    started = time.monotonic()
    stopper.start()
    try:
        with pytest.raises(QueryCancelled):
            DuckEngine().query(
                "SELECT count(*) FROM UNNEST(sequence(1, 9000)) a(x) CROSS JOIN UNNEST(sequence(1, 9000)) b(y) "
                "CROSS JOIN UNNEST(sequence(1, 1000)) c(z) WHERE (x * y * z) % 7 = 3",
                running,
            )
    finally:
        stopper.cancel()
        stopper.join()
    assert time.monotonic() - started < 10


def test_explain_shows_a_plan_and_runs_nothing_unless_asked() -> None:
    engine = DuckEngine()
    assert any("Dummy Scan" in line for line in engine.explain("SELECT 1 AS a", session()))
    assert engine.explain("SELECT a / 0 FROM (VALUES 1) AS t(a)", session())
    assert any("Total Time" in line for line in engine.explain("EXPLAIN ANALYZE SELECT 1", session()))
    with pytest.raises(QueryFailed, match="COLUMN_NOT_FOUND"):
        engine.explain("EXPLAIN SELECT nope", session())
