"""Named queries: SQL texts kept for people, by workgroup."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from local_athena.athena.paging import take_page
from local_athena.errors import ApiError


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A text with a name."""

    id: str
    number: int  # rises with every query made
    name: str
    workgroup: str
    database: str
    query: str
    description: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return it as GetNamedQuery does."""
        described = {
            "Name": self.name,
            "Database": self.database,
            "QueryString": self.query,
            "NamedQueryId": self.id,
            "WorkGroup": self.workgroup,
        }
        return described | ({"Description": self.description} if self.description else {})


class NamedQueries:
    """The named queries of all workgroups. Safe under concurrent calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queries: dict[str, NamedQuery] = {}
        self._tokens: dict[str, tuple[dict[str, Any], str]] = {}
        self._made = 0

    def create(self, request: dict[str, Any], workgroup: str) -> str:
        """Add a query and return its id; an equal call with the same token gets the same id."""
        token = request.get("ClientRequestToken")
        with self._lock:
            if token in self._tokens:
                known, query_id = self._tokens[token]
                if known != request:
                    raise ApiError("InvalidRequestException", "Idempotent parameters do not match")
                return query_id
            self._made += 1
            query = NamedQuery(
                id=str(uuid.uuid4()),
                number=self._made,
                name=request["Name"],
                workgroup=workgroup,
                database=request["Database"],
                query=request["QueryString"],
                description=request.get("Description"),
            )
            self._queries[query.id] = query
            if token is not None:
                self._tokens[token] = (request, query.id)
            return query.id

    def get(self, query_id: str) -> NamedQuery:
        """Return a query. Raises ApiError when there is none."""
        found = self.find(query_id)
        if found is None:
            raise ApiError("InvalidRequestException", f"NamedQuery {query_id} was not found")
        return found

    def find(self, query_id: str) -> NamedQuery | None:
        """Return a query, or None."""
        with self._lock:
            return self._queries.get(query_id)

    def update(self, request: dict[str, Any]) -> None:
        """Change name, text and description."""
        query = self.get(request["NamedQueryId"])
        changed = replace(
            query,
            name=request["Name"],
            query=request["QueryString"],
            description=request.get("Description", query.description),
        )
        with self._lock:
            self._queries[query.id] = changed

    def batch(self, query_ids: Iterable[str]) -> dict[str, Any]:
        """Return many queries, and the ids there are none of."""
        found = {query_id: self.find(query_id) for query_id in query_ids}
        return {
            "NamedQueries": [one.describe() for one in found.values() if one is not None],
            "UnprocessedNamedQueryIds": [
                {
                    "NamedQueryId": query_id,
                    "ErrorCode": "INVALID_INPUT",
                    "ErrorMessage": f"NamedQuery {query_id} was not found",
                }
                for query_id, one in found.items()
                if one is None
            ],
        }

    def delete(self, query_id: str) -> None:
        """Remove a query."""
        self.get(query_id)
        with self._lock:
            self._queries.pop(query_id, None)

    def page(self, request: dict[str, Any], workgroup: str) -> dict[str, Any]:
        """Return a page of the workgroup's query ids, newest first."""
        found = reversed(self.of_workgroup(workgroup))
        page, more = take_page(
            found, request, scope=f"named in {workgroup}", position=lambda query: -query.number
        )
        return {"NamedQueryIds": [query.id for query in page], **more}

    def of_workgroup(self, workgroup: str) -> list[NamedQuery]:
        """All queries of a workgroup, oldest first."""
        with self._lock:
            return [query for query in self._queries.values() if query.workgroup == workgroup]

    def forget_workgroup(self, workgroup: str) -> None:
        """Drop all queries of a workgroup."""
        gone = {query.id for query in self.of_workgroup(workgroup)}
        with self._lock:
            self._queries = {query_id: one for query_id, one in self._queries.items() if query_id not in gone}
            self._tokens = {token: known for token, known in self._tokens.items() if known[1] not in gone}
