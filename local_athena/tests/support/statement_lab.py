"""Statements run in this process: moto's Glue and S3 behind real clients, a small fake of the engine."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
import pyarrow as pa
from botocore.exceptions import ClientError
from moto import mock_aws

from local_athena.data.session import Clients, Column, Encryption, Outcome, QueryResult, Session, StoredObject
from local_athena.data.type_parser import parse_trino
from local_athena.duck.file_writer import FileWriter
from local_athena.errors import QueryFailed
from local_athena.statements.dispatch import Statements

BUCKET = "lab"


class BotoObjects:
    """S3 through boto3; ``full`` prefixes refuse to be written to."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.refused_suffixes: tuple[str, ...] = ()

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [
            StoredObject(entry["Key"], entry["Size"], entry["ETag"], entry["LastModified"].timestamp())
            for page in pages
            for entry in page.get("Contents", [])
        ]

    def read(self, bucket: str, key: str) -> bytes:
        body: bytes = self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def write(self, bucket: str, key: str, body: bytes, encryption: Encryption | None = None) -> None:
        if any(part in key for part in self.refused_suffixes):
            raise QueryFailed(f"Access Denied: s3://{bucket}/{key}")
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body)
        except ClientError as error:
            raise QueryFailed(str(error)) from error

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        for key in keys:
            self._s3.delete_object(Bucket=bucket, Key=key)


class CannedEngine(FileWriter):
    """Answers the SELECTs it was told about; anything else is a failure of the test."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[tuple[Column, ...], Any]] = {}
        self.asked: list[str] = []

    def learn(self, sql: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> str:
        """Have ``sql`` answered by ``rows``; ``columns`` are names and Trino types."""
        arrays = [
            pa.array([row[index] for row in rows], parse_trino(kind).arrow())
            for index, kind in enumerate(columns.values())
        ]
        table = pa.Table.from_arrays(arrays, names=list(columns))
        self.answers[sql] = (tuple(Column(name, kind) for name, kind in columns.items()), table)
        return sql

    def describe(self, sql: str, session: Session) -> tuple[Column, ...]:
        self.asked.append(sql)
        return self.answers[sql.strip()][0]

    def query(self, sql: str, session: Session) -> QueryResult:
        columns, table = self.answers[sql.strip()]
        return QueryResult(columns, table)

    def explain(self, sql: str, session: Session) -> Sequence[str]:
        return [f"plan of {sql.strip()}"]


@dataclass
class Lab:
    """Runs statements, and shows what they left behind."""

    glue: Any
    s3: Any
    objects: BotoObjects
    engine: CannedEngine = field(default_factory=CannedEngine)
    enforced: bool = False
    queries: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, sql: str, *, database: str = "db", parameters: tuple[str, ...] = ()) -> Outcome:
        """Run one statement."""
        self.queries += 1
        session = Session(
            query_execution_id=f"00000000-0000-0000-0000-{self.queries:012d}",
            database=database,
            clients=Clients(self.objects, self.glue, "123456789012", "us-east-1"),
            output_prefix=f"s3://{BUCKET}/results/",
            parameters=parameters,
            enforced=self.enforced,
        )
        statements = Statements(self.engine)
        statements.classify(sql)
        return statements.execute(sql, session)

    def lines(self, sql: str, *, database: str = "db") -> list[str]:
        """The lines a utility statement prints."""
        return [row[0] or "" for row in self.run(sql, database=database).rows]

    def table(self, name: str, database: str = "db") -> dict[str, Any]:
        """Glue's table."""
        found: dict[str, Any] = self.glue.get_table(DatabaseName=database, Name=name)["Table"]
        return found

    def partitions(self, name: str, database: str = "db") -> dict[tuple[str, ...], str]:
        """Locations by values."""
        found = self.glue.get_partitions(DatabaseName=database, TableName=name)["Partitions"]
        return {tuple(p["Values"]): p["StorageDescriptor"]["Location"] for p in found}

    def put(self, *keys: str) -> None:
        """Make objects of one line."""
        for key in keys:
            self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x\n")

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix."""
        return [stored.key for stored in self.objects.list(BUCKET, prefix)]


@cache
def _clients() -> tuple[Any, Any]:
    # Made once: each takes boto3 a tenth of a second.
    session = boto3.Session("lab", "lab", region_name="us-east-1")
    return session.client("s3"), session.client("glue")


@contextmanager
def open_lab() -> Iterator[Lab]:
    """A lab with a bucket and a database ``db``."""
    with mock_aws():
        s3, glue = _clients()
        s3.create_bucket(Bucket=BUCKET)
        glue.create_database(DatabaseInput={"Name": "db"})
        yield Lab(glue, s3, BotoObjects(s3))
