"""Fixtures of the local engine's own tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.local.statement_lab import Lab, open_lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Statements run in this process, over moto's Glue and S3."""
    with open_lab() as opened:
        yield opened
