"""All query executions: found by id, by token and by workgroup."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from local_athena.athena.executions import Execution, Submission
from local_athena.athena.paging import take_page
from local_athena.athena.query_states import PENDING
from local_athena.errors import ApiError


class Executions:
    """All queries of the account. Safe under concurrent calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Execution] = {}
        self._tokens: dict[str, tuple[Any, str]] = {}
        self._submitted = 0

    def find_by_token(self, token: str, request: Any) -> str | None:
        """Return the query an equal call with this token started. Raises ApiError for an unequal one."""
        with self._lock:
            return self._known(token, request)

    def add(self, submission: Submission, token: str, request: Any) -> tuple[Execution, bool]:
        """Register a query, unless a call with the same token came first: then return that one and False."""
        with self._lock:
            known = self._known(token, request)
            if known is not None and known in self._by_id:
                return self._by_id[known], False
            self._submitted += 1
            execution = Execution(submission, self._submitted)
            self._by_id[execution.id] = execution
            self._tokens[token] = (request, execution.id)
            return execution, True

    def get(self, query_execution_id: str) -> Execution:
        """Return the query with that id. Raises ApiError when there is none."""
        execution = self._by_id.get(query_execution_id)
        if execution is None:
            raise ApiError("InvalidRequestException", f"QueryExecution {query_execution_id} was not found")
        return execution

    def find(self, query_execution_id: str) -> Execution | None:
        """Return the query with that id, or None."""
        return self._by_id.get(query_execution_id)

    def page(self, request: dict[str, Any], workgroup: str) -> dict[str, Any]:
        """Return a page of the workgroup's query ids, newest first."""
        newest_first = reversed(self.of_workgroup(workgroup))
        page, more = take_page(
            newest_first, request, scope=f"queries of {workgroup}", position=lambda query: -query.number
        )
        return {"QueryExecutionIds": [query.id for query in page], **more}

    def of_workgroup(self, workgroup: str) -> list[Execution]:
        """Return all queries of a workgroup, oldest first."""
        return [query for query in self._all() if query.submission.workgroup == workgroup]

    def forget_workgroup(self, workgroup: str) -> None:
        """Drop a workgroup's history."""
        gone = {query.id for query in self.of_workgroup(workgroup)}
        with self._lock:
            for query_execution_id in gone:
                del self._by_id[query_execution_id]
            self._tokens = {token: known for token, known in self._tokens.items() if known[1] not in gone}

    def newest(self, wanted: Callable[[Execution], bool]) -> Execution | None:
        """Return the newest query that is ``wanted``."""
        return next((query for query in reversed(self._all()) if wanted(query)), None)

    def unfinished(self) -> Iterable[Execution]:
        """Return the queries that have not ended."""
        return [query for query in self._all() if query.state in PENDING]

    def _all(self) -> list[Execution]:
        with self._lock:
            return list(self._by_id.values())

    def _known(self, token: str, request: Any) -> str | None:
        known = self._tokens.get(token)
        if known is None:
            return None
        if known[0] != request:
            raise ApiError("InvalidRequestException", "Idempotent parameters do not match")
        return known[1]
