"""Real Quilt packages for the tests of the views, and what is in them according to quilt3.

quilt3 reads the AWS_* variables of this process, so a registry is used inside ``reached_by_quilt3``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

from airflow_quilt_athena.local import LocalAthena


@dataclass(frozen=True, order=True)
class Entry:
    """A file of a revision, as ``quilt3.Package.browse`` sees it."""

    pkg_name: str
    revision_at: datetime
    top_hash: str
    is_latest: bool
    logical_key: str
    physical_key: str
    bucket: str
    key: str
    version_id: str | None
    size: int
    hash_type: str
    hash_value: str
    meta: str  # canonical JSON


@dataclass(frozen=True, order=True)
class Revision:
    """A revision, as quilt3 sees it."""

    pkg_name: str
    revision_at: datetime
    top_hash: str
    pointer: str
    is_latest: bool
    message: str | None
    user_meta: str | None = field(compare=False, default=None)


@contextmanager
def reached_by_quilt3(aws: LocalAthena) -> Iterator[Any]:
    """Give quilt3 the local AWS for the time of the block; yields the module."""
    with mock.patch.dict("os.environ", aws.environment):
        import boto3
        import quilt3

        # quilt3 asks boto3's default session, which remembers the credentials it was made with.
        with mock.patch.object(boto3, "DEFAULT_SESSION", None):
            yield quilt3


def push(
    quilt3: Any,
    registry: str,
    name: str,
    files: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    at: int,
    message: str | None = None,
    meta: Mapping[str, Any] | None = None,
) -> str:
    """Push one revision as if it were second ``at``; return its top hash."""
    from quilt3.backends import base as pointers

    package = quilt3.Package()
    with (
        TemporaryDirectory() as folder,
        mock.patch.object(pointers, "time", SimpleNamespace(time=lambda: float(at))),
        redirect_stdout(StringIO()),  # quilt3 prints what to do next
    ):
        for number, (logical_key, (content, entry_meta)) in enumerate(files.items()):
            path = Path(folder) / str(number)
            path.write_text(content)
            package.set(logical_key, path, meta=dict(entry_meta))
        if meta is not None:
            package.set_meta(dict(meta))
        pushed = package.push(name, registry=registry, message=message, force=True)
    return str(pushed.top_hash)


def canonical(value: object) -> str:
    """Return JSON that is equal for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def revisions(quilt3: Any, registry: str) -> Iterator[tuple[Revision, Any]]:
    """Yield every revision, and the package it is."""
    for name in quilt3.list_packages(registry):
        versions = dict(quilt3.list_package_versions(name, registry))
        tags = {pointer: versions.pop(pointer) for pointer in list(versions) if not pointer.isdigit()}
        of_latest = [int(pointer) for pointer, top_hash in versions.items() if top_hash == tags.get("latest")]
        for pointer, top_hash in versions.items():
            package = quilt3.Package.browse(name, registry=registry, top_hash=top_hash)
            header = next(package.manifest)
            yield (
                Revision(
                    pkg_name=name,
                    revision_at=datetime.fromtimestamp(int(pointer), UTC),
                    top_hash=top_hash,
                    pointer=pointer,
                    is_latest=bool(of_latest) and int(pointer) == max(of_latest),
                    message=header.get("message"),
                    user_meta=canonical(header["user_meta"]) if "user_meta" in header else None,
                ),
                package,
            )


def entries(quilt3: Any, registry: str) -> Iterator[Entry]:
    """Yield every file of every revision."""
    for revision, package in revisions(quilt3, registry):
        for logical_key, entry in package.walk():
            yield Entry(
                pkg_name=revision.pkg_name,
                revision_at=revision.revision_at,
                top_hash=revision.top_hash,
                is_latest=revision.is_latest,
                logical_key=logical_key,
                physical_key=str(entry.physical_key),
                bucket=entry.physical_key.bucket,
                key=entry.physical_key.path,
                version_id=entry.physical_key.version_id,
                size=entry.size,
                hash_type=entry.hash["type"],
                hash_value=entry.hash["value"],
                meta=canonical(entry._meta),
            )
