"""What the reliability suite stands on: one local Athena, and a lake of its own for each case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
