"""A month of Quilt packages, and what must be in each day's partition according to quilt3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from demo.packages import Push

REGISTRY_BUCKET = "e2e-quilt-registry"
REGISTRY = f"s3://{REGISTRY_BUCKET}"
BACKFILLED_DAYS = 30


def days_until(now: datetime) -> list[date]:
    """The days to backfill, then yesterday, which is the scheduler's, and today, should midnight pass."""
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=back) for back in range(BACKFILLED_DAYS + 1, -1, -1)]


def pushes_of(number: int) -> Iterator[Push]:
    """What is pushed on a day: nothing on each fifth, on others up to three revisions."""
    if number % 5 == 4:
        return
    files: dict[str, tuple[str, dict[str, Any]]] = {
        f"raw/plate {number}.csv": (f"well,od\nA1,0.{number:02}\n", {"kind": "reading", "day": number}),
        "notes/größe 100 %.txt": ("größe\n" * (number + 1), {"kind": "note"}),
        "README.md": (f"# Day {number}\n", {}),
    }
    yield Push(f"screens/plates-{number % 3}", f"day {number}", files, at=time(0))
    if number % 2:
        yield Push("screens/all", "", {"all.csv": (str(number), {"kind": "sum"})}, at=time(23, 59, 59))
    if number % 4 == 0:
        yield Push(f"screens/plates-{number % 3}", "corrected", dict(list(files.items())[:2]), at=time(13, 5))
