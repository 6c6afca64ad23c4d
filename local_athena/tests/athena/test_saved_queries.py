"""Prepared statements and named queries."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local_athena.errors import ApiError
from support.athena_fakes import World

PS = {"WorkGroup": "primary", "StatementName": "ps1"}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.api.close()


def create(world: World, statement: str = "SELECT ? + ?", **more: Any) -> None:
    world.call("CreatePreparedStatement", **{**PS, "QueryStatement": statement, **more})


def test_a_prepared_statement_is_kept_changed_and_deleted(world: World) -> None:
    create(world, Description="sum")
    kept = world.call("GetPreparedStatement", **PS)["PreparedStatement"]
    assert kept["QueryStatement"] == "SELECT ? + ?"
    assert (kept["StatementName"], kept["WorkGroupName"], kept["Description"]) == ("ps1", "primary", "sum")
    world.call("UpdatePreparedStatement", **PS, QueryStatement="SELECT ?")
    assert world.call("GetPreparedStatement", **PS)["PreparedStatement"]["QueryStatement"] == "SELECT ?"
    world.call("DeletePreparedStatement", **PS)
    with pytest.raises(ApiError) as caught:
        world.call("GetPreparedStatement", **PS)
    assert caught.value.code == "ResourceNotFoundException"


def test_an_unknown_prepared_statement_can_be_neither_changed_nor_deleted(world: World) -> None:
    for operation, more in (
        ("UpdatePreparedStatement", {"QueryStatement": "SELECT 1"}),
        ("DeletePreparedStatement", {}),
    ):
        with pytest.raises(ApiError) as caught:
            world.call(operation, **PS, **more)
        assert caught.value.code == "ResourceNotFoundException"


def test_a_second_prepared_statement_of_the_same_name_is_refused(world: World) -> None:
    create(world)
    with pytest.raises(ApiError, match="already exists"):
        create(world)


def test_prepared_statements_are_listed_and_got_in_batches(world: World) -> None:
    for name in ("bb", "aa", "cc"):
        create(world, StatementName=name)
    first = world.call("ListPreparedStatements", WorkGroup="primary", MaxResults=2)
    assert [one["StatementName"] for one in first["PreparedStatements"]] == ["aa", "bb"]
    rest = world.call("ListPreparedStatements", WorkGroup="primary", NextToken=first["NextToken"])
    assert [one["StatementName"] for one in rest["PreparedStatements"]] == ["cc"]
    batch = world.call("BatchGetPreparedStatement", WorkGroup="primary", PreparedStatementNames=["cc", "dd"])
    assert [one["StatementName"] for one in batch["PreparedStatements"]] == ["cc"]
    assert [one["StatementName"] for one in batch["UnprocessedPreparedStatementNames"]] == ["dd"]


@pytest.mark.parametrize(
    ("sql", "sent", "parameters"),
    [
        ("EXECUTE ps1 USING 1, 2", [], ("1", "2")),
        (
            "-- dbt\n/* x */ execute ps1 using 'a, (b', concat('x', 'y, z') ;",
            [],
            ("'a, (b'", "concat('x', 'y, z')"),
        ),
        ("EXECUTE ps1", ["1", "2"], ("1", "2")),
        ('EXECUTE "ps1" USING ARRAY[1, 2], ROW(3, 4)', [], ("ARRAY[1, 2]", "ROW(3, 4)")),
    ],
)
def test_execute_runs_the_statement_with_its_values(
    world: World, sql: str, sent: list[str], parameters: tuple[str, ...]
) -> None:
    create(world)
    found = world.run(sql, **({"ExecutionParameters": sent} if sent else {}))
    assert found["Status"]["State"] == "SUCCEEDED"
    assert found["Query"] == sql
    assert found["SubstatementType"] == "SELECT"
    assert world.statements.ran == [("SELECT ? + ?", parameters, "default")]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("EXECUTE nope", "nope was not found in WorkGroup primary"),
        ("EXECUTE", "name of the prepared statement is missing"),
        ("EXECUTE ps1 USING", "expected EXECUTE name"),
        ("EXECUTE ps1 USING 1,", "a value is missing"),
        ("EXECUTE ps1 WITH 1", "expected EXECUTE name"),
        ("EXECUTE ps1 USING 'x", "SYNTAX_ERROR"),
        ("DEALLOCATE ps1", "expected DEALLOCATE PREPARE name"),
        ("PREPARE ps2", "expected PREPARE name FROM"),
        ("DEALLOCATE PREPARE nope", "nope was not found"),
        ("PREPARE ps1 FROM SELECT 1", "already exists"),
    ],
)
def test_a_wrong_execute_prepare_or_deallocate_fails_the_query(world: World, sql: str, words: str) -> None:
    create(world)
    status = world.run(sql)["Status"]
    assert status["State"] == "FAILED"
    assert words in status["StateChangeReason"]
    assert status["AthenaError"]["ErrorCategory"] == 2


def test_values_given_twice_fail_the_query(world: World) -> None:
    create(world)
    status = world.run("EXECUTE ps1 USING 1, 2", ExecutionParameters=["3", "4"])["Status"]
    assert "USING and by ExecutionParameters" in status["StateChangeReason"]
    assert world.statements.ran == []


def test_a_statement_is_prepared_run_and_dropped_by_sql(world: World) -> None:
    assert world.run("PREPARE p1 FROM\n  SELECT ? FROM t;")["Status"]["State"] == "SUCCEEDED"
    assert world.call("GetPreparedStatement", WorkGroup="primary", StatementName="p1")["PreparedStatement"][
        "QueryStatement"
    ] == "SELECT ? FROM t"  # fmt: skip
    world.run("EXECUTE p1 USING 7")
    assert world.statements.ran == [("SELECT ? FROM t", ("7",), "default")]
    assert world.run("DEALLOCATE PREPARE p1")["Status"]["State"] == "SUCCEEDED"
    assert world.call("ListPreparedStatements", WorkGroup="primary")["PreparedStatements"] == []


def test_a_word_that_only_begins_like_execute_is_left_alone(world: World) -> None:
    world.run("executed_rows")
    assert world.statements.ran == [("executed_rows", (), "default")]


NAMED = {"Name": "n", "Database": "db", "QueryString": "SELECT 1"}


def test_a_named_query_is_kept_changed_and_deleted(world: World) -> None:
    query_id = world.call("CreateNamedQuery", **NAMED, Description="d")["NamedQueryId"]
    assert world.call("GetNamedQuery", NamedQueryId=query_id)["NamedQuery"] == {
        **NAMED,
        "Description": "d",
        "NamedQueryId": query_id,
        "WorkGroup": "primary",
    }
    world.call("UpdateNamedQuery", NamedQueryId=query_id, Name="m", QueryString="SELECT 2")
    changed = world.call("GetNamedQuery", NamedQueryId=query_id)["NamedQuery"]
    assert (changed["Name"], changed["QueryString"], changed["Description"]) == ("m", "SELECT 2", "d")
    world.call("DeleteNamedQuery", NamedQueryId=query_id)
    with pytest.raises(ApiError, match="was not found"):
        world.call("GetNamedQuery", NamedQueryId=query_id)


def test_named_queries_are_listed_newest_first_and_got_in_batches(world: World) -> None:
    made = [world.call("CreateNamedQuery", **NAMED)["NamedQueryId"] for _ in range(3)]
    first = world.call("ListNamedQueries", MaxResults=2)
    rest = world.call("ListNamedQueries", NextToken=first["NextToken"])
    assert first["NamedQueryIds"] + rest["NamedQueryIds"] == made[::-1]
    batch = world.call("BatchGetNamedQuery", NamedQueryIds=[made[0], "nope"])
    assert [one["NamedQueryId"] for one in batch["NamedQueries"]] == [made[0]]
    assert [one["NamedQueryId"] for one in batch["UnprocessedNamedQueryIds"]] == ["nope"]


def test_an_equal_call_with_the_same_token_makes_one_named_query(world: World) -> None:
    token = uuid.uuid4().hex
    made = {world.call("CreateNamedQuery", **NAMED, ClientRequestToken=token)["NamedQueryId"] for _ in "ab"}
    assert len(made) == 1
    with pytest.raises(ApiError, match="Idempotent parameters do not match"):
        world.call("CreateNamedQuery", **{**NAMED, "Name": "other"}, ClientRequestToken=token)
