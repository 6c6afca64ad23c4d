"""Names in Glue for what belongs to a bucket: legal, stable, and never shared by two buckets."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from airflow_quilt_athena.exceptions import InvalidCallError

# AWS Glue, "Table" (API reference), read 2026-11.
MAX_TABLE_NAME_LENGTH = 255

_SUFFIXES = {
    "manifests": "_quilt_manifests",
    "packages": "_quilt_packages",
    "packages_view": "_quilt_packages_view",
    "objects_view": "_quilt_objects_view",
    "revisions": "_quilt_revisions",
    "entries": "_quilt_entries",
    "current": "_quilt_current",
    "tags": "_quilt_tags",
    "entries_table": "_quilt_entries_table",
    "revisions_table": "_quilt_revisions_table",
}
_TABLES = frozenset({"manifests", "packages", "entries_table", "revisions_table"})
MAX_IDENTIFIER_LENGTH = MAX_TABLE_NAME_LENGTH - max(map(len, _SUFFIXES.values()))

# Amazon S3 user guide, "General purpose bucket naming rules", read 2026-11. Buckets made in us-east-1 before
# March 2018 may be longer and hold upper case and underscores.
_OLD_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_NEW_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

_PLAIN = re.compile(r"[a-z][a-z0-9-]*")
_HASH_LENGTH = 12
# What a made-up identifier ends with. A plain name that would end so is not plain, or the two could meet.
_LOOKS_HASHED = re.compile(rf".*--[0-9a-f]{{{_HASH_LENGTH}}}")


def check_bucket_name(bucket: str) -> str:
    """Return ``bucket`` when it can be the name of a bucket that exists; raise InvalidCallError otherwise."""
    if not _OLD_BUCKET.fullmatch(bucket):
        hint = " Leave out s3://." if bucket.startswith("s3:") else ""
        raise InvalidCallError(
            f"Not a bucket name: {bucket!r}. Expected 3 to 255 of the characters A-Z a-z 0-9 . _ -.{hint}"
        )
    return bucket


def check_new_bucket_name(bucket: str) -> str:
    """Return ``bucket`` when S3 would make a bucket of that name today; raise InvalidCallError otherwise."""
    fault = _fault_of_new_bucket(bucket)
    if fault:
        raise InvalidCallError(
            f"Not a name for a new bucket: {bucket!r} {fault}. Expected 3 to 63 of a-z 0-9 . -, "
            "with a letter or digit at both ends."
        )
    return bucket


def _fault_of_new_bucket(bucket: str) -> str | None:
    if not _NEW_BUCKET.fullmatch(bucket):
        return "has the wrong length or characters"
    if ".." in bucket:
        return "has two dots in a row"
    if _IP_ADDRESS.fullmatch(bucket):
        return "looks like an IP address"
    reserved = [text for text in _RESERVED_STARTS if bucket.startswith(text)]
    reserved += [text for text in _RESERVED_ENDS if bucket.endswith(text)]
    return f"uses {reserved[0]!r}, which S3 keeps to itself" if reserved else None


def bucket_identifier(bucket: str) -> str:
    """Return the identifier that stands for ``bucket`` in the names of its tables and views.

    Legal without quotes in both of Athena's languages, and different for different buckets. A plain name
    keeps its look; one that would lose something (dots, upper case, a leading digit, underscores) or is
    too long gets a piece of its hash.

    >>> bucket_identifier("my-quilt-bucket")
    'my_quilt_bucket'
    >>> bucket_identifier("My.Data")
    'my_data__c804ecec224a'
    """
    check_bucket_name(bucket)
    if _PLAIN.fullmatch(bucket) and not _LOOKS_HASHED.fullmatch(bucket) and _fits(bucket):
        return bucket.replace("-", "_")
    readable = re.sub(r"[^a-z0-9]", "_", bucket.lower())
    if not readable[0].isalpha():
        readable = f"b_{readable}"
    digest = hashlib.sha256(bucket.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{readable[: MAX_IDENTIFIER_LENGTH - _HASH_LENGTH - 2]}__{digest}"


def _fits(bucket: str) -> bool:
    return len(bucket) <= MAX_IDENTIFIER_LENGTH


@dataclass(frozen=True, slots=True)
class BucketNames:
    """The tables and views of one bucket."""

    bucket: str
    manifests: str  # table: the lines of all manifests
    packages: str  # table: the pointers, revisions and tags
    packages_view: str  # compatible views, with the columns of Quilt's documentation of 2022
    objects_view: str
    revisions: str  # clean views
    entries: str
    current: str
    tags: str
    entries_table: str  # Parquet tables that keep what the views of these names show
    revisions_table: str

    @classmethod
    def of(cls, bucket: str) -> BucketNames:
        """Return the names for ``bucket``."""
        identifier = bucket_identifier(bucket)
        return cls(bucket, **{name: identifier + suffix for name, suffix in _SUFFIXES.items()})

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables' names."""
        return (self.manifests, self.packages)

    @property
    def kept_tables(self) -> tuple[str, ...]:
        """The names of the tables that keep rows."""
        return (self.entries_table, self.revisions_table)

    @property
    def compatible_views(self) -> tuple[str, ...]:
        """The names of the two views that Quilt's documentation of 2022 makes as well."""
        return (self.packages_view, self.objects_view)

    @property
    def views(self) -> tuple[str, ...]:
        """The views' names."""
        return (self.packages_view, self.objects_view, self.revisions, self.entries, self.current, self.tags)


def views_beside(view: str) -> tuple[str, ...]:
    """Return the names of all views of the bucket that has this one.

    >>> views_beside("acme_quilt_tags")[-2:]
    ('acme_quilt_current', 'acme_quilt_tags')
    """
    suffixes = [suffix for name, suffix in _SUFFIXES.items() if name not in _TABLES]
    identifier = next((view.removesuffix(suffix) for suffix in suffixes if view.endswith(suffix)), None)
    return () if identifier is None else tuple(identifier + suffix for suffix in suffixes)
