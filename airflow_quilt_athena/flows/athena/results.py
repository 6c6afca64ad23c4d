"""What Athena queries answered: rows of a SELECT, counts of a write."""

from __future__ import annotations

from typing import Any

from airflow_quilt_athena.core.athena.query_status import QueryStatus
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.flows.aws.clients import AthenaClient
from airflow_quilt_athena.flows.aws.deadline import ask

MAX_ROWS_PER_PAGE = 1000  # Athena API Reference, "GetQueryResults", read 2026-11


def read_update_count(athena: AthenaClient, query_execution_id: str) -> int | None:
    """Return the rows a CTAS or INSERT wrote; None when Athena does not say."""
    response = ask(
        lambda: athena.get_query_results(QueryExecutionId=query_execution_id, MaxResults=1),
        f"read the row count of Athena query {query_execution_id}",
    )
    count = response.get("UpdateCount")
    return None if count is None else int(count)


def read_rows(
    athena: AthenaClient,
    query_execution_id: str,
    *,
    max_rows: int,
    has_header: bool = True,
    max_characters: int | None = None,
) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """Return the column names of a result and its first ``max_rows`` rows, as Athena prints them.

    :param has_header: whether the first row may hold the names: that of a SELECT does, that of SHOW and
        DESCRIBE is a row, which may well be called as its column is.
    :param max_characters: stop reading once the rows hold more; what was read by then is returned.
    """
    characters = 0
    names: tuple[str, ...] = ()
    rows: list[tuple[str | None, ...]] = []
    request: dict[str, Any] = {"QueryExecutionId": query_execution_id}
    first_page = True
    while True:
        # One more than wanted: the first row of a SELECT holds the names.
        request["MaxResults"] = max(1, min(MAX_ROWS_PER_PAGE, max_rows + 1 - len(rows)))
        page = ask(
            lambda: athena.get_query_results(**request), f"read the rows of Athena query {query_execution_id}"
        )
        result_set = page["ResultSet"]
        names = tuple(column["Name"] for column in result_set["ResultSetMetadata"]["ColumnInfo"])
        cells = [tuple(cell.get("VarCharValue") for cell in row["Data"]) for row in result_set["Rows"]]
        if first_page and has_header and cells and cells[0] == names:
            cells = cells[1:]
        rows += cells
        first_page = False
        characters += sum(len(cell or "") for row in cells for cell in row)
        too_many = max_characters is not None and characters > max_characters
        if too_many or len(rows) >= max_rows or not page.get("NextToken"):
            return names, rows[:max_rows]
        request["NextToken"] = page["NextToken"]


def copy_result(s3: Any, status: QueryStatus, target: S3Uri) -> None:
    """Put the file of rows that a SELECT left at its output location at ``target`` as well.

    The copy is boto3's managed one, in parts where the file is large; readers see the old file or the new.

    :param s3: boto3's S3 client.
    """
    source = S3Uri.parse(status.output_location or "")
    ask(
        lambda: s3.copy({"Bucket": source.bucket, "Key": source.key}, target.bucket, target.key),
        f"copy the rows of Athena query {status.query_execution_id} from {source} to {target}",
    )
