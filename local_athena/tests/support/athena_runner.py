"""Runs statements against a running local Athena as any client does: start, poll, fetch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local_athena import LocalAthena

DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What a query left behind."""

    state: str
    reason: str
    execution: dict[str, Any]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    update_count: int | None = None


class Runner:
    """Runs statements with results in ``bucket``."""

    def __init__(self, aws: LocalAthena, bucket: str, database: str) -> None:
        self.bucket = bucket
        self.database = database
        self.athena = aws.client("athena")
        self.s3 = aws.client("s3")
        self.glue = aws.client("glue")
        self.s3.create_bucket(Bucket=bucket)

    def run(
        self, sql: str, *, database: str | None = None, parameters: Sequence[str] = (), **arguments: Any
    ) -> Answer:
        """Run a statement to its end, whatever that is."""
        arguments.setdefault("ResultConfiguration", {"OutputLocation": f"s3://{self.bucket}/results/"})
        query_id = self.athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": database or self.database, "Catalog": "awsdatacatalog"},
            **({"ExecutionParameters": list(parameters)} if parameters else {}),
            **arguments,
        )["QueryExecutionId"]
        execution = self._wait(query_id)
        status = execution["Status"]
        if status["State"] != "SUCCEEDED":
            return Answer(status["State"], status.get("StateChangeReason", ""), execution)
        found = self.athena.get_query_results(QueryExecutionId=query_id)
        columns = tuple(c["Name"] for c in found["ResultSet"]["ResultSetMetadata"]["ColumnInfo"])
        rows = tuple(
            tuple(cell.get("VarCharValue") for cell in row["Data"]) for row in found["ResultSet"]["Rows"]
        )
        if execution.get("SubstatementType") in ("SELECT", "EXPLAIN"):
            rows = rows[1:]  # the first row holds the names
        return Answer("SUCCEEDED", "", execution, columns, rows, found.get("UpdateCount"))

    def _wait(self, query_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            execution: dict[str, Any] = self.athena.get_query_execution(QueryExecutionId=query_id)[
                "QueryExecution"
            ]
            if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                return execution
            assert time.monotonic() < deadline, f"{query_id} is still {execution['Status']['State']}"
            time.sleep(0.005)

    def ok(self, sql: str, **arguments: Any) -> Answer:
        """Run a statement that must succeed."""
        answer = self.run(sql, **arguments)
        assert answer.state == "SUCCEEDED", f"{sql}\n{answer.reason}"
        return answer

    def fails(self, sql: str, **arguments: Any) -> str:
        """Run a statement that must fail; why it did."""
        answer = self.run(sql, **arguments)
        assert answer.state == "FAILED", f"{sql}\n{answer.state}"
        return answer.reason

    def rows(self, sql: str, **arguments: Any) -> list[tuple[str | None, ...]]:
        """The rows of a SELECT."""
        return list(self.ok(sql, **arguments).rows)

    def keys(self, prefix: str) -> list[str]:
        """Keys of the bucket below a prefix."""
        found = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]
