"""A Hive table's partitions in Glue: added, dropped, moved, renamed, and found again by MSCK REPAIR TABLE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local_athena.data.catalog import EntityExists
from local_athena.data.partition_names import HIVE_DEFAULT_PARTITION, partition_path, unescape
from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Column, Outcome, Row
from local_athena.data.tables import Partition, Table
from local_athena.errors import SCHEMA_ERROR, QueryFailed
from local_athena.sql_text import TokenKind
from local_athena.statements.hive_create import checked_location
from local_athena.statements.statement import Statement, task_error
from local_athena.statements.token_cursor import Cursor

Spec = dict[str, str]

# What Glue answers and UpdatePartition takes (Glue API reference, PartitionInput, read 2026-11).
_PARTITION_INPUT_FIELDS = ("Values", "LastAccessTime", "StorageDescriptor", "Parameters", "LastAnalyzedTime")


def add_partitions(statement: Statement, cursor: Cursor, table: Table) -> None:
    """``ADD [IF NOT EXISTS] PARTITION (k=v, …) [LOCATION …] …``."""
    cursor.expect("ADD")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    if not cursor.at("PARTITION"):
        cursor.fail("PARTITION")
    inputs: list[dict[str, Any]] = []
    while cursor.take("PARTITION"):
        values = full_values(table, partition_spec(cursor))
        location = checked_location(cursor) if cursor.take("LOCATION") else natural_location(table, values)
        inputs.append(partition_input(table, values, str(location)))
        cursor.take(",")
    cursor.expect_end()
    try:
        statement.catalog.create_partitions(table, inputs, existing_ok=if_not_exists)
    except EntityExists as error:
        raise task_error("AlreadyExistsException(message:Partition already exists.)") from error


def drop_partitions(statement: Statement, cursor: Cursor, table: Table) -> None:
    """``DROP [IF EXISTS] PARTITION (k=v, …), …``; some keys drop all partitions below them."""
    cursor.expect("DROP")
    if_exists = cursor.take("IF", "EXISTS")
    specs: list[Spec] = []
    while True:
        cursor.expect("PARTITION")
        specs.append(partition_spec(cursor))
        if not cursor.take(","):
            break
    cursor.take("PURGE")
    cursor.expect_end()
    doomed: dict[tuple[str, ...], None] = {}
    for spec in specs:
        found = matching(statement, table, spec)
        if not found and not if_exists:
            raise partition_not_found(spec)
        doomed.update(dict.fromkeys(partition.values for partition in found))
    statement.catalog.delete_partitions(table, list(doomed))


def alter_partition(statement: Statement, cursor: Cursor, table: Table) -> None:
    """``PARTITION (…) SET LOCATION …`` and ``PARTITION (…) RENAME TO PARTITION (…)``."""
    cursor.expect("PARTITION")
    spec = partition_spec(cursor)
    if cursor.take("RENAME", "TO", "PARTITION"):
        new_values = full_values(table, partition_spec(cursor))
        cursor.expect_end()
        partition = one_partition(statement, table, spec)
        if new_values != partition.values and statement.catalog.get_partition(table, new_values):
            raise task_error(f"Unable to rename partition. Partition already exists: {list(new_values)}")
        _write(statement, table, partition, Values=list(new_values))
        return
    cursor.expect("SET", "LOCATION")
    location = checked_location(cursor)
    cursor.expect_end()
    partition = one_partition(statement, table, spec)
    _write(
        statement,
        table,
        partition,
        StorageDescriptor={**partition.raw["StorageDescriptor"], "Location": location},
    )


def _write(statement: Statement, table: Table, partition: Partition, **changed: Any) -> None:
    kept = {key: partition.raw[key] for key in _PARTITION_INPUT_FIELDS if key in partition.raw}
    statement.catalog.update_partition(table, partition.values, {**kept, **changed})


def partition_spec(cursor: Cursor) -> Spec:
    """``(k = 'v', …)``: literals of strings, numbers and dates."""
    spec: Spec = {}
    cursor.expect("(")
    while True:
        name = cursor.identifier()
        cursor.expect("=")
        spec[name] = _literal(cursor)
        if not cursor.take(","):
            break
    cursor.expect(")")
    return spec


def _literal(cursor: Cursor) -> str:
    for word in ("DATE", "TIMESTAMP"):
        cursor.take(word)
    sign = "-" if cursor.take("-") else ""
    if cursor.token.kind is TokenKind.NUMBER:
        return sign + cursor.step().text
    if cursor.at("TRUE") or cursor.at("FALSE"):
        return cursor.step().text.lower()
    return cursor.string()


def full_values(table: Table, spec: Spec) -> tuple[str, ...]:
    """Return the values of all keys, in the table's order. Fails when one is missing."""
    _check_names(table, spec)
    if len(spec) != len(table.partition_keys):
        raise QueryFailed(
            f"FAILED: SemanticException Partition spec {_braced(spec)} doesn't contain all "
            f"({len(table.partition_keys)}) partition columns"
        )
    return tuple(spec[name] for name, _ in table.partition_keys)


