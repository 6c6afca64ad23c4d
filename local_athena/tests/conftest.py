"""What every test of the local Athena stands on: a closed network, and one running server."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from local_athena import LocalAthena
from support.statement_lab import Lab, open_lab

# A slow machine makes no test fail: Hypothesis would, after 200 ms. A change is judged by the same
# examples each time; `make test-search` takes others.
hypothesis.settings.register_profile("patient", deadline=None, derandomize=True)
hypothesis.settings.register_profile("searching", deadline=None)
hypothesis.settings.load_profile("patient")

for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]  # a test must never find its way to a real account
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

HERE = Path(__file__).parent
_connect = socket.socket.connect


def _connect_to_loopback_only(self: socket.socket, address: Any) -> None:
    inet = self.family in {socket.AF_INET, socket.AF_INET6}
    if inet and address[0] not in {"127.0.0.1", "::1", "localhost"}:
        raise ConnectionRefusedError(f"A test tried to reach {address}; tests reach loopback only.")
    _connect(self, address)


@pytest.fixture(scope="session", autouse=True)
def _closed_network() -> Iterator[None]:
    socket.socket.connect = _connect_to_loopback_only  # type: ignore[method-assign, assignment]
    yield
    socket.socket.connect = _connect  # type: ignore[method-assign]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--local-athena-engine") != "trino":
        return
    for item in items:
        marker = item.get_closest_marker("not_on_trino")
        if marker is not None and HERE in item.path.parents:
            item.add_marker(pytest.mark.xfail(reason=marker.args[0], strict=True))


@pytest.fixture(scope="session")
def aws(local_athena: LocalAthena) -> LocalAthena:
    """One local Athena for the whole run; tests keep apart by names from ``unique``."""
    return local_athena


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Return a function that makes a name nobody else uses: ``unique("db")`` gives ``db_3f2a…``."""
    token = uuid.uuid4().hex[:10]

    def name(prefix: str) -> str:
        return f"{prefix}{'-' if '-' in prefix else '_'}{token}"

    return name


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Statements run in this process, over moto's Glue and S3."""
    with open_lab() as opened:
        yield opened
