"""Which objects are a table's or partition's files, by Hive's and Trino's rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from local_athena.data.s3_uri import S3Uri
from local_athena.data.session import Objects


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file to read; ``partition`` is the place of its partition in the list that was asked for."""

    uri: S3Uri
    size_bytes: int
    partition: int


def data_files(objects: Objects, location: S3Uri, partition: int) -> Iterator[DataFile]:
    """Yield the files at a location and in its folders, in key order.

    A name below the location that starts with ``_`` or ``.`` hides everything under it; the location itself
    may lie in such a folder. Empty objects and folder markers hold no rows.
    """
    folder = location.folder
    for stored in objects.list(folder.bucket, folder.key):
        below = stored.key[len(folder.key) :]
        if stored.size_bytes and not below.endswith("/") and not _is_hidden(below):
            yield DataFile(S3Uri(folder.bucket, stored.key), stored.size_bytes, partition)


def _is_hidden(below: str) -> bool:
    return below.startswith(("_", ".")) or "/_" in below or "/." in below
