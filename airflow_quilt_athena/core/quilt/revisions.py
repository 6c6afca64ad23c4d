"""The revisions of an interval, and queries that read their manifests alone. Returns text; runs nothing.

The names of Quilt's pointers are the seconds at which revisions were made, so a listing tells which belong to
an interval. A query that names their manifests by ``"$path"`` opens those files alone: its bytes do not grow
with the history of the registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from airflow_quilt_athena.core.athena.sql import Dialect, quote_literal, replace_in_code
from airflow_quilt_athena.core.quilt.chosen_by import By
from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
from airflow_quilt_athena.core.quilt.queries import (
    ENTRIES,
    REVISION_AT,
    REVISIONS,
    ManifestSource,
    files_query,
    headers_query,
    name_queries,
)
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location
from airflow_quilt_athena.exceptions import InvalidCallError

REVISIONS_TOKEN = "{revisions}"
ENTRIES_TOKEN = "{entries}"
TOKENS = (REVISIONS_TOKEN, ENTRIES_TOKEN)
LATEST = "latest"

# Trino turns a list of more values than its limit into the range from the least to the greatest, which for
# hashes is all. The limit is 1,000 in Trino 476 and was 100 in releases before; Athena's is not known.
MAX_PATHS_PER_BRANCH = 100

_POINTER = re.compile(r"(?P<package>[^/]+/[^/]+)/(?P<name>[^/]+)")
SECONDS = re.compile(r"[0-9]{1,12}")  # as the views read them
Build = Callable[..., str]  # of a source's headers or files, at some paths

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Interval:
    """The revisions of a bucket made, or arrived, from ``start`` on and before ``end``, both UTC."""

    bucket: str
    start: datetime
    end: datetime
    by: By = By.REVISION
    source_database: str | None = None  # of a Quilt platform, whose tables may be read

    def chooses(self, pointer: Pointer) -> bool:
        """Whether a pointer is a revision of the interval."""
        if pointer.seconds is None:
            return False
        if self.by is By.ARRIVAL:
            return pointer.arrived_at is not None and self.start <= pointer.arrived_at < self.end
        # Not as a datetime: twelve digits may be a time beyond its last.
        return self.start - _EPOCH <= timedelta(seconds=pointer.seconds) < self.end - _EPOCH


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer of a package: a revision by its seconds, or a tag."""

    package: str
    name: str
    arrived_at: datetime | None = field(default=None, compare=False)  # as a listing tells

    @property
    def seconds(self) -> int | None:
        """When the revision was made, in seconds since 1970; None for a tag."""
        return int(self.name) if SECONDS.fullmatch(self.name) else None

    def key(self, bucket: str) -> str:
        """Return the key of its object."""
        return f"{packages_location(bucket).key}{self.package}/{self.name}"


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision of a package."""

    package: str
    pointer: str
    top_hash: str
    is_latest: bool


def parse_interval(given: Mapping[str, object]) -> Interval:
    """Read ``{"bucket": …, "start": …, "end": …, "by": …}``; without an end, the interval lasts a day.

    Raises InvalidCallError for other keys, for what is no date or time, and for an end that is not after the
    start. A date is its midnight, a time without a zone is UTC.

    >>> day = parse_interval({"bucket": "my-data", "start": "2026-01-31", "end": "2026-02-01"})
    >>> day.chooses(Pointer("user/pkg", "1769817600"))
    True
    """
    needed, known = {"bucket", "start"}, {"bucket", "start", "end", "by", "source_database"}
    if not needed <= set(given) <= known:
        raise InvalidCallError(
            f"quilt_revisions has the keys {sorted(given)}. Expected {sorted(known)}: the revisions of a "
            "bucket made from start on and before end, or, without an end, in the day from start on; by "
            'is "revision", or "arrival" for those that arrived in that time; source_database is that of a '
            "Quilt platform whose tables are to be read."
        )
    bucket = str(given["bucket"])
    if bucket == "None":
        raise InvalidCallError(
            "quilt_revisions['bucket'] is None. Expected a bucket's name. A template that found no value "
            "renders as None."
        )
    start = _parse_moment("start", given["start"])
    end = _parse_moment("end", given["end"]) if "end" in given else start + timedelta(days=1)
    if not start < end:
        raise InvalidCallError(f"quilt_revisions ends at {end}, which is not after its start, {start}.")
    by = _parse_by(given.get("by", By.REVISION.value))
    database = given.get("source_database")
    return Interval(check_bucket_name(bucket), start, end, by, None if database is None else str(database))


def _parse_by(value: object) -> By:
    try:
        return By(value)
    except ValueError as error:
        known = ", ".join(by.value for by in By)
        raise InvalidCallError(f"quilt_revisions['by'] is {value!r}. Expected one of {known}.") from error


def _parse_moment(name: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value).strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidCallError(
            f"quilt_revisions[{name!r}] is {value!r}. Expected a date or a time, such as 2026-01-31. A "
            "template that found no value renders as None."
        ) from error


def parse_pointer(bucket: str, key: str, arrived_at: datetime | None = None) -> Pointer | None:
    """Return the pointer of a key in a bucket's pointers folder; None when it is the key of none."""
    match = _POINTER.fullmatch(key.removeprefix(packages_location(bucket).key))
    return Pointer(match["package"], match["name"], arrived_at) if match else None


def parse_pointers(bucket: str, keys: Iterable[str]) -> tuple[Pointer, ...]:
    """Return the pointers among the keys of a bucket's pointers folder."""
    found = (parse_pointer(bucket, key) for key in keys)
    return tuple(pointer for pointer in found if pointer is not None)


