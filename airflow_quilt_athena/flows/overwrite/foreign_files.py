"""What lies in the natural folders of a table, ``dt=2026-01-01/``, where tools write that do not ask Glue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from posixpath import commonpath

from airflow_quilt_athena.core.glue.partitions import partition_path
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.glue.selection import Values
from airflow_quilt_athena.core.glue.tables import GENERATIONS_FOLDER, Columns
from airflow_quilt_athena.core.overwrite.journal_entry import Entry
from airflow_quilt_athena.flows.aws.clients import S3Client
from airflow_quilt_athena.flows.aws.objects import Listed, list_objects

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


def is_old(found: Listed, flipped_at: datetime) -> bool:
    """Whether a file was there when a partition was pointed elsewhere.

    S3 tells whole seconds: what is of the second of the flip may be newer.
    """
    return found.modified_at < flipped_at.replace(microsecond=0)


def adopted_at(entries: Iterable[Entry], folder: str) -> datetime | None:
    """Return since when the old files of a folder are generation zero; None when they are not."""
    moments = [entry.published_at for entry in entries if entry.published_at and entry.adopts(folder)]
    return max(moments, default=None)


def count_foreign(
    base: S3Uri,
    listed: Iterable[Listed],
    entries: Mapping[str, Entry],
    ours: Iterable[str],
    current: Iterable[str],
) -> dict[str, int]:
    """Return how many files something else has written since to folders that were overwritten.

    :param listed: what lies in natural folders.
    :param ours: the natural folders of the partitions that are at a generation of ours.
    :param current: the folders that Glue points at; what lies there is read, and no matter.
    """
    places = {folder for entry in entries.values() for c in entry.changes for folder in c.adopted}
    moments = {folder: adopted_at(entries.values(), folder) for folder in {*places, *ours}}
    counts: Counter[str] = Counter()
    read = set(current)
    for found in listed:
        folders = list(_folders_of(base, found.key))
        folder = next((folder for folder in folders if folder in moments), None)
        if folder is None or not read.isdisjoint(folders):
            continue
        flipped_at = moments[folder]
        if flipped_at is None or not is_old(found, flipped_at):
            counts[folder] += 1
    return dict(counts)


def _folders_of(base: S3Uri, key: str) -> Iterator[str]:
    """Yield the folders that hold an object, from the innermost to the base."""
    while len(key) > len(base.key):
        key = key.rstrip("/").rpartition("/")[0] + "/"
        yield f"s3://{base.bucket}/{key}"


def find_foreign_files(
    s3: S3Client, base: S3Uri, keys: Columns, entry: Entry, chain: Mapping[str, Entry]
) -> Iterator[tuple[Values, str, int]]:
    """Yield partition, folder and number of files that others have written where it was.

    Only for a few of the partitions that were at a generation of ours, by one listing for all of them.

    :param chain: the journal's entries of what was replaced, and so on back.
    """
    changes = [change for change in entry.changes if change.previous_generation is not None][:_MOST_LOOKED_AT]
    places = {
        folder: change.values
        for change in changes
        for folder in (
            natural_folder(base, keys, change.values),
            *(folder for older in chain.values() for folder in _adopted(older, change.values)),
        )
    }
    if not places:
        return
    common = S3Uri(base.bucket, commonpath(S3Uri.parse(folder).key for folder in places) + "/")
    listed = islice(list_natural(s3, base, common), _MOST_LISTED)
    counts = count_foreign(base, listed, chain, places, ())
    for folder in sorted(places.keys() & counts.keys()):
        yield places[folder], folder, counts[folder]


def _adopted(entry: Entry, values: Values) -> tuple[str, ...]:
    return tuple(folder for c in entry.changes if c.values == values for folder in c.adopted)
