"""Failures in Athena's words: Trino's error code, the place in the user's text, the message."""

from __future__ import annotations

from typing import Any

from local_athena.errors import QueryFailed


def place(node: Any) -> str:
    """``line L:C`` of a parse tree node or token; columns count from one."""
    token = getattr(node, "start", None)
    token = node if token is None or isinstance(token, int) else token
    return f"line {token.line}:{token.column + 1}"


def failed(code: str, node: Any, message: str) -> QueryFailed:
    """Return a query that Trino's analysis refuses."""
    return QueryFailed(f"{code}: {place(node)}: {message}")


def column_not_found(node: Any, name: str) -> QueryFailed:
    """Return a name that is no column here; Athena adds that Lake Formation may be hiding it."""
    message = (
        f"Column '{name}' cannot be resolved or requester is not authorized to access requested resources"
    )
    return failed("COLUMN_NOT_FOUND", node, message)


def mismatch(node: Any, message: str) -> QueryFailed:
    """Types that do not fit."""
    return failed("TYPE_MISMATCH", node, message)


def unsupported(node: Any, what: str) -> QueryFailed:
    """Trino could run it and Athena too, but the local engine cannot."""
    return failed("NOT_SUPPORTED", node, f"{what} is not supported by the local Athena")


class CastRefusedError(Exception):
    """No such cast exists."""
