"""The server's life: it ends with whoever started it, and may be somebody else's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_athena import LocalAthena
from local_athena.trino.client import TrinoClient
from local_athena.trino.engine import TrinoEngine
from local_athena.trino.server import TrinoServer
from tests.integration.lab import Lab

pytestmark = pytest.mark.trino


def servers_of(pid: int) -> set[int]:
    """Return the ids of the Trino servers below a process."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(stat.parent.name)] = int(fields[1])

    def below(one: int) -> bool:
        while one in parents and one != pid:
            one = parents[one]
        return one == pid

    return {one for one in parents if below(one) and "io.trino.server.TrinoServer" in command_of(one)}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def wait_until_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 20
    while any(command_of(pid) for pid in pids):
        assert time.monotonic() < deadline, f"Of {pids} some are still there."
        time.sleep(0.05)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that runs a local Athena on Trino, and has said so."""
    code = (
        "import sys\nfrom local_athena import LocalAthena\n"
        "with LocalAthena(engine='trino') as aws:\n    print(aws.pid, flush=True)\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_no_server_is_left_when_the_block_is_left(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    found = servers_of(int(child.stdout.readline()))
    assert len(found) == 2  # the server and the one who keeps it
    child.communicate("")
    wait_until_gone(found)
    assert child.returncode == 0


@pytest.mark.parametrize("killed", ["parent", "server"])
def test_no_server_is_left_when_a_process_above_it_is_killed(
    child: subprocess.Popen[str], killed: str
) -> None:
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    found = servers_of(pid)
    assert len(found) == 2
    os.kill(child.pid if killed == "parent" else pid, signal.SIGKILL)
    wait_until_gone(found)


def test_a_server_of_ones_own_is_used_instead(tmp_path: Path, unique: Callable[[str], str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = TrinoServer(tmp_path, f"http://127.0.0.1:{port}")
    try:
        server.wait()
        with LocalAthena(engine="trino", trino_url=server.url, port=port) as aws:
            assert servers_of(aws.pid) == set()
            TrinoEngine(TrinoClient(server.url)).warm_up()  # it answers some seconds before its nodes do
            lab = Lab.open(aws, unique)
            lab.run("CREATE TABLE t AS SELECT 1 AS a")
            assert lab.rows("SELECT a FROM t") == [("1",)]
    finally:
        server.stop()
