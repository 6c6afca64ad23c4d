"""A few calls at a time, where one does not wait for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_MAX_PARALLEL_CALLS = 8  # of boto3's ten connections


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return what the work gives for each item; the first failure is raised when all are through."""
    with ThreadPoolExecutor(_MAX_PARALLEL_CALLS) as pool:
        return [done.result() for done in [pool.submit(work, item) for item in items]]
