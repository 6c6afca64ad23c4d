"""Tables and partitions in Glue: looked at, and changed in steps that readers see whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import (
    Selection,
    Values,
    all_text,
    build_expression,
    build_range,
    identity,
)
from airflow_quilt_athena.core.glue.tables import BASE_PARAMETER, Table, TableName, parse_table, table_input
from airflow_quilt_athena.exceptions import AccessError, ManualActionError, QuiltAthenaError, RetryableError
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless

_NOT_FOUND = frozenset({"EntityNotFoundException"})
_EXISTS = frozenset({"AlreadyExistsException"})
_CHANGED = frozenset({"ConcurrentModificationException", "VersionMismatchException"})
_MAX_TRIES_TO_RECORD = 5

# AWS Glue API reference, read 2026-11.
_MAX_GETS, _MAX_WRITES, _MAX_DELETES = 1000, 100, 25

Partitions = dict[Values, dict[str, Any]]


def observe_table(glue: GlueClient, name: TableName) -> Table | None:
    """Return the table, or None when there is none of that name."""
    response = ask_unless(
        _NOT_FOUND,
        lambda: glue.get_table(DatabaseName=name.database, Name=name.table, **_catalog(name)),
        f"read table {name} from Glue",
    )
    return None if response is None else parse_table(response["Table"], name.catalog_id)


def _catalog(name: TableName) -> dict[str, str]:
    return {"CatalogId": name.catalog_id} if name.catalog_id else {}


def _at(name: TableName) -> dict[str, str]:
    return {"DatabaseName": name.database, "TableName": name.table, **_catalog(name)}


def observe_default_location(glue: GlueClient, name: TableName) -> S3Uri | None:
    """Return where a new table lies when the call does not say: in its database's folder, if it has one."""
    response = ask(
        lambda: glue.get_database(Name=name.database, **_catalog(name)),
        f"read database {name.database} from Glue",
    )
    location = response["Database"].get("LocationUri")
    return S3Uri.parse(location) / f"{name.table}/" if location else None


