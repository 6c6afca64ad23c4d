"""The server in the foreground, for a person at a terminal."""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from local_athena.server import (
    LocalServer,
    build_environment,
    check_engine,
    isolate_environment,
)
from local_athena.wire.faults import Knobs


def serve_in_foreground(
    host: str, port: int, engine: str, *, iam: bool = False, trino_url: str | None = None
) -> None:
    """Serve until Ctrl-C or SIGTERM; say first how to get there."""
    check_engine(engine, trino_url)
    isolate_environment()
    with _temporary_folder():
        server = LocalServer(host, port, engine, Knobs(iam=iam), trino_url)

        def stop(_: int, __: FrameType | None) -> None:
            # From another thread: shutdown waits for the loop that this handler interrupts.
            threading.Thread(target=server.shutdown).start()

        server.start_engine()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        print(f"# A local Athena serves at {server.endpoint_url}, from memory, until Ctrl-C.")
        print("# A local pass is not an AWS pass. To send any AWS client there:")
        for name, value in build_environment(server.endpoint_url).items():
            print(f"export {name}={shlex.quote(value)}")
        print(f"# Process {os.getpid()}", flush=True)
        try:
            server.serve()
        finally:
            server.close()


@contextmanager
def _temporary_folder() -> Iterator[None]:
    """Have all temporary files made in one folder, by this process and its libraries, and remove it."""
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="local-athena-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before[1]
            if before[0] is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before[0]
