"""What tests have SQLAlchemy do over PyAthena; runs in .venv-clients. ``url`` is the engine's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pandas as pd
import sqlalchemy as sa

SESSION = boto3.Session()  # one for all engines: each new one reads boto3's models again


@contextmanager
def _engine(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url, connect_args={"session": SESSION})
    try:
        yield engine
    finally:
        engine.dispose()


def _rows(result: sa.CursorResult[Any]) -> list[list[Any]]:
    return [list(row) for row in result]


def select(url: str, sql: str, parameters: dict[str, Any]) -> list[list[Any]]:
    with _engine(url) as engine, engine.connect() as connection:
        return _rows(connection.execute(sa.text(sql), parameters))


def inspect(url: str, table: str, view: str) -> dict[str, Any]:
    """What the Inspector tells of a table, a view and a table that is not there."""
    with _engine(url) as engine:
        inspector = sa.inspect(engine)
        return {
            "schemas": inspector.get_schema_names(),
            "tables": inspector.get_table_names(),
            "views": inspector.get_view_names(),
            "has_table": inspector.has_table(table),
            "has_missing_table": inspector.has_table("nowhere_to_be_found"),
            "has_table_in_missing_schema": inspector.has_table(table, schema="nowhere_to_be_found"),
            "columns": [
                (each["name"], str(each["type"]), each["dialect_options"]["awsathena_partition"])
                for each in inspector.get_columns(table)
            ],
            "options": inspector.get_table_options(table),
            "definition": inspector.get_view_definition(view),
        }


def columns_of_a_missing_table(url: str) -> None:
    with _engine(url) as engine:
        sa.inspect(engine).get_columns("nowhere_to_be_found")


def select_from_reflected(url: str, day: str) -> dict[str, Any]:
    """Reflect ``src``, and query it by SQLAlchemy's expressions."""
    with _engine(url) as engine, engine.connect() as connection:
        src = sa.Table("src", sa.MetaData(), autoload_with=engine)
        of_day = sa.select(src.c.id, sa.func.length(src.c.name).label("n")).where(src.c.dt == day)
        page = sa.select(src.c.id).order_by(src.c.id).limit(2).offset(1)
        return {
            "names": [column.name for column in src.columns],
            "of_day": _rows(connection.execute(of_day.order_by(src.c.id).limit(5))),
            "page": _rows(connection.execute(page)),
        }


def create_insert_drop(url: str, database: str, location: str) -> dict[str, Any]:
    """A table's whole life by MetaData: create_all, insert, select, drop_all."""
    metadata = sa.MetaData(schema=database)
    table = sa.Table(
        "sqt",
        metadata,
        sa.Column("a", sa.Integer),
        sa.Column("b", sa.String),
        sa.Column("p", sa.String, awsathena_partition=True),
        awsathena_location=location,
        awsathena_file_format="PARQUET",
        awsathena_compression="SNAPPY",
        awsathena_tblproperties={"k": "v"},
    )
    with _engine(url) as engine, engine.connect() as connection:
        metadata.create_all(engine)
        existed = sa.inspect(engine).has_table("sqt", schema=database)
        connection.execute(table.insert(), {"a": 1, "b": "x'y", "p": "q"})
        rows = _rows(connection.execute(sa.select(table)))
        parameters = sa.inspect(engine).get_table_options("sqt", schema=database)["awsathena_tblproperties"]
        metadata.drop_all(engine)
        left = sa.inspect(engine).has_table("sqt", schema=database)
        return {"existed": existed, "rows": rows, "k": dict(parameters).get("k"), "left": left}


def through_pandas(url: str, frame: dict[str, Any], table: str) -> list[list[Any]]:
    """Write a frame with DataFrame.to_sql, read it with pandas.read_sql."""
    with _engine(url) as engine:
        pd.DataFrame(frame).to_sql(table, engine, index=False, if_exists="fail", method="multi")
        read = pd.read_sql(f"SELECT * FROM {table} ORDER BY 1", engine)
        return [list(read.columns), *read.values.tolist()]


def append_again(url: str, frame: dict[str, Any], table: str, if_exists: str) -> list[list[Any]]:
    """Write to a table that is there."""
    with _engine(url) as engine:
        pd.DataFrame(frame).to_sql(table, engine, index=False, if_exists=if_exists, method="multi")
        return list(pd.read_sql_query(f"SELECT * FROM {table} ORDER BY 1", engine).values.tolist())
