from __future__ import annotations

import inspect
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

import airflow_quilt_athena
from airflow_quilt_athena.core.athena.parameters import to_literal
from airflow_quilt_athena.exceptions import (
    AccessError,
    InvalidCallError,
    QueryFailedError,
    QuiltAthenaError,
    RetryableError,
)
from airflow_quilt_athena.flows.athena import queries
from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook
from airflow_quilt_athena.operators.base import errors_as_airflow_sees_them
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.operators.partition_of_run import resolve_partition
from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.operators.rollback_partitions import RollbackPartitionsOperator
from airflow_quilt_athena.operators.sweep_generations import SweepGenerationsOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor, parse_query_execution_ids
from tests.airflow_versions import has_airflow
from tests.unit.athena_fake import FakeAthena, client_error

CLASSES = (CtasInsertOverwriteOperator, QuiltAthenaQueryOperator, AthenaCompletionSensor)


def context(**facts: Any) -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id="d",
        task_id="t",
        map_index=-1,
        run_id="r",
        max_tries=0,
        start_date=datetime.now(UTC),
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    return {"ti": ti, "dag_run": SimpleNamespace(conf={}), "pushed": pushed, **facts}


@pytest.fixture
def athena(monkeypatch: pytest.MonkeyPatch) -> FakeAthena:
    fake = FakeAthena()
    monkeypatch.setattr(QuiltAthenaHook, "client", lambda self, service: fake)
    return fake


# ------------------------------------------------------------------------------------- what parsing reads


# Beside the operators and sensors: what judges their arguments, and how botocore's errors are told.
PARSED = {
    "": {"arguments", "exceptions", "links"},
    "hooks": {"quilt_athena"},
    "core": {"arguments", "names"},
    "core.athena": {"parameters"},
    "core.glue": {"file_format", "partitions", "s3_uri"},
    "core.overwrite": {"attempt_names", "request"},
    "core.quilt": {"chosen_by", "identifiers", "package_request"},
    "flows.aws": {"deadline", "errors", "refusals"},
}


