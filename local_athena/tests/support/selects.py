"""Runs SELECTs in this process, on a Glue that holds what the test says."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from local_athena.data.printing import render_column
from local_athena.data.session import Clients, Session
from local_athena.data.type_parser import parse_trino
from local_athena.duck.engine import DuckEngine
from local_athena.errors import QueryFailed

Cell = str | None


class FakePages:
    """A paginator over answers known beforehand."""

    def __init__(self, pages: Sequence[dict[str, Any]]) -> None:
        self._pages = pages

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        return iter(self._pages)


class FakeGlue:
    """Glue with the tables of one test; knows the calls a SELECT makes."""

    def __init__(self, tables: dict[tuple[str, str], dict[str, Any]] | None = None) -> None:
        self._tables = tables or {}

    def get_table(self, **arguments: str) -> dict[str, Any]:
        key = (arguments["DatabaseName"], arguments["Name"])
        if key not in self._tables:
            from botocore.exceptions import ClientError

            raise ClientError({"Error": {"Code": "EntityNotFoundException", "Message": "no"}}, "GetTable")
        return {"Table": {**self._tables[key], "DatabaseName": key[0], "Name": key[1]}}

    def get_paginator(self, operation: str) -> FakePages:
        if operation == "get_databases":
            names = sorted({database for database, _ in self._tables} | {"db"})
            return FakePages([{"DatabaseList": [{"Name": name} for name in names]}])
        assert operation == "get_tables"
        listed = [self.get_table(DatabaseName=key[0], Name=key[1])["Table"] for key in sorted(self._tables)]
        return FakePages([{"TableList": listed}])


def session(glue: FakeGlue | None = None, parameters: Sequence[str] = (), database: str = "db") -> Session:
    """A session whose S3 is never asked."""
    clients = Clients(objects=None, glue=glue or FakeGlue(), account_id="1", region="us-east-1")  # type: ignore[arg-type]
    return Session("id", database, clients, "s3://results/", tuple(parameters))


def rows(sql: str, parameters: Sequence[str] = ()) -> list[tuple[Cell, ...]]:
    """The rows of a SELECT, printed as Athena prints them."""
    result = DuckEngine().query(sql, session(parameters=parameters))
    kinds = [parse_trino(column.type) for column in result.columns]
    cells = [render_column(column, kind) for column, kind in zip(result.table.columns, kinds, strict=True)]
    return list(zip(*cells, strict=True))


def value(expression: str) -> Cell:
    """The one value of ``SELECT expression``."""
    ((only,),) = rows(f"SELECT {expression}")
    return only


def types(sql: str) -> list[str]:
    """The types of a SELECT's columns."""
    return [column.type for column in DuckEngine().describe(sql, session())]


def names(sql: str) -> list[str]:
    """The names of a SELECT's columns."""
    return [column.name for column in DuckEngine().describe(sql, session())]


def refusal(sql: str, parameters: Sequence[str] = ()) -> str:
    """Why a SELECT fails."""
    try:
        found = rows(sql, parameters)
    except QueryFailed as error:
        return error.reason
    raise AssertionError(f"{sql} was answered: {found}")


def view(sql: str, **columns: str) -> dict[str, Any]:
    """Return a view as Glue keeps it."""
    definition = {
        "originalSql": sql,
        "catalog": "awsdatacatalog",
        "schema": "db",
        "columns": [{"name": name, "type": kind} for name, kind in columns.items()],
    }
    data = base64.b64encode(json.dumps(definition).encode()).decode()
    return {
        "TableType": "VIRTUAL_VIEW",
        "ViewOriginalText": f"/* Presto View: {data} */",
        "StorageDescriptor": {"Columns": []},
    }