def choose_pointers(interval: Interval, pointers: Sequence[Pointer]) -> tuple[Pointer, ...]:
    """Return the pointers that have to be read: those of the interval, and what tells which is the latest.

    That is ``latest`` of their packages, and their packages' later revisions: one of those with the same top
    hash would be the latest instead.
    """
    first = {
        pointer.package: seconds
        for pointer in sorted(pointers, key=lambda pointer: pointer.seconds or 0, reverse=True)
        if (seconds := pointer.seconds) is not None and interval.chooses(pointer)
    }
    return tuple(
        pointer
        for pointer in pointers
        if pointer.package in first
        and (pointer.name == LATEST or (pointer.seconds or 0) >= first[pointer.package])
    )


def plan_revisions(interval: Interval, hashes: Mapping[Pointer, str]) -> tuple[Revision, ...]:
    """Return the interval's revisions from what the pointers hold, in the order of their making."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for pointer, top_hash in hashes.items():
        if pointer.seconds is not None:
            key, age = (pointer.package, top_hash), (pointer.seconds, pointer.name)
            newest[key] = max(age, newest.get(key, age))
    found = sorted(
        (seconds, pointer.package, pointer.name, top_hash)
        for pointer, top_hash in hashes.items()
        if (seconds := pointer.seconds) is not None and interval.chooses(pointer)
    )
    return tuple(
        Revision(
            package,
            name,
            top_hash,
            is_latest=hashes.get(Pointer(package, LATEST)) == top_hash
            and newest[package, top_hash] == (seconds, name),
        )
        for seconds, package, name, top_hash in found
    )


def fill_tokens(query: str, source: ManifestSource, bucket: str, revisions: Sequence[Revision]) -> str:
    """Return ``query`` with its tokens replaced by queries of these revisions; other braces stay."""
    builds = {REVISIONS_TOKEN: build_revisions, ENTRIES_TOKEN: build_entries}
    used = {token: build for token, build in builds.items() if token in query}
    queries = {token: f"(\n{build(source, bucket, revisions)}\n)" for token, build in used.items()}
    # In one pass: a name in the registry may look like a token.
    return replace_in_code(query, queries) if queries else query


def build_revisions(source: ManifestSource, bucket: str, revisions: Sequence[Revision]) -> str:
    """Return a query with the columns of the revisions view, for these revisions."""
    headers = manifest_headers(source, bucket, revisions)
    return name_queries(("revisions", revision_values(revisions)), ("headers", headers)) + REVISIONS


def build_entries(source: ManifestSource, bucket: str, revisions: Sequence[Revision]) -> str:
    """Return a query with the columns of the entries view, for the files of these revisions."""
    files = manifest_files(source, bucket, revisions)
    return name_queries(("revisions", revision_values(revisions)), ("files", files)) + ENTRIES


def manifest_headers(source: ManifestSource, bucket: str, revisions: Sequence[Revision]) -> str:
    """Return what the headers of these revisions' manifests say, opening no others."""
    return _branches(headers_query, source, bucket, revisions)


def manifest_files(source: ManifestSource, bucket: str, revisions: Sequence[Revision]) -> str:
    """Return the lines of these revisions' manifests that are files, opening no others."""
    return _branches(files_query, source, bucket, revisions)


def _branches(build: Build, source: ManifestSource, bucket: str, revisions: Sequence[Revision]) -> str:
    folder = manifests_location(bucket)
    paths = [str(folder / top_hash) for top_hash in sorted({revision.top_hash for revision in revisions})]
    paths = paths or [str(folder)]  # which is no file's
    starts = range(0, len(paths), MAX_PATHS_PER_BRANCH)
    return "\nUNION ALL\n".join(
        build(source, paths[start : start + MAX_PATHS_PER_BRANCH]) for start in starts
    )


def revision_values(revisions: Sequence[Revision]) -> str:
    """Return the rows of these revisions themselves."""
    rows = ",\n".join(f"  {_row(revision)}" for revision in revisions)
    # Without a revision there is a row for the types, which the condition leaves out.
    rows, condition = (rows, "") if rows else ("  ('', '', '0', false)", "\nWHERE false")
    moment = REVISION_AT.format("CAST(pointer AS bigint)")
    return (
        "SELECT\n"
        "  CAST(pkg_name AS varchar) AS pkg_name,\n"
        "  CAST(top_hash AS varchar) AS top_hash,\n"
        "  CAST(pointer AS varchar) AS pointer,\n"
        f"  {moment} AS revision_at,\n"
        f"  CAST({moment} AS date) AS revision_date,\n"
        "  is_latest\n"
        f"FROM (VALUES\n{rows}\n) AS t (pkg_name, top_hash, pointer, is_latest){condition}"
    )


def _row(revision: Revision) -> str:
    texts = (revision.package, revision.top_hash, revision.pointer)
    cells = [quote_literal(text, Dialect.TRINO) for text in texts]
    return f"({', '.join([*cells, 'true' if revision.is_latest else 'false'])})"


def cut_revisions(revisions: Sequence[Revision], most_bytes: int) -> tuple[tuple[Revision, ...], ...]:
    """Return the revisions in groups whose queries are about ``most_bytes`` long at most."""
    groups: list[list[Revision]] = []
    size = 0
    for revision in revisions:
        length = len(_row(revision).encode()) + len(revision.top_hash) + _PATH_BYTES
        if not groups or size + length > most_bytes:
            groups.append([])
            size = 0
        groups[-1].append(revision)
        size += length
    return tuple(map(tuple, groups))


# Of a manifest's path beside its top hash: the folder, and a bucket's name, which may have 255 characters.
_PATH_BYTES = 280
