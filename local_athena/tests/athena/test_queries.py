"""The life of a query: how it starts, ends, is stopped, repeated and reused."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local_athena.data.session import Column, Outcome, Session
from local_athena.errors import ApiError, QueryFailed
from support.athena_fakes import OUTPUT, QueryFault, World, select

NO_OUTPUT = "No output location provided"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.api.close()


def endless(session: Session) -> Outcome:
    """Run until stopped, as an engine that does not hear what comes before it is at work."""
    stopped = threading.Event()
    deaf = iter((True, True))

    def interrupt() -> None:
        if not next(deaf, False):
            stopped.set()

    with session.interruptible(interrupt):
        assert stopped.wait(10), "nobody interrupted the engine"
    raise RuntimeError("INTERRUPT: Interrupted!")


def test_a_query_that_succeeds_tells_all_about_itself(world: World) -> None:
    found = world.run(
        "SELECT ?",
        QueryExecutionContext={"Database": "`My_Db`", "Catalog": "AWSDataCatalog"},
        ExecutionParameters=["'x'"],
    )
    query = found["QueryExecutionId"]
    assert found["Query"] == "SELECT ?"
    assert (found["StatementType"], found["SubstatementType"]) == ("DML", "SELECT")
    assert found["ResultConfiguration"] == {"OutputLocation": f"{OUTPUT}/{query}.csv"}
    assert found["QueryExecutionContext"] == {"Database": "`My_Db`", "Catalog": "AWSDataCatalog"}
    assert found["WorkGroup"] == "primary"
    assert found["ExecutionParameters"] == ["'x'"]
    assert found["EngineVersion"]["EffectiveEngineVersion"] == "Athena engine version 3"
    status, statistics = found["Status"], found["Statistics"]
    assert status["State"] == "SUCCEEDED"
    assert 0 <= status["CompletionDateTime"] - status["SubmissionDateTime"] < 10
    assert "AthenaError" not in status
    assert statistics["ResultReuseInformation"] == {"ReusedPreviousResult": False}
    assert world.statements.ran == [("SELECT ?", ("'x'",), "my_db")]


def test_statistics_are_measured(world: World) -> None:
    def scan(session: Session) -> Outcome:
        session.add_scanned(700)
        time.sleep(0.05)
        return select((), ())

    world.statements.learn("SCAN", ("DML", "SELECT"), scan)
    statistics = world.run("SCAN")["Statistics"]
    assert statistics["DataScannedInBytes"] == 700
    assert statistics["EngineExecutionTimeInMillis"] >= 50
    parts = (
        "QueryQueueTimeInMillis",
        "ServicePreProcessingTimeInMillis",
        "EngineExecutionTimeInMillis",
        "ServiceProcessingTimeInMillis",
    )
    total = statistics["TotalExecutionTimeInMillis"]
    assert statistics["QueryPlanningTimeInMillis"] <= statistics["EngineExecutionTimeInMillis"]
    assert abs(total - sum(statistics[part] for part in parts)) <= 3  # each is rounded by itself


def test_bytes_scanned_are_seen_while_the_query_runs(world: World) -> None:
    go_on = threading.Event()

    def scan(session: Session) -> Outcome:
        session.add_scanned(123)
        assert go_on.wait(10)
        return select((), ())

    world.statements.learn("SCAN", ("DML", "SELECT"), scan)
    query = world.start("SCAN")
    deadline = time.monotonic() + 5
    while world.get(query)["Statistics"]["DataScannedInBytes"] != 123:
        assert time.monotonic() < deadline
    assert world.state(query) == "RUNNING"
    go_on.set()
    world.wait(query)


def test_without_any_output_location_a_query_is_refused(world: World) -> None:
    with pytest.raises(ApiError, match=NO_OUTPUT):
        world.start(ResultConfiguration={})


@pytest.mark.parametrize("location", ["results", "http://b/x", "s3:/b", "s3://"])
def test_an_output_location_that_is_no_s3_path_is_refused(world: World, location: str) -> None:
    with pytest.raises(ApiError, match="outputLocation is not a valid S3 path"):
        world.start(ResultConfiguration={"OutputLocation": location})


def test_the_workgroups_location_is_used_when_the_call_names_none(world: World) -> None:
    world.call(
        "CreateWorkGroup",
        Name="wg",
        Configuration={
            "EnforceWorkGroupConfiguration": False,
            "ResultConfiguration": {
                "OutputLocation": "s3://wg/out/",
                "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
            },
        },
    )
    found = world.run(WorkGroup="wg", ResultConfiguration={})
    assert found["ResultConfiguration"] == {
        "OutputLocation": f"s3://wg/out/{found['QueryExecutionId']}.csv",
        "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"},
    }
    found = world.run(WorkGroup="wg")
    assert found["ResultConfiguration"]["OutputLocation"].startswith(OUTPUT)


def test_an_enforcing_workgroup_has_the_only_word_on_the_location(world: World) -> None:
    world.call(
        "CreateWorkGroup",
        Name="wg",
        Configuration={"ResultConfiguration": {"OutputLocation": "s3://wg/out"}},
    )
    seen: list[Session] = []

    def look(session: Session) -> Outcome:
        seen.append(session)
        return select((), ())

    world.statements.learn("LOOK", ("DML", "SELECT"), look)
    found = world.run("LOOK", WorkGroup="wg")
    assert found["ResultConfiguration"]["OutputLocation"].startswith("s3://wg/out/")
    assert (seen[0].enforced, seen[0].output_prefix) == (True, "s3://wg/out/")


def test_an_enforcing_workgroup_without_location_refuses_even_a_call_that_names_one(world: World) -> None:
    world.call("CreateWorkGroup", Name="wg")
    with pytest.raises(ApiError, match=NO_OUTPUT):
        world.start(WorkGroup="wg")


def test_a_foreign_catalog_is_refused(world: World) -> None:
    with pytest.raises(ApiError, match="DataCatalog hive was not found"):
        world.start(QueryExecutionContext={"Catalog": "hive"})


def test_a_query_of_262144_bytes_is_taken_and_one_more_is_not(world: World) -> None:
    head = "SELECT '"
    room = 262_144 - len(head) - 1
    assert world.run(f"{head}{'x' * room}'")["Status"]["State"] == "SUCCEEDED"
    with pytest.raises(ApiError, match="262144"):
        world.start(f"{head}{'x' * room}x'")
    with pytest.raises(ApiError, match="262144"):
        world.start(f"{head}{'ü' * (room // 2 + 1)}'")  # bytes count, not letters


# --- client request tokens --------------------------------------------------------------------------------


def test_the_same_token_and_call_get_the_same_query_also_after_it_failed(world: World) -> None:
    def fail(_: Session) -> Outcome:
        raise QueryFailed("no")

    world.statements.learn("FAIL", ("DML", "SELECT"), fail)
    token = uuid.uuid4().hex
    first = world.start("FAIL", ClientRequestToken=token)
    assert world.start("FAIL", ClientRequestToken=token) == first
    world.wait(first)
    assert world.start("FAIL", ClientRequestToken=token) == first
    assert len(world.statements.ran) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"sql": "SELECT 2"},
        {"ResultConfiguration": {"OutputLocation": "s3://else/where"}},
        {"QueryExecutionContext": {"Database": "other"}},
        {"ExecutionParameters": ["1"]},
    ],
)
def test_a_changed_call_with_a_used_token_is_refused(world: World, change: dict[str, Any]) -> None:
    token = uuid.uuid4().hex
    world.start("SELECT 1", ClientRequestToken=token)
    with pytest.raises(ApiError, match="Idempotent parameters do not match"):
        world.start(**{"sql": "SELECT 1", "ClientRequestToken": token, **change})


@pytest.mark.parametrize(
    ("token", "words"),
    [("x" * 31, "greater than or equal to 32"), ("x" * 129, "less than or equal to 128"), (None, "is null")],
)
def test_a_token_must_be_there_and_have_32_to_128_letters(
    world: World, token: str | None, words: str
) -> None:
    with pytest.raises(ApiError, match=words):
        world.start(ClientRequestToken=token)
    assert world.run(ClientRequestToken="x" * 32)
    assert world.run(ClientRequestToken="y" * 128)


def test_many_equal_calls_at_once_start_one_query(world: World) -> None:
    token, found, gate = uuid.uuid4().hex, [], threading.Barrier(8)

    def start() -> None:
        gate.wait()
        found.append(world.start("SELECT 1", ClientRequestToken=token))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    world.wait(found[0])
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(world.statements.ran) == 1


# --- failure ----------------------------------------------------------------------------------------------


def test_a_failed_query_tells_reason_category_and_type(world: World) -> None:
    def fail(_: Session) -> Outcome:
        raise QueryFailed("TABLE_NOT_FOUND: line 1:15: Table 'x' does not exist", 2, 1301)

    world.statements.learn("FAIL", ("DML", "SELECT"), fail)
    status = world.run("FAIL")["Status"]
    assert status["State"] == "FAILED"
    assert status["StateChangeReason"] == "TABLE_NOT_FOUND: line 1:15: Table 'x' does not exist"
    assert status["AthenaError"] == {
        "ErrorCategory": 2,
        "ErrorType": 1301,
        "Retryable": False,
        "ErrorMessage": status["StateChangeReason"],
    }


def test_a_bug_of_ours_ends_the_query_as_a_system_error_and_is_told_to_the_server(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    def break_(_: Session) -> Outcome:
        raise ZeroDivisionError("oh")

    world.statements.learn("BUG", ("DML", "SELECT"), break_)
    status = world.run("BUG")["Status"]
    assert status["StateChangeReason"] == "GENERIC_INTERNAL_ERROR: ZeroDivisionError: oh"
    assert status["AthenaError"]["ErrorCategory"] == 1
    assert "ZeroDivisionError: oh" in capfd.readouterr().err


def test_a_statement_that_is_none_fails_as_a_query(world: World) -> None:
    def classify(sql: str) -> tuple[str, str]:
        raise QueryFailed("SYNTAX_ERROR: line 1:1")

    world.statements.classify = classify  # type: ignore[method-assign]
    assert world.run("SELEC 1")["Status"]["StateChangeReason"] == "SYNTAX_ERROR: line 1:1"


def test_a_failed_ddl_statement_leaves_its_reason_where_its_result_would_be(world: World) -> None:
    def fail(_: Session) -> Outcome:
        raise QueryFailed("FAILED: SemanticException table not found")

    world.statements.learn("DROP", ("DDL", "DROP_TABLE"), fail)
    found = world.run("DROP")
    location = found["ResultConfiguration"]["OutputLocation"]
    assert location.endswith(".txt")
    assert world.file(location) == b"FAILED: SemanticException table not found"


def test_the_reason_of_a_failed_ddl_statement_survives_when_it_cannot_be_written(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Session) -> Outcome:
        world.bucket.writable = False
        raise QueryFailed("FAILED: the first reason")

    world.statements.learn("DROP", ("DDL", "DROP_TABLE"), fail)
    found = world.run("DROP")
    assert found["Status"]["StateChangeReason"] == "FAILED: the first reason"
    assert found["QueryExecutionId"] in capfd.readouterr().err


def test_a_caller_who_may_not_write_results_sees_the_query_fail(world: World) -> None:
    world.bucket.writable = False
    found = world.run()
    status = found["Status"]
    assert status["State"] == "FAILED"
    url = found["ResultConfiguration"]["OutputLocation"]
    assert status["StateChangeReason"].startswith(f"Access denied when writing output to url: {url} .")


def test_nothing_runs_when_it_is_known_that_results_may_not_be_written(world: World) -> None:
    world.unwritable = "User x is not authorized to perform: s3:PutObject"
    status = world.run()["Status"]
    assert "not authorized to perform: s3:PutObject" in status["StateChangeReason"]
    assert world.statements.ran == []


def test_an_unexpected_bucket_owner_fails_the_query(world: World) -> None:
    configuration = {"OutputLocation": OUTPUT, "ExpectedBucketOwner": "999999999999"}
    found = world.run(ResultConfiguration=configuration)
    assert found["Status"]["State"] == "FAILED"
    assert "owned by 999999999999" in found["Status"]["StateChangeReason"]
    assert found["ResultConfiguration"]["ExpectedBucketOwner"] == "999999999999"
    configuration["ExpectedBucketOwner"] = "123456789012"
    assert world.run(ResultConfiguration=configuration)["Status"]["State"] == "SUCCEEDED"


def test_a_query_past_its_scan_cut_off_is_cancelled(world: World) -> None:
    def scan(session: Session) -> Outcome:
        session.add_scanned(10_000_000)
        session.add_scanned(1)
        raise AssertionError("read on past the cut-off")

    world.call(
        "UpdateWorkGroup",
        WorkGroup="primary",
        ConfigurationUpdates={"BytesScannedCutoffPerQuery": 10_000_000},
    )
    world.statements.learn("SCAN", ("DML", "SELECT"), scan)
    status = world.run("SCAN")["Status"]
    assert status["State"] == "CANCELLED"
    assert "Bytes scanned limit was exceeded" in status["StateChangeReason"]
    assert "AthenaError" not in status


# --- knobs ------------------------------------------------------------------------------------------------


def test_a_fault_fails_the_query_before_anything_is_done(world: World) -> None:
    world.knobs.fault = QueryFault("SlowDown: later", category=1, error_type=233, retryable=True)
    error = world.run()["Status"]["AthenaError"]
    assert error == {
        "ErrorCategory": 1,
        "ErrorType": 233,
        "Retryable": True,
        "ErrorMessage": "SlowDown: later",
    }
    assert world.statements.ran == []


def test_a_fault_afterwards_leaves_the_work_done_and_fails_the_query(world: World) -> None:
    world.knobs.fault = QueryFault("lost its way", when="after")
    assert world.run()["Status"]["State"] == "FAILED"
    assert len(world.statements.ran) == 1


def test_latency_is_added_to_a_querys_run_and_can_be_interrupted(world: World) -> None:
    world.knobs.seconds = 0.05
    assert world.run()["Statistics"]["EngineExecutionTimeInMillis"] >= 50
    world.knobs.seconds = 30.0
    query = world.start()
    world.wait(query, "RUNNING")
    started = time.monotonic()
    world.call("StopQueryExecution", QueryExecutionId=query)
    assert world.state(query) == "CANCELLED"
    assert time.monotonic() - started < 0.5


# --- stopping ---------------------------------------------------------------------------------------------


def test_stopping_interrupts_the_engine_and_the_query_is_cancelled_at_once(world: World) -> None:
    world.statements.learn("ENDLESS", ("DML", "SELECT"), endless)
    query = world.start("ENDLESS")
    world.wait(query, "RUNNING")
    world.call("StopQueryExecution", QueryExecutionId=query)
    status = world.get(query)["Status"]
    assert status["State"] == "CANCELLED"
    assert status["StateChangeReason"] == "Query cancelled by user"
    assert "AthenaError" not in status


def test_a_queued_query_that_is_stopped_never_runs() -> None:
    world = World(max_running=1)
    world.statements.learn("ENDLESS", ("DML", "SELECT"), endless)
    running = world.start("ENDLESS")
    world.wait(running, "RUNNING")
    waiting = world.start("SELECT 2")
    assert world.state(waiting) == "QUEUED"
    world.call("StopQueryExecution", QueryExecutionId=waiting)
    assert world.state(waiting) == "CANCELLED"
    world.call("StopQueryExecution", QueryExecutionId=running)
    assert world.run("SELECT 3")["Status"]["State"] == "SUCCEEDED"
    assert [sql for sql, *_ in world.statements.ran] == ["ENDLESS", "SELECT 3"]
    world.api.close()


def test_stopping_a_finished_query_changes_nothing(world: World) -> None:
    query = world.run()["QueryExecutionId"]
    assert world.call("StopQueryExecution", QueryExecutionId=query) == {}
    assert world.state(query) == "SUCCEEDED"


def test_a_write_that_is_past_stopping_is_not_called_cancelled(world: World) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def commit(session: Session) -> Outcome:
        reached.set()
        assert go_on.wait(10)
        return Outcome("DML", "INSERT", update_count=1, manifest=("s3://b/t/f",))

    world.statements.learn("INSERT", ("DML", "INSERT"), commit)
    query = world.start("INSERT")
    assert reached.wait(10)
    stopper = threading.Thread(
        target=world.call, args=("StopQueryExecution",), kwargs={"QueryExecutionId": query}
    )
    stopper.start()
    go_on.set()
    stopper.join()
    assert world.wait(query)["Status"]["State"] == "SUCCEEDED"


def test_closing_the_api_ends_what_runs() -> None:
    world = World()
    world.statements.learn("ENDLESS", ("DML", "SELECT"), endless)
    query = world.start("ENDLESS")
    world.wait(query, "RUNNING")
    world.api.close()
    assert world.wait(query)["Status"]["State"] == "CANCELLED"


# --- many -------------------------------------------------------------------------------------------------


def test_no_more_queries_run_at_once_than_there_is_room_for() -> None:
    world = World(max_running=3)
    lock, now, most = threading.Lock(), 0, 0

    def count(_: Session) -> Outcome:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return select((Column("x", "integer"),), (("1",),))

    world.statements.learn("COUNT", ("DML", "SELECT"), count)
    queries = [world.start("COUNT") for _ in range(12)]
    assert all(world.wait(query)["Status"]["State"] == "SUCCEEDED" for query in queries)
    assert most == 3
    world.api.close()


def test_queries_are_listed_newest_first_by_workgroup(world: World) -> None:
    world.call("CreateWorkGroup", Name="wg", Configuration={"EnforceWorkGroupConfiguration": False})
    queries = [world.start() for _ in range(5)]
    other = world.start(WorkGroup="wg")
    first = world.call("ListQueryExecutions", MaxResults=3)
    world.start()  # newer than the first page: it does not shift the second
    second = world.call("ListQueryExecutions", MaxResults=3, NextToken=first["NextToken"])
    assert first["QueryExecutionIds"] + second["QueryExecutionIds"] == queries[::-1]
    assert "NextToken" not in second
    assert world.call("ListQueryExecutions", WorkGroup="wg")["QueryExecutionIds"] == [other]


def test_a_batch_tells_which_ids_are_unknown(world: World) -> None:
    known, unknown = world.start(), str(uuid.uuid4())
    answer = world.call("BatchGetQueryExecution", QueryExecutionIds=[unknown, known])
    assert [query["QueryExecutionId"] for query in answer["QueryExecutions"]] == [known]
    assert [entry["QueryExecutionId"] for entry in answer["UnprocessedQueryExecutionIds"]] == [unknown]
    with pytest.raises(ApiError, match="less than or equal to 50"):
        world.call("BatchGetQueryExecution", QueryExecutionIds=["x"] * 51)


def test_an_unknown_query_is_refused_by_its_id(world: World) -> None:
    for operation in ("GetQueryExecution", "StopQueryExecution", "GetQueryResults"):
        with pytest.raises(ApiError, match="QueryExecution nope was not found"):
            world.call(operation, QueryExecutionId="nope")


# --- reuse ------------------------------------------------------------------------------------------------

REUSE = {"ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 5}}


def test_a_young_result_of_the_same_query_is_reused_when_the_call_allows_it(world: World) -> None:
    first = world.run("SELECT 9")["QueryExecutionId"]
    again = world.run("SELECT 9", ResultReuseConfiguration=REUSE)
    assert again["Statistics"]["ResultReuseInformation"] == {"ReusedPreviousResult": True}
    assert again["Statistics"]["DataScannedInBytes"] == 0
    assert again["ResultReuseConfiguration"] == REUSE
    assert world.rows(again["QueryExecutionId"]) == world.rows(first) == [["text"], ["SELECT 9"]]
    assert len(world.statements.ran) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"sql": "SELECT 9 "},
        {"QueryExecutionContext": {"Database": "other"}},
        {"WorkGroup": "wg"},
        {"ExecutionParameters": ["1"]},
        {"ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}}},
        {
            "ResultReuseConfiguration": {
                "ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 0}
            }
        },
    ],
)
def test_a_result_of_something_else_or_too_old_is_not_reused(world: World, change: dict[str, Any]) -> None:
    world.call("CreateWorkGroup", Name="wg", Configuration={"EnforceWorkGroupConfiguration": False})
    world.run("SELECT 9")
    time.sleep(0.005)
    again = world.run(**{"sql": "SELECT 9", "ResultReuseConfiguration": REUSE, **change})
    assert again["Statistics"]["ResultReuseInformation"] == {"ReusedPreviousResult": False}
    assert len(world.statements.ran) == 2


def test_a_query_runs_when_the_file_to_reuse_is_gone(world: World) -> None:
    world.run("SELECT 9")
    world.bucket.bodies.clear()
    assert world.run("SELECT 9", ResultReuseConfiguration=REUSE)["Status"]["State"] == "SUCCEEDED"
    assert len(world.statements.ran) == 2