def list_tables(
    glue: GlueClient, database: TableName, pattern: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the tables of a table's database, or those whose names match ``pattern``."""
    request: dict[str, Any] = {"DatabaseName": database.database, **_catalog(database)}
    request |= {"Expression": pattern} if pattern else {}
    return _pages(
        glue.get_tables, request, "TableList", f"list tables of database {database.database} in Glue"
    )


def create_table(glue: GlueClient, name: TableName, definition: Mapping[str, Any]) -> bool:
    """Create a table; False when one of that name came first."""
    response = ask_unless(
        _EXISTS,
        lambda: glue.create_table(DatabaseName=name.database, TableInput=dict(definition), **_catalog(name)),
        f"create table {name} in Glue",
    )
    return response is not None


def update_table(glue: GlueClient, table: Table, definition: Mapping[str, Any]) -> bool:
    """Replace a table's definition; False when it is no longer of the version that was read."""
    request: dict[str, Any] = {
        "DatabaseName": table.name.database,
        "TableInput": dict(definition),
        "SkipArchive": True,
        **_catalog(table.name),
    }
    if table.version is not None:
        request["VersionId"] = table.version
    response = ask_unless(
        _CHANGED, lambda: glue.update_table(**request), f"change table {table.name} in Glue"
    )
    return response is not None


def record_base(glue: GlueClient, table: Table) -> Table:
    """Note the table's base with the table, once; returns the table as it then is."""
    base = str(table.base)
    for _ in range(_MAX_TRIES_TO_RECORD):
        if BASE_PARAMETER in table.parameters:
            return table
        parameters = {**table.parameters, BASE_PARAMETER: base}
        update_table(glue, table, {**table_input(table), "Parameters": parameters})
        found = observe_table(glue, table.name)
        if found is None:
            raise RetryableError(f"Table {table.name} vanished while it was being written to.")
        table = found
    raise RetryableError(f"Table {table.name} is being changed by others without pause. Run the task again.")


def delete_table(glue: GlueClient, name: TableName) -> None:
    """Delete a table's definition; nothing happens when it is gone. Files stay."""
    ask_unless(
        _NOT_FOUND,
        lambda: glue.delete_table(DatabaseName=name.database, Name=name.table, **_catalog(name)),
        f"delete table {name} from Glue",
    )


def observe_partitions(
    glue: GlueClient, table: Table, selection: Selection, found: Sequence[Values] = ()
) -> Partitions:
    """Return the partitions that an overwrite may change, by their identity.

    :param found: the partitions that the result has; where nothing else goes, only those are looked for.
    """
    wanted = None if selection.removes else set(found)
    partitions: Partitions = {}
    for partition in _candidates(glue, table, selection, found):
        values = identity(table.partition_keys, partition["Values"])
        if not selection.covers(values) or (wanted is not None and values not in wanted):
            continue
        if values in partitions:
            raise ManualActionError(
                f"Table {table.name} has the partitions {partitions[values]['Values']} and "
                f"{partition['Values']}, which are one and the same value. Nothing was published. Drop one "
                "of them, then run the task again."
            )
        partitions[values] = partition
    return partitions


def _candidates(
    glue: GlueClient, table: Table, selection: Selection, found: Sequence[Values]
) -> Iterator[dict[str, Any]]:
    keys = table.partition_keys
    if not selection.is_set and all_text(keys):
        return _exact_partition(glue, table, selection.values)
    if selection.removes:
        return list_partitions(glue, table, build_expression(keys, selection.fixed))
    if all_text(keys):
        return get_partitions(glue, table, found)
    return list_partitions(glue, table, build_range(keys, found)) if found else iter(())


def list_partitions(
    glue: GlueClient, table: Table, expression: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the partitions for which Glue's ``expression`` holds, or all."""
    request: dict[str, Any] = _at(table.name)
    request |= {"Expression": expression} if expression else {}
    return _pages(
        glue.get_partitions, request, "Partitions", f"list partitions of table {table.name} in Glue"
    )


def _pages(
    call: Callable[..., dict[str, Any]], request: dict[str, Any], items: str, doing: str
) -> Iterator[dict[str, Any]]:
    token: dict[str, str] = {}
    while True:
        page = ask(lambda: call(**request, **token), doing)
        yield from page[items]
        if not page.get("NextToken"):
            return
        token["NextToken"] = page["NextToken"]


def _exact_partition(glue: GlueClient, table: Table, values: Values) -> Iterator[dict[str, Any]]:
    response = ask_unless(
        _NOT_FOUND,
        lambda: glue.get_partition(**_at(table.name), PartitionValues=list(values)),
        f"read partition {list(values)} of table {table.name} from Glue",
    )
    if response is not None:
        yield response["Partition"]


def get_partitions(glue: GlueClient, table: Table, wanted: Sequence[Values]) -> Iterator[dict[str, Any]]:
    """Yield the partitions with exactly these values, as far as there are any."""
    for batch in in_batches([{"Values": list(values)} for values in wanted], _MAX_GETS):
        waiting = list(batch)
        while waiting:
            response = ask(
                lambda sent=waiting: glue.batch_get_partition(  # type: ignore[misc]
                    **_at(table.name), PartitionsToGet=sent
                ),
                f"read {len(waiting)} partitions of table {table.name} from Glue",
            )
            yield from response.get("Partitions", ())
            waiting = response.get("UnprocessedKeys", [])


def create_partitions(
    glue: GlueClient, table: Table, inputs: Sequence[Mapping[str, Any]], before_each: Callable[[], None]
) -> set[Values]:
    """Create partitions; return those that were there already, which are left as they are."""
    refused: set[Values] = set()
    for batch in in_batches(inputs, _MAX_WRITES):
        before_each()
        doing = f"create {_named(batch)} of table {table.name} in Glue"
        if len(batch) == 1:
            one = dict(batch[0])
            created = ask_unless(
                _EXISTS,
                lambda sent=one: glue.create_partition(**_at(table.name), PartitionInput=sent),  # type: ignore[misc]
                doing,
            )
            refused |= set() if created is not None else {tuple(one["Values"])}
            continue
        response = ask(
            lambda sent=batch: glue.batch_create_partition(  # type: ignore[misc]
                **_at(table.name), PartitionInputList=list(sent)
            ),
            doing,
        )
        refused |= _errors(response, _EXISTS, "PartitionValues", doing)
    return {identity(table.partition_keys, values) for values in refused}


def update_partitions(
    glue: GlueClient, table: Table, inputs: Sequence[Mapping[str, Any]], before_each: Callable[[], None]
) -> set[Values]:
    """Replace partitions, each in one step; return those that were gone, which are left so."""
    refused: set[Values] = set()
    for batch in in_batches(inputs, _MAX_WRITES):
        before_each()
        doing = f"repoint {_named(batch)} of table {table.name} in Glue"
        entries = [{"PartitionValueList": one["Values"], "PartitionInput": dict(one)} for one in batch]
        if len(entries) == 1:
            one = entries[0]
            updated = ask_unless(
                _NOT_FOUND,
                lambda sent=one: glue.update_partition(**_at(table.name), **sent),  # type: ignore[misc]
                doing,
            )
            refused |= set() if updated is not None else {tuple(one["PartitionValueList"])}
            continue
        response = ask(
            lambda sent=entries: glue.batch_update_partition(**_at(table.name), Entries=sent),  # type: ignore[misc]
            doing,
        )
        refused |= _errors(response, _NOT_FOUND, "PartitionValueList", doing)
    return {identity(table.partition_keys, values) for values in refused}


def delete_partitions(
    glue: GlueClient, table: Table, spelled: Sequence[Sequence[str]], before_each: Callable[[], None]
) -> None:
    """Delete partitions' definitions; their files stay. Those that are gone are no matter."""
    for batch in in_batches(spelled, _MAX_DELETES):
        before_each()
        doing = f"remove {len(batch)} partitions of table {table.name} from Glue"
        values = [{"Values": list(one)} for one in batch]
        response = ask(
            lambda sent=values: glue.batch_delete_partition(  # type: ignore[misc]
                **_at(table.name), PartitionsToDelete=sent
            ),
            doing,
        )
        _errors(response, _NOT_FOUND, "PartitionValues", doing)


def _named(batch: Sequence[Mapping[str, Any]]) -> str:
    return f"partition {batch[0]['Values']}" if len(batch) == 1 else f"{len(batch)} partitions"


def _errors(
    response: Mapping[str, Any], harmless: frozenset[str], values: str, doing: str
) -> set[tuple[str, ...]]:
    """Return which entries of a batch were refused harmlessly; raise ours for the first that was otherwise.

    The answer to the call as a whole is a success, whatever became of its entries.
    """
    refused: set[tuple[str, ...]] = set()
    for item in response.get("Errors") or ():
        detail = item.get("ErrorDetail") or {}
        code = str(detail.get("ErrorCode"))
        if code not in harmless:
            kind: type[QuiltAthenaError] = AccessError if code.startswith("AccessDenied") else RetryableError
            raise kind(f"Cannot {doing}: {item.get(values)}: {code}: {detail.get('ErrorMessage')}")
        refused.add(tuple(item[values]))
    return refused