def test_a_dag_file_that_names_our_operators_reads_no_more_than_judging_them_takes() -> None:
    package = Path(airflow_quilt_athena.__file__).parent
    modules = [
        f"{package.name}.{path.parent.name}.{path.stem}"
        for room in ("operators", "sensors")
        for path in (package / room).glob("[a-z]*.py")
        if path.stem != "retry_policy" or has_airflow("3.3")
    ]
    assert len(modules) > 10
    code = (
        "import sys, airflow.providers.amazon.aws.operators.athena; before = set(sys.modules)\n"
        f"import {', '.join(modules)}\n"
        "print(*(set(sys.modules) - before))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    read = set(told.stdout.splitlines()[-1].split())
    expected = {
        ".".join(filter(None, (package.name, room, name))) for room, names in PARSED.items() for name in names
    }
    ours = {name for name in read if name.startswith(package.name) and not _is_package(package, name)}
    assert ours - set(modules) == expected
    others = {name.partition(".")[0] for name in read} - {package.name, "airflow"}
    assert others <= sys.stdlib_module_names  # nobody's library but those that Amazon's operator reads


def _is_package(package: Path, name: str) -> bool:
    return (package.parent / name.replace(".", "/") / "__init__.py").exists()


# ------------------------------------------------------------------ names that other people's code relies on

GENERATIONS = {
    "table": inspect.Parameter.empty,
    "partitions": None,
    "dry_run": False,
    "database": "quilt_query",
    "catalog_id": None,
    "kms_key_arn": None,
}
GENERATIONS_TEMPLATED = {"table", "partitions", "database", "catalog_id", "kms_key_arn"}


@pytest.mark.parametrize(
    ("cls", "parameters", "templated"),
    [
        (
            CtasInsertOverwriteOperator,
            {
                "query": inspect.Parameter.empty,
                "table": inspect.Parameter.empty,
                "partition": None,
                "replace": "partitions",
                "database": "quilt_query",
                "workgroup": "quilt-query",
                "partitioned_by": (),
                "location": None,
                "file_format": None,
                "compression": None,
                "compression_level": None,
                "bucketed_by": (),
                "bucket_count": None,
                "table_comment": None,
                "column_comments": None,
                "table_properties": None,
                "on_empty": "publish",
                "min_rows": None,
                "checks": None,
                "on_failed_audit": "keep",
                "retain": "24h",
                "writer": "auto",
                "max_parallel_queries": 5,
                "generations_location": None,
                "catalog_id": None,
                "kms_key_arn": None,
                "quilt_revisions": None,
            },
            {
                "query",
                "table",
                "partition",
                "database",
                "workgroup",
                "location",
                "checks",
                "generations_location",
                "catalog_id",
                "kms_key_arn",
                "quilt_revisions",
            },
        ),
        (SweepGenerationsOperator, GENERATIONS, GENERATIONS_TEMPLATED),
        (RollbackPartitionsOperator, GENERATIONS, GENERATIONS_TEMPLATED),
        (
            QuiltAthenaQueryOperator,
            {
                "query": inspect.Parameter.empty,
                "database": "quilt_query",
                "workgroup": "quilt-query",
                "parameters": (),
                "max_rows": None,
                "wait_for_completion": True,
            },
            {"query", "database", "workgroup", "parameters", "result_file"},
        ),
        (
            AthenaCompletionSensor,
            {"query_execution_ids": inspect.Parameter.empty},
            {"query_execution_ids"},
        ),
    ],
)
def test_the_documented_parameters_have_their_names_and_defaults(
    cls: type, parameters: dict[str, Any], templated: set[str]
) -> None:
    signature = {
        name: parameter
        for base in reversed(cls.__mro__)
        for name, parameter in inspect.signature(base.__init__).parameters.items()  # type: ignore[misc]
    }
    assert {name: signature[name].default for name in parameters} == parameters
    assert set(cls.template_fields) == templated | {"aws_conn_id", "region_name", "verify"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", CLASSES)
def test_all_take_the_parameters_of_an_aws_connection_and_of_waiting(cls: Any) -> None:
    required = {"query": "SELECT 1", "table": "t", "query_execution_ids": "q"}
    accepted = inspect.signature(cls.__init__).parameters
    operator = cls(
        task_id="t",
        **{name: value for name, value in required.items() if name in accepted},
        aws_conn_id="c",
        region_name="eu-west-1",
        verify=False,
        botocore_config={"connect_timeout": 3},
        deferrable=True,
        poll_interval=3,
        timeout=30,
    )
    assert operator.hook.aws_conn_id == "c"
    assert operator.hook._region_name == "eu-west-1"
    assert operator.deferrable


# ------------------------------------------------------------------------------------ errors as Airflow's


@pytest.mark.parametrize(
    ("error", "fails_at_once"),
    [
        (InvalidCallError("x"), True),
        (AccessError("x"), True),
        (RetryableError("x"), False),
        (QueryFailedError("x", query_execution_id="q", state="FAILED", reason="r"), True),
        (QueryFailedError("x", query_execution_id="q", state="FAILED", reason="r", retryable=True), False),
    ],
)
def test_only_what_a_retry_may_mend_is_retried(error: QuiltAthenaError, fails_at_once: bool) -> None:
    with pytest.raises(AirflowException, match="x") as caught, errors_as_airflow_sees_them():
        raise error
    assert isinstance(caught.value, AirflowFailException) is fails_at_once
    assert caught.value.__cause__ is error


# -------------------------------------------------------------------------------- the partition of a run

DAY = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("explicit", "facts", "expected"),
    [
        ("2026-01-01", {"partition_key": "k"}, "2026-01-01"),
        ({"dt": date(2026, 1, 1), "n": 3}, {}, {"dt": "2026-01-01", "n": "3"}),
        (None, {"partition_key": "k", "partition_date": DAY}, "k"),
        (None, {"partition_key": None, "partition_date": DAY, "logical_date": DAY}, "2026-03-04"),
        (None, {"dag_run": SimpleNamespace(conf={"partition": "c"}), "logical_date": DAY}, "c"),
        (None, {"dag_run": SimpleNamespace(conf={"partition": {"a": "x"}})}, {"a": "x"}),
        (None, {"data_interval_start": DAY, "logical_date": DAY + timedelta(days=1)}, "2026-03-04"),
        (None, {"logical_date": DAY}, "2026-03-04"),
    ],
)
def test_the_partition_is_the_first_that_the_run_knows(
    explicit: Any, facts: dict[str, Any], expected: Any
) -> None:
    assert resolve_partition(explicit, context(**facts), date_format="%Y-%m-%d") == expected


@pytest.mark.parametrize("value", ["", "None", " ", {"dt": None}, {"dt": ""}, {"dt": "None"}])
def test_a_partition_without_a_value_fails_and_shows_the_command(value: Any) -> None:
    with pytest.raises(AirflowFailException, match="airflow dags trigger d --conf"):
        resolve_partition(value, context(partition_key="k", logical_date=DAY), date_format="%Y-%m-%d")


def test_a_run_without_any_partition_fails_and_shows_the_command() -> None:
    with pytest.raises(AirflowFailException, match="backfill create --dag-id d"):
        resolve_partition(None, context(partition_key=None, logical_date=None), date_format="%Y-%m-%d")


# ---------------------------------------------------------------- refused before anything is written to AWS


class LookedAt(FakeAthena):
    """Also a Glue without tables and an S3 that nobody may write to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def get_work_group(self, *_: Any, **__: Any) -> dict[str, Any]:
        self.calls.append("get_work_group")
        return {"WorkGroup": {"Configuration": {"EnforceWorkGroupConfiguration": False}}}

    def get_table(self, **_: Any) -> dict[str, Any]:
        self.calls.append("get_table")
        raise client_error("EntityNotFoundException")

    def get_database(self, **_: Any) -> dict[str, Any]:
        self.calls.append("get_database")
        return {"Database": {}}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> LookedAt:
    fake = LookedAt()
    monkeypatch.setattr(QuiltAthenaHook, "client", lambda self, service: fake)
    return fake


def overwrite(**arguments: Any) -> CtasInsertOverwriteOperator:
    fields: dict[str, Any] = {"query": "SELECT 1 AS a", "table": "t", "partition": {"dt": "x"}}
    return CtasInsertOverwriteOperator(task_id="t", **(fields | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"retain": "5m"}, "30m"),
        ({"on_empty": "shrug"}, "on_empty"),
        ({"on_failed_audit": "shrug"}, "on_failed_audit"),
        ({"replace": "rows"}, "replace is 'rows'"),
        ({"writer": "copy"}, "writer is 'copy'"),
        ({"file_format": "AVRO"}, "file_format"),
        ({"max_parallel_queries": 0}, "max_parallel_queries"),
    ],
)
def test_what_is_not_templated_is_refused_while_the_dag_is_parsed(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidCallError, match=message):
        overwrite(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"location": "/tmp/x"}, "S3 URI"),
        ({"generations_location": "/tmp/x"}, "S3 URI"),
        ({"table": "a.b.c"}, "catalog"),
        ({"bucket_count": 3}, "go together"),
        ({"compression_level": 3}, "only ZSTD"),
    ],
)
def test_what_contradicts_itself_is_refused_before_a_call(
    aws: LookedAt, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        overwrite(**arguments).execute(context())
    assert (aws.calls, aws.started) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replace": "table"}, 'replace is "table"'),
        ({"query": "SELECT 1; SELECT 2"}, "2 statements"),
        ({"checks": {"c": "SELECT 1"}}, "staged"),
        ({"partition": {"dt": "None"}}, "None"),
        ({"partition": {"dt": ""}}, "dt"),
        ({"partition": ""}, "airflow dags trigger"),
        ({"partition": "x"}, "no partition keys are given"),
    ],
)
def test_what_cannot_work_is_refused_after_no_more_than_a_look(
    aws: LookedAt, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        overwrite(location="s3://lake/t/", **arguments).execute(context())
    assert set(aws.calls) <= {"get_work_group", "get_table", "get_database"}
    assert aws.started == []


@pytest.mark.parametrize("cls", [SweepGenerationsOperator, RollbackPartitionsOperator])
def test_what_was_never_overwritten_is_neither_swept_nor_rolled_back(aws: LookedAt, cls: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"no table quilt_query\.t"):
        cls(task_id="t", table="t").execute(context())
    assert aws.calls == ["get_table"]
    with pytest.raises(AirflowFailException, match="catalog"):
        cls(task_id="t", table="a.b.c").execute(context())


# --------------------------------------------------------------------------------------- waiting and killing


def query(**arguments: Any) -> QuiltAthenaQueryOperator:
    given: dict[str, Any] = {"query": "SELECT 1", "poll_interval": 0.01}
    return QuiltAthenaQueryOperator(task_id="t", **(given | arguments))


def fired(status: str, query_execution_id: str, **carry: Any) -> dict[str, Any]:
    """What the trigger sends."""
    return {
        "status": status,
        "query_execution_ids": [query_execution_id],
        "message": None,
        "deadline": time.time() + 60,
        "carry": carry,
    }


def test_a_short_query_is_not_deferred(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING", "SUCCEEDED"])
    ran = context()
    facts = query(deferrable=True).execute(ran)
    assert facts["state"] == "SUCCEEDED"
    assert facts["query_execution_ids"] == ran["pushed"]["query_execution_ids"] == ["q1"]
    assert ran["pushed"]["quilt_athena_query_url"].endswith("/q1")


def test_a_longer_query_is_handed_to_the_triggerer_and_no_longer_killed_from_here(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING"])
    operator = query(deferrable=True, defer_after=0.02, timeout=60, region_name="eu-west-1", verify=False)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context())
    _, arguments = deferred.value.trigger.serialize()
    assert arguments["query_execution_ids"] == ["q1"]
    assert arguments["region_name"] == "eu-west-1"
    assert arguments["verify"] is False
    assert abs(arguments["deadline"] - time.time() - 60) < 5
    assert deferred.value.timeout is not None
    assert deferred.value.timeout.total_seconds() > 60
    operator.on_kill()
    assert athena.stopped == []


def test_execution_timeout_bounds_a_deferred_wait(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING"])
    operator = query(deferrable=True, defer_after=0.02, execution_timeout=timedelta(seconds=20))
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context())
    assert deferred.value.trigger.serialize()[1]["deadline"] <= time.time() + 20


def test_what_the_triggerer_reports_is_looked_at_again_on_the_worker(athena: FakeAthena) -> None:
    athena.script(q1=["FAILED"])
    with pytest.raises(AirflowFailException, match="the reason of q1"):
        query().execute_complete(context(), fired("done", "q1", done=[], scanned=[]))


def test_the_rest_of_the_statements_follow_a_deferred_one(athena: FakeAthena) -> None:
    athena.script(q0=["SUCCEEDED"], q1=["SUCCEEDED"])
    event = fired("done", "q0", done=[], scanned=[])
    facts = query(query="SELECT 1; SELECT 2").execute_complete(context(), event)
    assert [request["QueryString"] for request in athena.started] == ["SELECT 2"]
    assert facts["query_execution_ids"] == ["q0", "q1"]


def test_a_deadline_in_the_triggerer_stops_the_query(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING"])
    event = fired("timeout", "q1", done=[], scanned=[])
    with pytest.raises(AirflowFailException, match="still RUNNING"):
        query().execute_complete(context(), event | {"deadline": time.time() - 1})
    assert athena.stopped == ["q1"]


def test_a_kill_on_the_worker_stops_the_query(athena: FakeAthena, monkeypatch: pytest.MonkeyPatch) -> None:
    athena.script(q1=["RUNNING"])
    operator = query()

    def killed(*args: Any, **kwargs: Any) -> None:
        operator.on_kill()
        raise KeyboardInterrupt

    monkeypatch.setattr(queries, "watch_queries", killed)
    with pytest.raises(KeyboardInterrupt):
        operator.execute(context())
    assert athena.stopped == ["q1"]


def test_a_statement_follows_only_when_the_one_before_has_succeeded(athena: FakeAthena) -> None:
    athena.script(q1=["FAILED"])
    with pytest.raises(AirflowFailException, match="the reason of q1"):
        query(query=["SELECT 1", "SELECT 2"]).execute(context())
    assert len(athena.started) == 1


def test_only_the_last_statement_is_not_waited_for(athena: FakeAthena) -> None:
    athena.script(q1=["SUCCEEDED", "RUNNING"])
    facts = query(query="SELECT 1; SELECT 2", wait_for_completion=False).execute(context())
    assert facts == {"query_execution_ids": ["q1", "q1"], "state": "SUBMITTED"}
    assert len(athena.looks) == 1


def test_parameters_go_with_one_statement(athena: FakeAthena) -> None:
    with pytest.raises(AirflowFailException, match="several"):
        query(query="SELECT ?; SELECT ?", parameters=["1"]).execute(context())


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("'it''s'", "'it''s'"),
        (3, "3"),
        (2.5, "2.5E0"),  # a double; 2.5 would be a decimal
        (False, "false"),
        (None, "NULL"),
        (date(2026, 1, 31), "DATE '2026-01-31'"),
        (datetime(2026, 1, 31, 1, 2, 3), "TIMESTAMP '2026-01-31 01:02:03'"),
    ],
)
def test_values_become_literals(value: Any, literal: str) -> None:
    assert to_literal(value) == literal


# -------------------------------------------------------------------------------------------------- sensor


def sensor(ids: Any = ("q1", "q2"), **arguments: Any) -> AthenaCompletionSensor:
    return AthenaCompletionSensor(
        task_id="t", query_execution_ids=ids, **({"poke_interval": 0.01, "timeout": 30} | arguments)
    )


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("a", ("a",)),
        ("a, b", ("a", "b")),
        (["a", "b", "a"], ("a", "b")),
        ("['a', 'b']", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ({"query_execution_ids": ["a"], "state": "SUBMITTED"}, ("a",)),
        ("{'query_execution_ids': ['a'], 'rows': None}", ("a",)),
        ([{"query_execution_ids": ["a"]}, {"query_execution_ids": ["b"]}], ("a", "b")),
    ],
)
def test_ids_are_read_however_they_were_handed_over(given: Any, ids: tuple[str, ...]) -> None:
    assert parse_query_execution_ids(given) == ids


@pytest.mark.parametrize("given", [None, "", "None", [], ["a", None], {}, "[", "a,,b", 7])
def test_ids_that_are_none_are_refused(given: Any) -> None:
    with pytest.raises(InvalidCallError, match="query execution id"):
        parse_query_execution_ids(given)


def test_the_sensor_returns_the_statistics_of_each_query(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING", "SUCCEEDED"], q2=["SUCCEEDED"])
    facts = sensor().execute(context())
    assert facts["query_execution_ids"] == ["q1", "q2"]
    assert [query["state"] for query in facts["queries"]] == ["SUCCEEDED", "SUCCEEDED"]


def test_the_sensor_names_every_failed_query_and_is_not_retried(athena: FakeAthena) -> None:
    athena.script(q1=["FAILED"], q2=["RUNNING", "CANCELLED"])
    with pytest.raises(AirflowFailException, match=r"(?s)the reason of q1.*the reason of q2"):
        sensor().execute(context())


@pytest.mark.parametrize("deferrable", [False, True])
def test_soft_fail_skips(athena: FakeAthena, deferrable: bool) -> None:
    athena.script(q1=["FAILED"])
    with pytest.raises(AirflowSkipException):
        sensor("q1", soft_fail=True, deferrable=deferrable).execute(context())


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_sensor_that_gives_up_stops_what_is_not_done(athena: FakeAthena, soft_fail: bool) -> None:
    athena.script(q1=["SUCCEEDED"], q2=["RUNNING"])
    with pytest.raises((AirflowSensorTimeout, AirflowSkipException)):
        sensor(timeout=0.05, soft_fail=soft_fail).execute(context())
    assert athena.stopped == ["q2"]


def test_a_sensor_leaves_queries_alone_when_told_so(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING"])
    with pytest.raises(AirflowSensorTimeout):
        sensor("q1", timeout=0.05, stop_on_kill=False).execute(context())
    assert athena.stopped == []


def test_a_sensor_defers_and_looks_again_when_it_resumes(
    athena: FakeAthena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_quilt_athena.sensors.athena_completion.DEFER_AFTER_SECONDS", 0.01)
    athena.script(q1=["RUNNING"])
    waiting_sensor = sensor("q1", deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        waiting_sensor.execute(context())
    assert not deferred.value.kwargs
    athena.script(q1=["SUCCEEDED"])
    facts = waiting_sensor.execute_complete(context(), fired("done", "q1"))
    assert facts["state"] == "SUCCEEDED"


def test_a_sensor_whose_deadline_passed_in_the_triggerer_stops_the_query(athena: FakeAthena) -> None:
    athena.script(q1=["RUNNING"])
    event = fired("timeout", "q1") | {"deadline": time.time() - 1}
    with pytest.raises(AirflowSensorTimeout, match="q1 was still RUNNING"):
        sensor("q1").execute_complete(context(), event)
    assert athena.stopped == ["q1"]


def test_a_missing_permission_fails_the_sensor_at_once(athena: FakeAthena) -> None:
    athena.script(q1=[client_error("AccessDeniedException")])
    with pytest.raises(AirflowFailException, match="AccessDenied"):
        sensor("q1").execute(context())
