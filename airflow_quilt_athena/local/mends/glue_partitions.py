"""Partitions have a value for each of the table's keys, and are found by Glue's expressions.

moto stores any number of values, and reads fewer expressions than Glue's documentation lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_quilt_athena.local.mends.calling import call
from airflow_quilt_athena.local.mends.partition_filter import FilterError, parse_filter
from airflow_quilt_athena.local.wire import Answer, AwsError, Forward, Request

_WRONG_COUNT = "The number of partition keys do not match the number of partition values"


def check_value_counts(request: Request, forward: Forward) -> Answer:
    """Refuse a partition whose values do not fit the table's keys."""
    if request.operation in ("CreatePartition", "UpdatePartition"):
        document = request.json()
        keys = _partition_keys(request, forward, document)
        if keys is not None and len(document["PartitionInput"].get("Values") or ()) != len(keys):
            raise AwsError("InvalidInputException", _WRONG_COUNT)
    if request.operation == "BatchCreatePartition":
        return _check_batch(request, forward)
    return forward(request)


def _check_batch(request: Request, forward: Forward) -> Answer:
    """Create what fits; name what does not in the answer's Errors, as Glue does for each item."""
    document = request.json()
    keys = _partition_keys(request, forward, document)
    inputs = document.get("PartitionInputList") or []
    wrong = [i for i in inputs if keys is not None and len(i.get("Values") or ()) != len(keys)]
    if not wrong:
        return forward(request)
    document["PartitionInputList"] = [i for i in inputs if i not in wrong]
    answer = forward(request.with_json(document))
    if answer.status != 200:
        return answer
    detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": _WRONG_COUNT}
    errors = [{"PartitionValues": i.get("Values") or [], "ErrorDetail": detail} for i in wrong]
    body = answer.json()
    return answer.with_json({**body, "Errors": [*(body.get("Errors") or ()), *errors]})


def filter_partitions(request: Request, forward: Forward) -> Answer:
    """Apply the Expression of GetPartitions; leave columns out where they are not wanted."""
    if request.operation != "GetPartitions":
        return forward(request)
    document = request.json()
    expression = (document.pop("Expression", None) or "").strip()
    without_columns = document.pop("ExcludeColumnSchema", False)
    keys = (_partition_keys(request, forward, document) or []) if expression else []
    answer = forward(request.with_json(document))
    if answer.status != 200:
        return answer
    partitions = answer.json().get("Partitions") or []
    if expression:
        partitions = _matching(expression, keys, partitions)
    if without_columns:
        for partition in partitions:
            (partition.get("StorageDescriptor") or {}).pop("Columns", None)
    return answer.with_json({"Partitions": partitions})


def _matching(
    expression: str, keys: Sequence[Mapping[str, Any]], partitions: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    try:
        fits = parse_filter(expression, {key["Name"]: key.get("Type", "string") for key in keys})
        return [p for p in partitions if fits(p.get("Values") or [])]
    except FilterError as error:
        raise AwsError("InvalidInputException", str(error)) from error


def _partition_keys(
    request: Request, forward: Forward, document: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """Find the table's keys; None when there is no such table, which moto then says itself."""
    table = {"DatabaseName": document.get("DatabaseName"), "Name": document.get("TableName")}
    found = forward(call(request, "GetTable", table))
    return list(found.json()["Table"].get("PartitionKeys") or ()) if found.status == 200 else None
