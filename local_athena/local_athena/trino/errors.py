"""Trino's errors in the words in which Athena tells them."""

from __future__ import annotations

from local_athena.errors import USER_ERROR, QueryFailed

_SYSTEM = frozenset({"INTERNAL_ERROR", "INSUFFICIENT_RESOURCES"})
_SYSTEM_CATEGORY, _ENGINE_ERROR = 1, 200
# Athena adds that Lake Formation may be hiding the column.
_HIDDEN = " or requester is not authorized to access requested resources"


def translate(name: str, kind: str, message: str) -> QueryFailed:
    """Return the failure of a query that ended with Trino's error ``name``, of type ``kind``."""
    if name == "COLUMN_NOT_FOUND" and message.endswith("cannot be resolved"):
        message += _HIDDEN
    # What the parser refuses Athena tells by its place alone.
    reason = message if name == "SYNTAX_ERROR" and message.startswith("line ") else f"{name}: {message}"
    if kind in _SYSTEM:
        return QueryFailed(reason, category=_SYSTEM_CATEGORY, error_type=_ENGINE_ERROR)
    if name == "HIVE_TOO_MANY_OPEN_PARTITIONS":
        return QueryFailed(reason, error_type=USER_ERROR)
    return QueryFailed(reason)
