"""The server in the foreground, for a person at a terminal."""

from __future__ import annotations

import os
import secrets
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
from local_athena.wire.doors import SECRET_HEADER, is_loopback, refuse_remote
from local_athena.wire.faults import Knobs


def serve_in_foreground(
    host: str,
    port: int,
    engine: str,
    *,
    iam: bool = False,
    trino_url: str | None = None,
    allow_remote: bool = False,
    secret: str | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM; say first how to get there.

    :param allow_remote: let ``host`` be one that other machines reach.
    :param secret: what opens the private doors; None makes one.
    """
    check_engine(engine, trino_url)
    refuse_remote(host, allow_remote=allow_remote)
    secret = secret or secrets.token_urlsafe(32)
    isolate_environment()
    with _temporary_folder():
        server = LocalServer(
            host, port, engine, Knobs(iam=iam), trino_url, secret=secret, allow_remote=allow_remote
        )

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
        print(f"# Its log of calls and moto's own API open to the header {SECRET_HEADER}: {secret}")
        if not is_loopback(host):
            print("# WARNING: other machines reach it, and whoever does is the root user of what it holds.")
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
