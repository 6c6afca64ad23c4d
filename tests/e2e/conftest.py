"""One Airflow and one local Athena for all end-to-end tests; what they logged, when a test fails."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_quilt_athena.core.quilt.identifiers import bucket_identifier
from demo.stack import StackError
from local_athena import LocalAthena
from tests.e2e.driver import Airflow
from tests.e2e.history import REGISTRY_BUCKET
from tests.e2e.lake import WAREHOUSE, Lake

ROOT = Path(__file__).parents[2]
WATCHED_BUCKET = "e2e-quilt-watched"
FOLDERS = (Path(__file__).parent / "dags", ROOT / "example_dags")
SETTINGS = {
    "AIRFLOW_VAR_QUILT_BUCKET": REGISTRY_BUCKET,
    "AIRFLOW_VAR_QUILT_RESULTS_BUCKET": "e2e-quilt-results",
    "AIRFLOW_VAR_QUILT_WAREHOUSE": f"s3://{WAREHOUSE}/tables/",
    "AIRFLOW_VAR_QUILT_ENTRIES": f"{bucket_identifier(REGISTRY_BUCKET)}_quilt_entries",
    "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}',
    "QUILT_BUCKET": WATCHED_BUCKET,
    "QUILT_CATALOG_URL": "https://quilt.example.com",
    # A lost worker is noticed after so many seconds instead of 300, a lost triggerer instead of 30.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
}
RUNNING = pytest.StashKey[Airflow]()


@pytest.fixture(scope="session")
def lake(aws: LocalAthena) -> Lake:
    lake = Lake(aws)
    lake.make()
    return lake


@pytest.fixture(scope="session")
def _stack(
    aws: LocalAthena,
    lake: Lake,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    queue = {"QUILT_EVENTS_QUEUE_URL": make_watched_registry(aws)}
    with Airflow(home, FOLDERS, aws.environment | SETTINGS | queue) as running:
        pytestconfig.stash[RUNNING] = running
        yield running
        del pytestconfig.stash[RUNNING]


def make_watched_registry(aws: LocalAthena) -> str:
    """Make a registry, and a queue that EventBridge fills with its events; return the queue's URL."""
    s3, sqs, events = (aws.client(name) for name in ("s3", "sqs", "events"))
    s3.create_bucket(Bucket=WATCHED_BUCKET)
    s3.put_bucket_versioning(Bucket=WATCHED_BUCKET, VersioningConfiguration={"Status": "Enabled"})
    url = str(sqs.create_queue(QueueName="quilt-revisions")["QueueUrl"])
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["com.quiltdata"], "detail-type": ["package-revision"]}
    events.put_rule(Name="quilt-revisions", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="quilt-revisions", Targets=[{"Id": "1", "Arn": arn}])
    return url


@pytest.fixture
def airflow(_stack: Airflow) -> Iterator[Airflow]:
    """The Airflow that all tests share; each has DAG runs, tables and queries of its own."""
    yield _stack
    _stack.started.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Add what Airflow logged to the report of a test that failed."""
    report: Any = yield
    airflow = item.config.stash.get(RUNNING, None)
    if report.failed and airflow is not None:
        report.sections.append((f"Airflow: end of {airflow.log}", tail(airflow.log)))
        for dag_id, run_id in airflow.started:
            report.sections.extend(logs_of(airflow, dag_id, run_id))
    return report


def tail(path: Path, lines: int = 30) -> str:
    """Return the last lines that tell of something: not of requests, nor of DAG files that were read."""
    told = path.read_text(errors="replace").splitlines()
    return "\n".join([line for line in told if not line.startswith(("api-server", "dag-processor"))][-lines:])


def logs_of(airflow: Airflow, dag_id: str, run_id: str) -> list[tuple[str, str]]:
    try:
        return list(airflow.told_of(dag_id, run_id))
    except StackError as error:  # Airflow may be what has failed
        return [(f"{dag_id} {run_id}", str(error))]
