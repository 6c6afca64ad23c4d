"""A small S3 and Glue in memory, and tables over them, for tests of what a query reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from local_athena.data.session import Clients, Encryption, Session, StoredObject
from local_athena.data.tables import parse_table
from local_athena.duck.scans.scanner import Scanner, ScanRequest
from local_athena.errors import QueryFailed

OPENX = "org.openx.data.jsonserde.JsonSerDe"
HIVE_JSON = "org.apache.hive.hcatalog.data.JsonSerDe"
DELIMITED = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
ORC = "org.apache.hadoop.hive.ql.io.orc.OrcSerde"

BUCKET = "data"


@dataclass
class FakeObjects:
    """Bodies by key, in one bucket; remembers what was read and listed."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    read_keys: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        assert bucket == BUCKET
        self.listed.append(prefix)
        keys = sorted(key for key in self.bodies if key.startswith(prefix))
        return [StoredObject(key, len(self.bodies[key]), "etag", 0.0) for key in keys]

    def read(self, bucket: str, key: str) -> bytes:
        self.read_keys.append(key)
        return self.bodies[key]

    def write(self, bucket: str, key: str, body: bytes, encryption: Encryption | None = None) -> None:
        self.bodies[key] = body

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        for key in keys:
            del self.bodies[key]


class FakeGlue:
    """Glue's answer to GetPartitions, in pages of 100."""

    def __init__(self, partitions: Sequence[Mapping[str, Any]]) -> None:
        self._partitions = partitions
        self.calls = 0

    def get_paginator(self, operation: str) -> FakeGlue:
        assert operation == "get_partitions"
        return self

    def paginate(self, **arguments: Any) -> Iterable[dict[str, Any]]:
        self.calls += 1
        assert set(arguments) == {"DatabaseName", "TableName"}
        starts = range(0, len(self._partitions), 100)
        return [{"Partitions": self._partitions[start : start + 100]} for start in starts]


class World:
    """Tables over objects, and one connection to ask."""

    def __init__(self) -> None:
        self.objects = FakeObjects()
        self.glue = FakeGlue(())
        self.session = self.new_session()

    def new_session(self, cutoff: int | None = None) -> Session:
        clients = Clients(self.objects, self.glue, "123456789012", "us-east-1")
        return Session("q", "db", clients, f"s3://{BUCKET}/out/", scan_cutoff_bytes=cutoff)

    def put(self, key: str, *lines: str) -> None:
        self.objects.bodies[key] = "".join(line + "\n" for line in lines).encode()

    def partitions(self, *partitions: Mapping[str, Any]) -> None:
        self.glue = FakeGlue(partitions)
        self.session = self.new_session()

    def bind(
        self,
        table: Mapping[str, Any],
        *,
        columns: Iterable[str] | None = None,
        filters: Sequence[str] = (),
        path: bool = False,
    ) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        wanted = None if columns is None else frozenset(columns)
        request = ScanRequest("t", parse_table(table), wanted, tuple(filters), path)
        Scanner().bind(connection, [request], self.session)
        return connection

    def rows(self, table: Mapping[str, Any], sql: str = "SELECT * FROM t", **options: Any) -> list[Any]:
        with self.bind(table, **options) as connection:
            return connection.execute(sql).fetchall()

    def failure(self, table: Mapping[str, Any], **options: Any) -> str:
        try:
            self.rows(table, **options)
        except QueryFailed as error:
            return error.reason
        raise AssertionError("the scan did not fail")


def table(
    columns: Mapping[str, str],
    serde: str = OPENX,
    location: str = f"s3://{BUCKET}/t/",
    *,
    keys: Mapping[str, str] | None = None,
    serde_parameters: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "Name": "t",
        "DatabaseName": "db",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": fields(keys or {}),
        "Parameters": dict(parameters or {}),
        "StorageDescriptor": descriptor(columns, serde, location, serde_parameters),
    }


def partition(
    values: Sequence[str],
    columns: Mapping[str, str],
    serde: str,
    location: str,
    serde_parameters: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "Values": list(values),
        "StorageDescriptor": descriptor(columns, serde, location, serde_parameters),
    }


def descriptor(
    columns: Mapping[str, str], serde: str, location: str, serde_parameters: Mapping[str, str] | None
) -> dict[str, Any]:
    return {
        "Columns": fields(columns),
        "Location": location,
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": dict(serde_parameters or {})},
    }


def fields(columns: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Type": kind} for name, kind in columns.items()]
