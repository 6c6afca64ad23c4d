"""Partitions have a value for each of the table's keys; a refused change of them changes nothing.

moto stores any number of values, and loses a partition whose new values another one has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local_athena.moto_fixes.moto_calls import call
from local_athena.wire.messages import Answer, AwsError, Forward, Request

_WRONG_COUNT = (
    "InvalidInputException",
    "The number of partition keys do not match the number of partition values",
)
_EXISTS = ("AlreadyExistsException", "Partition already exists.")


def check_value_counts(request: Request, forward: Forward) -> Answer:
    """Refuse a partition whose values do not fit the table's keys."""
    if request.operation in ("CreatePartition", "UpdatePartition"):
        document = request.json()
        keys = partition_keys(request, forward, document)
        if keys is not None and len(document["PartitionInput"].get("Values") or ()) != len(keys):
            raise AwsError(*_WRONG_COUNT)
    if request.operation == "BatchCreatePartition":
        return _check_creations(request, forward)
    return forward(request)


def check_renames(request: Request, forward: Forward) -> Answer:
    """Refuse to give a partition values that another one has."""
    document = request.json() if request.operation.endswith("UpdatePartition") else {}
    if request.operation == "UpdatePartition" and _is_taken(request, forward, document, document):
        raise AwsError(*_EXISTS)
    if request.operation == "BatchUpdatePartition":
        return _check_updates(request, forward, document)
    return forward(request)


def partition_keys(
    request: Request, forward: Forward, document: Mapping[str, Any]
) -> list[dict[str, Any]] | None:
    """Find the table's keys; None when there is no such table, which moto then says itself."""
    table = {"DatabaseName": document.get("DatabaseName"), "Name": document.get("TableName")}
    found = forward(call(request, "GetTable", table))
    return list(found.json()["Table"].get("PartitionKeys") or ()) if found.status == 200 else None


def _check_creations(request: Request, forward: Forward) -> Answer:
    """Create what fits; name what does not in the answer's Errors, as Glue does for each item."""
    document = request.json()
    keys = partition_keys(request, forward, document)
    inputs = document.get("PartitionInputList") or []
    wrong = [i for i in inputs if keys is not None and len(i.get("Values") or ()) != len(keys)]
    errors = [_error("PartitionValues", i.get("Values"), _WRONG_COUNT) for i in wrong]
    document["PartitionInputList"] = [i for i in inputs if i not in wrong]
    return _with_errors(forward(request.with_json(document)) if errors else forward(request), errors)


def _check_updates(request: Request, forward: Forward, document: dict[str, Any]) -> Answer:
    """Change what can be changed, one entry after the other; name the rest in the answer's Errors."""
    keys = partition_keys(request, forward, document)
    entries = document.get("Entries") or []
    errors, plain = [], []
    for entry in entries if keys is not None else ():
        values = entry["PartitionInput"].get("Values") or ()
        if len(values) != len(keys or ()):
            errors.append(_error("PartitionValueList", entry["PartitionValueList"], _WRONG_COUNT))
        elif _is_taken(request, forward, document, entry):
            errors.append(_error("PartitionValueList", entry["PartitionValueList"], _EXISTS))
        else:
            plain.append(entry)
    if not errors:
        return forward(request)
    return _with_errors(forward(request.with_json({**document, "Entries": plain})), errors)


def _is_taken(
    request: Request, forward: Forward, document: Mapping[str, Any], entry: Mapping[str, Any]
) -> bool:
    """Whether an update renames a partition to one that is there already."""
    old, new = entry["PartitionValueList"], entry["PartitionInput"].get("Values")
    return bool(new) and old != new and all(_is_there(request, forward, document, v) for v in (old, new))


def _is_there(request: Request, forward: Forward, document: Mapping[str, Any], values: Sequence[str]) -> bool:
    names = {name: document.get(name) for name in ("DatabaseName", "TableName")}
    return forward(call(request, "GetPartition", {**names, "PartitionValues": values})).status == 200


def _error(member: str, values: Sequence[str] | None, why: tuple[str, str]) -> dict[str, Any]:
    return {member: values or [], "ErrorDetail": dict(zip(("ErrorCode", "ErrorMessage"), why, strict=True))}


def _with_errors(answer: Answer, errors: Sequence[dict[str, Any]]) -> Answer:
    if not errors or answer.status != 200:
        return answer
    body = answer.json()
    return answer.with_json({**body, "Errors": [*(body.get("Errors") or ()), *errors]})
