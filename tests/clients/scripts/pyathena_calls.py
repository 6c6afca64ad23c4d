"""What tests have PyAthena do; runs in .venv-clients. ``connection`` holds pyathena.connect's arguments."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import boto3
import pandas as pd
import pyarrow.fs
import pyathena
from pyathena.arrow.cursor import ArrowCursor
from pyathena.async_cursor import AsyncCursor
from pyathena.cursor import Cursor, DictCursor
from pyathena.pandas.cursor import PandasCursor
from pyathena.pandas.util import to_sql
from pyathena.s3fs.cursor import S3FSCursor

CURSORS = {"Cursor": Cursor, "DictCursor": DictCursor, "S3FSCursor": S3FSCursor}
SESSION = boto3.Session()  # one for all connections: each new one reads boto3's models again


def _connect(connection: dict[str, Any], **more: Any) -> Any:
    return pyathena.connect(session=SESSION, poll_interval=0.02, **connection, **more)


def fetch(
    connection: dict[str, Any],
    sql: str,
    cursor: str = "Cursor",
    parameters: Any = None,
    paramstyle: str | None = None,
) -> dict[str, Any]:
    """Run one statement; its rows and what the cursor tells of it."""
    with _connect(connection, cursor_class=CURSORS[cursor]) as connected, connected.cursor() as used:
        used.execute(sql, parameters, paramstyle=paramstyle)
        return {
            "rows": used.fetchall(),
            "columns": [(each[0], each[1]) for each in used.description or ()],
            "rowcount": used.rowcount,
            "state": used.state,
            "statement_type": used.statement_type,
            "substatement_type": used.substatement_type,
            "output_location": used.output_location,
            "data_scanned_in_bytes": used.data_scanned_in_bytes,
        }


def fetch_in_pages(connection: dict[str, Any], sql: str, arraysize: int) -> list[int]:
    """The number of rows of each fetchmany."""
    with _connect(connection) as connected, connected.cursor(arraysize=arraysize) as used:
        used.execute(sql)
        sizes = []
        while rows := used.fetchmany():
            sizes.append(len(rows))
        return sizes


def execute_many(connection: dict[str, Any], sql: str, parameters: list[Any]) -> None:
    with _connect(connection) as connected, connected.cursor() as used:
        used.executemany(sql, parameters)


def pandas_frame(connection: dict[str, Any], sql: str, unload: bool = False) -> dict[str, Any]:
    with (
        _connect(connection, cursor_class=PandasCursor) as connected,
        connected.cursor(unload=unload) as used,
    ):
        frame = used.execute(sql).as_pandas()
        return {
            "columns": list(frame.columns),
            "rows": frame.astype(object).where(frame.notna(), None).values.tolist(),
        }


def arrow_table(connection: dict[str, Any], sql: str, endpoint: str, unload: bool = False) -> dict[str, Any]:
    """PyAthena hands pyarrow's S3 client no endpoint: say it here, as a user of an S3 of his own has to."""
    original = pyarrow.fs.S3FileSystem
    pyarrow.fs.S3FileSystem = partial(original, endpoint_override=endpoint)
    try:
        with (
            _connect(connection, cursor_class=ArrowCursor) as connected,
            connected.cursor(unload=unload) as used,
        ):
            table = used.execute(sql).as_arrow()
            return {"columns": table.column_names, "rows": [list(row.values()) for row in table.to_pylist()]}
    finally:
        pyarrow.fs.S3FileSystem = original


async def _fetch_in_event_loop(connection: dict[str, Any], statements: list[str]) -> list[Any]:
    async with await pyathena.aio_connect(session=SESSION, poll_interval=0.02, **connection) as connected:

        async def one(sql: str) -> Any:
            async with connected.cursor() as used:
                await used.execute(sql)
                return await used.fetchall()

        return await asyncio.gather(*(one(sql) for sql in statements))


def fetch_in_event_loop(connection: dict[str, Any], statements: list[str]) -> list[Any]:
    """All statements at once through AioCursors."""
    return asyncio.run(_fetch_in_event_loop(connection, statements))


def fetch_from_cache(connection: dict[str, Any], sql: str) -> list[str]:
    """The query ids of two runs of one statement, the second of which may take the first's result."""
    ids = []
    for _ in range(2):
        with _connect(connection) as connected, connected.cursor() as used:
            used.execute(sql, cache_size=50)
            ids.append(used.query_id)
    return ids


def fetch_side_by_side(connection: dict[str, Any], statements: list[str]) -> list[Any]:
    """All statements at once through the AsyncCursor; rows in the order of the statements."""
    with _connect(connection, cursor_class=AsyncCursor) as connected, connected.cursor() as used:
        futures = [used.execute(sql)[1] for sql in statements]
        return [future.result().fetchall() for future in futures]


def cancel(connection: dict[str, Any], sql: str) -> dict[str, Any]:
    """Start a query, cancel it, and tell how it ended."""
    with _connect(connection, cursor_class=AsyncCursor) as connected, connected.cursor() as used:
        query_id, future = used.execute(sql)
        used.cancel(query_id).result(timeout=20)
        future.result(timeout=20)
        execution = used.query_execution(query_id).result(timeout=20)
        return {"state": execution.state, "id": query_id}


def metadata(connection: dict[str, Any], table: str) -> dict[str, Any]:
    """What the catalog calls of a cursor say."""
    with _connect(connection) as connected, connected.cursor() as used:
        described = used.get_table_metadata(table)
        return {
            "databases": [each.name for each in used.list_databases("awsdatacatalog")],
            "tables": [each.name for each in used.list_table_metadata()],
            "columns": [(each.name, each.type) for each in described.columns],
            "partition_keys": [(each.name, each.type) for each in described.partition_keys],
            "location": described.location,
            "table_type": described.table_type,
        }


def write_frame(
    connection: dict[str, Any], frame: dict[str, Any], name: str, location: str, **options: Any
) -> None:
    """pyathena.pandas.util.to_sql: writes Parquet files itself, and has Athena make table and partitions."""
    with _connect(connection) as connected:
        to_sql(pd.DataFrame(frame), name, connected, location, schema=connection["schema_name"], **options)
