"""What the tries of one task know of the queries they started, in Airflow's task state store (3.3)."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_quilt_athena.exceptions import InvalidCallError

if TYPE_CHECKING:
    from airflow_quilt_athena.flows.aws.clients import AthenaClient

_STORE_KEY = "quilt_athena.queries"


class QueryMemory:
    """Per statement, its client request token, kept before it is sent, and its id, kept once it is known.

    So a try that follows a lost worker finds the query that runs, or asks for it by the same token, and never
    starts it twice. Before Airflow 3.3 there is no store: nothing is remembered, and every try starts anew.

    :param context: Airflow's context of the task.
    :param task_key: names the task's work, the same over its retries; see ``task_key_of``.
    :param work: all that makes the queries what they are: another text is another query.
    """

    def __init__(self, context: Any, task_key: str, work: Sequence[Any]) -> None:
        self._store = context.get("task_state_store")
        # Airflow keeps a value also when the task is cleared; the key tells that it is of other work then.
        self._key = hashlib.sha256(json.dumps([task_key, *work]).encode()).hexdigest()

    @cached_property
    def _queries(self) -> dict[str, dict[str, str]]:
        """By the number of the statement, as text, for JSON. A resumed try may know only the later ones.

        Read when first asked for: a task that resumes after its last statement need not know.
        """
        stored = self._store.get(_STORE_KEY) if self._store is not None else None
        return stored["queries"] if stored and stored["key"] == self._key else {}

    def forget_failures(self, athena: AthenaClient) -> None:
        """Begin anew, from the first statement, if one of the queries did not succeed or is not known."""
        from airflow_quilt_athena.core.athena.query_status import UNSUCCESSFUL
        from airflow_quilt_athena.flows.athena.looks import observe_queries
        from airflow_quilt_athena.flows.aws.deadline import ask

        ids = [query["id"] for query in self._queries.values() if "id" in query]
        try:
            statuses = ask(lambda: observe_queries(athena, ids), f"look at Athena queries {', '.join(ids)}")
            gone = any(status.state in UNSUCCESSFUL for status in statuses)
        except InvalidCallError:  # Athena keeps its history for 45 days
            gone = True
        if gone:
            self._queries = {}

    def find(self, number: int) -> str | None:
        """Return the id of the statement of that number, counted from zero, if it was started."""
        return self._queries.get(str(number), {}).get("id")

    def find_token(self, number: int) -> str:
        """Return the token to start a statement with; it is kept before it is used."""
        if str(number) not in self._queries:
            self._queries[str(number)] = {"token": uuid.uuid4().hex}
            self._save()
        return self._queries[str(number)]["token"]

    def keep(self, number: int, query_execution_id: str) -> None:
        """Remember the id of a statement that was started."""
        self._queries[str(number)]["id"] = query_execution_id
        self._save()

    def _save(self) -> None:
        if self._store is not None:
            self._store.set(_STORE_KEY, {"key": self._key, "queries": self._queries})
