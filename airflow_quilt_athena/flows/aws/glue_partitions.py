"""Partitions in Glue: looked at, and changed in steps that readers see whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from airflow_quilt_athena.core.glue.selection import (
    Selection,
    Values,
    all_text,
    build_expression,
    build_range,
    identity,
)
from airflow_quilt_athena.core.glue.tables import Table, TableName
from airflow_quilt_athena.exceptions import AccessError, ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws.batches import in_batches
from airflow_quilt_athena.flows.aws.clients import GlueClient
from airflow_quilt_athena.flows.aws.deadline import ask, unless
from airflow_quilt_athena.flows.aws.glue_calls import EXISTS, NOT_FOUND, Ask, at, pages, whole_pages

# Of one entry of a batch; everything else passes by itself (AWS Glue API reference, read 2026-11).
_REFUSED_FOR_GOOD = frozenset(
    {
        "AlreadyExistsException",
        "EntityNotFoundException",
        "GlueEncryptionException",
        "InvalidInputException",
        "ResourceNumberLimitExceededException",
    }
)

# AWS Glue API reference, read 2026-11.
_MAX_GETS, _MAX_WRITES, _MAX_DELETES = 1000, 100, 25
_SEGMENTS = 4  # of a list of all partitions, read side by side; Glue takes up to 10
_MOST_SHARED = 50

Partitions = dict[Values, dict[str, Any]]


def observe_partitions(
    glue: GlueClient,
    table: Table,
    selection: Selection,
    found: Sequence[Values] = (),
    *,
    ask: Ask = ask,
) -> Partitions:
    """Return the partitions that an overwrite may change, by their identity.

    What their descriptors have in common is kept once, so that thousands of them fit into little memory.

    :param found: the partitions that the result has; where nothing else goes, only those are looked for.
    """
    wanted = None if selection.removes else set(found)
    partitions: Partitions = {}
    shared = _Shared()
    for partition in _candidates(glue, table, selection, found, ask):
        values = identity(table.partition_keys, partition["Values"])
        if not selection.covers(values) or (wanted is not None and values not in wanted):
            continue
        if values in partitions:
            raise ManualActionError(
                f"Table {table.name} has the partitions {partitions[values]['Values']} and "
                f"{partition['Values']}, which are one and the same value. Nothing was published. Drop one "
                "of them, then run the task again."
            )
        partitions[values] = shared.share(partition)
    return partitions


class _Shared:
    """Descriptors' parts that many partitions have in common."""

    def __init__(self) -> None:
        self._known: dict[str, list[Any]] = {}

    def share(self, partition: dict[str, Any]) -> dict[str, Any]:
        """Replace parts of the descriptor by equal ones that are known."""
        descriptor = partition.get("StorageDescriptor") or {}
        for name, part in descriptor.items():
            if isinstance(part, list | dict):
                known = self._known.setdefault(name, [])
                descriptor[name] = next((one for one in known if one == part), part)
                if descriptor[name] is part and len(known) < _MOST_SHARED:
                    known.append(part)
        return partition


def _candidates(
    glue: GlueClient, table: Table, selection: Selection, found: Sequence[Values], ask: Ask
) -> Iterator[dict[str, Any]]:
    keys = table.partition_keys
    if all_text(keys):
        if not selection.is_set:
            return _exact_partition(glue, table, selection.values, ask)
        if not selection.removes:
            return get_partitions(glue, table, found, ask)
    if not selection.removes and not found:
        return iter(())
    fixed = selection.fixed
    expression = build_expression(keys, fixed) if selection.removes else build_range(keys, found)
    if expression is None and not (selection.removes and not selection.fixed):
        # Glue cannot be asked for these values alone: find them among all by little, then read them whole.
        wanted = set(found)
        places = scan_partitions(glue, table.name, ask=ask)
        spelled = [
            tuple(partition["Values"])
            for partition in places
            for values in [identity(keys, partition["Values"])]
            if selection.covers(values) and (selection.removes or values in wanted)
        ]
        return get_partitions(glue, table, spelled, ask)
    return list_partitions(glue, table, expression, ask)


def list_partitions(
    glue: GlueClient, table: Table, expression: str | None = None, ask: Ask = ask
) -> Iterator[dict[str, Any]]:
    """Yield the partitions for which Glue's ``expression`` holds, or all, with their columns."""
    request: dict[str, Any] = at(table.name)
    request |= {"Expression": expression} if expression else {}
    doing = f"list partitions of table {table.name} in Glue"
    return pages(glue.get_partitions, request, "Partitions", doing, ask)


def scan_partitions(glue: GlueClient, table: TableName, *, ask: Ask = ask) -> Iterator[dict[str, Any]]:
    """Yield all partitions without their columns, read in segments side by side."""
    requests = [
        {
            **at(table),
            "ExcludeColumnSchema": True,
            "Segment": {"SegmentNumber": number, "TotalSegments": _SEGMENTS},
        }
        for number in range(_SEGMENTS)
    ]
    with ThreadPoolExecutor(_SEGMENTS, thread_name_prefix="partitions") as pool:
        doing = f"list partitions of table {table} in Glue"
        pages = [whole_pages(glue.get_partitions, request, doing, ask) for request in requests]
        waiting = {pool.submit(next, one, None): one for one in pages}
        while waiting:
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                rest, page = waiting.pop(future), future.result()
                if page is not None:
                    waiting[pool.submit(next, rest, None)] = rest
                    yield from page["Partitions"]


