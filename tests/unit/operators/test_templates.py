"""What templates do to values: text stays the text it is, in every DAG, and only queries name files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_quilt_athena.core.names import partition
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.operators.create_bucket_views import CreateBucketViewsOperator
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.operators.provision_quilt_athena import ProvisionQuiltAthenaOperator
from airflow_quilt_athena.operators.quilt_athena_query import QuiltAthenaQueryOperator
from airflow_quilt_athena.operators.sweep_generations import SweepGenerationsOperator
from airflow_quilt_athena.sensors.athena_completion import AthenaCompletionSensor

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=[False, True], ids=["text", "native"])
def dag(request: pytest.FixtureRequest, tmp_path: Path) -> DAG:
    return DAG(
        "d",
        schedule=None,
        start_date=START,
        render_template_as_native_obj=request.param,
        template_searchpath=[str(tmp_path)],
    )


def rendered(task: Any, **context: Any) -> Any:
    task.render_template_fields({"ti": None, **context})
    return task


def overwrite(dag: DAG, **arguments: Any) -> Any:
    given: dict[str, Any] = {"query": "SELECT 1 AS a", "table": "t", "partition": {"dt": "x"}}
    return CtasInsertOverwriteOperator(task_id=f"t{len(dag.tasks)}", dag=dag, **(given | arguments))


@pytest.mark.parametrize(
    "value", ["00", "2026_10", "1.50", "1e3", "0x1F", "007", "True", "'quoted'", "[a]", "1_000", "٣", " x "]
)
@pytest.mark.parametrize("template", ["{{ value }}", "{{ params.value }}"])
def test_a_partition_value_stays_the_text_it_was(dag: DAG, value: str, template: str) -> None:
    task = overwrite(dag, partition={"k": template}, table="{{ value }}", catalog_id="{{ value }}")
    rendered(task, value=value, params={"value": value})
    assert task.partition == {"k": value}
    assert (task.table, task.catalog_id) == (value, value)
    assert partition("partition", task.partition) == {"k": value}


def test_parameters_and_accounts_stay_the_text_they_were(dag: DAG) -> None:
    query = QuiltAthenaQueryOperator(
        task_id="q", dag=dag, query="SELECT ?", parameters=["{{ quoted }}", "{{ number }}"]
    )
    assert rendered(query, quoted="'007'", number="007").parameters == ["'007'", "007"]


@pytest.mark.parametrize("dressed", [list, tuple, lambda names: names and list(names)])
def test_a_list_from_an_xcom_is_a_list_where_one_is_meant(dag: DAG, dressed: Any) -> None:
    names = dressed(["acme-one", "acme-two"])
    views = rendered(CreateBucketViewsOperator(task_id="v", dag=dag, bucket="{{ names }}"), names=names)
    assert views.judge_arguments()["bucket"] == ("acme-one", "acme-two")
    provision = ProvisionQuiltAthenaOperator(
        task_id="p", dag=dag, results_bucket="acme-results", quilt_buckets="{{ names }}"
    )
    assert rendered(provision, names=names).judge_arguments()["quilt_buckets"] == ("acme-one", "acme-two")
    sensor = AthenaCompletionSensor(task_id="s", dag=dag, query_execution_ids="{{ names }}")
    assert rendered(sensor, names=names).judge_arguments()["query_execution_ids"] == ("acme-one", "acme-two")
    query = QuiltAthenaQueryOperator(task_id="q", dag=dag, query="SELECT ?", parameters="{{ names }}")
    assert rendered(query, names=["'a'", 7]).judge_arguments()["parameters"] == ("'a'", "7")


def test_a_mapping_from_an_xcom_is_a_mapping_where_one_is_meant(dag: DAG) -> None:
    task = rendered(overwrite(dag, partition="{{ found }}"), found={"dt": "00", "n": 7})
    assert partition("partition", task.partition) == {"dt": "00", "n": "7"}
    sweep = SweepGenerationsOperator(task_id="s", dag=dag, table="t", partitions="{{ found }}")
    asked = rendered(sweep, found=[{"dt": "00"}, {"dt": "01"}]).judge_arguments()
    assert asked["partitions"] == ({"dt": "00"}, {"dt": "01"})


@pytest.mark.parametrize("found", [["a"], ("a", "b"), {"a"}, b"x"[:0] or {"k": "v"}, None, []])
def test_a_value_that_a_template_made_of_a_list_or_nothing_is_refused(dag: DAG, found: object) -> None:
    task = rendered(overwrite(dag, partition={"dt": "{{ found }}"}), found=found)
    with pytest.raises(InvalidCallError, match="dt"):
        partition("partition", task.partition)


def test_a_task_of_its_own_that_asks_for_native_objects_renders_to_text_as_well() -> None:
    task = CtasInsertOverwriteOperator(task_id="t", query="SELECT 1 AS a", table="t", partition="{{ value }}")
    task.render_template_as_native_obj = True
    assert rendered(task, value="00").partition == "00"


def test_verify_from_a_template_is_a_switch(dag: DAG) -> None:
    task = rendered(overwrite(dag, verify="{{ found }}"), found=False)
    assert task.judge_arguments()["verify"] is False
    assert task.verify is False


def test_a_template_that_does_not_render_fails_at_once_and_says_what_to_use(dag: DAG) -> None:
    with pytest.raises(AirflowFailException, match=r"'ds' is undefined.*partition_key"):
        rendered(overwrite(dag, partition={"dt": "{{ ds }}"}))
    with pytest.raises(AirflowFailException, match="cannot be rendered"):
        rendered(overwrite(dag, query="SELECT {{ 1"))


# -------------------------------------------------------------------------------------------------- files


def test_only_a_query_of_one_line_without_blanks_names_a_file(dag: DAG, tmp_path: Path) -> None:
    (tmp_path / "orders.sql").write_text("SELECT '{{ day }}' AS a", encoding="utf-8")
    task = overwrite(dag, query="orders.sql", partition={"file": "report.sql"}, location="s3://b/dump.sql")
    task.resolve_template_files()
    rendered(task, day="00")
    assert task.query == "SELECT '00' AS a"
    assert task.partition == {"file": "report.sql"}
    assert task.location == "s3://b/dump.sql"


@pytest.mark.parametrize("sql", ["SELECT 1 -- see orders.sql", "SELECT 1\n--orders.sql", "{{ name }}.sql"])
def test_a_query_that_ends_like_a_file_is_a_query(dag: DAG, tmp_path: Path, sql: str) -> None:
    (tmp_path / "orders.sql").write_text("SELECT 2")
    task = overwrite(dag, query=sql)
    task.resolve_template_files()
    rendered(task, name="orders")
    assert task.query == sql.replace("{{ name }}", "orders")


def test_a_file_may_begin_with_a_byte_order_mark(dag: DAG, tmp_path: Path) -> None:
    (tmp_path / "bom.sql").write_bytes(b"\xef\xbb\xbfSELECT 1 -- bom.sql")
    task = overwrite(dag, query="bom.sql")
    task.resolve_template_files()
    assert rendered(task).query == "SELECT 1 -- bom.sql"


def test_several_statements_may_be_files(dag: DAG, tmp_path: Path) -> None:
    (tmp_path / "one.sql").write_text("SELECT 1")
    query = QuiltAthenaQueryOperator(
        task_id="q", dag=dag, query=["one.sql", "SELECT 2"], result_file="s3://b/dump.sql"
    )
    assert rendered(query).query == ["SELECT 1", "SELECT 2"]
    assert query.result_file == "s3://b/dump.sql"


def test_a_file_that_is_not_there_is_named_with_the_places_looked_into(dag: DAG, tmp_path: Path) -> None:
    task = overwrite(dag, query="nowhere.sql")
    with pytest.raises(InvalidCallError, match=rf"nowhere\.sql.*{tmp_path}"):
        task.resolve_template_files()
    with pytest.raises(AirflowFailException, match=r"nowhere\.sql"):
        rendered(task)


def test_a_mapped_task_renders_to_text_as_well(dag: DAG, tmp_path: Path) -> None:
    (tmp_path / "one.sql").write_text("SELECT '{{ day }}' AS a")
    mapped = CtasInsertOverwriteOperator.partial(
        task_id="m", dag=dag, table="t", partition={"dt": "{{ day }}"}
    ).expand(query=["one.sql"])
    task: Any = mapped.unmap({"query": "one.sql"})
    # As Airflow renders a mapped task: by the environment of the mapped one, which is not ours.
    task._do_render_template_fields(
        task, task.template_fields, {"day": "00"}, mapped.get_template_env(), set()
    )
    assert (task.query, task.partition) == ("SELECT '00' AS a", {"dt": "00"})
