"""Every parameter of every operator and of the sensor, with every value that nobody means.

Each is refused by us, at parse or at the start of the task, naming the parameter; and the local Athena's log
shows no call that writes. What is taken all the same is listed parameter by parameter, and taken for good.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from airflow_quilt_athena.operators.create_quilt_package import CreateQuiltPackageOperator
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.operators.deprovision_quilt_athena import DeprovisionQuiltAthenaOperator
from airflow_quilt_athena.operators.drop_bucket_views import DropBucketViewsOperator
from airflow_quilt_athena.operators.late_revisions import LateRevisionsOperator
from airflow_quilt_athena.operators.materialize_quilt_tables import MaterializeQuiltTablesOperator
from airflow_quilt_athena.operators.provision_quilt_athena import ProvisionQuiltAthenaOperator
from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.operators.rollback_partitions import RollbackPartitionsOperator
from airflow_quilt_athena.operators.sweep_generations import SweepGenerationsOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor
from airflow_quilt_athena.sensors.quilt_package import QuiltPackageSensor
from tests.integration.bad_inputs import VALUES
from tests.integration.lab import Lab

try:
    from airflow.dag_processing.dagbag import DagBag
except ModuleNotFoundError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

GOOD: dict[Any, dict[str, Any]] = {
    ProvisionQuiltAthenaOperator: {"results_bucket": "acme-results", "quilt_buckets": ["acme"]},
    DeprovisionQuiltAthenaOperator: {"results_bucket": "acme-results"},
    CreateBucketViewsOperator: {"bucket": "acme"},
    DropBucketViewsOperator: {"bucket": "acme"},
    MaterializeQuiltTablesOperator: {"bucket": "acme"},
    CtasInsertOverwriteOperator: {"query": "SELECT 1 AS a", "table": "t", "partition": {"dt": "x"}},
    SweepGenerationsOperator: {"table": "t"},
    RollbackPartitionsOperator: {"table": "t"},
    LateRevisionsOperator: {"table": "t"},
    QuiltAthenaQueryOperator: {"query": "SELECT 1"},
    AthenaCompletionSensor: {"query_execution_ids": "q"},
    CreateQuiltPackageOperator: {"registry": "acme", "package": "team/pkg", "query": "SELECT 1"},
    QuiltPackageSensor: {"bucket": "acme", "package": "team/pkg"},
}
SENSORS = {AthenaCompletionSensor, QuiltPackageSensor}
SOURCE = {"query", "query_execution_id", "table", "rows"}  # of which a package is made from one

# ------------------------------------------------------------------------------------------ what is taken

SWITCH = {"True", "False"}
COUNT = {"0", "1"}
DURATION = {"1", "1.5", "1 hour", "1 day"}
NAME = {"text false", "text 5", "word", "temporary"}
BUCKET = {"text false", "word", "dotted", "temporary"}
WORDS = {"[word]", "(word,)", "list text"}
# Any text that says something, and that can be sent; in a value's place what a template left is none.
SAYING = {
    *("star", "question", "dollar", "emoji", "quote", "dotted", "slash", "uri", "uri root", "uri star"),
    *("uri query", "http", "torn list"),
    *NAME,
}
VALUE = {*SAYING, "break", "300 letters"}
VALUE |= {"True", "False", "0", "1", "-1", "10**30", "decimal", "date", "datetime"}
TEXT = {*SAYING, "break", "300 letters", "template", "block", "list text"}
MAPPING = {"{}", "{word: word}"}
ODD_MAPPINGS = {"{1: 2}", "{word: None}", "{word: list}"}

TAKEN: dict[str, set[str]] = {
    "aws_conn_id": {"None", "dotted", "slash", "uri", "uri root", "http", *NAME},  # by Airflow's own rule
    "region_name": {"None"},
    "verify": {"None", *SWITCH},
    "botocore_config": {"None", "{}"},
    "deferrable": {"None", *SWITCH},
    "poll_interval": DURATION,
    "timeout": DURATION,
    "defer_after": {"0", "0 s", *DURATION},
    "poke_interval": {"0", "0 s", *DURATION},
    "bucket": {"[]", *BUCKET, *WORDS},
    "quilt_buckets": {"[]", *BUCKET, *WORDS},
    "results_bucket": BUCKET,
    "database": NAME,
    "source_database": {"None", *NAME},
    "workgroup": {"dotted", *NAME},
    "policy_name": {"dotted", *NAME},
    "attach_to_roles": {"[]", "dotted", *NAME, *WORDS},
    "table": NAME - {"temporary"},
    "query": {"empty", "blank", *TEXT},  # and judged as SQL next
    "partition": {"None", *VALUE, *MAPPING},
    "partitions": {"None", "[1]", *WORDS, *VALUE, *MAPPING},
    "partitioned_by": {"[]", "{}", *WORDS, *NAME},
    "bucketed_by": {"[]", *WORDS, *SAYING},
    "location": {"None", "uri"},
    "warehouse": {"None", "uri"},
    "generations_location": {"None", "uri"},
    "result_file": {"None"},
    "source": set(),
    "replace": set(),
    "on_empty": set(),
    "on_failed_audit": set(),
    "writer": set(),
    "partition_format": set(),
    "file_format": {"None"},
    "compression": {"None"},
    "compression_level": {"None", "1"},
    "bucket_count": {"None", "1"},
    "table_comment": {"None", *TEXT},
    "column_comments": {"None", *MAPPING},
    "table_properties": {"None", *MAPPING},
    "checks": {"None", *MAPPING},
    "quilt_revisions": {"None"},
    "catalog_id": {"None"},
    "kms_key_arn": {"None"},
    "catalog_kms_key_arn": {"None"},
    "quilt_kms_key_arns": {"[]"},
    "package_registries": {"[]", *BUCKET, *WORDS},
    "package_sources": {"[]", *BUCKET, *WORDS},
    "event_queue_arns": {"[]"},
    "watched_buckets": {"[]", *BUCKET, *WORDS},
    "lake_formation": SWITCH,
    "allow_narrowing": SWITCH,
    "min_rows": {"None", *COUNT},
    "max_rows": {"None", *COUNT},
    "max_parallel_queries": {"1"},
    "limit": {"1"},
    "scan_cutoff_bytes": {"None"},
    "results_expire_after_days": {"None", "1", "1 day", "1000 years"},
    "reuse_results_minutes": {"None", "1", "1 hour", "1 day"},
    "parameters": {"[]", "[1]", "[None]", *WORDS},
    "query_execution_ids": {"[[word]]", *WORDS, *NAME},
    "retain": {"1 hour", "1 day"},
    "registry": {"uri root", *BUCKET},
    "package": TEXT,
    "rows": {
        *("list text", "[]", "[1]", "[None]", "['']", "[word]", "(word,)"),
        *("[[word]]", "generator", "{}", "{1: 2}", "{word: None}", "{word: list}", "{word: word}"),
    },  # and each row is judged next
    "query_execution_id": set(),
    "message": {"None", "empty", "blank", *TEXT},
    "metadata": {"None", "empty", "blank", *(TEXT - {"list text"}), *MAPPING, *ODD_MAPPINGS},
    "workflow": {"None", "empty", "dotted", *NAME},
    "tags": {"[]", "dotted", *WORDS, *(NAME - {"text 5"})},
    "catalog_url": {"None", "http"},
    "newer_than": {"None", "date", "datetime", *(TEXT - {"list text"}), *MAPPING, *ODD_MAPPINGS},
    "by": set(),
    "on_unusable": set(),
    "on_unversioned": set(),
    "dedupe": SWITCH,
    "check_objects": SWITCH,
    "adopted": set(),
    "find_hidden": SWITCH,
    "check_completeness": {"None", *SWITCH},
    "fail_on_incomplete": SWITCH,
    "materialized": SWITCH,
    "always_fresh": SWITCH,
    "delete_results": SWITCH,
    "dry_run": SWITCH,
    "stop_on_kill": SWITCH,
    "wait_for_completion": SWITCH,
}
# Where operators differ: a sensor may give up at once, and several statements may come as a list.
OTHERWISE: dict[tuple[Any, str], set[str]] = {
    (AthenaCompletionSensor, "timeout"): {"0", "0 s", *DURATION},
    (QuiltPackageSensor, "timeout"): {"0", "0 s", *DURATION},
    (QuiltPackageSensor, "bucket"): BUCKET,
    (LateRevisionsOperator, "bucket"): {"None", *BUCKET},
    (CreateQuiltPackageOperator, "query"): TEXT,
    (CreateQuiltPackageOperator, "table"): NAME - {"temporary"},
    (CreateQuiltPackageOperator, "package"): {"slash"},
    (QuiltAthenaQueryOperator, "query"): {"empty", "blank", "[]", "['']", *TEXT, *WORDS},
}


def parameters_of(cls: Any) -> list[str]:
    """The parameters of ours, as the constructors name them; of Airflow's own, those that we judge."""
    names = {
        name
        for base in cls.__mro__
        if base.__module__.startswith("airflow_quilt_athena.")
        for name in inspect.signature(base.__init__).parameters
    } - {"self", "args", "kwargs"}
    return sorted(names | ({"timeout", "poke_interval"} if cls in SENSORS else set()))


