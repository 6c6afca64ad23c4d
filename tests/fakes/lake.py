"""A lake in a fake world, with the words of tests.faults.lake: what is done there can be done here."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite.insert_overwrite import insert_overwrite
from airflow_quilt_athena.flows.overwrite.rollback import rollback_partitions
from airflow_quilt_athena.flows.overwrite.sweep import SweepResult, sweep_generations
from tests.fakes.athena import read_rows
from tests.fakes.glue import FakeTable
from tests.fakes.world import World
from tests.faults.lake import TABLE, TWO_DAYS, Row, Rows, counted

BUCKET, DATABASE = "lake", "db"


class FakeLake:
    """One table below ``w/`` of one bucket."""

    database = DATABASE
    bucket = BUCKET
    workgroup, enforcing = "wg", "wg_enforcing"
    name = TableName(DATABASE, TABLE)
    base = f"w/{TABLE}/"

    def __init__(self, world: World) -> None:
        self.world = world
        world.glue.databases.setdefault(DATABASE, {})
        world.athena.enforced.add(self.enforcing)

    def clients(self) -> LakeClients:
        """The clients of somebody to whom nothing happens."""
        return self.world.worker().clients

    # ------------------------------------------------------------------------------------------- work

    def overwrite(
        self,
        query: str,
        partition: Any,
        task_key: str,
        *,
        clients: LakeClients | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        given: dict[str, Any] = {"workgroup": self.workgroup, "location": S3Uri(self.bucket, self.base)}
        asked = OverwriteRequest(
            query=query,
            table=self.name,
            partition=partition,
            database=self.database,
            **(given | request),
        )
        return insert_overwrite(clients or self.clients(), asked, task_key, timeout_seconds=600).as_dict()

    def sweep(
        self, clients: LakeClients | None = None, later: timedelta = TWO_DAYS, **asked: Any
    ) -> SweepResult:
        now = self.world.now + later
        return sweep_generations(clients or self.clients(), self.name, now=now, **asked)

    def sweep_now(self, clients: LakeClients | None = None, **asked: Any) -> SweepResult:
        """Sweep at the time that it is."""
        return sweep_generations(clients or self.clients(), self.name, **asked)

    def rollback(self, task_key: str, clients: LakeClients | None = None, **arguments: Any) -> dict[str, Any]:
        return rollback_partitions(clients or self.clients(), self.name, task_key, **arguments).as_dict()

    # ------------------------------------------------------------------------------------------- looks

    @property
    def table(self) -> FakeTable | None:
        return self.world.glue.databases[DATABASE].get(TABLE)

    def rows(self) -> Rows:
        """What a reader gets: the columns, and then the partition's values."""
        found: Rows = Counter()
        for values, location in (self.locations() if self.table else {}).items():
            rows = read_rows(self.world.s3, location)
            found += counted((*row.values(), *values) for row in rows)
        return found

    def keys(self, prefix: str | None = None) -> set[str]:
        return {
            key for key in self.world.s3.objects if key.startswith(self.base if prefix is None else prefix)
        }

    def tables(self) -> set[str]:
        return set(self.world.glue.databases[DATABASE])

    def locations(self) -> dict[Row, str]:
        """Where Glue points, as keys."""
        table = self.table
        assert table is not None
        pointers = table.partitions if table.definition.get("PartitionKeys") else {(): table.definition}
        root = f"s3://{self.bucket}/"
        return {
            values: one["StorageDescriptor"]["Location"].removeprefix(root).rstrip("/") + "/"
            for values, one in pointers.items()
        }

    def journal(self) -> dict[str, dict[str, Any]]:
        folder = f"{self.base}.generations/.journal/"
        return {
            key.removeprefix(folder).removesuffix(".json"): json.loads(self.world.s3.objects[key][0])
            for key in self.keys(folder)
            if key.endswith(".json")
        }

    def put(self, key: str, body: bytes) -> None:
        self.world.s3.put_object(Bucket=self.bucket, Key=key, Body=body)
