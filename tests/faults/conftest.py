"""What the reliability suite stands on: one local Athena, and a lake of its own for each case."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from airflow_quilt_athena.flows.overwrite import flips
from airflow_quilt_athena.flows.overwrite import lease as leases
from local_athena import LocalAthena
from tests.faults.lake import Lake


@pytest.fixture(scope="session")
def first_lake(aws: LocalAthena) -> Lake:
    return Lake.open(aws)


@pytest.fixture
def lake(first_lake: Lake, aws: LocalAthena) -> Iterator[Lake]:
    yield first_lake.another()
    aws.set_faults()
    aws.set_latency({})


@pytest.fixture
def leases_expire_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the lease has held it for too long."""
    monkeypatch.setattr(flips, "Lease", partial(leases.Lease, seconds=0.0))
