"""What the tests of overwriting share: tasks over one table ``orders``, and looks at what they left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.flows.overwrite.sweep import SweepResult, sweep_generations
from airflow_quilt_athena.operators.ctas_insert_overwrite import CtasInsertOverwriteOperator
from airflow_quilt_athena.operators.lake import lake_clients
from airflow_quilt_athena.operators.rollback_partitions import RollbackPartitionsOperator
from airflow_quilt_athena.operators.sweep_generations import SweepGenerationsOperator
from tests.integration.lab import Lab, Ran, Rows

DAY = {"dt": "2026-01-01"}
EMPTY = "SELECT 1 AS id, 'x' AS note WHERE 1 = 0"
BASE = "warehouse/orders/"  # the table's folder in the lab's bucket
GENERATIONS = BASE + ".generations/"
JOURNAL = GENERATIONS + ".journal/"

_RUN_FACTS = ("run_id", "clears", "partition_key", "partition_date", "dag_run")


def literal(value: object) -> str:
    """A value as Athena writes it: text, a number, a truth value or NULL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


def select(names: str, rows: Iterable[tuple[object, ...]]) -> str:
    """A query of literal rows, its columns named as in ``id, note``."""
    cells = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    return f"SELECT * FROM (VALUES {cells}) AS t ({names})"


def values(*rows: tuple[int, str]) -> str:
    """A query of literal rows of the table."""
    return select("id, note", rows)


def overwrite_task(
    lab: Lab, query: str, partition: Any = DAY, **arguments: Any
) -> CtasInsertOverwriteOperator:
    """The task that writes the table of a test."""
    given: dict[str, Any] = {
        "task_id": "overwrite",
        "query": query,
        "table": "orders",
        "partition": partition,
        "database": lab.database,
        "workgroup": lab.workgroup,
        "location": f"s3://{lab.bucket}/{BASE}",
    }
    return CtasInsertOverwriteOperator(**(given | arguments))


def overwrite(lab: Lab, query: str, partition: Any = DAY, **arguments: Any) -> Ran:
    """Run it. ``run_id``, ``clears`` and what else the run's context holds go to the run."""
    facts = {name: arguments.pop(name) for name in _RUN_FACTS if name in arguments}
    return lab.run_task(overwrite_task(lab, query, partition, **arguments), **facts)


def sweep(lab: Lab, **arguments: Any) -> dict[str, Any]:
    """Run the task that sweeps the table."""
    task = SweepGenerationsOperator(task_id="sweep", table=f"{lab.database}.orders", **arguments)
    return dict(lab.run_task(task).result)


def sweep_later(lab: Lab, hours: float = 25, table_name: str = "orders", **arguments: Any) -> SweepResult:
    """Sweep as if some time had passed: by default longer than generations are kept."""
    later = datetime.now(UTC) + timedelta(hours=hours)
    name = TableName(lab.database, table_name)
    return sweep_generations(lake_clients(lab.hook), name, now=later, **arguments)


def rollback(lab: Lab, *, run_id: str = "run", clears: int = 0, **arguments: Any) -> dict[str, Any]:
    """Run the task that rolls the table back."""
    task = RollbackPartitionsOperator(task_id="rollback", table=f"{lab.database}.orders", **arguments)
    return dict(lab.run_task(task, run_id=run_id, clears=clears).result)


def stored(lab: Lab, columns: str = "id, note, dt") -> Rows:
    """What a reader of the table gets."""
    return lab.rows(f"SELECT {columns} FROM orders")


def sorted_rows(rows: Iterable[tuple[object, ...]]) -> Rows:
    """Rows as ``stored`` gives them: text, in its order."""
    texts = [tuple(None if cell is None else _text(cell) for cell in row) for row in rows]
    return sorted(texts, key=repr)


def _text(cell: object) -> str:
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def temporary_tables(lab: Lab) -> set[str]:
    """Tables that a task should not have left."""
    return {name for name in lab.tables() if name.startswith("tmp_quilt_")}


def registered(lab: Lab) -> dict[tuple[str, ...], str]:
    """Each partition's folder, as its key in the lab's bucket."""
    root = f"s3://{lab.bucket}/"
    return {
        tuple(partition["Values"]): partition["StorageDescriptor"]["Location"].removeprefix(root)
        for partition in lab.partitions("orders")
    }


def data_keys(lab: Lab) -> set[str]:
    """Keys of all files below the table's folder but the journal's."""
    return {key for key in lab.keys(BASE) if not key.startswith(JOURNAL)}


def actions(ran: Ran) -> dict[tuple[str, ...], str]:
    """What a task says it did, by the partitions' values."""
    return {tuple(found["values"].values()): found["action"] for found in ran.result["partitions"]}


def table(lab: Lab) -> dict[str, Any]:
    """What Glue has of the table."""
    return dict(lab.client("glue").get_table(DatabaseName=lab.database, Name="orders")["Table"])


def next_second() -> None:
    """S3 tells whole seconds: what is of the flip's own second counts as newer."""
    time.sleep(1.05 - time.time() % 1)


@contextmanager
def queries(lab: Lab, workgroup: str | None = None) -> Iterator[list[str]]:
    """Collect the statements that are started meanwhile, in full."""
    athena, name = lab.client("athena"), workgroup or lab.workgroup

    def listed() -> list[str]:
        pages = athena.get_paginator("list_query_executions").paginate(WorkGroup=name)
        return [found for page in pages for found in page["QueryExecutionIds"]]

    before, found = set(listed()), list[str]()
    yield found
    new = [one for one in listed() if one not in before]
    for start in range(0, len(new), 50):
        answer = athena.batch_get_query_execution(QueryExecutionIds=new[start : start + 50])
        found += [execution["Query"] for execution in answer["QueryExecutions"]]


@contextmanager
def requests_to(lab: Lab, service: str) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Collect what tasks ask of a service meanwhile: each operation with its parameters."""
    events = lab.hook.client(service).meta.events
    sent: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        sent.append((model.name, params))

    event = f"provide-client-params.{service}"
    events.register(event, note)
    try:
        yield sent
    finally:
        events.unregister(event, note)
