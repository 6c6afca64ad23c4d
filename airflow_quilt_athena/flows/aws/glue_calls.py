"""How Glue is called: by the names of a table, page by page, with refusals that are answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from airflow_quilt_athena.core.glue.tables import TableName
from airflow_quilt_athena.flows.aws.deadline import ask

NOT_FOUND = frozenset({"EntityNotFoundException"})
EXISTS = frozenset({"AlreadyExistsException"})

Result = TypeVar("Result")


class Ask(Protocol):
    """How a call is made and made again: ``deadline.ask``, or that of a lease under which it is made."""

    def __call__(self, function: Callable[[], Result], doing: str) -> Result:
        """Return what ``function`` returns."""
        ...


def catalog_of(name: TableName) -> dict[str, str]:
    """Return what names a table's catalog; nothing for the caller's own."""
    return {"CatalogId": name.catalog_id} if name.catalog_id else {}


def at(name: TableName) -> dict[str, str]:
    """Return what names a table in calls about its partitions."""
    return {"DatabaseName": name.database, "TableName": name.table, **catalog_of(name)}


def pages(
    call: Callable[..., dict[str, Any]],
    request: dict[str, Any],
    items: str,
    doing: str,
    ask: Ask = ask,
) -> Iterator[dict[str, Any]]:
    """Yield the items of all pages."""
    for page in whole_pages(call, request, doing, ask):
        yield from page[items]


def whole_pages(
    call: Callable[..., dict[str, Any]], request: dict[str, Any], doing: str, ask: Ask
) -> Iterator[dict[str, Any]]:
    """Yield the pages."""
    token: dict[str, str] = {}
    while True:
        page = ask(lambda: call(**request, **token), doing)
        yield page
        if not page.get("NextToken"):
            return
        token["NextToken"] = page["NextToken"]
