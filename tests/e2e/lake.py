"""What the tests ask AWS: which queries ran and how they ended, rows, partitions, files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from demo.stack import StackError
from local_athena import Fault, LocalAthena

DATABASE, WORKGROUP = "e2e", "e2e"  # the same names are in tests/e2e/dags
WAREHOUSE, RESULTS = "e2e-warehouse", "e2e-results"
CHECKS = "e2e-checks"  # the workgroup of what the tests ask, so that it is not taken for what a task ran

Row = tuple[str | None, ...]


class Lake:
    """A database and a workgroup for the tasks of the tests."""

    def __init__(self, aws: LocalAthena) -> None:
        self.aws = aws
        self.athena = aws.client("athena")
        self.glue = aws.client("glue")
        self.s3 = aws.client("s3")

    def make(self) -> None:
        """Make buckets, database and workgroups."""
        for bucket in (WAREHOUSE, RESULTS):
            self.s3.create_bucket(Bucket=bucket)
        self.glue.create_database(DatabaseInput={"Name": DATABASE})
        for workgroup in (WORKGROUP, CHECKS):
            output = {"OutputLocation": f"s3://{RESULTS}/{workgroup}/"}
            self.athena.create_work_group(
                Name=workgroup,
                Configuration={"ResultConfiguration": output, "EnforceWorkGroupConfiguration": False},
            )

    def make_table(self, name: str) -> None:
        """Make an empty table of numbers by day."""
        self.query(
            f"CREATE EXTERNAL TABLE {DATABASE}.{name} (n bigint) PARTITIONED BY (dt string) "
            f"STORED AS PARQUET LOCATION 's3://{WAREHOUSE}/{name}/'"
        )

    @contextmanager
    def queries_take(self, seconds: float) -> Iterator[None]:
        """Have every query that starts meanwhile last so long."""
        self.aws.set_latency({"athena:query": seconds})
        try:
            yield
        finally:
            self.aws.set_latency()

    @contextmanager
    def one_query_is_throttled(self, marker: str) -> Iterator[None]:
        """Have the first query with a marker in its text end in an error that Athena calls retryable."""
        throttled = Fault("athena:query", error="SlowDown", matching=marker, retryable=True)
        self.aws.set_faults(throttled)
        try:
            yield
        finally:
            self.aws.set_faults()

    # ------------------------------------------------------------------------------------------- queries

    def query(self, sql: str) -> list[Row]:
        """Run a statement; returns its rows without their header."""
        query_id = self.athena.start_query_execution(QueryString=sql, WorkGroup=CHECKS)["QueryExecutionId"]
        self.wait_for_state(query_id, "SUCCEEDED")
        return self.rows(query_id)

    def rows(self, query_id: str) -> list[Row]:
        """The rows of a SELECT that has ended, without their header."""
        pages = self.athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
        rows = [
            tuple(cell.get("VarCharValue") for cell in row["Data"])
            for page in pages
            for row in page["ResultSet"]["Rows"]
        ]
        return rows[1:]

    def numbers(self, table: str) -> list[Row]:
        """The rows of a table that ``make_table`` made."""
        return sorted(self.query(f"SELECT dt, n FROM {DATABASE}.{table}"))

    def execution(self, query_id: str) -> dict[str, Any]:
        return dict(self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"])

    def state(self, query_id: str) -> str:
        return str(self.execution(query_id)["Status"]["State"])

    def wait_for_state(self, query_id: str, state: str, timeout_seconds: float = 60) -> dict[str, Any]:
        """Wait until a query is in a state; returns its execution."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            execution = self.execution(query_id)
            status = execution["Status"]
            if status["State"] == state:
                return execution
            if status["State"] in {"SUCCEEDED", "FAILED", "CANCELLED"} or time.monotonic() > deadline:
                raise StackError(
                    f"Query {query_id} is {status['State']}, and was to become {state}. "
                    f"{status.get('StateChangeReason')}\n{execution['Query']}"
                )
            time.sleep(0.1)

    def queries(self, marker: str) -> list[str]:
        """The ids of the queries with a marker in their text that tasks have started, newest first."""
        pages = self.athena.get_paginator("list_query_executions").paginate(
            WorkGroup=WORKGROUP, PaginationConfig={"PageSize": 50}
        )
        return [
            execution["QueryExecutionId"]
            for page in pages
            if page["QueryExecutionIds"]
            for execution in self._executions(page["QueryExecutionIds"])
            if marker in execution["Query"]
        ]

    def _executions(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        answer = self.athena.batch_get_query_execution(QueryExecutionIds=list(ids))
        return list(answer["QueryExecutions"])

    def starts(self, marker: str = "") -> int:
        """How many times the server was called to start a query with a marker near its beginning."""
        return sum(
            call.name == "athena:StartQueryExecution" and marker in call.detail for call in self.aws.calls
        )

    # ---------------------------------------------------------------------------------- partitions, files

    def partitions(self, database: str, table: str) -> dict[tuple[str, ...], str]:
        """The location of each partition by its values; a value that is there twice is an error."""
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table)
        found = [
            (tuple(partition["Values"]), partition["StorageDescriptor"]["Location"])
            for page in pages
            for partition in page["Partitions"]
        ]
        assert len({values for values, _ in found}) == len(found), f"{table} has a partition twice"
        return dict(found)

    def files(self, location: str) -> list[str]:
        """The files that a reader of a location sees."""
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys: Sequence[str] = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return [key for key in keys if not any(part[:1] in "._" for part in key[len(prefix) :].split("/"))]
