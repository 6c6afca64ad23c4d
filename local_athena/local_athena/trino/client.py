"""Runs one statement by Trino's REST protocol, as a query that can be stopped and is measured."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

from local_athena.data.session import Session
from local_athena.errors import QueryFailed
from local_athena.trino.configuration import CATALOG
from local_athena.trino.errors import translate

_USER = "local-athena"
_PREPARED = "q"
_CANCEL_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class TrinoAnswer:
    """What a statement gave: rows as JSON has them, under columns as (name, Trino's type)."""

    query_id: str
    columns: tuple[tuple[str, str], ...]
    rows: Sequence[Sequence[Any]]


class TrinoClient:
    """Statements for one server."""

    def __init__(self, url: str) -> None:
        """``url`` is the coordinator's, ``http://host:port``."""
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"The URL of a Trino server is http://host:port, not {url!r}.")
        self._scheme, self._host = address.scheme, address.hostname
        self._port = address.port or (443 if address.scheme == "https" else 8080)

    def run(self, sql: str, session: Session, properties: Mapping[str, str] | None = None) -> TrinoAnswer:
        """Run a statement; its ``?`` are the session's parameters. Raises QueryFailed.

        :param properties: Trino's session properties.
        """
        if not session.parameters:
            return self._run(sql, session, properties)
        values = ", ".join(session.parameters)
        return self._run(f"EXECUTE {_PREPARED} USING {values}", session, properties, prepared=sql)

    def describe(self, sql: str, session: Session) -> TrinoAnswer:
        """Return the columns of a query, one a row: name, catalog, schema, table, type, size, aliased."""
        return self._run(f"DESCRIBE OUTPUT {_PREPARED}", session, prepared=sql)

    def _run(
        self,
        sql: str,
        session: Session,
        properties: Mapping[str, str] | None = None,
        prepared: str | None = None,
    ) -> TrinoAnswer:
        from trino.client import ClientSession, TrinoQuery, TrinoRequest
        from trino.exceptions import Error, TrinoQueryError

        settings = ClientSession(
            user=_USER,
            catalog=CATALOG,
            schema=session.database,
            source="local-athena",
            timezone="UTC",
            properties=dict(properties or {}),
        )
        # In a header the statement keeps its own lines and columns, which messages tell.
        headers = {"X-Trino-Prepared-Statement": f"{_PREPARED}={quote_plus(prepared)}"} if prepared else {}
        request = TrinoRequest(self._host, self._port, settings, http_scheme=self._scheme)
        meter = _Meter(session)
        query = TrinoQuery(request, sql, legacy_primitive_types=True, stats_callback=meter.read)
        try:
            with session.interruptible(lambda: self._cancel(query.query_id)):
                rows = list(query.execute(additional_http_headers=headers))
            session.check()
        except TrinoQueryError as error:
            session.check()
            raise translate(str(error.error_name), str(error.error_type), error.message) from error
        except QueryFailed:
            self._cancel(query.query_id)
            raise
        except Error as error:
            session.check()
            raise QueryFailed(
                f"GENERIC_INTERNAL_ERROR: Trino does not answer: {error}", category=1, error_type=200
            ) from error
        columns = tuple((column["name"], column["type"]) for column in query.columns or ())
        return TrinoAnswer(str(query.query_id), columns, rows)

    def _cancel(self, query_id: str | None) -> None:
        """Have the server stop a query; the one who waits for it is told by the server."""
        import requests

        if query_id is None:
            return
        url = f"{self._scheme}://{self._host}:{self._port}/v1/query/{query_id}"
        with contextlib.suppress(requests.RequestException):
            requests.delete(url, headers={"X-Trino-User": _USER}, timeout=_CANCEL_TIMEOUT_SECONDS)


class _Meter:
    """Tells the session what the query has read since the last time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read_bytes = 0

    def read(self, stats: Mapping[str, Any]) -> None:
        total = int(stats.get("physicalInputBytes") or 0)
        if total > self._read_bytes:
            more, self._read_bytes = total - self._read_bytes, total
            self._session.add_scanned(more)
