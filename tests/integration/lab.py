"""A lake of its own for one test, and tasks run as a worker would run them."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.execution_time.context import OutletEventAccessors
from botocore.exceptions import ClientError

from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from airflow_quilt_athena.hooks.quilt_athena import QuiltAthenaHook
from local_athena import LocalAthena

Rows = list[tuple[str | None, ...]]


@cache
def _hook(endpoint_url: str) -> QuiltAthenaHook:
    return QuiltAthenaHook()


@cache
def _client(aws: LocalAthena, service: str) -> Any:
    return aws.client(service)


def connection(aws: LocalAthena) -> str:
    """Return an Airflow connection to the local Athena, for AIRFLOW_CONN_AWS_DEFAULT."""
    return json.dumps(
        {
            "conn_type": "aws",
            "login": aws.environment["AWS_ACCESS_KEY_ID"],
            "password": aws.environment["AWS_SECRET_ACCESS_KEY"],
            "extra": {"region_name": "us-east-1", "endpoint_url": aws.endpoint_url},
        }
    )


def put_quilt_bucket(s3: Any, *names: str) -> None:
    """Make buckets that hold a pointer, as one with a package does."""
    for name in names:
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key=".quilt/named_packages/team/pkg/latest", Body=b"ab" * 32)


def drop_database(aws: LocalAthena, name: str) -> None:
    """Drop a test's database with its tables: whoever looks at all of them later has fewer to look at."""
    with suppress(ClientError):
        aws.client("glue").delete_database(Name=name)


@dataclass
class Lab:
    """A bucket, a database and a workgroup on the local Athena."""

    aws: LocalAthena
    bucket: str
    database: str
    workgroup: str

    @classmethod
    def open(cls, aws: LocalAthena, unique: Callable[[str], str]) -> Lab:
        """Make all three."""
        lab = cls(aws, unique("lake-b"), unique("db"), unique("wg"))
        lab.client("s3").create_bucket(Bucket=lab.bucket)
        lab.client("glue").create_database(DatabaseInput={"Name": lab.database})
        lab.create_workgroup(lab.workgroup, enforce=False)
        return lab

    def client(self, service: str) -> Any:
        """Return a client of the local Athena, made once: making one takes longer than most calls."""
        return _client(self.aws, service)

    def create_workgroup(self, name: str, *, enforce: bool) -> str:
        """Make a workgroup whose results go to the lab's bucket."""
        result = {"OutputLocation": f"s3://{self.bucket}/results/"}
        configuration = {"ResultConfiguration": result, "EnforceWorkGroupConfiguration": enforce}
        self.client("athena").create_work_group(Name=name, Configuration=configuration)
        return name

    def run(self, sql: str) -> str:
        """Run a statement and return its id."""
        status = run_query(
            self.client("athena"),
            sql,
            database=self.database,
            workgroup=self.workgroup,
            timeout_seconds=60,
        )
        return status.query_execution_id

    def rows(self, sql: str) -> Rows:
        """Run a SELECT and return its rows, in an order of their own."""
        _, rows = read_rows(self.client("athena"), self.run(sql), max_rows=1_000_000)
        return sorted(rows, key=repr)

    def keys(self, prefix: str = "") -> set[str]:
        """Return the keys of all objects below a prefix."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {item["Key"] for page in pages for item in page.get("Contents", ())}

    def partitions(self, table: str) -> list[dict[str, Any]]:
        """Return what Glue has of a table's partitions."""
        return list(
            self.client("glue").get_partitions(DatabaseName=self.database, TableName=table)["Partitions"]
        )

    def tables(self) -> set[str]:
        """Return the names of all tables."""
        return {
            table["Name"] for table in self.client("glue").get_tables(DatabaseName=self.database)["TableList"]
        }

    def started(self) -> list[Any]:
        """Return the queries started since the calls were last cleared."""
        return [call for call in self.aws.calls if call.operation == "StartQueryExecution"]

    @property
    def hook(self) -> QuiltAthenaHook:
        """The hook that tasks run with, made once: making its clients takes longer than most queries."""
        return _hook(self.aws.endpoint_url)

    def run_task(self, operator: Any, **facts: Any) -> Ran:
        """Run a task with clients that are there already."""
        operator.__dict__["hook"] = self.hook
        return run_task(operator, **facts)


@dataclass
class Ran:
    """What a task left behind."""

    result: Any
    xcoms: dict[str, Any]
    outlet_events: OutletEventAccessors
    deferrals: int = 0


def run_task(
    operator: Any,
    *,
    run_id: str = "run",
    clears: int = 0,
    xcoms: dict[str, Any] | None = None,
    **facts: Any,
) -> Ran:
    """Execute as a worker does; a deferral waits for its trigger and resumes in an operator of its own.

    :param clears: how often the task was cleared, by which Airflow raises ``max_tries``.
    :param xcoms: is filled with what the task pushes, also when it fails.
    :param facts: what the context of the run holds besides.
    """
    xcoms = {} if xcoms is None else xcoms
    events = OutletEventAccessors()
    ti = SimpleNamespace(
        dag_id="dag",
        task_id=operator.task_id,
        map_index=-1,
        run_id=run_id,
        max_tries=clears,
        start_date=datetime.now(UTC),
        xcom_push=lambda key, value: xcoms.update({key: value}),
    )
    context: dict[str, Any] = {
        "ti": ti,
        "dag_run": SimpleNamespace(conf={}),
        "outlet_events": events,
        **facts,
    }
    deferrals = 0
    result: Any = None
    fresh = copy.copy(operator)  # another process goes on, with the task as it was written
    step: Callable[[], Any] | None = partial(operator.execute, context)
    while step is not None:
        try:
            result, step = step(), None
        except TaskDeferred as deferred:
            deferrals += 1
            resumed = getattr(copy.copy(fresh), deferred.method_name)
            step = partial(resumed, context, event=fire(deferred.trigger))
    return Ran(result, xcoms, events, deferrals)


def fire(trigger: Any) -> dict[str, Any]:
    """Run a trigger to its first event, by way of its serialised form as the triggerer does."""
    path, arguments = trigger.serialize()
    rebuilt = type(trigger)(**json.loads(json.dumps(arguments | {"first_poll_delay": 0})))
    assert path == f"{type(trigger).__module__}.{type(trigger).__qualname__}"

    async def first() -> Any:
        return await anext(aiter(rebuilt.run()))

    return dict(asyncio.run(first()).payload)
