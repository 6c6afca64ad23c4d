"""What every client's tests stand on: a lake of their own, and the client in its own process."""

from __future__ import annotations

import uuid

import pytest

from local_athena import LocalAthena

from .lake import Lake, make_lake


@pytest.fixture(scope="module")
def lake(aws: LocalAthena, request: pytest.FixtureRequest) -> Lake:
    """A bucket and a database for one client's tests."""
    client = request.module.__name__.rpartition("test_")[2]
    token = uuid.uuid4().hex[:8]
    return make_lake(aws, bucket=f"{client}-{token}", database=f"{client}_{token}")
