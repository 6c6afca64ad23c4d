"""pytest's fixtures of a local Athena: one server for the session, and the variables that lead to it.

pytest finds this module by itself wherever local-athena is installed, so it imports nothing until a test asks
for a fixture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from local_athena import LocalAthena


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the engine's name, as an option and for pyproject.toml or pytest.ini."""
    what = "what the fixture local_athena runs its SQL on: duckdb (the default) or trino"
    parser.getgroup("local-athena").addoption("--local-athena-engine", metavar="ENGINE", help=what)
    parser.addini("local_athena_engine", what, default="duckdb")


@pytest.fixture(scope="session")
def local_athena(request: pytest.FixtureRequest) -> Iterator[LocalAthena]:
    """Run one local Athena for the whole session; with pytest-xdist one for each worker.

    Tests share it: let each use a bucket and a database of its own, and set back the faults and latencies
    that it sets.
    """
    from local_athena import LocalAthena

    config = request.config
    engine = config.getoption("--local-athena-engine") or config.getini("local_athena_engine")
    with LocalAthena(engine=str(engine)) as running:
        yield running


@pytest.fixture
def local_athena_environment(local_athena: LocalAthena, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the AWS_* variables that lead any AWS client to ``local_athena``, for the length of one test.

    All other AWS_* variables are taken away for as long: a profile or an endpoint of the machine's own would
    lead elsewhere.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    environment = local_athena.environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment
