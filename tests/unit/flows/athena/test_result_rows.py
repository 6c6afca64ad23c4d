"""All rows of a query: from the file that Athena wrote, or page by page where that is not to be read."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_quilt_athena.core.athena.query_status import QueryStatus, parse_status
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.athena.result_rows import read_all_rows
from tests.unit.s3_fake import FakeS3, s3_error


def status(key: str = "q1.csv") -> QueryStatus:
    return parse_status(
        {
            "QueryExecutionId": "q1",
            "Status": {"State": "SUCCEEDED"},
            "ResultConfiguration": {"OutputLocation": f"s3://results/{key}"},
        }
    )


def read(body: bytes, athena: Any = None, refused: bool = False) -> list[dict[str, str | None]]:
    s3 = FakeS3()
    s3.put_object(Bucket="results", Key="q1.csv", Body=body)
    if refused:
        s3.events.append(("get_object", "before", s3_error("AccessDenied", 403)))
    return list(read_all_rows(athena, s3, status()))


def test_rows_are_read_by_name_and_an_empty_text_is_none() -> None:
    assert read(b'"a","b"\n"1","x,\ny"\n"","2"\n') == [{"a": "1", "b": "x,\ny"}, {"a": None, "b": "2"}]


def test_a_line_without_a_cell_is_no_row() -> None:
    assert read(b'"a"\n"1"\n\n"2"\n') == [{"a": "1"}, {"a": "2"}]


def test_columns_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidCallError, match="columns of one name: a, a"):
        read(b'"a","a"\n"1","2"\n')


def test_a_statement_without_rows_is_refused() -> None:
    with pytest.raises(InvalidCallError, match="Expected a SELECT"):
        list(read_all_rows(None, FakeS3(), status("q1.txt")))  # type: ignore[arg-type]


class Pages:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def get_query_results(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        rows: list[list[str | None]] = [["1"], [None]] if "NextToken" in request else [["a"], ["0"]]
        return {
            "ResultSet": {
                "ResultSetMetadata": {"ColumnInfo": [{"Name": "a"}]},
                "Rows": [
                    {"Data": [{} if cell is None else {"VarCharValue": cell} for cell in row]} for row in rows
                ],
            },
            **({} if "NextToken" in request else {"NextToken": "t"}),
        }


def test_where_the_file_is_refused_athena_is_asked_page_by_page() -> None:
    athena = Pages()
    assert read(b"", athena, refused=True) == [{"a": "0"}, {"a": "1"}, {"a": None}]
    assert athena.asked == [
        {"QueryExecutionId": "q1", "MaxResults": 1000},
        {"QueryExecutionId": "q1", "MaxResults": 1000, "NextToken": "t"},
    ]
