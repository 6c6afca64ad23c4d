"""Parquet tables that keep a bucket's revisions and entries: what of a registry they hold. Pure.

Both tables have a partition for each package and day on which revisions of it were made. So a question about
one package, or about some days, reads those partitions alone; and what is new is written by replacing one of
them. Each row says of which pointer it is. Whether a revision is there, and whether it is the latest, stays
with the pointers, which views read every time: what is rolled back or deleted is seen at once.

A partition remembers what it was written from, as a parameter: of each pointer its ETag, its top hash and the
manifest's ETag. What a listing shows otherwise is not kept yet.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import md5

from airflow_quilt_athena.core.quilt.queries import (
    FILE_COLUMNS,
    ManifestSource,
    indented,
    name_queries,
)
from airflow_quilt_athena.core.quilt.revisions import (
    LATEST,
    Pointer,
    Revision,
    build_revisions,
    manifest_files,
    revision_values,
)

KEEPS_PARAMETER = "quilt_athena.keeps"  # of a partition: what it was written from
BUCKET_PARAMETER = "quilt_keeps_rows_of"  # of a table: the bucket; a property like any user's
KEYS = (("revision_date", "date"), ("pkg_name", "string"))

# What views name one by one, because it is not kept yet. A statement of 262,144 bytes holds some more.
MAX_NEWER = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_DAY = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).days
_HIDDEN_STARTS = ("_", ".")
_PRINTABLE = re.compile(r"[\x20-\x7E]+")


@dataclass(frozen=True, slots=True, order=True)
class Unit:
    """A package's revisions of one day: what one partition holds."""

    date: str  # ISO
    package: str

    @property
    def partition(self) -> dict[str, str]:
        """The partition's values."""
        return {"revision_date": self.date, "pkg_name": self.package}

    @property
    def is_printable(self) -> bool:
        """Whether Trino writes a partition of that name by itself."""
        return _PRINTABLE.fullmatch(self.package) is not None


@dataclass(frozen=True, slots=True)
class Held:
    """What a pointer held, and which version of the manifest was read; None where there was none."""

    etag: str
    top_hash: str | None
    manifest_etag: str | None


Marks = Mapping[Unit, Mapping[str, Held]]  # by the pointers' names


def unit_of(pointer: Pointer) -> Unit | None:
    """Return the unit a revision is kept in; None for what no partition can be named by, and for tags."""
    if pointer.seconds is None or any(part.startswith(_HIDDEN_STARTS) for part in pointer.package.split("/")):
        return None
    days = pointer.seconds // 86_400
    if days > _LAST_DAY:
        return None
    return Unit((_EPOCH + timedelta(days=days)).date().isoformat(), pointer.package)


def render_mark(held: Mapping[str, Held]) -> str:
    """Return what a partition was written from, as the value of a parameter."""
    return json.dumps({name: [h.etag, h.top_hash, h.manifest_etag] for name, h in held.items()})


