"""Athena of every region: each has its own workgroups, queries and saved statements."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from local_athena.account import DEFAULT_REGION, partition_of
from local_athena.athena.api import AthenaApi


class AthenaOfRegions:
    """Answers each call by its region's API, made when the first call of that region comes.

    :param make: makes the API of a region and a partition.
    """

    def __init__(self, make: Callable[[str, str], AthenaApi]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._apis: dict[str, AthenaApi] = {}

    def handle(self, operation: str, request: dict[str, Any], caller: Any) -> dict[str, Any]:
        """Answer one call, or raise ApiError."""
        return self._of(caller.region).handle(operation, request, caller)

    def warm_up(self) -> None:
        """Load what the first call would otherwise wait for."""
        self._of(DEFAULT_REGION).warm_up()

    def close(self) -> None:
        """Stop all queries."""
        for api in list(self._apis.values()):
            api.close()

    def _of(self, region: str) -> AthenaApi:
        with self._lock:
            if region not in self._apis:
                self._apis[region] = self._make(region, partition_of(region))
            return self._apis[region]
