"""A run of the conformance table on any endpoint that speaks Athena, S3 and Glue."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_athena.conformance.table import HERE, SET_UP, UNLOAD_COUNT, Answer, topics
from local_athena.errors import LocalAthenaError

_SHORTEST_POLL_SECONDS = 0.02
_LONGEST_POLL_SECONDS = 0.5
_KEYS_PER_DELETE = 1_000  # of DeleteObjects (S3 API reference, read 2026-11)
_UNLOAD = re.compile(r"\s*unload\b", re.I)
_ORDERED = re.compile(r"\border\s+by\b[^()]*(\([^()]*\)[^()]*)*$", re.I)


@dataclass(frozen=True, slots=True)
class EndpointClients:
    """boto3's clients of the endpoint."""

    athena: Any
    s3: Any
    glue: Any


class Lake:
    """A bucket with the table's files, and a database."""

    def __init__(
        self,
        clients: EndpointClients,
        bucket: str,
        database: str,
        *,
        workgroup: str = "primary",
        timeout_seconds: float = 120.0,
    ) -> None:
        """Nothing is made yet; see ``fill``."""
        self.bucket, self.database = bucket, database
        self._identifier = re.sub(r"[-.]", "_", bucket)  # the bucket's name as part of a table's
        self._clients = clients
        self._workgroup = workgroup
        self._timeout_seconds = timeout_seconds
        self._answers: dict[str, dict[str, Answer]] = {}
        self._made_bucket = False

    @classmethod
    def on(cls, client: Callable[[str], Any], token: str) -> Lake:
        """Make one with names from ``token``; ``client`` makes a boto3 client, as LocalAthena.client does."""
        clients = EndpointClients(client("athena"), client("s3"), client("glue"))
        lake = cls(clients, f"conformance{token}", f"conformance_{token}")
        lake.fill()
        return lake

    # ------------------------------------------------------------------------------- its life

    def fill(self) -> None:
        """Make the bucket, or take an empty one that is there, and the database, and put the table's files.

        Raises LocalAthenaError when the bucket holds something: the files lie at its root, and all is removed
        afterwards.
        """
        s3 = self._clients.s3
        try:
            s3.head_bucket(Bucket=self.bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise LocalAthenaError(f"Bucket {self.bucket} cannot be used: {error}") from error
            self._create_bucket()
            self._made_bucket = True
        if s3.list_objects_v2(Bucket=self.bucket, MaxKeys=1).get("Contents"):
            raise LocalAthenaError(
                f"Bucket {self.bucket} is not empty. The table's files lie at the root of a bucket, which is "
                "emptied afterwards: name one that is made for this."
            )
        self._clients.glue.create_database(DatabaseInput={"Name": self.database})
        for key, lines in json.loads((HERE / "files.json").read_text()).items():
            body = "".join(f"{line}\n" for line in lines).replace("{bucket}", self.bucket)
            s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())

    def _create_bucket(self) -> None:
        region = self._clients.s3.meta.region_name
        elsewhere = {} if region in {None, "us-east-1", "aws-global"} else {"LocationConstraint": region}
        settings = {"CreateBucketConfiguration": elsewhere} if elsewhere else {}
        self._clients.s3.create_bucket(Bucket=self.bucket, **settings)

    def remove(self) -> None:
        """Remove the database and all that the bucket holds; the bucket too, if ``fill`` made it."""
        s3, glue = self._clients.s3, self._clients.glue
        glue.delete_database(Name=self.database)
        for name in (f"{self.database}_emitted",):  # which the operators' statements make
            try:
                glue.delete_database(Name=name)
            except ClientError as error:
                if error.response["Error"]["Code"] != "EntityNotFoundException":
                    raise
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            keys = [{"Key": found["Key"]} for found in page.get("Contents", [])]
            for start in range(0, len(keys), _KEYS_PER_DELETE):
                s3.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": keys[start : start + _KEYS_PER_DELETE]}
                )
        if self._made_bucket:
            s3.delete_bucket(Bucket=self.bucket)

    # ---------------------------------------------------------------------------- its answers

    def answers(self, topic: str) -> dict[str, Answer]:
        """Return a topic's answers by statement, run once, after the tables are made."""
        if topic != SET_UP:
            self.answers(SET_UP)
        if topic not in self._answers:
            self._answers[topic] = self._run(topics()[topic])
        return self._answers[topic]

    def _run(self, statements: Iterable[str]) -> dict[str, Answer]:
        """Run statements in their order; those between two that write run side by side."""
        found: dict[str, Answer] = {}
        with ThreadPoolExecutor(4) as pool:
            for reads, group in groupby(statements, key=_reads):
                side_by_side = list(group)
                answers = pool.map(self.answer, side_by_side) if reads else map(self.answer, side_by_side)
                found.update(zip(side_by_side, answers, strict=True))
        return found

    def answer(self, sql: str) -> Answer:
        """Run one statement: its columns and rows, or the class of its failure."""
        try:
            query_id = self._clients.athena.start_query_execution(
                QueryString=self._placed(sql),
                QueryExecutionContext={"Database": self.database},
                ResultConfiguration={"OutputLocation": f"s3://{self.bucket}/results/"},
                WorkGroup=self._workgroup,
            )["QueryExecutionId"]
            status = self._wait(query_id)
            if status["State"] == "SUCCEEDED":
                return self._result(query_id, sql)
        except ClientError as error:
            return {"error": error.response["Error"]["Code"], "reason": str(error)}
        except BotoCoreError as error:
            return {"error": type(error).__name__, "reason": str(error)}
        reason = status.get("StateChangeReason") or status["State"]
        return {"error": _class_of(reason), "reason": reason}

    def _placed(self, sql: str) -> str:
        """Put names where the table has {bucket} and {database}; a table's name takes no dash."""
        sql = sql.replace("{bucket}_", f"{self._identifier}_")
        return sql.replace("{bucket}", self.bucket).replace("{database}", self.database)

    def _wait(self, query_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout_seconds
        pause = _SHORTEST_POLL_SECONDS
        while True:
            answer = self._clients.athena.get_query_execution(QueryExecutionId=query_id)
            status: dict[str, Any] = answer["QueryExecution"]["Status"]
            if status["State"] not in {"QUEUED", "RUNNING"}:
                return status
            if time.monotonic() > deadline:
                reason = f"TIMED_OUT: {status['State']} after {self._timeout_seconds:.0f} seconds"
                return {"State": "TIMED_OUT", "StateChangeReason": reason}
            time.sleep(pause)
            pause = min(pause * 1.2, _LONGEST_POLL_SECONDS)

    def _result(self, query_id: str, sql: str) -> Answer:
        page = self._clients.athena.get_query_results(QueryExecutionId=query_id)
        if page.get("NextToken"):
            raise ValueError(f"Over a page of rows is too much for this table: {sql}")
        result = page.get("ResultSet", {})
        columns = result.get("ResultSetMetadata", {}).get("ColumnInfo", [])
        rows = [[self._cell(cell) for cell in row.get("Data", [])] for row in result.get("Rows", [])]
        names = [column["Name"] for column in columns]
        if rows and rows[0] == names:
            rows = rows[1:]
        answer: Answer = {"columns": names, "types": [_type(column) for column in columns], "rows": rows}
        if not _ORDERED.search(sql):
            rows.sort(key=repr)
        if page.get("UpdateCount") is not None:
            answer[UNLOAD_COUNT if _UNLOAD.match(sql) else "update_count"] = page["UpdateCount"]
        return answer

    def _cell(self, cell: dict[str, str]) -> str | None:
        value = cell.get("VarCharValue")
        if value is None:
            return None
        value = value.replace(self.database, "{database}")
        return value.replace(self.bucket, "{bucket}").replace(self._identifier, "{bucket}")


def _class_of(reason: str) -> str:
    """Return the class of a failure; what the parser refuses is told by its place alone."""
    if re.match(r"line \d+:\d+: ", reason):
        return "SYNTAX_ERROR"
    named = re.match(r"[A-Z][A-Z_]+\b", reason)
    return named[0] if named else reason.partition(":")[0]


def _reads(sql: str) -> bool:
    return bool(re.match(r"(select|with|values)\b", sql, re.I))


def _type(column: dict[str, Any]) -> str:
    kind: str = column.get("Type", "")
    return f"{kind}({column['Precision']},{column['Scale']})" if kind == "decimal" else kind
