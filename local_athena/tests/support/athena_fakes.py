"""A small Athena without moto and engines: statements are Python functions, S3 is a dictionary."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_athena.athena.api import AthenaApi
from local_athena.data.session import Clients, Column, Encryption, Outcome, Session, StoredObject
from local_athena.errors import ApiError, QueryFailed

OUTPUT = "s3://results/athena"


@dataclass(frozen=True)
class Person:
    """A caller."""

    access_key_id: str = "AKIA"


ANYBODY = Person()


class Bucket:
    """Objects in a dictionary; those who may not write or read are told so."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.writable = True
        self.readers: set[str] | None = None

    def as_(self, caller: Person) -> Bucket:
        if self.readers is not None and caller.access_key_id not in self.readers:
            blind = Bucket()
            blind.readers = self.readers
            return blind
        return self

    def list(self, bucket: str, prefix: str) -> Sequence[StoredObject]:
        raise NotImplementedError

    def read(self, bucket: str, key: str) -> bytes:
        try:
            return self.bodies[f"{bucket}/{key}"]
        except KeyError:
            raise QueryFailed("The specified key does not exist.") from None

    def write(self, bucket: str, key: str, body: bytes, encryption: Encryption | None = None) -> None:
        if not self.writable:
            raise QueryFailed("Access Denied")
        self.bodies[f"{bucket}/{key}"] = body

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class QueryFault:
    """A failure on request."""

    reason: str
    category: int = 2
    error_type: int = 1006
    retryable: bool = False
    when: str = "before"


class Knobs:
    """Latency and one fault."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.fault: QueryFault | None = None

    def query_latency(self) -> float:
        return self.seconds

    def update_count(self, substatement_type: str, rows: int | None) -> int | None:
        return rows

    def query_fault(self, sql: str) -> QueryFault | None:
        return self.fault


Runs = Callable[[Session], Outcome]


class Statements:
    """Statements by their text; anything else is a SELECT of its own text."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, str, Runs]] = {}
        self.ran: list[tuple[str, tuple[str, ...], str]] = []

    def learn(self, sql: str, kind: tuple[str, str], run: Runs) -> None:
        self.known[sql] = (*kind, run)

    def classify(self, sql: str) -> tuple[str, str]:
        statement_type, substatement_type, _ = self.known.get(sql, ("DML", "SELECT", None))
        return statement_type, substatement_type

    def execute(self, sql: str, session: Session) -> Outcome:
        self.ran.append((sql, session.parameters, session.database))
        if sql in self.known:
            return self.known[sql][2](session)
        return select((Column("text", "varchar"),), ((sql,),))


def select(columns: tuple[Column, ...], rows: Sequence[tuple[str | None, ...]]) -> Outcome:
    return Outcome("DML", "SELECT", columns, rows)


@dataclass
class World:
    """The API and what stands around it."""

    statements: Statements = field(default_factory=Statements)
    bucket: Bucket = field(default_factory=Bucket)
    knobs: Knobs = field(default_factory=Knobs)
    asked: list[tuple[str, str]] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    unwritable: str | None = None
    max_running: int = 4
    glue: Any = None

    def __post_init__(self) -> None:
        self.api = AthenaApi(
            self.statements,
            lambda caller: Clients(self.bucket.as_(caller), self.glue, "123456789012", "us-east-1"),
            self._authorize,
            knobs=self.knobs,
            write_refusal=lambda caller, bucket, key: self.unwritable,
            max_running=self.max_running,
        )

    def _authorize(self, caller: Person, action: str, resource: str) -> None:
        self.asked.append((action, resource))
        if action in self.forbidden:
            raise ApiError("AccessDeniedException", f"not authorized to perform: {action}")

    def call(self, operation: str, caller: Person = ANYBODY, /, **request: Any) -> Any:
        return self.api.handle(operation, request, caller)

    def start(self, sql: str = "SELECT 1", caller: Person = ANYBODY, **request: Any) -> str:
        request.setdefault("ResultConfiguration", {"OutputLocation": OUTPUT})
        request.setdefault("ClientRequestToken", str(uuid.uuid4()))
        answer = self.call("StartQueryExecution", caller, QueryString=sql, **request)
        return str(answer["QueryExecutionId"])

    def get(self, query_execution_id: str) -> Any:
        return self.call("GetQueryExecution", QueryExecutionId=query_execution_id)["QueryExecution"]

    def state(self, query_execution_id: str) -> str:
        return str(self.get(query_execution_id)["Status"]["State"])

    def wait(self, query_execution_id: str, *states: str) -> Any:
        states = states or ("SUCCEEDED", "FAILED", "CANCELLED")
        deadline = time.monotonic() + 10
        while (found := self.get(query_execution_id))["Status"]["State"] not in states:
            assert time.monotonic() < deadline, f"still {found['Status']['State']}"
            time.sleep(0.002)
        return found

    def run(self, sql: str = "SELECT 1", **request: Any) -> Any:
        return self.wait(self.start(sql, **request))

    def rows(self, query_execution_id: str, **request: Any) -> list[list[str | None]]:
        answer = self.call("GetQueryResults", QueryExecutionId=query_execution_id, **request)
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in answer["ResultSet"]["Rows"]]

    def file(self, uri: str) -> bytes:
        return self.bucket.bodies[uri.removeprefix("s3://")]
