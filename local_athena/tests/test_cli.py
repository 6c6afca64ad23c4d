"""``local-athena``: the server for a person at a terminal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import boto3
import pytest

from local_athena.cli import main

COMMAND = str(Path(sys.executable).with_name("local-athena"))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Return the command at work, and the variables it printed."""
    process = subprocess.Popen(
        [COMMAND, "serve"], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
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


@pytest.mark.integration
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "65536"], r"Port 65536 is none: choose one up to 65535, or 0 for a free one\."),
        (["--port", "-1"], r"Port -1 is none"),
        (["--host", "nowhere.invalid"], r"Host 'nowhere\.invalid' is not known here: .*"),
        (["--host", "192.0.2.1"], r"Cannot listen on port 0 of 192\.0\.2\.1: .* address of this machine\."),
        (["--engine", "spark"], r".*no engine 'spark'\. Use one of: duckdb, trino\."),
        (["--trino-url", "http://127.0.0.1:8080"], r".*goes with the engine trino, not with duckdb\."),
        (["--engine", "trino", "--trino-url", "there"], r".*not 'there'\."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.parametrize("command", [[], ["serve"]], ids=["without a command", "serve"])
def test_what_it_cannot_do_is_told_in_one_line_with_its_name(
    capsys: pytest.CaptureFixture[str], command: list[str], arguments: list[str], words: str
) -> None:
    assert main([*command, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    name, _, told = line.partition(": ")
    assert name == "local-athena"
    assert re.match(words, told)


def test_a_port_in_use_is_told_in_one_line_with_a_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        f"local-athena: Cannot listen on port {port} of 127.0.0.1: Address already in use. "
        "Choose another with --port, or 0 for a free one.\n"
    )


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"local-athena {version('local-athena')}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["conformance", "--help"]])
def test_asking_for_help_loads_no_heavy_module(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from local_athena.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "heavy = ('moto', 'boto3', 'botocore', 'duckdb', 'numpy', 'pyarrow', 'pytest')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"
    assert "usage: local-athena" in told.stdout
