"""Messages of a Quilt platform's events, as a queue gives them: hints where to look. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from airflow_quilt_athena.core.quilt.revisions import parse_pointers
from airflow_quilt_athena.core.quilt.table_ddl import packages_location

_MAX_DEPTH = 4  # an S3 record in an event in a notification in a message


class Hint(NamedTuple):
    """A package of a bucket in which something happened."""

    bucket: str
    package: str


def parse_hints(body: str) -> frozenset[Hint]:
    """Return what a message hints at; nothing for one of something else.

    Read are a platform's ``package-revision`` events, S3's own events and those that a platform hands on, and
    either of them in a notification of SNS.
    """
    try:
        return frozenset(_find(json.loads(body), 0))
    except ValueError:
        return frozenset()


def _find(value: Any, depth: int) -> Iterator[Hint]:
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return
    message = value.get("Message")  # SNS
    if isinstance(message, str):
        yield from parse_hints(message)
    for record in value.get("Records") or ():  # S3
        yield from _find(record, depth + 1)
    detail = value.get("detail")
    if isinstance(detail, Mapping):
        bucket, handle = detail.get("bucket"), detail.get("handle")
        if isinstance(bucket, str) and isinstance(handle, str) and "/" in handle:
            yield Hint(bucket, handle)
        yield from _find(detail, depth + 1)
    yield from _of_object(value.get("s3") if isinstance(value.get("s3"), Mapping) else value)


def _of_object(value: Any) -> Iterator[Hint]:
    """Yield the package whose pointer an object of an event is."""
    bucket, found = value.get("bucket"), value.get("object")
    if not isinstance(bucket, Mapping) or not isinstance(found, Mapping):
        return
    name, key = bucket.get("name"), found.get("key")
    if not isinstance(name, str) or not isinstance(key, str):
        return
    # S3's own notifications encode keys, EventBridge's do not; packages' names need neither.
    for text in {key, unquote_plus(key)}:
        if text.startswith(packages_location(name).key):
            yield from (Hint(name, pointer.package) for pointer in parse_pointers(name, [text]))
