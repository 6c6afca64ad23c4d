"""The example DAGs parse anywhere, and the demo notices rows that differ."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time import macros

from airflow_quilt_athena.core.quilt.revisions import parse_interval
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from demo.__main__ import Verdict
from tests.airflow_versions import has_airflow, needs_airflow

try:
    from airflow.dag_processing.dagbag import DagBag
except ModuleNotFoundError:  # Airflow 3.1
    from airflow.models.dagbag import DagBag  # type: ignore[no-redef]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "example_dags"

# Where Airflow has no partition keys, the examples of them say what they need, and what to do without.
WITHOUT_KEYS = {
    "daily_package_partitions.py": "CronDataIntervalTimetable",
    "refresh_on_new_partition.py": "TriggerDagRunOperator",
}
TOO_NEW = set() if has_airflow("3.2") else set(WITHOUT_KEYS)
needs_partition_keys = needs_airflow("3.2", "the partition key")


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> DagBag:
    """All example DAGs, parsed where there is no connection, no variable and no network."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "AIRFLOW_VAR_", "AWS_"))]:
        monkeypatch.delenv(name)

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"Parsing a DAG tried to reach {arguments[1:]}.")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return DagBag(EXAMPLES)


def test_every_example_parses_without_connection_variable_or_network(examples: DagBag) -> None:
    assert {Path(name).name for name in examples.import_errors} == TOO_NEW
    assert {Path(dag.fileloc).name for dag in examples.dags.values()} == {
        path.name for path in EXAMPLES.glob("*.py")
    } - TOO_NEW


@pytest.mark.skipif(has_airflow("3.2"), reason="Airflow 3.2 and newer have all that the examples use")
def test_examples_for_a_newer_airflow_say_so_and_what_to_do(examples: DagBag) -> None:
    for file, error in examples.import_errors.items():
        assert "needs Airflow 3.2 or newer" in error
        assert WITHOUT_KEYS[Path(file).name] in error


def test_three_buckets_are_refreshed_by_three_mapped_tasks_named_by_their_bucket(examples: DagBag) -> None:
    task = examples.dags["refresh_many_buckets"].get_task("views")
    assert isinstance(task, MappedOperator)
    assert task.expand_input.value == {"bucket": ["acme-screens", "acme-images", "acme-models"]}
    assert task.map_index_template == "{{ task.bucket }}"


def test_late_days_are_written_by_mapped_tasks_with_the_query_of_the_daily_ones(examples: DagBag) -> None:
    task = examples.dags["write_late_days_again"].get_task("write_again")
    assert isinstance(task, MappedOperator)
    assert task.upstream_task_ids == {"late_days"}
    if has_airflow("3.2"):
        daily: Any = examples.dags["daily_package_partitions"].get_task("overwrite_day")
        assert task.partial_kwargs["query"] == daily.query
        assert task.partial_kwargs["table"] == daily.table


@needs_partition_keys
def test_the_daily_example_reads_its_own_day_and_no_more(examples: DagBag) -> None:
    task = examples.dags["daily_package_partitions"].get_task("overwrite_day")
    assert isinstance(task, CtasInsertOverwriteOperator)
    context: Any = {
        "partition_key": "2026-01-31",
        "macros": macros,
        "var": {"value": SimpleNamespace(quilt_bucket="acme-data", quilt_warehouse="s3://acme/tables/")},
    }
    task.render_template_fields(context)
    assert task.quilt_revisions is not None
    interval = parse_interval(task.quilt_revisions)
    assert (interval.bucket, str(interval.start), str(interval.end)) == (
        "acme-data",
        "2026-01-31 00:00:00+00:00",
        "2026-02-01 00:00:00+00:00",
    )
    assert "{entries}" in task.query
    assert task.partition == {"dt": "2026-01-31"}


@pytest.mark.parametrize(
    ("found", "differences"),
    [(["a", "b"], 0), (["a"], 1), (["a", "b", "c"], 1), (["a", "b", "b"], 1), ([], 2)],
)
def test_the_demo_notices_missing_extra_and_doubled_rows(found: list[str], differences: int) -> None:
    verdict = Verdict()
    verdict.compare("rows", found, ["a", "b"])
    assert verdict.differences == differences