CASES = [(cls, name) for cls in GOOD for name in parameters_of(cls)]


def test_there_are_enough_of_them() -> None:
    assert len(CASES) * len(VALUES) >= 1500
    assert {name for _, name in CASES} <= TAKEN.keys()


@pytest.mark.parametrize("cls", list(GOOD))
def test_every_parameter_is_judged(cls: Any) -> None:
    assert set(parameters_of(cls)) - {"timeout", "poke_interval"} <= set(cls.arguments)


@pytest.fixture(scope="module")
def quiet(aws: Any) -> Iterator[Any]:
    aws.clear_calls()
    yield aws
    reads = ("Get", "List", "Head", "BatchGet")
    assert [call for call in aws.calls if not call.operation.startswith(reads)] == []


@pytest.mark.parametrize(("cls", "name"), CASES, ids=[f"{cls.__name__}-{name}" for cls, name in CASES])
def test_what_nobody_means_is_refused_by_name_before_any_call(
    quiet: Any, cls: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.integration.lab import connection

    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(quiet))
    taken = OTHERWISE.get((cls, name), TAKEN[name])
    assert taken <= VALUES.keys()
    before = len(quiet.calls)
    for label, value in VALUES.items():
        arguments = {**_beside(cls, name), name: value}
        if cls is CreateQuiltPackageOperator and name in SOURCE and value is None:
            continue  # none of the four: another refusal
        if label in taken:
            cls(task_id="t", **arguments).judge_arguments()
        else:
            message = refusal_of(cls, arguments)
            assert name in message, f"{label}: {message}"
            assert "Expected" in message or "names" in message or "Not" in message, f"{label}: {message}"
    assert len(quiet.calls) == before


