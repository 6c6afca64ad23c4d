"""How many items a Glue call may bring; moto takes any number. Limits: Glue's API model, read 2026-11."""

from __future__ import annotations

from local_athena.wire.messages import Answer, AwsError, Forward, Request

_MOST = {
    "BatchCreatePartition": ("PartitionInputList", 100),
    "BatchDeletePartition": ("PartitionsToDelete", 25),
    "BatchGetPartition": ("PartitionsToGet", 1000),
    "BatchUpdatePartition": ("Entries", 100),
    "BatchDeleteTable": ("TablesToDelete", 100),
    "BatchDeleteTableVersion": ("VersionIds", 100),
}
_MAX_EXPRESSION_LENGTH = 2048


def limit_batches(request: Request, forward: Forward) -> Answer:
    """Refuse a batch that is too long, and a partition expression that is."""
    if request.operation in _MOST:
        member, most = _MOST[request.operation]
        _refuse_longer_than(most, member, len(request.json().get(member) or ()))
    elif request.operation == "GetPartitions":
        _refuse_longer_than(_MAX_EXPRESSION_LENGTH, "Expression", len(request.json().get("Expression") or ""))
    return forward(request)


def _refuse_longer_than(most: int, member: str, length: int) -> None:
    if length > most:
        name = member[0].lower() + member[1:]
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {most}",
        )
