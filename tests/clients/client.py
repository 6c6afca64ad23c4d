"""Somebody else's client, kept in a process and a virtual environment of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
ANSWER_TIMEOUT_SECONDS = 90.0


class ClientError(Exception):
    """What the client raised: its type's full name, its message and its trace."""

    def __init__(self, kind: str, message: str, trace: str) -> None:
        super().__init__(f"{kind}: {message}\n{trace}")
        self.kind = kind
        self.message = message


def python_of(environment: str) -> Path:
    """The interpreter of ``.venv-clients`` or ``.venv-dbt``; refuses when it is not made yet."""
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(
            f"{python} is missing. Run `make test-clients`: it makes {environment} first."
        )
    return python


class Client:
    """A process that runs the functions of one file of ``scripts`` under another interpreter.

    >>> with Client(".venv-clients", "pyathena_calls.py", aws.environment, home) as client:  # doctest: +SKIP
    ...     client("fetch_all", sql="SELECT 1")
    """

    def __init__(self, environment: str, script: str, variables: Mapping[str, str], home: Path) -> None:
        self._command = [str(python_of(environment)), str(SCRIPTS / "worker.py"), str(SCRIPTS / script)]
        self._stderr = home / "stderr.txt"
        self._home = home
        self._variables = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), **variables}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Client:
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=self._variables,
                cwd=self._home,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()  # the worker's loop ends with its input
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __call__(self, function: str, /, **arguments: Any) -> Any:
        """What ``function`` returns for ``arguments``; raises ClientError when it raises."""
        assert self._process is not None
        assert self._process.stdin is not None
        request = json.dumps({"function": function, "arguments": arguments})
        self._process.stdin.write(request.encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._read_line(function))
        if "error" in answer:
            raise ClientError(answer["error"], answer["message"], answer["trace"])
        return answer["result"]

    def _read_line(self, function: str) -> bytes:
        """The next line, taken byte chunks at a time so that the wait has an end."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + ANSWER_TIMEOUT_SECONDS
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(descriptor, 1 << 16) if ready else b""
            if not chunk:
                why = "gave no answer in time" if not ready else "ended"
                wrote = self._stderr.read_text(errors="replace")[-4000:]
                raise AssertionError(f"The client's process {why} in {function}. It wrote:\n{wrote}")
            line += chunk
        return line
