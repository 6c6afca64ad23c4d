from __future__ import annotations

import pytest

from airflow_quilt_athena.core.athena.prices import estimate_dollars


@pytest.mark.parametrize(
    ("bytes_scanned", "dollars"),
    [(0, 0.00005), (10_000_000, 0.00005), (1_000_000_000_000, 5.0), (3_000_000_000, 0.015)],
)
def test_the_cost_is_of_what_was_scanned_and_of_ten_megabytes_at_least(
    bytes_scanned: int, dollars: float
) -> None:
    assert estimate_dollars(bytes_scanned) == dollars
