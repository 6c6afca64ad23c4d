"""The Trino engine and its server: one of our own, or one whose URL was given."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from local_athena.trino.client import TrinoClient
from local_athena.trino.engine import TrinoEngine
from local_athena.trino.release import ReleaseError
from local_athena.trino.server import TrinoServer


class TrinoHost:
    """Keeps the server while the local Athena runs."""

    def __init__(self, url: str | None) -> None:
        """``url`` is that of a server which somebody else keeps. Raises ValueError when it is none."""
        self._client = None if url is None else TrinoClient(url)
        self._server: TrinoServer | None = None

    def start(self, endpoint_url: str) -> None:
        """Start the server, if it is ours, and wait for it. Raises ReleaseError."""
        if importlib.util.find_spec("trino") is None:
            raise ReleaseError("The engine trino needs Trino's client: pip install 'local-athena[trino]'.")
        if self._client is None:
            # Below the temporary folder of the local Athena, which is removed with it.
            folder = Path(tempfile.mkdtemp(prefix="trino-"))
            self._server = TrinoServer(folder, endpoint_url)
            self._server.wait()
            self._client = TrinoClient(self._server.url)
            TrinoEngine(self._client).warm_up()

    def build(self) -> TrinoEngine:
        """Make the engine of the server that was started."""
        if self._client is None:
            raise RuntimeError("The Trino server was not started.")
        return TrinoEngine(self._client)

    def stop(self) -> None:
        """End the server, if it is ours."""
        if self._server is not None:
            self._server.stop()
