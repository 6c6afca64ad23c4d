"""``quilt-athena local``: the server for a person at a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from airflow_quilt_athena.cli import main

COMMAND = [sys.executable, "-m", "airflow_quilt_athena.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The command at work, and the variables it printed."""
    process = subprocess.Popen(
        [*COMMAND, "local"],
        stdout=subprocess.PIPE,
        text=True,
        env={**ENVIRONMENT, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    variables = {}
    for line in process.stdout:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            variables[name] = value
        if line.startswith("# Process"):
            break
    yield process, variables
    process.terminate()
    process.wait(10)
    process.stdout.close()


def test_the_variables_it_prints_lead_there_and_ctrl_c_ends_it_cleanly(
    served: tuple[subprocess.Popen[str], dict[str, str]], tmp_path: Path
) -> None:
    process, variables = served
    client = boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_REGION"],
    )
    client.create_bucket(Bucket="bucket-x")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []


def test_what_it_cannot_do_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "--engine", "spark"]) == 1
    assert "no engine 'spark'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([])
    assert "required: command" in capsys.readouterr().err


def test_asking_for_help_loads_no_heavy_module() -> None:
    script = (
        "import sys\n"
        "from airflow_quilt_athena.cli import main\n"
        "try:\n    main(['local', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('moto', 'botocore', 'duckdb', 'numpy', 'pyarrow', 'airflow')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1] == "[]"
    assert "--port" in told.stdout
