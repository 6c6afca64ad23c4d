"""The lake that the tests of overwriting work in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_quilt_athena.core.athena import query_status as query_states
from local_athena import LocalAthena
from tests.integration.lab import Lab, connection, drop_database


@pytest.fixture(scope="module", autouse=True)
def opened_databases(aws: LocalAthena) -> Iterator[list[str]]:
    """The databases of a file's tests, dropped at its very end: some tests look at all calls until then."""
    names: list[str] = []
    yield names
    for name in names:
        drop_database(aws, name)


@pytest.fixture
def lab(
    aws: LocalAthena,
    unique: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    opened_databases: list[str],
) -> Iterator[Lab]:
    # A query here takes a few hundredths of a second: waiting for the next look would be most of a test.
    monkeypatch.setattr(query_states, "SHORTEST_POLL_SECONDS", 0.02)
    opened = Lab.open(aws, unique)
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection(aws))
    yield opened
    aws.set_faults()
    aws.set_latency({})
    opened_databases.append(opened.database)
