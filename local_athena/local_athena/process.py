"""LocalAthena: starts the server as a child process, and stops it whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from local_athena.errors import LocalAthenaError
from local_athena.wire.call_log import Call
from local_athena.wire.doors import CONTROL_PATH, SECRET_HEADER
from local_athena.wire.faults import Fault

START_TIMEOUT_SECONDS = 60.0
TRINO_START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 5.0


class LocalAthena:
    """An embedded Athena, with the S3, Glue, IAM and STS it needs, on a loopback port of its own.

    >>> with LocalAthena() as aws:  # doctest: +SKIP
    ...     boto3.client("athena", endpoint_url=aws.endpoint_url)

    :param engine: what runs the SQL: ``duckdb``, in the server's own process, or ``trino``, the real engine,
        which needs what ``make trino`` fetches and takes about ten seconds to start.
    :param trino_url: a Trino server of one's own instead, ``http://host:port``, set up as docs/trino.md says.
    :param host: the address to listen on.
    :param port: the port to listen on; 0 takes a free one.
    :param latency: seconds to add, by call pattern: ``{"glue:*": 0.05, "athena:query": 1.0}``; the latter is
        added to every query's run.
    :param faults: what is to go wrong, see :class:`Fault`.
    :param allow_remote: let ``host`` be one that other machines reach; whoever does is the root user then.
    :param iam: whether policies count from the start. The keys in ``environment`` are the root user's, who
        may do everything.
    """

    def __init__(
        self,
        engine: str = "duckdb",
        host: str = "127.0.0.1",
        port: int = 0,
        latency: Mapping[str, float] | None = None,
        faults: Iterable[Fault] | None = None,
        iam: bool = False,
        trino_url: str | None = None,
        allow_remote: bool = False,
    ) -> None:
        from local_athena.server import check_engine
        from local_athena.wire.doors import refuse_remote

        check_engine(engine, trino_url)
        refuse_remote(host, allow_remote=allow_remote)
        self._secret = secrets.token_urlsafe(32)
        self._settings = {
            "engine": engine,
            "host": host,
            "port": port,
            "latency": dict(latency or {}),
            "faults": [fault.to_json() for fault in faults or ()],
            "iam": iam,
            "trino_url": trino_url,
            "secret": self._secret,
            "allow_remote": allow_remote,
        }
        self._start_timeout_seconds = (
            START_TIMEOUT_SECONDS if engine == "duckdb" else TRINO_START_TIMEOUT_SECONDS
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._endpoint_url = ""
        self._session: Any = None
        self._session_lock = threading.Lock()

    # ---------------------------------------------------------------------------------- its life

    def __enter__(self) -> LocalAthena:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self._process is not None:
            raise LocalAthenaError(f"This local Athena runs already, at {self._endpoint_url}.")
        self._folder = Path(tempfile.mkdtemp(prefix="local-athena-"))
        try:
            with (self._folder / "stderr.txt").open("wb") as stderr:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "local_athena.child"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={**os.environ, "TMPDIR": str(self._folder), "PYTHONPATH": _python_path()},
                    start_new_session=True,
                )
            self._endpoint_url = self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> str:
        """Tell the child what to serve; its endpoint."""
        deadline = time.monotonic() + self._start_timeout_seconds
        with contextlib.suppress(BrokenPipeError):  # a child that died: told below, with its words
            settings = {**self._settings, "folder": str(self._folder)}
            _pipe(process.stdin).write(json.dumps(settings).encode() + b"\n")
            _pipe(process.stdin).flush()
        ready, _, _ = select.select([_pipe(process.stdout)], [], [], deadline - time.monotonic())
        line = _pipe(process.stdout).readline() if ready else b""
        if not line:
            process.kill()
            code = process.wait()
            why = "said nothing in time" if not ready else f"ended with exit code {code}"
            raise LocalAthenaError(
                f"The local Athena did not start: its process {why}. It wrote:\n{self.stderr}"
            )
        return str(json.loads(line)["endpoint_url"])

    def stop(self) -> None:
        """Stop the server and remove its files. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    # -------------------------------------------------------------------------------- where it is

    @property
    def endpoint_url(self) -> str:
        """Where it listens, e.g. ``http://127.0.0.1:41237``."""
        self._running()
        return self._endpoint_url

    @property
    def environment(self) -> dict[str, str]:
        """The AWS_* variables that lead any AWS client here, as the account's root user."""
        from local_athena.server import build_environment

        return build_environment(self.endpoint_url)

    @property
    def secret(self) -> str:
        """What opens its private doors, as the header X-Local-Athena-Secret."""
        return self._secret

    @property
    def pid(self) -> int:
        """The server's process id; also the id of its process group."""
        return self._running().pid

    @property
    def stderr(self) -> str:
        """What the server has written to its standard error."""
        path = self._folder / "stderr.txt" if self._folder else None
        return path.read_text(errors="replace") if path and path.exists() else ""

    def client(self, service: str, **kwargs: Any) -> Any:
        """Make a boto3 client of this server; ``kwargs`` are boto3's."""
        environment = self.environment
        settings = {
            "endpoint_url": environment["AWS_ENDPOINT_URL"],
            "region_name": environment["AWS_REGION"],
            "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        }
        with self._session_lock:
            return self._boto_session().client(service, **{**settings, **kwargs})

    def _boto_session(self) -> Any:
        """Keep one boto3 session: it reads the large models of services once."""
        import boto3

        if self._session is None:
            self._session = boto3.session.Session()
        return self._session

    # ------------------------------------------------------------------------------------- knobs

    @property
    def calls(self) -> tuple[Call, ...]:
        """All AWS calls since the start or the last ``clear_calls``, in the order in which they ended."""
        return tuple(Call.from_json(call) for call in self._control("GET", "calls"))

    def clear_calls(self) -> None:
        """Forget all calls."""
        self._control("DELETE", "calls")

    def set_faults(self, *faults: Fault) -> None:
        """Replace all faults; none given, all goes well again."""
        self._control("PUT", "faults", [fault.to_json() for fault in faults])

    def set_latency(self, latency: Mapping[str, float] | None = None) -> None:
        """Replace all latencies."""
        self._control("PUT", "latency", dict(latency or {}))

    def tell_unload_rows(self, told: str = "none") -> None:
        """Set what UpdateCount says of an UNLOAD: ``none`` (the default), ``zero``, or the ``rows``.

        AWS documents nothing of it: who relies on a number relies on more than is promised.
        """
        self._control("PUT", "unload-update-count", told)

    def enforce_iam(self, enforced: bool = True) -> None:
        """Let policies count, or not, from now on."""
        self._control("PUT", "iam", enforced)

    def _control(self, method: str, what: str, document: Any = None) -> Any:
        address = urlsplit(self.endpoint_url)
        connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
        try:
            body = None if document is None else json.dumps(document)
            headers = {SECRET_HEADER: self._secret}
            connection.request(method, f"{CONTROL_PATH}{what}", body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise LocalAthenaError(f"{method} {what}: {answer}")
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LocalAthenaError(
                "This local Athena does not run. Use it as a context manager, or call start()."
            )
        return self._process


def _pipe(pipe: Any) -> Any:
    return pipe


def _python_path() -> str:
    """Where the child finds this package, also when it is not installed."""
    here = str(Path(__file__).parents[1])
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate the child's own process group, by its id, and wait."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()  # end of its input is what tells the child to go
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            process.wait(STOP_TIMEOUT_SECONDS if signal_number is signal.SIGKILL else 0.5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal_number)
        else:
            return
    process.wait()
