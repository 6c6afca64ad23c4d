"""A table, a request, an attempt, a journal entry: what the tests of the overwrite's core begin with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.tables import Table, TableName, parse_table
from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry, Kind, State
from airflow_quilt_athena.core.overwrite.plan import Plan, Seen
from airflow_quilt_athena.core.overwrite.planning import plan_overwrite
from airflow_quilt_athena.core.overwrite.request import OverwriteRequest
from airflow_quilt_athena.core.overwrite.statements import Statements
from airflow_quilt_athena.core.quilt.revisions import Revision

PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
TEXT = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"

ATTEMPT = Attempt("0123456789ab", 1, "1f2e3d4c")
OTHER_ATTEMPT = Attempt("0123456789ab", 2, "00000002")
BASE = S3Uri("lake", "sales/orders/")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def glue_table(**changes: Any) -> dict[str, Any]:
    """Return what GetTable answers of a table partitioned by dt; ``descriptor`` changes its descriptor."""
    table: dict[str, Any] = {
        "DatabaseName": "sales",
        "Name": "orders",
        "VersionId": "3",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": "dt", "Type": "string"}],
        "Parameters": {"owner": "me"},
        "StorageDescriptor": {
            "Columns": [{"Name": "id", "Type": "bigint"}, {"Name": "note", "Type": "string"}],
            "Location": "s3://lake/sales/orders",
            "InputFormat": "in",
            "OutputFormat": "out",
            "SerdeInfo": {"SerializationLibrary": PARQUET, "Parameters": {"serialization.format": "1"}},
        },
    }
    table["StorageDescriptor"] |= changes.pop("descriptor", {})
    return table | changes


def table(**changes: Any) -> Table:
    return parse_table(glue_table(**changes))


def text_table(**serde_parameters: str) -> Table:
    """Return a TEXTFILE table; a dot in a property's name is written as two underscores."""
    properties = {name.replace("__", "."): value for name, value in serde_parameters.items()}
    return table(descriptor={"SerdeInfo": {"SerializationLibrary": TEXT, "Parameters": properties}})


def request(**changes: Any) -> OverwriteRequest:
    arguments: dict[str, Any] = {
        "query": "SELECT id, note FROM raw",
        "table": TableName("sales", "orders"),
        "partition": {"dt": "2026-01-01"},
        "database": "sales",
        "workgroup": "wg",
    }
    return OverwriteRequest(**(arguments | changes))


def plan(
    seen_table: Table | None,
    *,
    enforced: bool = False,
    default: S3Uri | None = None,
    revisions: tuple[Revision, ...] = (),
    **changes: Any,
) -> Plan:
    return plan_overwrite(Seen(seen_table, default, enforced, revisions), request(**changes))


def statements(seen_table: Table | None, **changes: Any) -> Statements:
    return Statements(plan(seen_table, **changes), ATTEMPT)


def partition(*values: str, location: str | None, **parameters: str) -> dict[str, Any]:
    """Return what Glue answers of a partition."""
    return {
        "Values": list(values),
        "StorageDescriptor": {"Location": location},
        "Parameters": parameters,
        "CreationTime": NOON,
        "DatabaseName": "sales",
        "TableName": "orders",
    }


def change(*values: str, **fields: Any) -> Change:
    defaults: dict[str, Any] = {
        "values": values,
        "action": Action.CREATED,
        "location": "s3://lake/sales/orders/.generations/x/",
        "generation": ATTEMPT.name,
        "rows": 1,
        "previous_location": None,
        "previous_generation": None,
        "previous": None,
    }
    return Change(**(defaults | fields))


def entry(**fields: Any) -> Entry:
    defaults: dict[str, Any] = {
        "attempt": ATTEMPT,
        "task_key": "dag/task/-1/run/0",
        "table": "sales.orders",
        "database": "sales",
        "kind": Kind.OVERWRITE,
        "state": State.INTENDED,
        "fingerprint": "f",
        "basis": "b",
        "retain_seconds": 3600.0,
        "created_at": NOON,
        "updated_at": NOON,
        "base": str(BASE),
    }
    return Entry(**(defaults | fields))
