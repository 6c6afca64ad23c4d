"""Any function of awswrangler by its name; runs in .venv-clients. Frames go in and out as plain rows."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import awswrangler as wr
import boto3
import pandas as pd

boto3.setup_default_session()  # else awswrangler makes a session for each client, and reads its models again
wr.config.athena_query_wait_polling_delay = 0.02


def call(function: str, arguments: dict[str, Any], frame: dict[str, list[Any]] | None = None) -> Any:
    """Call ``awswrangler.<function>``; ``frame`` becomes its argument ``df``."""
    given = dict(arguments)
    if frame is not None:
        given["df"] = pd.DataFrame(frame)
    return _plain(attrgetter(function)(wr)(**given))


def kinds_of_columns(arguments: dict[str, Any]) -> dict[str, Any]:
    """The dtypes of read_sql_query's frame, and whether it says what the query was."""
    frame = wr.athena.read_sql_query(**arguments)
    execution = frame.query_metadata
    return {
        "dtypes": {name: str(kind) for name, kind in frame.dtypes.items()},
        "state": execution["Status"]["State"],
        "query": execution["Query"],
        "id": execution["QueryExecutionId"],
    }


def read_partitions(**arguments: Any) -> Any:
    """read_parquet_table of all partitions that Glue has: a filter makes awswrangler ask for their places."""
    return _plain(wr.s3.read_parquet_table(partition_filter=lambda _: True, **arguments))


def stop(sql: str, **arguments: Any) -> str:
    """Start a query, stop it at once, and wait for its end."""
    query_id = wr.athena.start_query_execution(sql, **arguments)
    wr.athena.stop_query_execution(query_id)
    try:
        wr.athena.wait_query(query_id)
    except wr.exceptions.QueryCancelled:
        return "cancelled"
    return "not cancelled"


def _plain(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return value.astype(object).where(value.notna(), None).to_dict("records")
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Iterator):
        return [_plain(each) for each in value]
    return value
