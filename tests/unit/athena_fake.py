"""Athena small enough to read: each query runs through a script of states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += max(seconds, 0.001)


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "as told"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "GetQueryExecution")


class FakeAthena:
    """Athena with a script: each query runs through its states, one a look; an error is raised."""

    meta = SimpleNamespace(region_name="us-east-1")

    def __init__(self, **scripts: Sequence[str | Exception]) -> None:
        self.scripts: dict[str, Iterator[str | Exception]] = {}
        self.script(**scripts)
        self.last: dict[str, str | Exception] = {}
        self.started: list[dict[str, Any]] = []
        self.start_errors: list[Exception] = []
        self.stopped: list[str] = []
        self.looks: list[str] = []

    def script(self, **scripts: Sequence[str | Exception]) -> None:
        self.scripts |= {query_id: iter(states) for query_id, states in scripts.items()}

    def start_query_execution(self, **request: Any) -> dict[str, Any]:
        self.started.append(request)
        if self.start_errors:
            raise self.start_errors.pop(0)
        return {"QueryExecutionId": "q1"}

    def stop_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803 - AWS's name
        if QueryExecutionId == "gone":
            raise client_error("InvalidRequestException")
        self.stopped.append(QueryExecutionId)
        return {}

    def get_query_execution(self, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803
        self.looks.append("single")
        return {"QueryExecution": self._execution(QueryExecutionId)}

    def batch_get_query_execution(self, QueryExecutionIds: list[str]) -> dict[str, Any]:  # noqa: N803
        assert len(QueryExecutionIds) <= 50
        self.looks.append("batch")
        return {"QueryExecutions": [self._execution(query_id) for query_id in QueryExecutionIds]}

    def _execution(self, query_id: str) -> dict[str, Any]:
        self.last[query_id] = state = next(self.scripts[query_id], self.last.get(query_id, "RUNNING"))
        if isinstance(state, Exception):
            raise state
        status = {"State": state, "StateChangeReason": f"the reason of {query_id}"}
        return {"QueryExecutionId": query_id, "WorkGroup": "wg", "Status": status}

    get_query_results: Any = None
    get_work_group: Any = None
