"""Find packages that SQL cannot see: Athena skips folders whose names begin with ``_`` or ``.``.

Quilt takes such names, and its tables lie over the pointers' folders, so a query misses these packages
without a word. A listing finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.table_ddl import packages_location
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import list_folders

_HIDDEN_STARTS = ("_", ".")
_PARALLEL_LISTINGS = 8


def find_hidden_packages(s3: S3Client, bucket: str) -> tuple[str, ...]:
    """Return the names of the packages in ``bucket`` that no query sees, sorted.

    Lists namespaces, and in each only what is hidden: few calls, however many packages there are.
    """
    namespaces = list(list_folders(s3, packages_location(bucket)))
    with ThreadPoolExecutor(_PARALLEL_LISTINGS, thread_name_prefix="hidden-packages") as pool:
        found = list(pool.map(lambda namespace: list(_hidden(s3, namespace)), namespaces))
    root = packages_location(bucket).key
    return tuple(sorted(folder.key.removeprefix(root).rstrip("/") for folders in found for folder in folders))


def _hidden(s3: S3Client, namespace: S3Uri) -> Iterator[S3Uri]:
    if namespace.name.startswith(_HIDDEN_STARTS):
        yield from list_folders(s3, namespace)
    else:
        for start in _HIDDEN_STARTS:
            yield from list_folders(s3, namespace, start=start)
