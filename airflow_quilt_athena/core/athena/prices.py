"""What Athena charges. Runs nothing."""

from __future__ import annotations

# Price of 1 TB scanned in most regions (Amazon Athena pricing, read 2026-11); a query counts 10 MB at least.
_DOLLARS_PER_TERABYTE = 5.0
_MIN_BILLED_BYTES = 10_000_000


def estimate_dollars(bytes_scanned: int) -> float:
    """Return what a query that scanned this much costs in most regions.

    >>> estimate_dollars(2_000_000_000_000)
    10.0
    """
    billed = max(bytes_scanned, _MIN_BILLED_BYTES)
    return round(billed / 1e12 * _DOLLARS_PER_TERABYTE, 6)
