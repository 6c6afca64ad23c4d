"""What the README shows works as it stands there. Its lines for other clients run in `make test-wheels`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_athena import LocalAthena
from support.readme import block_with

pytestmark = pytest.mark.integration


def run(folder: Path, *command: str, environment: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_three_lines_lead_to_a_query(tmp_path: Path) -> None:
    ending = """
    one = {"QueryExecutionId": query["QueryExecutionId"]}
    while athena.get_query_execution(**one)["QueryExecution"]["Status"]["State"] in ("QUEUED", "RUNNING"):
        pass
    rows = athena.get_query_results(**one)["ResultSet"]["Rows"]
    print(rows[1]["Data"][0]["VarCharValue"])
"""
    program = block_with("with LocalAthena() as aws") + ending
    assert run(tmp_path, "-c", program) == "2026-02-01\n"


def test_boto3_needs_the_variables_alone(tmp_path: Path) -> None:
    with LocalAthena() as aws:
        aws.client("s3").create_bucket(Bucket="lake")
        run(tmp_path, "-c", block_with('QueryString="CREATE DATABASE web"'), environment=aws.environment)
        operations = [call.operation for call in aws.calls if not call.by_athena]
    assert "StartQueryExecution" in operations


def test_the_fixtures_are_there_without_configuration(tmp_path: Path) -> None:
    (tmp_path / "test_lake.py").write_text(block_with("local_athena_environment"))
    told = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path))
    assert "2 passed" in told


def test_the_plugin_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    assert 'local_athena.pytest_plugin' in sys.modules\n"
        "    heavy = ('moto', 'boto3', 'botocore', 'duckdb', 'numpy', 'pyarrow', 'local_athena.server')\n"
        "    assert [name for name in heavy if name in sys.modules] == []\n"
    )
    # Other plugins of this environment may load what they like: only ours is looked at.
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = ("-m", "pytest", "-q", "-p", "local_athena.pytest_plugin", "-p", "no:cacheprovider")
    assert "1 passed" in run(tmp_path, *command, "--rootdir", str(tmp_path), environment=environment)


def test_the_variables_of_the_machine_are_taken_away_for_the_test(tmp_path: Path) -> None:
    (tmp_path / "test_variables.py").write_text(
        "import os\n"
        "def test_variables(local_athena_environment):\n"
        "    assert {n for n in os.environ if n.startswith('AWS_')} == set(local_athena_environment)\n"
        "    assert os.environ['AWS_ENDPOINT_URL'].startswith('http://127.0.0.1:')\n"
        "def test_afterwards():\n"
        "    assert os.environ['AWS_PROFILE'] == 'mine'\n"
    )
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path))
    assert "2 passed" in run(tmp_path, *command, environment={"AWS_PROFILE": "mine"})


def test_an_engine_that_is_not_there_is_told_by_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_engine.py").write_text("def test_engine(local_athena):\n    pass\n")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--local-athena-engine", "spark"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1
    assert "knows no engine 'spark'" in ran.stdout
