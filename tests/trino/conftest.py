"""One local Athena on the real Trino for all of these tests; `make trino` must have fetched it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_quilt_athena.core.athena import query_status as query_states
from local_athena import LocalAthena
from tests.integration.lab import Lab


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAthena]:
    with LocalAthena(engine="trino") as running:
        yield running


@pytest.fixture
def lab(aws: LocalAthena, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(query_states, "SHORTEST_POLL_SECONDS", 0.02)
    yield Lab.open(aws, unique)
    aws.set_faults()
    aws.set_latency({})
