"""A lake on a local Athena to overwrite in: its tables set up at full speed, its work measured at AWS's."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.orc

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER, TableName
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.insert_overwrite import insert_overwrite
from airflow_quilt_athena.flows.overwrite.overwrite_result import OverwriteResult
from benchmarks.blog import Blog
from local_athena import Call, LocalAthena

LATENCY = {"athena:query": 1.0, "*": 0.03}
BUCKET, DATABASE, WORKGROUP, ENFORCING = "bench-lake", "bench", "bench", "bench-enforcing"
TIMEOUT_SECONDS = 120
OLD_ROW = -1  # the only row of an old file

_POLLS = frozenset({"GetQueryExecution", "BatchGetQueryExecution"})
_START = "StartQueryExecution"
_PARTITION_FLIPS = frozenset(
    f"{many}{verb}Partition" for many in ("", "Batch") for verb in ("Create", "Update", "Delete")
)
_FLIPS = _PARTITION_FLIPS | {"CreateTable", "UpdateTable"}
_TOUCHES = frozenset({"DeleteObject", "DeleteObjects", "PutObject"})

Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A query as Athena tells of it afterwards; moments in seconds since 1970."""

    sql: str
    submitted_at: float
    completed_at: float


@dataclass(frozen=True, slots=True)
class Run:
    """One piece of work: what it asked of AWS, and when."""

    started_at: float
    ended_at: float
    calls: tuple[Call, ...]  # the client's own
    queries: tuple[Query, ...]
    touches: tuple[Call, ...]  # of files where readers look, also by its queries
    table: str

    @property
    def query_count(self) -> int:
        """How many Athena queries it started."""
        return sum(call.operation == _START for call in self.calls)

    @property
    def others(self) -> tuple[Call, ...]:
        """All calls but the starts of queries and the looks at them."""
        return tuple(call for call in self.calls if call.operation not in _POLLS | {_START})

    @property
    def other_count(self) -> int:
        """How many they are."""
        return len(self.others)

    @property
    def others_before_visible(self) -> int:
        """How many of them, the one that shows the new rows included."""
        return sum(call.time < self.visible_at for call in self.others)

    @property
    def calls_before_visible(self) -> int:
        """How many of all calls but the looks at queries, the one that shows the new rows included."""
        return sum(c.time < self.visible_at for c in self.calls if c.operation not in _POLLS)

    @property
    def polls(self) -> tuple[Call, ...]:
        """The looks at queries."""
        return tuple(call for call in self.calls if call.operation in _POLLS)

    @property
    def flips(self) -> tuple[Call, ...]:
        """The calls that point the table, or its partitions, somewhere."""
        name = f"{DATABASE}.{self.table}"
        return tuple(c for c in self.calls if c.operation in _FLIPS and c.detail.split(" ")[0] == name)

    @property
    def visible_at(self) -> float:
        """When readers see all new rows.

        That is when the last flip is answered; for the blog's method, which flips nothing, when its CTAS is
        complete: the partition was known to Glue before, so readers need not wait for MSCK REPAIR TABLE.
        """
        if self.flips:
            return _end(self.flips[-1])
        return max(query.completed_at for query in self.queries if query.sql.startswith("CREATE TABLE"))

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended_at - self.started_at

    @property
    def seconds_to_visible(self) -> float:
        """How long until readers see all new rows."""
        return self.visible_at - self.started_at

    @property
    def seconds_broken(self) -> float:
        """How long readers saw neither just the old rows nor just the new ones: since files were touched."""
        return max(0.0, self.visible_at - min(map(_end, self.touches))) if self.touches else 0.0

    @property
    def seconds_mixed(self) -> float:
        """How long a set showed some partitions new and others old, each of them whole."""
        flips = [call for call in self.flips if call.operation in _PARTITION_FLIPS]
        return _end(flips[-1]) - _end(flips[0])

    @property
    def most_at_once(self) -> int:
        """How many of its queries ran at one time, at most."""
        starts = [query.submitted_at for query in self.queries]
        return max(sum(q.submitted_at <= moment < q.completed_at for q in self.queries) for moment in starts)

    def split(self) -> dict[str, float]:
        """Say where the seconds until visible went; calls that are made while a query runs cost nothing."""
        queries = [(q.submitted_at, min(q.completed_at, self.visible_at)) for q in self.queries]
        noticed = [(q.submitted_at, min(self._noticed_at(q), self.visible_at)) for q in self.queries]
        running, waiting = _covered(queries), _covered(noticed)
        return {
            "a query runs": running,
            "its end is not noticed yet": waiting - running,
            "other calls": self.seconds_to_visible - waiting,
        }

    def _noticed_at(self, query: Query) -> float:
        return min(_end(poll) for poll in self.polls if poll.time >= query.completed_at)


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the seconds that lie in one of the spans, or in several."""
    total, until = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _end(call: Call) -> float:
    return call.time + call.seconds


class Lake:
    """A bucket, a database and two workgroups; one of them enforces its result location."""

    def __init__(self, aws: LocalAthena) -> None:
        self._aws = aws
        self.athena, self.glue, self.s3 = (aws.client(name) for name in ("athena", "glue", "s3"))
        self.clients = LakeClients(self.athena, self.glue, self.s3)
        self.blog = Blog(self.athena, self.s3, BUCKET, DATABASE, WORKGROUP)
        self._tasks = 0
        self.s3.create_bucket(Bucket=BUCKET)
        self.glue.create_database(DatabaseInput={"Name": DATABASE})
        for name, enforced in ((WORKGROUP, False), (ENFORCING, True)):
            result = {"OutputLocation": f"s3://{BUCKET}/results/"}
            configuration = {"ResultConfiguration": result, "EnforceWorkGroupConfiguration": enforced}
            self.athena.create_work_group(Name=name, Configuration=configuration)

    # ------------------------------------------------------------------------------------------- set-up

    def create_table(self, table: str, keys: Mapping[str, str], *, old: Mapping[str, int]) -> None:
        """Make an ORC table as the blog makes it.

        :param keys: the partition keys and their types.
        :param old: how many files lie in which folder below the table's.
        """
        partitioned = ", ".join(f"{name} {kind}" for name, kind in keys.items())
        self.run(
            f"CREATE EXTERNAL TABLE {DATABASE}.{table} (n bigint, v string) "
            f"{f'PARTITIONED BY ({partitioned})' if keys else ''} STORED AS ORC "
            f"LOCATION 's3://{BUCKET}/{folder_of(table)}' TBLPROPERTIES ('orc.compress' = 'ZLIB')"
        )
        body = _old_file()
        self._put(
            (f"{folder_of(table)}{folder}{number:05}.orc", body)
            for folder, files in old.items()
            for number in range(files)
        )
        if keys:
            self.run(f"MSCK REPAIR TABLE {DATABASE}.{table}")

    def _put(self, objects: Iterable[tuple[str, bytes]]) -> None:
        with ThreadPoolExecutor(4) as pool:
            puts = [pool.submit(self.s3.put_object, Bucket=BUCKET, Key=k, Body=body) for k, body in objects]
            for put in puts:
                put.result()

    def add_partitions(self, table: str, values: Sequence[str]) -> None:
        """Make partitions without files, where MSCK REPAIR TABLE would have them; the table has one key."""
        found = self.glue.get_table(DatabaseName=DATABASE, Name=table)["Table"]
        descriptor, (key,) = found["StorageDescriptor"], found["PartitionKeys"]
        inputs = [
            {
                "Values": [value],
                "StorageDescriptor": {
                    **descriptor,
                    "Location": f"{descriptor['Location'].rstrip('/')}/{key['Name']}={value}",
                },
            }
            for value in values
        ]
        for start in range(0, len(inputs), 100):
            batch = inputs[start : start + 100]
            self.glue.batch_create_partition(DatabaseName=DATABASE, TableName=table, PartitionInputList=batch)

    # ----------------------------------------------------------------------------------------- looking

    def run(self, sql: str) -> str:
        """Run a statement; return its query id."""
        status = run_query(
            self.athena, sql, database=DATABASE, workgroup=WORKGROUP, timeout_seconds=TIMEOUT_SECONDS
        )
        return status.query_execution_id

    def rows(self, sql: str) -> list[Row]:
        """Return a SELECT's rows."""
        return read_rows(self.athena, self.run(sql), max_rows=100_000)[1]

    def keys(self, prefix: str) -> set[str]:
        """Return the keys of all objects below a prefix."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {item["Key"] for page in pages for item in page.get("Contents", ())}

    # --------------------------------------------------------------------------------------- measuring

    def overwrite(
        self, table: str, query: str, partition: Mapping[str, str], **asked: Any
    ) -> OverwriteResult:
        """Overwrite with this project's method, as a task that is run for the first time.

        :param asked: what else an OverwriteRequest takes.
        """
        self._tasks += 1
        request = OverwriteRequest(
            query=query,
            table=TableName(DATABASE, table),
            partition=partition,
            database=DATABASE,
            location=S3Uri(BUCKET, folder_of(table)),
            **{"workgroup": WORKGROUP, **asked},
        )
        return insert_overwrite(self.clients, request, f"task {self._tasks}", timeout_seconds=TIMEOUT_SECONDS)

    def measure(self, table: str, work: Callable[[], object], *, live: str = "") -> Run:
        """Do ``work`` on a table with AWS's latency, and note what it asked and when.

        :param live: the folder of the replaced rows, below the table's.
        """
        self._aws.clear_calls()
        with self._latency():
            started_at = time.time()
            work()
            ended_at = time.time()
        calls, place = self._aws.calls, f"{BUCKET}/{folder_of(table)}{live}"
        return Run(
            started_at,
            ended_at,
            tuple(call for call in calls if not call.by_athena),
            self._queries_since(started_at),
            tuple(call for call in calls if call.operation in _TOUCHES and _lies_in(call, place)),
            table,
        )

    @contextmanager
    def _latency(self) -> Iterator[None]:
        self._aws.set_latency(LATENCY)
        try:
            yield
        finally:
            self._aws.set_latency()

    def _queries_since(self, moment: float) -> tuple[Query, ...]:
        found = []
        for workgroup in (WORKGROUP, ENFORCING):
            ids = self.athena.list_query_executions(WorkGroup=workgroup)["QueryExecutionIds"]
            if ids:
                answer = self.athena.batch_get_query_execution(QueryExecutionIds=ids[:50])
                found += [_query(execution) for execution in answer["QueryExecutions"]]
        return tuple(query for query in found if query.submitted_at >= moment)


def _lies_in(call: Call, place: str) -> bool:
    return call.detail.startswith(place) and GENERATIONS_FOLDER not in call.detail


def _query(execution: Mapping[str, Any]) -> Query:
    status = execution["Status"]
    moments = (status["SubmissionDateTime"], status["CompletionDateTime"])
    return Query(execution["Query"], *(moment.timestamp() for moment in moments))


def folder_of(table: str) -> str:
    """Return a table's folder in the bucket."""
    return f"tables/{table}/"


def _old_file() -> bytes:
    rows = pa.table({"n": pa.array([OLD_ROW], pa.int64()), "v": ["old"]})
    buffer = io.BytesIO()
    pyarrow.orc.write_table(rows, buffer, compression="zlib")
    return buffer.getvalue()