def _check_names(table: Table, spec: Spec) -> None:
    if not table.partition_keys:
        raise QueryFailed(
            f"FAILED: SemanticException table is not partitioned but partition spec exists: {_braced(spec)}"
        )
    unknown = spec.keys() - {name for name, _ in table.partition_keys}
    if unknown:
        raise QueryFailed(
            "FAILED: SemanticException [Error 10098]: Non-Partition column appears in the partition "
            f"specification: {min(unknown)}"
        )


def matching(statement: Statement, table: Table, spec: Spec) -> tuple[Partition, ...]:
    """Return the partitions that have the values of ``spec``."""
    _check_names(table, spec)
    if len(spec) == len(table.partition_keys):
        found = statement.catalog.get_partition(table, full_values(table, spec))
        return () if found is None else (found,)
    names = [name for name, _ in table.partition_keys]
    return tuple(
        partition
        for partition in statement.catalog.partitions(table)
        if spec.items() <= dict(zip(names, partition.values, strict=True)).items()
    )


def one_partition(statement: Statement, table: Table, spec: Spec) -> Partition:
    """Return the partition of exactly these values."""
    full_values(table, spec)
    found = matching(statement, table, spec)
    if not found:
        raise partition_not_found(spec)
    return found[0]


def partition_not_found(spec: Spec) -> QueryFailed:
    """Return what Hive says of a partition that is not there."""
    return QueryFailed(
        f"FAILED: SemanticException [Error 10006]: Partition not found {_braced(spec)}",
        error_type=SCHEMA_ERROR,
    )


def _braced(spec: Spec) -> str:
    return "{" + ", ".join(f"{name}={value}" for name, value in spec.items()) + "}"


def natural_location(table: Table, values: Sequence[str]) -> S3Uri:
    """Where a partition lies when nobody says otherwise."""
    location = table.natural_location(values)
    if location is None:
        raise task_error(f"Table {table.database}.{table.name} has no location")
    return location


def partition_input(table: Table, values: Sequence[str], location: str) -> dict[str, Any]:
    """Glue's PartitionInput: the table's own storage at the partition's location."""
    storage: Mapping[str, Any] = table.raw["StorageDescriptor"]
    return {"Values": list(values), "StorageDescriptor": {**storage, "Location": location}, "Parameters": {}}


def repair_table(statement: Statement) -> Outcome:
    """``MSCK REPAIR TABLE``: adds the partitions whose natural folders hold objects; never removes any."""
    cursor = statement.hive()
    cursor.expect("MSCK", "REPAIR", "TABLE")
    table = statement.find(cursor.qualified_name())
    cursor.expect_end()
    known = (
        {partition.values for partition in statement.catalog.partitions(table)} if table.location else set()
    )
    found = {values: at for values, at in _folders(statement, table).items() if values not in known}
    inputs = [partition_input(table, values, str(location)) for values, location in found.items()]
    statement.catalog.create_partitions(table, inputs, existing_ok=True)
    names = [name for name, _ in table.partition_keys]
    paths = [f"{table.name}:{partition_path(names, values)}" for values in found]
    rows: list[Row] = []
    if paths:
        rows.append(("\t".join(["Partitions not in metastore:", *paths]),))
        rows += [(f"Repair: Added partition to metastore {path}",) for path in paths]
    return Outcome("DDL", "MSCK_REPAIR_TABLE", (Column("result", "string"),), rows)


def _folders(statement: Statement, table: Table) -> dict[tuple[str, ...], S3Uri]:
    names = [name for name, _ in table.partition_keys]
    if not names or table.location is None:
        return {}
    root = table.location.folder
    found: dict[tuple[str, ...], S3Uri] = {}
    for stored in statement.session.clients.objects.list(root.bucket, root.key):
        parts = stored.key[len(root.key) :].split("/")
        values = _natural_values(names, parts)
        if values and values not in found:
            found[values] = root / ("/".join(parts[: len(names)]) + "/")
    return found


def _natural_values(names: Sequence[str], parts: Sequence[str]) -> tuple[str, ...] | None:
    """Return the values in a key's folders, when those are exactly ``name=value`` of each key in order.

    A folder whose name begins with a dot or an underscore is no ``name=value`` of a key, so hidden ones
    are passed over. A raw colon is passed over silently, as the documentation of MSCK REPAIR TABLE says.
    """
    if len(parts) <= len(names):
        return None
    values = []
    for name, part in zip(names, parts, strict=False):
        key, separator, value = part.partition("=")
        if not separator or unescape(key) != name or not value or ":" in value:
            return None
        values.append(value if value == HIVE_DEFAULT_PARTITION else unescape(value))
    return tuple(values)
