"""What lies in the natural folders of a table, ``dt=2026-01-01/``, where tools write that do not ask Glue."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from posixpath import commonpath

from airflow_quilt_athena.core.glue.partitions import partition_path
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER, Columns, Table
from airflow_quilt_athena.core.overwrite.forgetting import Wanted
from airflow_quilt_athena.core.overwrite.history import Pointer, moment_of, moments_of, was_published
from airflow_quilt_athena.core.overwrite.journal_entry import Change, Entry
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import Listed, list_objects
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.sweep_result import SweepResult

log = logging.getLogger(__name__)

_MOST_LOOKED_AT = 20  # partitions that an overwrite looks after; the sweep looks at all
_MOST_LISTED = 1000


def list_natural(s3: S3Client, base: S3Uri, folder: S3Uri) -> Iterator[Listed]:
    """Yield what lies below a folder of a table, but none of its generations; those are jumped over."""
    hidden = (base / f"{GENERATIONS_FOLDER}/").key
    for found in list_objects(s3, folder):
        if found.key.startswith(hidden):
            break
        yield found
    else:
        return
    yield from list_objects(s3, folder, after=hidden.rstrip("/") + "0")  # the character after the slash


def natural_folder(base: S3Uri, keys: Columns, values: Values) -> str:
    """Return where a partition lies when nobody says otherwise."""
    return str((base / partition_path([name for name, _ in keys], values)).folder)


def is_read(found: Listed, folder: S3Uri) -> bool:
    """Whether Athena reads a file as part of a folder: it ignores names that begin with ``_`` or ``.``.

    Amazon Athena User Guide, "Other notable limitations", read 2026-11. Markers of folders are no files.
    """
    parts = found.key.removeprefix(folder.key).split("/")
    return bool(parts[-1]) and not any(part.startswith(("_", ".")) for part in parts)


def find_written_since(
    s3: S3Client, base: S3Uri, keys: Columns, changes: Sequence[Change]
) -> Iterator[tuple[Values, str, int]]:
    """Yield partition, folder and number of files that others wrote since the partition was last overwritten.

    Only for a few of the partitions that were at a generation of ours, by one listing for all of them.
    """
    places: dict[str, tuple[Values, datetime]] = {}
    for change in changes:
        moments = moments_of(change.previous or {})
        if change.previous_generation is not None and moments:
            places[natural_folder(base, keys, change.values)] = (change.values, max(moments))
    first = dict(islice(sorted(places.items()), _MOST_LOOKED_AT))
    if not first:
        return
    common = S3Uri(base.bucket, commonpath(S3Uri.parse(folder).key for folder in first) + "/")
    counts: Counter[str] = Counter()
    for found in islice(list_natural(s3, base, common), _MOST_LISTED):
        folder = next((one for one in _folders_of(base, found.key) if one in first), None)
        # S3 tells whole seconds.
        if folder is not None and found.modified_at >= first[folder][1].replace(microsecond=0):
            counts[folder] += 1
    for folder, count in counts.items():
        yield first[folder][0], folder, count


def count_natural_files(
    journal: Journal,
    table: Table,
    entries: Mapping[str, Entry],
    pointers: Mapping[Values, Pointer],
    wanted: Wanted,
    result: SweepResult,
) -> None:
    """Count what lies where overwritten partitions were: what lay there before us, and what came since.

    Neither is read any more, and both stay. One listing, of which nothing is kept but the counts.
    """
    base, keys = table.base, table.partition_keys
    read = {pointer.location for pointer in pointers.values()}
    folders = {
        natural_folder(base, keys, values): None
        for values, pointer in pointers.items()
        if pointer.generation is not None and wanted(values)
    } | _adopters(entries, wanted)
    foreign: Counter[str] = Counter()
    known: tuple[str, frozenset[tuple[str, str]]] = ("", frozenset())
    for found in list_natural(journal.s3, base, base):
        inside = list(_folders_of(base, found.key))
        folder = next((folder for folder in inside if folder in folders), None)
        if folder is None or not read.isdisjoint(inside) or not is_read(found, S3Uri.parse(folder)):
            continue
        if known[0] != folder:
            known = (folder, _listed_then(journal, folders[folder], folder))
        name = found.key.removeprefix(S3Uri.parse(folder).key)
        if (name, found.etag) in known[1]:
            counted = result.adopted.setdefault(folder, {"objects": 0, "bytes": 0})
            counted["objects"] += 1
            counted["bytes"] += found.size_bytes
        else:
            foreign[folder] += 1
    result.foreign = dict(foreign)
    for folder, count in result.foreign.items():
        log.warning(
            "%d files below %s were written since it was first overwritten here, by something that does "
            "not ask Glue. No partition points at them; they stay.",
            count,
            folder,
        )


def _adopters(entries: Mapping[str, Entry], wanted: Wanted) -> dict[str, Entry | None]:
    """Return the folders that overwrites took partitions away from, and who was the last to do so."""
    published = sorted(filter(was_published, entries.values()), key=moment_of)
    return {
        change.adopted: entry
        for entry in published
        for change in entry.changes
        if change.adopted is not None and wanted(change.values)
    }


def _listed_then(journal: Journal, adopter: Entry | None, folder: str) -> frozenset[tuple[str, str]]:
    files = journal.read_adopted(adopter).get(folder, ()) if adopter is not None else ()
    return frozenset((file.name, file.etag) for file in files)


def _folders_of(base: S3Uri, key: str) -> Iterator[str]:
    """Yield the folders that hold an object, from the innermost to the base."""
    while len(key) > len(base.key):
        key = key.rstrip("/").rpartition("/")[0] + "/"
        yield f"s3://{base.bucket}/{key}"
