"""Athena small enough to read: runs the overwrite's own statements over literal rows, when their time comes.

A row is an object of its own, so that a folder that lost one is seen. Nothing is told that Athena does not
promise: no UpdateCount.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tests.fakes.glue import FakeGlue
from tests.unit.athena_fake import client_error
from tests.unit.s3_fake import FakeS3

_QUERY_SECONDS = 0.5
_CTAS = re.compile(r'CREATE TABLE "(\w+)"\."(\w+)"\s+WITH \((.*?)\n\)\s+AS\s+(.*)', re.DOTALL)
_UNLOAD = re.compile(r"UNLOAD \(\n(.*)\n\)\s+TO '([^']+)'\s+WITH \((.*?)\n\)", re.DOTALL)
_COUNT = re.compile(r'SELECT (?:(.+), )?count\(\*\)\s+FROM "(\w+)"\."(\w+)"', re.DOTALL)
_FROM_STAGED = re.compile(r'FROM "(\w+)"\."(tmp_quilt_\w+)"\s*\nWHERE (.*)', re.DOTALL)
_VALUES = re.compile(r"\(VALUES (.*)\) AS v \(([^)]*)\)")
_ROW = re.compile(r"\(([^()]*)\)")
_PARTITIONED = re.compile(r"partitioned_by = ARRAY\[([^\]]*)\]")
_LOCATION = re.compile(r"external_location = 's3://([^/]+)/([^']*)'")
_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "Parameters": {"serialization.format": "1"},
    },
}

Row = dict[str, str | int]


@dataclass
class _Query:
    sql: str
    done_at: datetime
    state: str = "RUNNING"
    reason: str = ""
    answer: list[list[str]] = field(default_factory=list)


@dataclass(eq=False)
class FakeAthena:
    s3: FakeS3
    glue: FakeGlue
    now: datetime = datetime.min
    queries: dict[str, _Query] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    enforced: set[str] = field(default_factory=set)  # workgroups that decide where results go
    meta = SimpleNamespace(region_name="us-east-1")

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    # -------------------------------------------------------------------------------------------- calls

    def get_work_group(self, *, WorkGroup: str) -> dict[str, Any]:  # noqa: N803
        configuration = {"EnforceWorkGroupConfiguration": WorkGroup in self.enforced}
        return {"WorkGroup": {"Name": WorkGroup, "State": "ENABLED", "Configuration": configuration}}

    def start_query_execution(self, **request: Any) -> dict[str, Any]:
        token = request["ClientRequestToken"]
        if token not in self.tokens:
            name = f"q-{next(self._numbers):05}"
            self.tokens[token] = name
            self.queries[name] = _Query(request["QueryString"], self.now + timedelta(seconds=_QUERY_SECONDS))
        return {"QueryExecutionId": self.tokens[token]}

    def stop_query_execution(self, *, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803
        query = self._query(QueryExecutionId)
        if query.state == "RUNNING":
            query.state, query.reason = "CANCELLED", "stopped"
        return {}

    def get_query_execution(self, *, QueryExecutionId: str) -> dict[str, Any]:  # noqa: N803
        return {"QueryExecution": self._told(QueryExecutionId)}

    def batch_get_query_execution(self, *, QueryExecutionIds: list[str]) -> dict[str, Any]:  # noqa: N803
        assert len(QueryExecutionIds) <= 50
        return {"QueryExecutions": [self._told(name) for name in QueryExecutionIds]}

    def get_query_results(self, *, QueryExecutionId: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        query = self._query(QueryExecutionId)
        assert query.state == "SUCCEEDED"
        width = max(map(len, query.answer), default=0)
        names = [f"_col{number}" for number in range(width)]
        rows = [names, *query.answer] if query.answer else []
        return {
            "ResultSet": {
                "ResultSetMetadata": {"ColumnInfo": [{"Name": name} for name in names]},
                "Rows": [{"Data": [{"VarCharValue": cell} for cell in row]} for row in rows],
            }
        }

    def _query(self, name: str) -> _Query:
        if name not in self.queries:
            raise client_error("InvalidRequestException")
        return self.queries[name]

    def _told(self, name: str) -> dict[str, Any]:
        query = self._query(name)
        status = {"State": query.state, "StateChangeReason": query.reason}
        return {"QueryExecutionId": name, "WorkGroup": "wg", "Query": query.sql, "Status": status}

    # -------------------------------------------------------------------------------------------- works

    def work(self, now: datetime) -> None:
        """Do the queries whose time has come."""
        self.now = now
        for query in self.queries.values():
            if query.state == "RUNNING" and query.done_at <= now:
                try:
                    query.answer = self._run(query.sql)
                    query.state = "SUCCEEDED"
                except _Failed as failed:
                    query.state, query.reason = "FAILED", str(failed)

    def _run(self, sql: str) -> list[list[str]]:
        if match := _CTAS.match(sql):
            return self._create(*match.groups())
        if match := _UNLOAD.match(sql):
            query, place, properties = match.groups()
            _, rows = self._rows(query)
            self._write(place.removeprefix("s3://").partition("/")[2], rows, _partitioned(properties))
            return []
        if match := _COUNT.match(sql):
            keys = re.findall(r'"(\w+)"', match[1] or "")
            rows = self._staged(match[2], match[3])
            if not keys:
                return [[str(len(rows))]]
            counts = Counter(tuple(str(row[key]) for key in keys) for row in rows)
            return [[*values, str(number)] for values, number in counts.items()]
        raise AssertionError(f"the fake Athena cannot run {sql}")

    def _create(self, database: str, name: str, properties: str, query: str) -> list[list[str]]:
        if name in self.glue.databases[database]:
            raise _Failed(f"table {name} exists")
        columns, rows = self._rows(query)
        location, keys = _LOCATION.search(properties), _partitioned(properties)
        place = location[2] if location else f"results/tables/{name}/"
        bucket = location[1] if location else "results"
        if not query.endswith("WITH NO DATA"):
            self._write(place, rows, keys)
        described = [{"Name": column, "Type": kind} for column, kind in columns]
        self.glue.create_table(
            DatabaseName=database,
            TableInput={
                "Name": name,
                "TableType": "EXTERNAL_TABLE",
                "StorageDescriptor": {
                    **_PARQUET,
                    "Columns": [column for column in described if column["Name"] not in keys],
                    "Location": f"s3://{bucket}/{place}",
                },
                "PartitionKeys": [column for column in described if column["Name"] in keys],
                "Parameters": {"EXTERNAL": "TRUE"},
            },
        )
        return []

    def _rows(self, query: str) -> tuple[list[tuple[str, str]], list[Row]]:
        """Return the columns and rows of a query: literal ones, or some of those staged."""
        if match := _FROM_STAGED.search(query):
            database, name, condition = match.groups()
            staged = self._staged(database, name)
            selected = re.findall(r'^  (?:CAST\()?"(\w+)"', query, re.MULTILINE)
            types = {
                column["Name"]: column["Type"]
                for column in self.glue.databases[database][name].definition["StorageDescriptor"]["Columns"]
            }
            wanted = [
                re.findall(r""""(\w+)" = '([^']*)'""", one)
                for one in re.split(r"\n\s+OR ", condition.removesuffix("\nWITH NO DATA"))
            ]
            rows = [
                {key: row[key] for key in selected}
                for row in staged
                if any(terms and all(row[key] == value for key, value in terms) for terms in wanted)
            ]
            return [(key, types[key]) for key in selected], rows
        match = _VALUES.search(query)
        assert match, f"the fake Athena finds no rows in {query}"
        names = [name.strip() for name in match[2].split(",")]
        read = [[_cell(cell.strip()) for cell in row.split(",")] for row in _ROW.findall(match[1])]
        columns = [
            (name, "int" if isinstance(cell, int) else "string")
            for name, cell in zip(names, read[0], strict=True)
        ]
        rows = [dict(zip(names, row, strict=True)) for row in read]
        return columns, [row for row in rows if "nothing" not in row.values()]

    def _staged(self, database: str, name: str) -> list[Row]:
        if name not in self.glue.databases.get(database, {}):
            raise _Failed(f"table {name} does not exist")
        location = self.glue.databases[database][name].definition["StorageDescriptor"]["Location"]
        return read_rows(self.s3, location.removeprefix("s3://").partition("/")[2])

    def _write(self, place: str, rows: list[Row], keys: list[str]) -> None:
        if any(key.startswith(place) for key in self.s3.objects):
            raise _Failed(f"HIVE_PATH_ALREADY_EXISTS: {place}")
        for number, row in enumerate(rows):
            folder = "".join(f"{key}={row[key]}/" for key in keys)
            body = json.dumps({name: cell for name, cell in row.items() if name not in keys})
            moment = self.s3.now.replace(microsecond=0)  # as S3 tells it
            self.s3.objects[f"{place}{folder}{number:03}.parquet"] = (body.encode(), moment)


class _Failed(Exception):
    """The query fails; Athena says why."""


def read_rows(s3: FakeS3, place: str) -> list[Row]:
    """Return the rows below a folder."""
    return [dict(json.loads(s3.objects[key][0])) for key in find_files(s3, place)]


def find_files(s3: FakeS3, place: str) -> list[str]:
    """Return the keys that a query of a folder reads: hidden names are left out, as Athena does."""
    below = ((key, key.removeprefix(place)) for key in sorted(s3.objects) if key.startswith(place))
    return [key for key, path in below if not any(p.startswith(("_", ".")) for p in path.split("/"))]


def _partitioned(properties: str) -> list[str]:
    match = _PARTITIONED.search(properties)
    return re.findall(r"'(\w+)'", match[1]) if match else []


def _cell(text: str) -> str | int:
    return text[1:-1] if text.startswith("'") else int(text)
