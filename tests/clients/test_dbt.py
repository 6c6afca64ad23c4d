"""dbt-athena works unchanged: seeds, tables, views, incremental models past 100 partitions, tests, docs.

Not covered: Iceberg and what needs it (merge, snapshots), Python models, high-availability tables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local_athena import Fault

from .client import Client, python_of
from .lake import SRC, WIDE, Lake

pytestmark = pytest.mark.clients

PROJECT = Path(__file__).parent / "dbt_project"

Dbt = Callable[..., Any]


@pytest.fixture(scope="module")
def variables(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every dbt command: where AWS, the lake and a copy of the project are."""
    project = shutil.copytree(PROJECT, tmp_path_factory.mktemp("dbt") / "project")
    return {
        **lake.aws.environment,
        "LAKE_BUCKET": lake.bucket,
        "LAKE_DATABASE": lake.database,
        "DBT_PROJECT_DIR": str(project),
        "DBT_PROFILES_DIR": str(project),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "NO_COLOR": "1",
    }


@pytest.fixture(scope="module")
def client(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Client(".venv-dbt", "dbt_calls.py", variables, tmp_path_factory.mktemp("home")) as client:
        yield client


@pytest.fixture(scope="module")
def dbt(client: Client) -> Dbt:
    """``dbt("run", "--select", "daily")`` runs that command."""
    return lambda *arguments: client("invoke", arguments=list(arguments))


@pytest.fixture(scope="module")
def built(dbt: Dbt) -> dict[str, Any]:
    """What the first seed and the first run say of each node; every other test stands on them."""
    return {**dbt("seed")["nodes"], **dbt("run", "--exclude", "broken")["nodes"]}


def of(lake: Lake, table: str, *names: str) -> list[tuple[Any, ...]]:
    """The rows of a Parquet table, read from its files."""
    return sorted(tuple(row[name] for name in names) for row in lake.rows(table))


def test_dbt_debug_finds_everything_in_order(variables: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [str(python_of(".venv-dbt").with_name("dbt")), "debug"],
        env={**variables, "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All checks passed!" in done.stdout


def test_every_kind_of_node_is_built(built: dict[str, Any], lake: Lake) -> None:
    expected = {"codes", "daily", "wide", "growing", "labelled", "per_day"}
    assert {name: node["status"] for name, node in built.items()} == dict.fromkeys(expected, "success")
    assert expected <= set(lake.tables())
    assert [name for name in lake.tables() if "__dbt_tmp" in name or "not_partitioned" in name] == []


def test_a_seed_keeps_commas_and_empty_cells(built: dict[str, Any], lake: Lake) -> None:
    assert sorted(lake.rows("codes"), key=lambda row: row["code"]) == [
        {"code": 1, "label": "one"},
        {"code": 2, "label": "two, and a comma"},
        {"code": 3, "label": None},
    ]


@pytest.mark.usefixtures("built")
def test_a_table_and_a_view_answer(dbt: Dbt) -> None:
    shown = dbt("show", "--inline", "select id, name, label from {{ ref('labelled') }} order by id")
    (node,) = shown["nodes"].values()
    assert node["rows"] == [[1, "a", "one"], [2, "b", "two, and a comma"], [3, "c", None]]
    shown = dbt("show", "--inline", "select dt, n, total from {{ ref('per_day') }} order by dt")
    (node,) = shown["nodes"].values()
    assert node["rows"] == [["2026-01-01", 2, "Decimal('4.0')"], ["2026-01-02", 1, None]]


def test_rows_written_are_counted(built: dict[str, Any]) -> None:
    assert built["labelled"]["response"]["rows_affected"] == len(SRC)
    assert built["daily"]["response"]["rows_affected"] == len(SRC)


@pytest.mark.usefixtures("built")
def test_docs_describe_the_catalog(client: Client, lake: Lake) -> None:
    catalog = client("documented", arguments=["docs", "generate"])
    assert catalog["daily"]["type"] == "table"
    assert catalog["per_day"]["type"] == "view"
    kinds = {name: kind for name, (kind, _) in catalog["daily"]["columns"].items()}
    assert kinds == {"id": "bigint", "name": "string", "amount": "double", "dt": "string"}
    assert catalog["daily"]["comment"] == "What came in on a day."
    assert catalog["daily"]["columns"]["id"][1] == "The number it came with."
    assert set(catalog["src"]["columns"]) == {"id", "name", "amount", "dt"}


@pytest.mark.usefixtures("built")
def test_data_tests_count_what_is_wrong(dbt: Dbt) -> None:
    nodes = dbt("test")["nodes"]
    warned = [name for name, node in nodes.items() if node["status"] == "warn"]
    assert len(nodes) == 6
    assert len(warned) == 1
    assert warned[0].startswith("not_null_daily_amount")
    assert nodes[warned[0]]["failures"] == 1  # SRC holds one row without an amount
    assert all(node["status"] == "pass" for name, node in nodes.items() if name not in warned)


@pytest.mark.usefixtures("built")
def test_insert_overwrite_replaces_the_days_of_its_result_and_no_other(dbt: Dbt, lake: Lake) -> None:
    assert of(lake, "daily", "id", "dt") == [(row[0], row[3]) for row in SRC]
    node = dbt("run", "--select", "daily")["nodes"]["daily"]
    assert node["status"] == "success"
    expected = [
        (3, "2026-01-02"),
        (11, "2026-01-01"),
        (12, "2026-01-01"),
    ]  # the model adds 10 from its second run
    assert of(lake, "daily", "id", "dt") == expected
    dbt("run", "--select", "daily")
    assert of(lake, "daily", "id", "dt") == expected
    assert lake.partition_values("daily") == [["2026-01-01"], ["2026-01-02"]]
    assert "daily__dbt_tmp" not in lake.tables()


@pytest.mark.usefixtures("built")
def test_a_run_that_fails_half_way_says_why_and_the_next_one_mends_it(dbt: Dbt, lake: Lake) -> None:
    fault = Fault(
        "athena:query", error="GENERIC_INTERNAL_ERROR", message="on purpose", matching="insert into"
    )
    lake.aws.set_faults(fault)
    try:
        node = dbt("run", "--select", "daily")["nodes"]["daily"]
    finally:
        lake.aws.set_faults()
    assert node["status"] == "error"
    assert "GENERIC_INTERNAL_ERROR: on purpose" in node["message"]
    assert of(lake, "daily", "dt") == [("2026-01-02",)]  # dbt deletes a day before it inserts it
    assert dbt("run", "--select", "daily")["nodes"]["daily"]["status"] == "success"
    assert of(lake, "daily", "id", "dt") == [(3, "2026-01-02"), (11, "2026-01-01"), (12, "2026-01-01")]


@pytest.mark.usefixtures("built")
def test_250_partitions_are_written_and_overwritten(dbt: Dbt, lake: Lake) -> None:
    assert lake.partition_values("wide") == [[row[2]] for row in WIDE]
    assert of(lake, "wide", "id", "name", "dt") == sorted(WIDE)
    node = dbt("run", "--select", "wide")["nodes"]["wide"]
    assert node["status"] == "success"
    assert of(lake, "wide", "id", "name", "dt") == sorted((row[0] + 1000, *row[1:]) for row in WIDE)


@pytest.mark.usefixtures("built")
def test_an_appended_column_is_null_in_the_older_rows(dbt: Dbt, lake: Lake) -> None:
    node = dbt("run", "--select", "growing")["nodes"]["growing"]
    assert node["status"] == "success"
    shown = dbt(
        "show", "--inline", "select id, name, amount from {{ ref('growing') }} order by id", "--limit", "9"
    )
    (node,) = shown["nodes"].values()
    assert node["rows"] == [
        [1, "a", None],
        [2, "b", None],
        [3, "c", None],
        [11, "a", "Decimal('1.5')"],
        [12, "b", "Decimal('2.5')"],
        [13, "c", None],
    ]


def test_a_broken_model_gives_athenas_reason(dbt: Dbt) -> None:
    done = dbt("run", "--select", "broken")
    assert done["success"] is False
    assert done["nodes"]["broken"]["status"] == "error"
    assert "COLUMN_NOT_FOUND" in done["nodes"]["broken"]["message"]
    assert "Column 'nope' cannot be resolved" in done["nodes"]["broken"]["message"]