def parse_mark(text: str | None) -> dict[str, Held] | None:
    """Read it; None for what this version did not write."""
    try:
        return {name: Held(*values) for name, values in json.loads(text or "").items()}
    except (AttributeError, TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Registry:
    """A listing: the pointers with their ETags, and the manifests'."""

    pointers: Mapping[Pointer, str]
    manifests: Mapping[str, str]  # ETag by top hash

    def hashes_by_etag(self) -> dict[str, str]:
        """Return the top hash that a pointer of some ETag holds, where S3 makes ETags of contents by MD5."""
        return {
            f'"{md5(top_hash.encode(), usedforsecurity=False).hexdigest()}"': top_hash
            for top_hash in self.manifests
        }


def guess_hashes(registry: Registry, marks: Marks) -> tuple[dict[Pointer, str], tuple[Pointer, ...]]:
    """Return what pointers hold as far as it is known without reading them, and those that have to be read.

    A pointer whose ETag is known has been read before, or has the ETag of the hash of a manifest.
    """
    by_etag = registry.hashes_by_etag()
    known: dict[Pointer, str] = {}
    unread: list[Pointer] = []
    for pointer, etag in registry.pointers.items():
        unit = unit_of(pointer)
        held = marks.get(unit, {}).get(pointer.name) if unit is not None else None
        if held is not None and held.etag == etag:
            if held.top_hash is not None:
                known[pointer] = held.top_hash
        elif etag in by_etag:
            known[pointer] = by_etag[etag]
        elif unit is not None or pointer.name == LATEST:
            unread.append(pointer)
    return known, tuple(unread)


def find_units(registry: Registry, hashes: Mapping[Pointer, str]) -> dict[Unit, dict[str, Held]]:
    """Return what the registry holds now, by unit and pointer."""
    found: dict[Unit, dict[str, Held]] = {}
    for pointer, etag in registry.pointers.items():
        unit = unit_of(pointer)
        if unit is not None:
            top_hash = hashes.get(pointer)
            manifest = None if top_hash is None else registry.manifests.get(top_hash)
            found.setdefault(unit, {})[pointer.name] = Held(etag, top_hash, manifest)
    return found


def find_newer(units: Mapping[Unit, Mapping[str, Held]], marks: Marks) -> dict[Unit, Mapping[str, Held]]:
    """Return the units of which something is not kept as it is now."""
    return {
        unit: held
        for unit, held in sorted(units.items())
        if any(marks.get(unit, {}).get(name) != one for name, one in held.items())
    }


def revisions_of(unit: Unit, held: Mapping[str, Held]) -> tuple[Revision, ...]:
    """Return the revisions of a unit whose manifests are there; which is the latest, pointers tell."""
    return tuple(
        Revision(unit.package, name, one.top_hash, False)
        for name, one in sorted(held.items())
        if one.top_hash is not None and one.manifest_etag is not None
    )


@dataclass(frozen=True, slots=True)
class Newer:
    """What the tables do not hold, and views therefore read from manifests."""

    revisions: tuple[Revision, ...] = ()
    current: tuple[str, ...] = ()  # top hashes that some latest holds, and no revision of its package

    @property
    def count(self) -> int:
        """How many manifests are named."""
        return len(self.revisions) + len(self.current)


def find_current_elsewhere(registry: Registry, hashes: Mapping[Pointer, str]) -> tuple[str, ...]:
    """Return the top hashes that a ``latest`` holds and no revision of its package does."""
    of_package: dict[str, set[str]] = {}
    for pointer, top_hash in hashes.items():
        if unit_of(pointer) is not None:
            of_package.setdefault(pointer.package, set()).add(top_hash)
    return tuple(
        sorted(
            {
                top_hash
                for pointer, top_hash in hashes.items()
                if pointer.name == LATEST
                and top_hash in registry.manifests
                and top_hash not in of_package.get(pointer.package, ())
            }
        )
    )


# --------------------------------------------------------------------------------------- what is written

_KEPT_ENTRIES = f"""
SELECT
  r.pointer,
  r.top_hash,
  r.revision_at,
{indented(FILE_COLUMNS)},
  r.revision_date,
  r.pkg_name
FROM revisions r
JOIN files f ON f.top_hash = r.top_hash
""".strip()

ENTRY_COLUMNS = (
    "pointer", "top_hash", "revision_at", "logical_key", "physical_key", "bucket", "key", "version_id",
    "size", "hash_type", "hash_value", "meta",
)  # fmt: skip
_REVISION_COLUMNS = ("pointer", "top_hash", "revision_at", "message", "user_meta", "workflow")


def build_kept_entries(
    source: ManifestSource, bucket: str, revisions: Sequence[Revision], *, with_keys: bool
) -> str:
    """Return the query whose rows the table of entries keeps of these revisions."""
    files = manifest_files(source, bucket, revisions)
    query = name_queries(("revisions", revision_values(revisions)), ("files", files)) + _KEPT_ENTRIES
    return _chosen(query, ENTRY_COLUMNS, with_keys=with_keys)


def build_kept_revisions(
    source: ManifestSource, bucket: str, revisions: Sequence[Revision], *, with_keys: bool
) -> str:
    """Return the query whose rows the table of revisions keeps of these revisions."""
    return _chosen(build_revisions(source, bucket, revisions), _REVISION_COLUMNS, with_keys=with_keys)


def _chosen(query: str, columns: Sequence[str], *, with_keys: bool) -> str:
    names = [*columns, *(name for name, _ in KEYS if with_keys)]
    selected = ", ".join(f'"{name}"' for name in names)
    return f"SELECT {selected}\nFROM (\n{indented(query)}\n)"