def _beside(cls: Any, name: str) -> dict[str, Any]:
    """What else is given: of the sources of a package, that one alone."""
    if cls is CreateQuiltPackageOperator and name in SOURCE | {"partition"}:
        given = {**GOOD[cls], "table": "t"} if name == "partition" else GOOD[cls]
        return {other: value for other, value in given.items() if other != "query"}
    return GOOD[cls]


def refusal_of(cls: Any, arguments: dict[str, Any]) -> str:
    """What we say of a call that cannot be meant: in the constructor, or at the start of the task."""
    try:
        task = cls(task_id="t", **arguments)
    except InvalidCallError as error:
        return str(error)
    with pytest.raises(AirflowFailException) as caught:
        task.execute(context())
    return str(caught.value)


def context() -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="d", task_id="t", map_index=-1, run_id="r", max_tries=0, start_date=datetime.now(UTC)
    )
    return {"ti": ti, "dag_run": SimpleNamespace(conf={})}


# ------------------------------------------------------------------------------- as SQL, and as a DAG file


@pytest.mark.parametrize("label", sorted(TAKEN["query"]))
def test_what_is_no_query_is_refused_after_no_more_than_a_look(lab: Lab, label: str) -> None:
    place = f"s3://{lab.bucket}/warehouse/t/"
    task = CtasInsertOverwriteOperator(
        task_id="t",
        query=VALUES[label],
        table="t",
        partition={"dt": "x"},
        location=place,
        database=lab.database,
        workgroup=lab.workgroup,
    )
    lab.aws.clear_calls()
    with pytest.raises(AirflowFailException):
        task.execute(context())
    assert {call.operation for call in lab.aws.calls} <= {"GetWorkGroup", "GetTable", "GetDatabase"}
    assert lab.keys() == set()


MISTAKES = {
    'CtasInsertOverwriteOperator(task_id="t", query="SELECT 1", table="t", retain="5m")': "retain is '5m'",
    'CtasInsertOverwriteOperator(task_id="t", query="SELECT 1", table="t", on_empty="ignore")': (
        "on_empty is 'ignore'. Expected one of publish, skip, fail."
    ),
    'CtasInsertOverwriteOperator(task_id="t", query="SELECT 1", table="t", file_format="csv")': (
        "file_format is 'csv'. Expected one of PARQUET, ORC, JSON, TEXTFILE."
    ),
    'CtasInsertOverwriteOperator(task_id="t", query="nowhere.sql", table="t")': "file 'nowhere.sql'",
    'QuiltAthenaQueryOperator(task_id="t", query="SELECT 1", max_rows=-1)': (
        "max_rows is -1, of type int. Expected a whole number of 0 or more."
    ),
    'SweepGenerationsOperator(task_id="t", table="t", dry_run="false")': (
        "dry_run is 'false'. Expected True or False."
    ),
    'AthenaCompletionSensor(task_id="t", query_execution_ids="q", timeout="5m")': "timeout is '5m'",
}


def test_a_dag_file_of_mistakes_says_why_each_does_not_import(tmp_path: Any) -> None:
    imports = "\n".join(f"from {cls.__module__} import {cls.__name__}" for cls in GOOD)
    for number, call in enumerate(MISTAKES):
        dag = f'with DAG("d{number}", schedule=None):\n    {call}\n'
        (tmp_path / f"mistake_{number}.py").write_text(f"from airflow.sdk import DAG\n{imports}\n{dag}")
    bag = DagBag(str(tmp_path), bundle_path=tmp_path)
    assert bag.dags == {}
    for number, words in enumerate(MISTAKES.values()):
        (told,) = (text for path, text in bag.import_errors.items() if path.endswith(f"mistake_{number}.py"))
        assert words in told.replace("\\'", "'")
