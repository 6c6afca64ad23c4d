"""Glue's lists come in pages; moto answers all at once and takes no NextToken."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

from local_athena.wire.messages import Answer, AwsError, Forward, Request


class _Paged(NamedTuple):
    member: str
    most: int  # the largest MaxResults, which is also the size of a page when none is asked for


_PAGED = {
    "GetDatabases": _Paged("DatabaseList", 100),
    "GetTables": _Paged("TableList", 100),
    "GetTableVersions": _Paged("TableVersions", 100),
    "SearchTables": _Paged("TableList", 100),
}


def page_lists(request: Request, forward: Forward) -> Answer:
    """Give one page of a list."""
    paged = _PAGED.get(request.operation)
    if paged is None:
        return forward(request)
    document = request.json()
    size = page_size(document.pop("MaxResults", None), paged.most)
    start = read_token(document.pop("NextToken", None))
    answer = forward(request.with_json(document))
    if answer.status != 200:
        return answer
    listed = answer.json()
    listed[paged.member], token = _page(listed.get(paged.member) or [], start, size)
    if token:
        listed["NextToken"] = token
    return answer.with_json(listed)


def _page(items: Sequence[Any], start: int, size: int) -> tuple[Sequence[Any], str | None]:
    end = start + size
    return items[start:end], page_token(end) if end < len(items) else None


def page_size(asked: int | None, most: int) -> int:
    """Give the size of a page; refuse one that is too large."""
    size = asked or most
    if size > most:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{size}' at 'maxResults' failed to satisfy constraint: "
            f"Member must have value less than or equal to {most}",
        )
    return size


def page_token(start: int) -> str:
    """Make the token of the page that starts there."""
    return base64.urlsafe_b64encode(str(start).encode()).decode()


def read_token(token: str | None) -> int:
    """Tell where a token's page starts; without a token, at the beginning."""
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error) as error:
        raise AwsError("InvalidInputException", f"Invalid pagination token: {token!r}.") from error
