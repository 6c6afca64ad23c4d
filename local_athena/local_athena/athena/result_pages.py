"""GetQueryResults: pages cut from the result file in S3, read as the caller who asks."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from local_athena.athena.executions import Execution, Identity
from local_athena.athena.paging import read_token, write_token
from local_athena.athena.query_states import PENDING, QueryState
from local_athena.athena.result_files import announce_columns, column_info
from local_athena.data.session import Clients
from local_athena.errors import ApiError, QueryFailed

DEFAULT_PAGE_ROWS = 1_000
MAX_CACHED_BYTES = 64 * 1024 * 1024

# One cell of our own CSV files: quoted text or NULL, and what ends it.
_CELL = re.compile(rb'(?:"([^"]*(?:""[^"]*)*)")?([,\n])')

Cells = list[str | None]


class ResultPages:
    """Reads result files. Files whose reading goes on are kept a while, so that a page costs a page.

    The first page always reads S3, so that a file deleted, or a caller without s3:GetObject, is noticed.
    """

    def __init__(self, clients_for: Callable[[Any], Clients]) -> None:
        self._clients_for = clients_for
        self._lock = threading.Lock()
        self._bodies: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def get(self, execution: Execution, request: dict[str, Any], caller: Identity) -> dict[str, Any]:
        """Return one page of the results of a query that succeeded."""
        _refuse_unfinished(execution)
        submission, outputs = execution.submission, execution.outputs
        columns = announce_columns(submission.substatement_type, outputs.columns)
        rows, more = self._rows(execution, request, caller)
        page: dict[str, Any] = {
            "ResultSet": {
                "Rows": [{"Data": [_datum(cell) for cell in row]} for row in rows],
                "ResultSetMetadata": {"ColumnInfo": [column_info(column) for column in columns]},
            },
            **more,
        }
        if outputs.update_count is not None:
            page["UpdateCount"] = outputs.update_count
        elif submission.statement_type != "DDL" and submission.substatement_type != "UNLOAD":
            page["UpdateCount"] = 0  # Athena's for SELECT and SHOW; DDL has none at all
        return page

    def _rows(
        self, execution: Execution, request: dict[str, Any], caller: Identity
    ) -> tuple[list[Cells], dict[str, str]]:
        place = execution.submission.place
        if not (place.is_csv or place.is_text):
            return [], {}
        token = request.get("NextToken")
        start = 0 if token is None else int(read_token(execution.id, token))
        key = (execution.id, caller.access_key_id)
        body = self._body(key, execution, caller, fresh=token is None)
        read = _csv_rows if place.is_csv else _text_rows
        rows: list[Cells] = []
        end = start
        for row, following in read(body, start):
            rows.append(row)
            end = following
            if len(rows) == (request.get("MaxResults") or DEFAULT_PAGE_ROWS):
                break
        if not rows or end > len(body):
            self._forget(key)
            return rows, {}
        self._keep(key, body)
        return rows, {"NextToken": write_token(execution.id, end)}

    def _body(self, key: tuple[str, str], execution: Execution, caller: Identity, *, fresh: bool) -> bytes:
        with self._lock:
            kept = None if fresh else self._bodies.get(key)
        if kept is not None:
            return kept
        output = execution.submission.place.output
        try:
            return self._clients_for(caller).objects.read(output.bucket, output.key)
        except QueryFailed as error:
            raise ApiError("InvalidRequestException", f"Could not find results: {error.reason}") from error

    def _keep(self, key: tuple[str, str], body: bytes) -> None:
        with self._lock:
            self._bodies[key] = body
            self._bodies.move_to_end(key)
            while len(self._bodies) > 1 and sum(map(len, self._bodies.values())) > MAX_CACHED_BYTES:
                self._bodies.popitem(last=False)

    def _forget(self, key: tuple[str, str]) -> None:
        with self._lock:
            self._bodies.pop(key, None)


def _refuse_unfinished(execution: Execution) -> None:
    state = execution.state
    if state in PENDING:
        raise ApiError("InvalidRequestException", f"Query has not yet finished. Current state: {state.value}")
    if state is QueryState.CANCELLED:
        raise ApiError("InvalidRequestException", "Could not find results")
    if state is not QueryState.SUCCEEDED:
        raise ApiError(
            "InvalidRequestException",
            f"Query did not finish successfully. Final query state: {state.value}",
        )


def _csv_rows(body: bytes, start: int) -> Iterator[tuple[Cells, int]]:
    """Rows from byte ``start`` on, each with where the next begins; past the end after the last."""
    position = start
    while position < len(body):
        row, position = _plain_row(body, position) or _any_row(body, position)
        yield row, position if position < len(body) else position + 1


def _plain_row(body: bytes, start: int) -> tuple[Cells, int] | None:
    """Return the row at ``start`` if no cell of it is NULL or holds a quote or a line feed.

    Then all quotes of the line are those around its cells. A cell cut by a line feed leaves an odd number.
    """
    end = body.find(b"\n", start)
    line = body[start:end]
    if end < 0 or line[:1] != b'"' or line[-1:] != b'"':
        return None
    cells: Cells = [*line[1:-1].decode(errors="replace").split('","')]
    return (cells, end + 1) if line.count(b'"') == 2 * len(cells) else None


def _any_row(body: bytes, start: int) -> tuple[Cells, int]:
    row: Cells = []
    position, ending = start, b","
    while ending == b",":
        cell = _CELL.match(body, position)
        if cell is None:
            raise ApiError("InvalidRequestException", "Could not find results: the result file was changed")
        text, ending = cell.groups()
        row.append(None if text is None else text.replace(b'""', b'"').decode(errors="replace"))
        position = cell.end()
    return row, position


def _text_rows(body: bytes, start: int) -> Iterator[tuple[Cells, int]]:
    """Like the above; lines are joined by line feeds, not ended by them, and an empty file has none."""
    position = start
    while body and position <= len(body):
        found = body.find(b"\n", position)
        end = len(body) if found < 0 else found
        yield [body[position:end].decode(errors="replace")], end + 1
        position = end + 1


def _datum(cell: str | None) -> dict[str, str]:
    return {} if cell is None else {"VarCharValue": cell}
