"""Reads of partitions, answered from moto's store: Glue's expressions, segments, pages, all in time.

moto turns all of a table's partitions into JSON for each call: five seconds where there are 10,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from local_athena.moto_fixes.glue_expressions import FilterError, parse_filter
from local_athena.moto_fixes.glue_paging import page_size, page_token, read_token
from local_athena.moto_fixes.moto_calls import call
from local_athena.wire.messages import Answer, AwsError, Forward, Request, build_answer

_READS = frozenset({"GetPartition", "GetPartitions", "BatchGetPartition"})
_MOST_PARTITIONS = 1000


def read_partitions(request: Request, forward: Forward) -> Answer:
    """Answer GetPartition, GetPartitions and BatchGetPartition."""
    if request.operation not in _READS:
        return forward(request)
    document = request.json()
    table = {"DatabaseName": document.get("DatabaseName"), "Name": document.get("TableName")}
    found = forward(call(request, "GetTable", table))
    if found.status != 200:
        return found
    description = found.json()["Table"]
    stored = _stored(request, description)
    if request.operation == "GetPartition":
        return _one(description, stored, document)
    if request.operation == "BatchGetPartition":
        wanted = (stored.get(str(key.get("Values"))) for key in document.get("PartitionsToGet") or ())
        told = [_tell(partition, description) for partition in wanted if partition is not None]
        return build_answer({"Partitions": told, "UnprocessedKeys": []})
    return _page(description, stored, document, lenient=request.caller.is_engine)


def _stored(request: Request, description: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give moto's partitions of a table, by the text of their values."""
    from moto.glue.models import glue_backends

    backend = glue_backends[request.caller.account_id][request.caller.region]
    table = backend.get_table(description["DatabaseName"], description["Name"])
    partitions: Mapping[str, Any] = table.partitions
    return partitions


def _one(description: Mapping[str, Any], stored: Mapping[str, Any], document: Mapping[str, Any]) -> Answer:
    partition = stored.get(str(document.get("PartitionValues")))
    if partition is None:
        raise AwsError("EntityNotFoundException", "Cannot find partition.")
    return build_answer({"Partition": _tell(partition, description)})


def _page(
    description: Mapping[str, Any], stored: Mapping[str, Any], document: Mapping[str, Any], *, lenient: bool
) -> Answer:
    size = page_size(document.get("MaxResults"), _MOST_PARTITIONS)
    start = read_token(document.get("NextToken"))
    try:
        chosen = _matching(document.get("Expression"), description, stored.values())
    except FilterError as error:
        if not lenient:
            raise AwsError("InvalidInputException", str(error)) from error
        # Trino does not escape a quote in a value: ``(k = 'it's')``. It filters what it gets once more.
        chosen = stored.values()
    segment = document.get("Segment")
    if segment:
        chosen = islice(chosen, segment["SegmentNumber"], None, segment["TotalSegments"])
    found = list(islice(chosen, start, start + size + 1))  # one more tells whether another page follows
    told = [_tell(p, description, document.get("ExcludeColumnSchema", False)) for p in found[:size]]
    token = page_token(start + size) if len(found) > size else None
    return build_answer({"Partitions": told, **({"NextToken": token} if token else {})})


def _matching(
    expression: str | None, description: Mapping[str, Any], partitions: Iterable[Any]
) -> Iterable[Any]:
    if not (expression or "").strip():
        return partitions
    keys: Sequence[Mapping[str, Any]] = description.get("PartitionKeys") or ()
    fits = parse_filter(str(expression), {key["Name"]: key.get("Type", "string") for key in keys})
    return [partition for partition in partitions if fits(partition.values)]


def _tell(partition: Any, description: Mapping[str, Any], without_columns: bool = False) -> dict[str, Any]:
    told = {name: _plain(value) for name, value in partition.as_dict().items()}
    if without_columns and told.get("StorageDescriptor"):
        storage = told["StorageDescriptor"]
        told["StorageDescriptor"] = {name: value for name, value in storage.items() if name != "Columns"}
    return {**told, "CatalogId": description["CatalogId"]}


def _plain(value: Any) -> Any:
    return value.timestamp() if isinstance(value, datetime) else value
