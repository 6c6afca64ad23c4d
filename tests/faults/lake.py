"""A lake of its own for one case: a bucket, a database, tables below ``w/``. Fits into another process."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.flows.athena.queries import run_query
from airflow_quilt_athena.flows.athena.results import read_rows
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.insert_overwrite import insert_overwrite
from airflow_quilt_athena.flows.overwrite.rollback import rollback_partitions
from airflow_quilt_athena.flows.overwrite.sweep import SweepResult, sweep_generations
from local_athena import LocalAthena

Row = tuple[str, ...]
Rows = Counter[Row]  # rows have no order, and may be there twice

TABLE = "t"
TWO_DAYS = timedelta(days=2)  # longer than anything is kept, and than anything unfinished is waited for
POLL_SECONDS = 0.02

# botocore's own retries would hide a fault from the code under test.
_ONE_TRY = Config(retries={"total_max_attempts": 1, "mode": "standard"}, max_pool_connections=20)
# One session: it reads the services' models once, also for the processes that are forked from this one.
SESSION = boto3.session.Session()


def counted(rows: Iterable[Sequence[object]]) -> Rows:
    """Rows as Athena prints them, counted."""
    return Counter(tuple(str(cell) for cell in row) for row in rows)


def rows_query(columns: str, rows: Iterable[Sequence[object]]) -> str:
    """A query of literal rows. Texts must not hold quotes."""
    cells = ", ".join("(" + ", ".join(map(_literal, row)) + ")" for row in rows)
    return f"SELECT * FROM (VALUES {cells}) AS v ({columns})"


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


@dataclass(frozen=True)
class Lake:
    """Where one case works, and how to get there."""

    environment: tuple[tuple[str, str], ...]
    bucket: str
    database: str
    workgroup: str
    enforcing: str  # a workgroup that decides where results go

    @classmethod
    def open(cls, aws: LocalAthena) -> Lake:
        """Make the workgroups, which all lakes share, and the first lake."""
        unique = uuid.uuid4().hex[:8]
        lake = cls(tuple(aws.environment.items()), f"faults-{unique}", f"db_{unique}", "faults", "faults_e")
        lake.clients().s3.create_bucket(Bucket=lake.bucket)
        for name, enforced in ((lake.workgroup, False), (lake.enforcing, True)):
            configuration = {
                "ResultConfiguration": {"OutputLocation": f"s3://{lake.bucket}/results/"},
                "EnforceWorkGroupConfiguration": enforced,
            }
            lake.clients().athena.create_work_group(Name=name, Configuration=configuration)
        return lake.another()

    def another(self) -> Lake:
        """Make a fresh bucket and a fresh database."""
        unique = uuid.uuid4().hex[:12]
        lake = replace(self, bucket=f"lake-{unique}", database=f"db_{unique}")
        lake.clients().s3.create_bucket(Bucket=lake.bucket)
        lake.clients().glue.create_database(DatabaseInput={"Name": lake.database})
        return lake

    def clients(self) -> Any:
        """The clients that look and prepare, shared by all lakes. The same type as the flows take."""
        return _shared_clients(self.environment)

    def new_clients(self, **hooks: Callable[..., None]) -> LakeClients:
        """Make clients that call ``before_send`` and ``response_received`` for every call they make."""
        made = _make_clients(self.environment)
        clients: tuple[Any, ...] = (made.athena, made.glue, made.s3)
        for client in clients:
            for event, hook in hooks.items():
                client.meta.events.register(event.replace("_", "-"), hook)
        return made

    # ------------------------------------------------------------------------------------------- work

    @property
    def name(self) -> TableName:
        """The table of the case."""
        return TableName(self.database, TABLE)

    @property
    def base(self) -> str:
        """The key of the table's folder."""
        return f"w/{TABLE}/"

    def overwrite(
        self,
        query: str,
        partition: Any,
        task_key: str,
        *,
        clients: LakeClients | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        """Overwrite, as a task with this key would."""
        given: dict[str, Any] = {"workgroup": self.workgroup, "location": S3Uri(self.bucket, self.base)}
        asked = OverwriteRequest(
            query=query,
            table=self.name,
            partition=partition,
            database=self.database,
            **(given | request),
        )
        result = insert_overwrite(
            clients or self.clients(),
            asked,
            task_key,
            timeout_seconds=60,
            poll_interval_seconds=POLL_SECONDS,
        )
        return result.as_dict()

    def sweep(self, clients: LakeClients | None = None, later: timedelta = TWO_DAYS) -> SweepResult:
        """Sweep as if some time had passed."""
        return sweep_generations(clients or self.clients(), self.name, now=datetime.now(UTC) + later)

    def rollback(self, task_key: str, clients: LakeClients | None = None, **arguments: Any) -> dict[str, Any]:
        """Roll back, as a task with this key would."""
        return rollback_partitions(clients or self.clients(), self.name, task_key, **arguments).as_dict()

    # ------------------------------------------------------------------------------------------- looks

    def rows(self, sql: str = f"SELECT * FROM {TABLE}") -> Rows:
        """What a reader gets; nothing at all, when there is no table yet."""
        if TABLE not in self.tables():
            return Counter()
        return self.read(self.clients(), sql)

    def read(
        self, clients: LakeClients, sql: str = f"SELECT * FROM {TABLE}", poll_seconds: float = POLL_SECONDS
    ) -> Rows:
        """What a reader with clients of its own gets."""
        status = run_query(
            clients.athena,
            sql,
            database=self.database,
            workgroup=self.workgroup,
            timeout_seconds=60,
            poll_interval_seconds=poll_seconds,
        )
        _, rows = read_rows(clients.athena, status.query_execution_id, max_rows=100_000)
        return counted(rows)

    def keys(self, prefix: str | None = None) -> set[str]:
        """The keys of all objects below the table's folder, or below another."""
        pages = self.clients().s3.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.bucket, Prefix=self.base if prefix is None else prefix)
        return {item["Key"] for page in found for item in page.get("Contents", ())}

    def tables(self) -> set[str]:
        """The names of all tables of the database."""
        pages = self.clients().glue.get_paginator("get_tables").paginate(DatabaseName=self.database)
        return {table["Name"] for page in pages for table in page["TableList"]}

    def locations(self) -> dict[Row, str]:
        """Where Glue points: the folder of each partition as a key; of the table, when it has no keys."""
        glue = self.clients().glue
        table = glue.get_table(DatabaseName=self.database, Name=TABLE)["Table"]
        found = {(): table}
        if table.get("PartitionKeys"):
            pages = glue.get_paginator("get_partitions").paginate(DatabaseName=self.database, TableName=TABLE)
            found = {tuple(one["Values"]): one for page in pages for one in page["Partitions"]}
        root = f"s3://{self.bucket}/"
        return {
            values: one["StorageDescriptor"]["Location"].removeprefix(root).rstrip("/") + "/"
            for values, one in found.items()
        }

    def journal(self) -> dict[str, dict[str, Any]]:
        """What the journal has, by attempt; read as any JSON."""
        folder = f"{self.base}.generations/.journal/"
        s3, keys = self.clients().s3, [key for key in self.keys(folder) if key.endswith(".json")]
        read = [s3.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys]
        names = [key.removeprefix(folder).removesuffix(".json") for key in keys]
        return dict(zip(names, map(json.loads, read), strict=True))

    def age_journal(self, by: timedelta) -> None:
        """Make all that the journal tells of as much older."""
        for name, entry in self.journal().items():
            times = {
                field: entry[field] for field in ("created_at", "updated_at", "published_at", "settled_at")
            }
            older = {
                field: (datetime.fromisoformat(time) - by).isoformat()
                for field, time in times.items()
                if time
            }
            key = f"{self.base}.generations/.journal/{name}.json"
            self.put(key, json.dumps({**entry, **older}).encode())

    def put(self, key: str, body: bytes) -> None:
        """Write an object, as somebody else would."""
        self.clients().s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.clients().s3.head_object(Bucket=self.bucket, Key=key)
        except ClientError:
            return False
        return True


def _make_clients(environment: tuple[tuple[str, str], ...]) -> LakeClients:
    variables = dict(environment)
    athena, glue, s3 = (
        SESSION.client(
            service,
            endpoint_url=variables["AWS_ENDPOINT_URL"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            config=_ONE_TRY,
        )
        for service in ("athena", "glue", "s3")
    )
    return LakeClients(athena, glue, s3)


@cache
def _shared_clients(environment: tuple[tuple[str, str], ...]) -> LakeClients:
    return _make_clients(environment)
