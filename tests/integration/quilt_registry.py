"""Real Quilt packages for the tests of the views, and what is in them according to quilt3.

A registry is used inside ``reached_by_quilt3``, which leads quilt3 to the local AWS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

from botocore.config import Config

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
    user_meta: str | None  # canonical JSON


@contextmanager
def reached_by_quilt3(aws: LocalAthena) -> Iterator[Any]:
    """Have quilt3 reach the local AWS for the time of the block; yields the module.

    By one client for all it does: left to itself it makes a client for each call, which takes longer.
    """
    import quilt3
    from quilt3.hooks import set_build_s3_client_hook

    client = aws.client("s3", config=Config(max_pool_connections=20))
    before = set_build_s3_client_hook(lambda *_, **__: client)
    try:
        yield quilt3
    finally:
        set_build_s3_client_hook(before)


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


@dataclass(frozen=True)
class Truth:
    """All of a registry, as quilt3 sees it."""

    revisions: list[Revision]
    entries: list[Entry]
    tags: set[tuple[str, str, str]]  # package, tag, top hash


def browse(quilt3: Any, registry: str) -> Truth:
    """Read the whole registry."""
    truth = Truth([], [], set())
    for name in quilt3.list_packages(registry):
        versions = dict(quilt3.list_package_versions(name, registry))
        tags = {pointer: versions.pop(pointer) for pointer in list(versions) if not pointer.isdigit()}
        truth.tags.update((name, tag, top_hash) for tag, top_hash in tags.items())
        of_latest = [int(pointer) for pointer, top_hash in versions.items() if top_hash == tags["latest"]]
        for pointer, top_hash in versions.items():
            package = quilt3.Package.browse(name, registry=registry, top_hash=top_hash)
            header = next(package.manifest)
            revision = Revision(
                pkg_name=name,
                revision_at=datetime.fromtimestamp(int(pointer), UTC),
                top_hash=top_hash,
                pointer=pointer,
                is_latest=int(pointer) == max(of_latest),
                message=header.get("message"),
                user_meta=canonical(header["user_meta"]) if "user_meta" in header else None,
            )
            truth.revisions.append(revision)
            truth.entries.extend(_entries(revision, package))
    truth.revisions.sort()
    truth.entries.sort()
    return truth


def _entries(revision: Revision, package: Any) -> Iterator[Entry]:
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
