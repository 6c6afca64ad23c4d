"""Real Quilt packages for the tests of the views, and what is in them according to quilt3.

A registry is used inside ``reached_by_quilt3``, which leads quilt3 to the local AWS.
"""

from __future__ import annotations

import json
import uuid
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

from airflow_quilt_athena.core.plans import Plan
from airflow_quilt_athena.core.quilt.identifiers import BucketNames
from airflow_quilt_athena.flows.quilt.bucket_views import refresh_bucket_views
from airflow_quilt_athena.flows.quilt.refresh_plan import RefreshRequest
from local_athena import LocalAthena
from local_athena.conformance.quilt_seeds import seed_statements
from tests.integration.lab import Lab

BASE = 1_767_225_600  # 2026-01-01T00:00:00Z
DAY = 86_400
AWKWARD: dict[str, tuple[str, dict[str, Any]]] = {
    "a b/c d#1?.txt": ("1", {"kind": "space"}),
    "ünïcode/日本 é.txt": ("2", {"kind": "unicode"}),
    "plus+equals=amp&at@.txt": ("3", {}),
    "100%.txt": ("4", {"percent": "100 %"}),
    'it\'s "quoted", really;.txt': ("5", {"text": 'say "no"\nand go'}),
    "deep/er/and/deeper/file": ("6", {"Mixed": {"CaseKey": [1, 2.5, None, "x"]}}),
}
TWIN = {"same.txt": ("same", {"Kind": "Twin"})}


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


class Registry:
    """A bucket with packages, its tables and views, and the seed's beside them."""

    def __init__(self, aws: LocalAthena) -> None:
        token = uuid.uuid4().hex[:8]
        self.aws = aws
        self.lab = Lab.open(aws, lambda prefix: f"{prefix}-{token}".replace("db-", "db_"))
        self.bucket = f"quilt-{token}"
        self.names = BucketNames.of(self.bucket)
        self.s3 = aws.client("s3")
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}"

    def refresh(self, **changes: Any) -> Plan:
        request = RefreshRequest(
            **{
                "buckets": (self.bucket,),
                "database": self.lab.database,
                "workgroup": self.lab.workgroup,
                **changes,
            }
        )
        return refresh_bucket_views(
            self.aws.client("athena"), self.aws.client("glue"), request, timeout_seconds=60
        )

    def seed(self) -> dict[str, str]:
        """Make the seed's tables and views in a database of their own; returns the views' names."""
        database = f"{self.lab.database}_seed"
        self.aws.client("glue").create_database(DatabaseInput={"Name": database})
        for statement in seed_statements(database, self.bucket).values():
            self.lab.run(statement)
        return {
            "packages": f"{database}.{self.names.packages_view}",
            "objects": f"{database}.{self.names.objects_view}",
        }

    def put_manifest(self, *lines: str) -> str:
        """Write a manifest as it stands, under a name like a top hash; return that."""
        top_hash = uuid.uuid4().hex * 2
        body = "".join(f"{line}\n" for line in lines).encode()
        self.s3.put_object(Bucket=self.bucket, Key=f".quilt/packages/{top_hash}", Body=body)
        return top_hash

    def put_revision(self, name: str, at: int, *files: str, message: str = "by hand", **header: Any) -> str:
        """Write a revision in the byte format of quilt3, each file of ten bytes; return its top hash."""
        lines = [{"version": "v0", **header, "message": message}]
        lines += [
            {
                "logical_key": file,
                "physical_keys": [f"{self.uri}/{name}/{file}?versionId=v1"],
                "size": 10,
                "hash": {"type": "sha2-256-chunked", "value": "lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA="},
                "meta": {},
            }
            for file in files
        ]
        top_hash = self.put_manifest(*(json.dumps(line, ensure_ascii=False) for line in lines))
        self.put_pointer(name, str(at), top_hash)
        return top_hash

    def put_pointer(self, name: str, pointer: str, body: str) -> None:
        key = f".quilt/named_packages/{name}/{pointer}"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body.encode())

    def rows(self, sql: str) -> list[tuple[str | None, ...]]:
        return self.lab.rows(sql)


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


def push_examples(registry: Registry) -> None:
    """Push packages as people do: rolled back, pushed twice, copied, oddly named, empty, deleted."""
    with reached_by_quilt3(registry.aws) as quilt3:
        plates = [{"plate.csv": (f"well {n}", {"Plate": n})} for n in range(3)]
        first = push(quilt3, registry.uri, "team/plates", plates[0], at=BASE, message="first")
        push(quilt3, registry.uri, "team/plates", plates[1], at=BASE + DAY - 1, message="second")
        push(quilt3, registry.uri, "team/plates", plates[2], at=BASE + DAY, message='third, "final"')
        quilt3.Package.rollback("team/plates", registry.uri, first)
        push(quilt3, registry.uri, "team/twin", TWIN, at=BASE + 10, message="twice")
        push(quilt3, registry.uri, "team/twin", TWIN, at=BASE + 20, message="twice")
        push(quilt3, registry.uri, "team/copy", TWIN, at=BASE + 30, message="twice")
        push(
            quilt3,
            registry.uri,
            "юзер/пакет",
            AWKWARD,
            at=BASE + 2 * DAY,
            meta={"Experiment": "EXP-7", "nested": {"Plate_ID": "é"}, "n": 1},
        )
        push(quilt3, registry.uri, "empty/package", {}, at=BASE + 3 * DAY)
        push(quilt3, registry.uri, "team/gone", {"x.txt": ("x", {})}, at=BASE + 40)
        quilt3.delete_package("team/gone", registry=registry.uri)


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


def entries_in(registry: Registry, relation: str) -> list[Entry]:
    """Return the rows of the entries view, or of what has its columns, to be compared with quilt3's."""
    rows = registry.rows(
        'SELECT pkg_name, revision_at, top_hash, is_latest, logical_key, physical_key, "bucket", "key", '
        f"version_id, size, hash_type, hash_value, meta FROM {relation}"
    )
    return sorted(
        Entry(
            str(name), _moment(at), str(top_hash), latest == "true", str(logical_key), str(physical_key),
            str(bucket), str(key), version_id, int(str(size)), str(hash_type), str(hash_value),
            canonical(json.loads(str(meta))),
        )
        for name, at, top_hash, latest, logical_key, physical_key, bucket, key, version_id, size, hash_type,
        hash_value, meta in rows
    )  # fmt: skip


def revisions_in(registry: Registry, relation: str) -> list[Revision]:
    """Return the rows of the revisions view, or of what has its columns, to be compared with quilt3's."""
    rows = registry.rows(
        f"SELECT pkg_name, revision_at, top_hash, pointer, is_latest, message, user_meta FROM {relation}"
    )
    return sorted(
        Revision(
            str(name), _moment(at), str(top_hash), str(pointer), latest == "true", message,
            user_meta and canonical(json.loads(user_meta)),
        )
        for name, at, top_hash, pointer, latest, message, user_meta in rows
    )  # fmt: skip


def _moment(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
