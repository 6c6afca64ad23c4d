"""Judges of what a package is made from: its rows, its metadata, the query to take them from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from types import EllipsisType
from typing import Any

from airflow_quilt_athena.core.arguments import (
    Judge,
    any_text,
    is_list,
    matching,
    read_printed,
    refusal,
    text,
)
from airflow_quilt_athena.exceptions import InvalidCallError

_QUERY_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read_by(judge: Callable[[Any], Any], expected: str) -> Judge[Any]:
    """Return the judge of text that ``judge`` reads, whose refusals then name the parameter."""

    def judge_text(name: str, value: object) -> Any:
        found = text(name, value, expected)
        try:
            return judge(found)
        except InvalidCallError as error:
            raise InvalidCallError(f"{name}: {error}") from error

    return judge_text


def query_execution_id(name: str, value: object) -> str:
    """Judge the id of a query, or what an XCom or a template made of it."""
    if not isinstance(value, str | Mapping) and not is_list(value):
        raise refusal(name, value, "a query execution id, or the XCom of the task that started the query")
    try:
        return parse_query_execution_id(value)
    except InvalidCallError as error:
        raise InvalidCallError(f"{name}: {error} Expected one.") from error


tag = matching(r"[A-Za-z][\w.-]{0,127}", "a tag: a letter and then letters, digits, _ . and -")
_workflow_id = matching(r"[\w.-]{1,128}", "a workflow's id, or None")


def workflow(name: str, value: object) -> str | EllipsisType | None:
    """Judge a workflow: ``...`` is the default of the registry, None none."""
    if value is ... or value is None or value == "":
        return ... if value is ... else None
    return _workflow_id(name, value)


def rows(name: str, value: object) -> object:
    """Judge rows that are given, as values or printed by a template; read printed lists."""
    from airflow_quilt_athena.core.quilt.package_json import parse_json
    from airflow_quilt_athena.core.quilt.package_request import parse_rows

    expected = "a list of mappings, or the XCom of a query's rows"
    found = _printed(value)
    if isinstance(found, str):
        try:
            parse_json(found)
        except ValueError as error:  # which says where
            raise refusal(name, value, f"{expected}; this text {error}") from error
        parse_rows(found)
    elif not isinstance(found, Iterable) or isinstance(found, bytes | bytearray | range | set):
        raise refusal(name, value, expected)
    return found


def metadata(name: str, value: object) -> object:
    """Judge metadata, as a mapping or printed by a template."""
    found = _printed(value)
    if not isinstance(found, str | Mapping):
        raise refusal(name, value, "a mapping, or text")
    return any_text(name, found) if isinstance(found, str) else found


def _printed(value: object) -> object:
    """Return what a template has printed of a list or a mapping; JSON is read where every digit is kept."""
    if not isinstance(value, str):
        return value
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return read_printed(value)
    return value


def parse_query_execution_id(given: Any) -> str:
    """Return the id in what a template or an XCom made of it; of several, the last.

    >>> parse_query_execution_id("['1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed']")
    '1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed'
    """
    if isinstance(given, Mapping):
        given = given.get("query_execution_ids") or given.get("query_execution_id")
    ids = _QUERY_ID.findall(str(given))
    if not ids:
        raise InvalidCallError(
            f"There is no query execution id in {given!r}. Did the task that starts the query run?"
        )
    return str(ids[-1])
