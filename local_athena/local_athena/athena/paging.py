"""Pages of a list and the tokens that lead from one to the next."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from local_athena.errors import ApiError

T = TypeVar("T")
Position = str | int


def write_token(scope: str, position: Position) -> str:
    """Return a token that means "go on after ``position``" in the list named ``scope``."""
    return base64.urlsafe_b64encode(json.dumps([scope, position]).encode()).decode()


def read_token(scope: str, token: str) -> Position:
    """Return the position a token holds. Raises ApiError for a token of another list, or of nobody."""
    try:
        found, position = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error) as error:  # also what unpacking and decoding raise
        raise _invalid_token() from error
    if found != scope or not isinstance(position, str | int):
        raise _invalid_token()
    return position


def take_page(
    items: Iterable[T],
    request: dict[str, Any],
    *,
    scope: str,
    position: Callable[[T], Any],
    default_size: int = 50,
) -> tuple[list[T], dict[str, str]]:
    """Return the page ``request`` asks for and ``{"NextToken": …}`` when there is more.

    ``items`` are in ascending order of ``position``. Tokens name the last item seen and not an offset,
    so that what is added or removed meanwhile neither repeats nor hides an item.
    """
    size = request.get("MaxResults") or default_size
    token = request.get("NextToken")
    rest = list(items)
    if token is not None:
        last = read_token(scope, token)
        rest = [item for item in rest if position(item) > last]
    page = rest[:size]
    more = {"NextToken": write_token(scope, position(page[-1]))} if len(rest) > size else {}
    return page, more


def _invalid_token() -> ApiError:
    return ApiError("InvalidRequestException", "Invalid NextToken.")
