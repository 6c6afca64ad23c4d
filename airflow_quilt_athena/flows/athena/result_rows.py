"""All rows of a query, by the file that Athena wrote of them; page by page where that is refused."""

from __future__ import annotations

import csv
import io
import logging
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from airflow_quilt_athena.core.athena.query_status import QueryStatus
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.exceptions import AccessError, InvalidCallError
from airflow_quilt_athena.flows.athena.results import MAX_ROWS_PER_PAGE
from airflow_quilt_athena.flows.aws.clients import AthenaClient, S3Client
from airflow_quilt_athena.flows.aws.deadline import ask

log = logging.getLogger(__name__)

MAX_CELL_BYTES = 1 << 27  # csv refuses more than 131,072 by itself; Athena's rows have 32 MB at most

ResultRow = dict[str, str | None]


def read_all_rows(athena: AthenaClient, s3: S3Client, status: QueryStatus) -> Iterator[ResultRow]:
    """Yield the rows of a SELECT by column name, as Athena prints their values; an empty text is None.

    :raises InvalidCallError: for a statement without rows of its own, and for columns of one name.
    """
    place = S3Uri.parse(status.output_location or "s3://none/")
    if not place.key.endswith(".csv"):
        raise InvalidCallError(
            f"Athena query {status.query_execution_id} has no rows to read: its output is "
            f"{status.output_location}. Expected a SELECT."
        )
    with tempfile.TemporaryFile(prefix="athena-rows-") as file:
        try:
            _download(s3, place, file)
        except AccessError as error:
            # A Quilt platform's results bucket, for one, is read by nobody but Athena.
            log.info("%s Reading the rows from Athena, 1,000 at a time, which takes longer.", error)
            yield from _page_by_page(athena, status.query_execution_id)
            return
        csv.field_size_limit(max(MAX_CELL_BYTES, csv.field_size_limit()))
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        lines = csv.reader(text)
        names = _names(next(lines, []), status.query_execution_id)
        for cells in lines:
            if cells:  # a row of nothing but a NULL is an empty line
                yield {name: cell or None for name, cell in zip(names, cells, strict=True)}


def _download(s3: S3Client, place: S3Uri, file: IO[bytes]) -> None:
    def read() -> None:
        file.seek(0)
        file.truncate()
        body = s3.get_object(Bucket=place.bucket, Key=place.key)["Body"]
        while data := body.read(1 << 20):
            file.write(data)
        file.seek(0)

    ask(read, f"read the rows of an Athena query from {place}")


def _page_by_page(athena: AthenaClient, query_execution_id: str) -> Iterator[ResultRow]:
    request: dict[str, Any] = {"QueryExecutionId": query_execution_id, "MaxResults": MAX_ROWS_PER_PAGE}
    names: tuple[str, ...] | None = None
    while True:
        page = ask(
            lambda: athena.get_query_results(**request), f"read the rows of Athena query {query_execution_id}"
        )
        rows = page["ResultSet"]["Rows"]
        if names is None:
            columns = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
            names = _names([column["Name"] for column in columns], query_execution_id)
            rows = rows[1:]  # the first row of a SELECT holds the names
        for row in rows:
            yield {
                name: cell.get("VarCharValue") or None for name, cell in zip(names, row["Data"], strict=True)
            }
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def _names(found: list[str], query_execution_id: str) -> tuple[str, ...]:
    if len(set(found)) < len(found):
        raise InvalidCallError(
            f"Athena query {query_execution_id} has columns of one name: {', '.join(found)}. Name each."
        )
    return tuple(found)