def _exact_partition(glue: GlueClient, table: Table, values: Values, ask: Ask) -> Iterator[dict[str, Any]]:
    response = ask(
        unless(NOT_FOUND, lambda: glue.get_partition(**at(table.name), PartitionValues=list(values))),
        f"read partition {list(values)} of table {table.name} from Glue",
    )
    if response is not None:
        yield response["Partition"]


def get_partitions(
    glue: GlueClient, table: Table, wanted: Sequence[Values], ask: Ask = ask
) -> Iterator[dict[str, Any]]:
    """Yield the partitions with exactly these values, as far as there are any."""
    for batch in in_batches([{"Values": list(values)} for values in wanted], _MAX_GETS):
        waiting = list(batch)
        while waiting:
            response = ask(
                lambda sent=waiting: glue.batch_get_partition(  # type: ignore[misc]
                    **at(table.name), PartitionsToGet=sent
                ),
                f"read {len(waiting)} partitions of table {table.name} from Glue",
            )
            yield from response.get("Partitions", ())
            waiting = response.get("UnprocessedKeys", [])


def create_partitions(
    glue: GlueClient, table: Table, inputs: Sequence[Mapping[str, Any]], ask: Ask = ask
) -> set[Values]:
    """Create partitions; return those that were there already, which are left as they are."""
    refused: set[Values] = set()
    for batch in in_batches(inputs, _MAX_WRITES):
        doing = f"create {_named(batch)} of table {table.name} in Glue"
        if len(batch) == 1:
            create = partial(glue.create_partition, **at(table.name), PartitionInput=dict(batch[0]))
            if ask(unless(EXISTS, create), doing) is None:
                refused.add(tuple(batch[0]["Values"]))
            continue
        response = ask(
            partial(glue.batch_create_partition, **at(table.name), PartitionInputList=list(batch)), doing
        )
        refused |= _errors(response, EXISTS, "PartitionValues", doing)
    return {identity(table.partition_keys, values) for values in refused}


def update_partitions(
    glue: GlueClient, table: Table, inputs: Sequence[Mapping[str, Any]], ask: Ask = ask
) -> set[Values]:
    """Replace partitions, each in one step; return those that were gone, which are left so."""
    refused: set[Values] = set()
    for batch in in_batches(inputs, _MAX_WRITES):
        doing = f"repoint {_named(batch)} of table {table.name} in Glue"
        entries = [{"PartitionValueList": one["Values"], "PartitionInput": dict(one)} for one in batch]
        if len(entries) == 1:
            update = partial(glue.update_partition, **at(table.name), **entries[0])
            if ask(unless(NOT_FOUND, update), doing) is None:
                refused.add(tuple(batch[0]["Values"]))
            continue
        response = ask(partial(glue.batch_update_partition, **at(table.name), Entries=entries), doing)
        refused |= _errors(response, NOT_FOUND, "PartitionValueList", doing)
    return {identity(table.partition_keys, values) for values in refused}


def delete_partitions(
    glue: GlueClient, table: Table, spelled: Sequence[Sequence[str]], ask: Ask = ask
) -> None:
    """Delete partitions' definitions; their files stay. Those that are gone are no matter."""
    for batch in in_batches(spelled, _MAX_DELETES):
        doing = f"remove {len(batch)} partitions of table {table.name} from Glue"
        values = [{"Values": list(one)} for one in batch]
        response = ask(
            partial(glue.batch_delete_partition, **at(table.name), PartitionsToDelete=values), doing
        )
        _errors(response, NOT_FOUND, "PartitionValues", doing)


def _named(batch: Sequence[Mapping[str, Any]]) -> str:
    return f"partition {batch[0]['Values']}" if len(batch) == 1 else f"{len(batch)} partitions"


def _errors(
    response: Mapping[str, Any], harmless: frozenset[str], values: str, doing: str
) -> set[tuple[str, ...]]:
    """Return which entries of a batch were not carried out; raise ours for the first refused for good.

    The answer to the call as a whole is a success, whatever became of its entries. What was overtaken, timed
    out or throttled is to be looked at: it may have been done.
    """
    refused: set[tuple[str, ...]] = set()
    for item in response.get("Errors") or ():
        detail = item.get("ErrorDetail") or {}
        code = str(detail.get("ErrorCode"))
        text = f"Cannot {doing}: {item.get(values)}: {code}: {detail.get('ErrorMessage')}"
        if code.startswith("AccessDenied"):
            raise AccessError(text)
        if code in _REFUSED_FOR_GOOD - harmless:
            raise RetryableError(text)
        refused.add(tuple(item[values]))
    return refused
