"""Real Quilt packages, pushed with quilt3, and what is in them according to quilt3."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest import mock

# quilt3 reads these when it is imported: no reports of its use, no progress bars of its own, and nothing of
# the user's. It keeps manifests by top hash, which does not cover version ids, so older ones would do harm.
_home = TemporaryDirectory(prefix="quilt-athena-demo-")
os.environ |= {"QUILT_DISABLE_USAGE_METRICS": "true", "QUILT_MINIMIZE_STDOUT": "true"}
os.environ |= {f"XDG_{kind}_HOME": _home.name for kind in ("DATA", "CONFIG", "CACHE")}

import quilt3  # noqa: E402
from quilt3.backends import base as pointers  # noqa: E402
from quilt3.hooks import set_build_s3_client_hook  # noqa: E402


@dataclass(frozen=True)
class Push:
    """One revision to push: files by logical key, each with its content and metadata."""

    name: str
    message: str
    files: Mapping[str, tuple[str, Mapping[str, Any]]]
    at: time = time(12)
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class FileRow:
    """A file of a revision as quilt3 sees it: what a row of the day's partition must say."""

    pkg_name: str
    revision_at: datetime
    logical_key: str
    top_hash: str
    size: int
    bucket: str
    key: str
    version_id: str | None
    hash_value: str
    kind: str | None


@dataclass(frozen=True, order=True)
class Revision:
    """A revision as quilt3 sees it."""

    pkg_name: str
    revision_at: datetime
    top_hash: str
    is_latest: bool
    message: str


@dataclass(frozen=True, order=True)
class Tag:
    """A named pointer to a revision."""

    pkg_name: str
    tag_name: str
    top_hash: str


PLATES = Push(
    "screens/plates",
    "first plates",
    {
        "README.md": ("# Plates\n", {"kind": "note"}),
        "raw/plate 1/well A#1.csv": ("well,od\nA1,0.31\n", {"kind": "reading", "plate": 1}),
        "raw/plate 1/well A#2.csv": ("well,od\nA2,0.52\n", {"kind": "reading", "plate": 1}),
    },
    at=time(9, 15),
    meta={"Experiment": "EXP-7", "operator": {"Name": "Ada"}},
)
DAYS: tuple[tuple[Push, ...], ...] = (
    (
        PLATES,
        Push(
            "images/größe",
            "unicode and percent signs, 100 % legal",
            {
                "übersicht/zelle é日本.txt": ("zelle\n", {"kind": "image"}),
                "a+b=c&d?.txt": ("a+b\n", {"kind": "note", "quote": 'she said "no", twice'}),
            },
            at=time(17),
        ),
    ),
    (
        Push(
            "screens/plates",
            "second plate",
            dict(PLATES.files)
            | {"raw/plate 2/well A#1.csv": ("well,od\nA1,0.44\n", {"kind": "reading", "plate": 2})},
            at=time(9, 30),
            meta=PLATES.meta,
        ),
        Push("models/baseline", "weights", {"weights/v1.bin": ("0101" * 64, {})}, at=time(23, 59, 59)),
    ),
    (
        Push(
            "models/baseline",
            "weights, trained longer",
            {"weights/v1.bin": ("0101" * 64, {}), "weights/v2.bin": ("0110" * 64, {"kind": "weights"})},
            at=time(0),
        ),
        Push(
            "notes/daily",
            "",
            {"2026/notes, mixed.txt": ("nothing to report\n", {"kind": "note"})},
            at=time(8),
        ),
    ),
    (
        Push("notes/weekly", "summary", {"summary.txt": ("a good week\n", {"kind": "note"})}, at=time(18)),
        Push("screens/controls", "blanks", {"raw/blank.csv": ("well,od\nH12,0.04\n", {"kind": "reading"})}),
        Push("screens/plates", "back to one plate", PLATES.files, at=time(19), meta=PLATES.meta),
    ),
)
LATE = Push(
    "screens/plates",
    "a plate that was found later",
    {"raw/plate 3/well C#7.csv": ("well,od\nC7,0.29\n", {"kind": "reading", "plate": 3})},
    at=time(20, 45),
)


def use_client(s3: Any) -> None:
    """Have quilt3 do everything through one client; left to itself it makes one for each call."""
    set_build_s3_client_hook(lambda *_, **__: s3)


def push(registry: str, day: date, wanted: Push) -> None:
    """Push one revision as if it were ``day``.

    A pointer is named after the second it was written in, so quilt3 is given another clock for it.
    """
    moment = datetime.combine(day, wanted.at, UTC)
    package = quilt3.Package()
    with (
        TemporaryDirectory() as folder,
        mock.patch.object(pointers, "time", SimpleNamespace(time=moment.timestamp)),
        redirect_stdout(StringIO()),  # quilt3 prints what to do next
    ):
        for number, (logical_key, (content, meta)) in enumerate(wanted.files.items()):
            path = Path(folder) / str(number)
            path.write_text(content)
            package.set(logical_key, path, meta=dict(meta))
        if wanted.meta:
            package.set_meta(dict(wanted.meta))
        package.push(wanted.name, registry=registry, message=wanted.message, force=True)


def browse(registry: str) -> Iterator[FileRow]:
    """Yield every file of every revision in the registry, read with ``quilt3.Package.browse``."""
    for name in sorted(quilt3.list_packages(registry)):
        for pointer, top_hash in quilt3.list_package_versions(name, registry):
            if not str(pointer).isdigit():
                continue  # a tag such as `latest`
            package = quilt3.Package.browse(name, registry=registry, top_hash=top_hash)
            for logical_key, entry in package.walk():
                yield FileRow(
                    pkg_name=name,
                    revision_at=datetime.fromtimestamp(int(pointer), UTC),
                    logical_key=logical_key,
                    top_hash=top_hash,
                    size=entry.size,
                    bucket=entry.physical_key.bucket,
                    key=entry.physical_key.path,
                    version_id=entry.physical_key.version_id,
                    hash_value=entry.hash["value"],
                    kind=_text(entry.meta.get("kind")),
                )


def revisions(registry: str) -> Iterator[Revision]:
    """Yield every revision; the latest is the newest with the top hash that ``latest`` points to."""
    for name in quilt3.list_packages(registry):
        versions = dict(quilt3.list_package_versions(name, registry))
        latest = versions.pop("latest")
        newest = max(int(pointer) for pointer, top_hash in versions.items() if top_hash == latest)
        for pointer, top_hash in versions.items():
            package = quilt3.Package.browse(name, registry=registry, top_hash=top_hash)
            message = next(package.manifest)["message"]
            moment = datetime.fromtimestamp(int(pointer), UTC)
            yield Revision(name, moment, top_hash, int(pointer) == newest, message or "")


def tags(registry: str) -> Iterator[Tag]:
    """Yield every tag."""
    for name in quilt3.list_packages(registry):
        for pointer, top_hash in quilt3.list_package_versions(name, registry):
            if not str(pointer).isdigit():
                yield Tag(name, pointer, top_hash)


def _text(value: object) -> str | None:
    # json_extract_scalar gives a scalar's text, and NULL for anything else.
    return value if value is None or isinstance(value, str) else json.dumps(value)
