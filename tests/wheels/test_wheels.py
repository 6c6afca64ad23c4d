"""Each distribution's wheel, installed alone by `make test-wheels` into an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.readme import block_with

pytestmark = pytest.mark.wheels

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".venv-wheels"
LOCAL, PROVIDER = BUILT / "local" / "bin", BUILT / "provider" / "bin"


def run(command: Path, *arguments: str, variables: dict[str, str] | None = None, code: int = 0) -> str:
    """Run a command of an environment, away from this folder, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    ran = subprocess.run(
        [str(command), *arguments],
        cwd=BUILT,
        env={**kept, "AWS_EC2_METADATA_DISABLED": "true", **(variables or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + (ran.stderr if code else "")


def installed(environment: Path) -> set[str]:
    listed = run(
        environment / "python", "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"
    )
    return {str(one["name"]).lower().replace("_", "-") for one in json.loads(listed)}


def files(pattern: str) -> list[str]:
    (wheel,) = BUILT.glob(pattern)
    return zipfile.ZipFile(wheel).namelist()


def test_the_provider_s_wheel_brings_no_emulator() -> None:
    assert "apache-airflow" in installed(PROVIDER)
    assert not installed(PROVIDER) & {"local-athena", "duckdb", "moto", "trino-query-parser", "trino"}


def test_the_local_athena_s_wheel_brings_no_airflow() -> None:
    assert not [name for name in installed(LOCAL) if "airflow" in name]


def test_a_wheel_holds_its_own_package_and_its_licence_and_nothing_else() -> None:
    for pattern, package in (
        ("local_athena-*.whl", "local_athena"),
        ("airflow_*.whl", "airflow_quilt_athena"),
    ):
        names = files(pattern)
        tops = {name.split("/")[0] for name in names}
        assert {top for top in tops if not top.endswith(".dist-info")} == {package}
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
        assert not [name for name in names if "/tests/" in name]


def test_the_local_athena_s_wheel_holds_the_conformance_table_and_its_types() -> None:
    names = files("local_athena-*.whl")
    assert "local_athena/py.typed" in names
    kept = sorted((ROOT / "local_athena" / "local_athena" / "conformance").rglob("*.*"))
    data = [str(path.relative_to(ROOT / "local_athena")) for path in kept if path.suffix in {".sql", ".json"}]
    assert len(data) > 30
    assert set(data) <= set(names)


def test_the_commands_are_there_and_tell_what_they_lack() -> None:
    assert run(LOCAL / "local-athena", "--version").startswith("local-athena 0.")
    told = run(PROVIDER / "quilt-athena", "local", code=1)
    assert told == "quilt-athena local: needs local_athena: pip install 'airflow-quilt-athena[local]'.\n"
    told = run(PROVIDER / "python", "-c", "from airflow_quilt_athena.local import LocalAthena", code=1)
    assert "not installed: pip install 'airflow-quilt-athena[local]'." in told
    policy = ("policy", "--account-id", "123456789012", "--region", "us-east-1")
    assert "Version" in run(PROVIDER / "quilt-athena", *policy, "--results-bucket", "acme-results")


def test_the_operators_are_imported_without_the_emulator() -> None:
    program = (
        "import importlib, airflow_quilt_athena.provider_info as p\n"
        "for kind in ('operators', 'sensors', 'hooks', 'triggers'):\n"
        "    for entry in p.get_provider_info()[kind]:\n"
        "        for module in entry['python-modules']: importlib.import_module(module)\n"
    )
    home = str(BUILT / "airflow")
    run(PROVIDER / "python", "-c", program, variables={"AIRFLOW_HOME": home})


def test_three_lines_lead_to_a_query() -> None:
    run(LOCAL / "python", "-c", block_with("with LocalAthena() as aws"))


@pytest.fixture
def served() -> Iterator[dict[str, str]]:
    """The wheel's own command at work, with a bucket; the variables that it printed."""
    process = subprocess.Popen([str(LOCAL / "local-athena")], cwd=BUILT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    variables = {}
    for line in process.stdout:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            variables[name] = value
        if line.startswith("# Process"):
            break
    bucket = "import boto3; boto3.client('s3').create_bucket(Bucket='lake')"
    run(LOCAL / "python", "-c", bucket, variables=variables)
    yield variables
    process.terminate()
    process.wait(20)
    process.stdout.close()


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('QueryString="CREATE DATABASE web"', ""),
        ("from pyathena import connect", "[(2,)]"),
        ("import awswrangler as wr", "2"),
    ],
    ids=["boto3", "PyAthena", "awswrangler"],
)
def test_the_readme_s_lines_for_a_client_run_on_the_wheel(
    served: dict[str, str], text: str, printed: str
) -> None:
    assert printed in run(LOCAL / "python", "-c", block_with(text), variables=served)


def test_the_wheel_s_own_server_runs_a_topic_of_the_conformance_table() -> None:
    program = (
        "import subprocess, sys\n"
        "from local_athena import LocalAthena\n"
        "with LocalAthena() as aws:\n"
        "    command = [sys.executable, '-m', 'local_athena', 'conformance', '--json']\n"
        "    command += ['--endpoint', aws.endpoint_url, '--topic', 'names']\n"
        "    sys.exit(subprocess.run(command).returncode)\n"
    )
    summary = json.loads(run(LOCAL / "python", "-c", program))
    assert summary["all"]["agreed"] == summary["all"]["statements"] > 0
