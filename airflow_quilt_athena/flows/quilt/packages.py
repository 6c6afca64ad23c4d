"""Make a revision of a package: its manifest first, then its pointers. Copies no object; knows no Airflow.

Each step may be died in and repeated. A manifest without a pointer is nothing anybody sees; a pointer names a
manifest that is there; ``latest`` comes last.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import IO, Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.manifest import (
    Numbered,
    TopHash,
    build_header,
    compare_manifests,
    order_entries,
    render_manifest,
)
from airflow_quilt_athena.core.quilt.package_entries import Entry, Unusable, parse_row
from airflow_quilt_athena.core.quilt.package_request import OnEmpty, OnUnusable, PackageRequest
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.aws.objects import clock_of, list_objects
from airflow_quilt_athena.flows.quilt.package_objects import complete_entries
from airflow_quilt_athena.flows.quilt.revision_pointers import (
    TAKEN,
    PackagesClient,
    look_at_pointers,
    move_tags,
    put_revision,
)
from airflow_quilt_athena.flows.quilt.workflows import check_workflow, read_workflows

log = logging.getLogger(__name__)


_BATCH_ROWS = 1000
_TELL_EVERY_ROWS = 100_000
_MAX_TOLD = 1000  # lines of the log about unusable rows, before they are only counted
_MAX_SHOWN = 20  # of them in an error or a result


@dataclass(frozen=True, slots=True)
class PackageRevision:
    """A revision of a package as it is, made now or found."""

    request: PackageRequest
    top_hash: str | None  # None: there was nothing to make one of
    pointer: str | None
    created: bool
    entries: int
    size_bytes: int
    unusable: tuple[Unusable, ...]  # the first of them
    unusable_count: int
    moved: tuple[str, ...] = ()  # tags, latest among them

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        registry = self.request.registry
        manifest = None if self.top_hash is None else str(manifests_location(registry) / self.top_hash)
        at = self.pointer and datetime.fromtimestamp(int(self.pointer), UTC).isoformat()
        return {
            "package": self.request.package,
            "registry": f"s3://{registry}",
            "top_hash": self.top_hash,
            "revision": self.pointer,
            "revision_at": at,
            "created": self.created,
            "entries": self.entries,
            "size_bytes": self.size_bytes,
            "message": self.request.message,
            "tags": list(self.request.tags),
            "manifest": manifest,
            "unusable": {
                "count": self.unusable_count,
                "examples": [row._asdict() for row in self.unusable],
            },
        }


def create_package(
    s3: PackagesClient, request: PackageRequest, rows: Iterable[Mapping[str, Any]]
) -> PackageRevision:
    """Make a revision of a package out of rows, or find that it is there already.

    :param rows: each names a file; see ``package_entries``. Read once, and not kept.
    :raises InvalidCallError: when a row cannot be an entry and ``on_unusable`` is to fail, or the package
        does not fit its workflow.
    :raises ManualActionError: when a manifest of the same top hash names other objects.
    """
    config = read_workflows(s3, request.registry)  # before all else: whether the registry is there to be read
    numbered, unusable = _read_entries(s3, request, rows)
    entries = [entry for _, entry in numbered]
    del numbered
    size_bytes = sum(entry.size for entry in entries)
    counted = (len(entries), size_bytes, tuple(unusable[:_MAX_SHOWN]), len(unusable))
    if not entries and request.on_empty is not OnEmpty.PUBLISH:
        return _nothing(request, counted)
    workflow = check_workflow(s3, config, request, entries)
    header = build_header(request.message, request.metadata, workflow)
    with tempfile.TemporaryFile(prefix="quilt-manifest-") as manifest:
        top_hash = _write_file(manifest, header, entries)
        entries.clear()  # of a million, half a gigabyte
        log.info("Manifest of %d entries made; top hash %s.", counted[0], top_hash)
        _put_manifest(s3, request, manifest, top_hash)
    pointers = look_at_pointers(s3, request)
    pointer, created = put_revision(s3, request, top_hash, pointers)
    moved = move_tags(s3, request, top_hash, pointers)
    return PackageRevision(request, top_hash, pointer, created, *counted, moved)


def _nothing(request: PackageRequest, counted: tuple[int, int, tuple[Unusable, ...], int]) -> PackageRevision:
    if request.on_empty is OnEmpty.FAIL:
        raise InvalidCallError(
            f"There is no entry for package {request.title}; {counted[3]} rows were left out. Nothing was "
            "changed. on_empty='publish' makes an empty revision of it, 'skip' none."
        )
    return PackageRevision(request, None, None, created=False, entries=0, size_bytes=0,
                           unusable=counted[2], unusable_count=counted[3])  # fmt: skip


# --------------------------------------------------------------------------------------- entries


def _read_entries(
    s3: PackagesClient, request: PackageRequest, rows: Iterable[Mapping[str, Any]]
) -> tuple[list[Numbered], list[Unusable]]:
    kept: list[Numbered] = []
    unusable: list[Unusable] = []
    for item in complete_entries(s3, request, _parse(rows)):
        if isinstance(item, Unusable):
            unusable.append(item)
        else:
            kept.append(item)
    kept, clashing = order_entries(kept)
    unusable = sorted([*unusable, *clashing])
    _tell(request, unusable)
    return kept, unusable


def _parse(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Numbered | Unusable]]:
    """Yield the rows parsed, a batch at a time."""
    numbered = enumerate(rows, start=1)
    count = 0
    while batch := list(islice(numbered, _BATCH_ROWS)):
        found = [(number, parse_row(number, row)) for number, row in batch]
        yield [entry if isinstance(entry, Unusable) else (number, entry) for number, entry in found]
        before, count = count, count + len(batch)
        if count // _TELL_EVERY_ROWS > before // _TELL_EVERY_ROWS:
            log.info("%d rows read.", count)


def _tell(request: PackageRequest, unusable: Sequence[Unusable]) -> None:
    """Log every row that cannot be an entry; refuse them, if that is asked."""
    if not unusable:
        return
    for row in unusable[:_MAX_TOLD]:
        log.warning("Not an entry of %s: %s", request.package, row)
    if len(unusable) > _MAX_TOLD:
        kinds = Counter(_kind(row.reason) for row in unusable[_MAX_TOLD:])
        log.warning("And %d more: %s", len(unusable) - _MAX_TOLD, dict(kinds.most_common(20)))
    if request.on_unusable is OnUnusable.FAIL:
        shown = "\n".join(f"  {row}" for row in unusable[:_MAX_SHOWN])
        more = len(unusable) - _MAX_SHOWN
        raise InvalidCallError(
            f"{len(unusable)} rows cannot be entries of package {request.title}:\n{shown}\n"
            + (f"  … and {more} more, in the log.\n" if more > 0 else "")
            + "Nothing was changed. Mend the query, or let on_unusable='skip' leave them out."
        )


def _kind(reason: str) -> str:
    """Return what reasons of one kind begin with."""
    return " ".join(reason.split(" ")[:4])


# -------------------------------------------------------------------------------------- manifest


def _write_file(manifest: IO[bytes], header: Mapping[str, Any], entries: Iterable[Entry]) -> str:
    top_hash = TopHash()
    manifest.writelines(render_manifest(header, entries, top_hash))
    return top_hash.hexdigest()


def _put_manifest(s3: PackagesClient, request: PackageRequest, manifest: IO[bytes], top_hash: str) -> None:
    """Write the manifest where there is none; where there is, make sure that it names the same objects."""
    place = manifests_location(request.registry) / top_hash

    def put() -> dict[str, Any]:
        manifest.seek(0)
        answer = s3.put_object(Bucket=place.bucket, Key=place.key, Body=manifest, IfNoneMatch="*")
        clock_of(s3).learn(answer)  # by which the revision gets its time
        return answer

    if not _is_there(s3, place) and ask_unless(TAKEN, put, f"write {place} to S3") is not None:
        log.info("Manifest %s written.", place)
        return
    # Somebody wrote it before, or just now, or an earlier try did whose answer was lost.
    _refuse_other_objects(s3, place, manifest, request)


def _is_there(s3: PackagesClient, place: S3Uri) -> bool:
    """Whether there is an object; asked by a listing, since reading what is not there may be refused."""
    return any(listed.key == place.key for listed in islice(list_objects(s3, place, page_size=1), 1))


def _refuse_other_objects(
    s3: PackagesClient, place: S3Uri, manifest: IO[bytes], request: PackageRequest
) -> None:
    """Make sure that the manifest that is there names the same objects."""
    with tempfile.TemporaryFile(prefix="quilt-manifest-") as found:
        _download(s3, place, found)
        manifest.seek(0)
        differences = compare_manifests(manifest, found, str(place))
    if differences:
        shown = "\n".join(f"  {line}" for line in differences.examples)
        raise ManualActionError(
            f"Package {request.title} would have the top hash of a manifest that names other objects: "
            f"{place}. A top hash does not tell where files lie. {differences.count} entries differ:\n"
            f"{shown}\nNothing was changed: other packages and revisions may need that manifest as it is. "
            "Give the package another message or metadata, and it gets a manifest of its own; or let the "
            "rows name the objects of that manifest."
        )
    log.info("Manifest %s is there already, and names the same objects.", place)


def _download(s3: PackagesClient, place: S3Uri, target: IO[bytes]) -> None:
    """Copy an object into a file."""

    def read() -> None:
        target.seek(0)
        target.truncate()
        answer = s3.get_object(Bucket=place.bucket, Key=place.key)
        clock_of(s3).learn(answer)
        while data := answer["Body"].read(1 << 20):
            target.write(data)
        target.seek(0)

    ask(read, f"read {place} from S3")
