"""What is asked for when a package is made, checked before anything is read or written. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
from airflow_quilt_athena.exceptions import InvalidCallError

if TYPE_CHECKING:
    from airflow_quilt_athena.core.glue.tables import Columns, TableName

# quilt3 8.0.0, util.py, PACKAGE_NAME_FORMAT; matched whole, which quilt3 does not.
_PACKAGE_NAME = re.compile(r"[\w-]+/[\w-]+")
_TAG = re.compile(r"[A-Za-z][\w.-]{0,127}", re.ASCII)


class OnUnusable(Enum):
    """What to do when rows cannot be entries."""

    FAIL = "fail"
    SKIP = "skip"


class OnUnversioned(Enum):
    """What to do with rows that name no version of their object."""

    RESOLVE = "resolve"  # ask S3 which it is now
    REFUSE = "refuse"
    KEEP = "keep"  # the package then shows whatever the object becomes


class OnEmpty(Enum):
    """What to do when there is no entry at all."""

    FAIL = "fail"
    SKIP = "skip"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """A package to be made.

    :param registry: the bucket.
    :param workflow: the id of a workflow, None for none, ``...`` for the registry's default, as in quilt3.
    :param tags: pointers to move to the revision, beside ``latest``.
    :param dedupe: whether content that is the latest already makes no second revision.
    :param check_objects: ask S3 for each object, and not only for those without a version.
    :param attempt: names the task's work, the same over its retries.
    """

    registry: str
    package: str
    message: str | None = None
    metadata: Any = None
    workflow: str | EllipsisType | None = ...
    tags: tuple[str, ...] = ()
    dedupe: bool = True
    on_unusable: OnUnusable = OnUnusable.FAIL
    on_unversioned: OnUnversioned = OnUnversioned.RESOLVE
    on_empty: OnEmpty = OnEmpty.FAIL
    check_objects: bool = False
    attempt: str = ""

    def __post_init__(self) -> None:
        check_package_name(self.package)
        check_bucket_name(self.registry)
        for tag in self.tags:
            _check_tag(tag)
        if self.message is not None and not isinstance(self.message, str):
            raise InvalidCallError(f"message is {self.message!r}. Expected text, or None.")

    @property
    def title(self) -> str:
        """The package as logs and errors name it."""
        return f"{self.package} in s3://{self.registry}"


def check_package_name(name: object) -> str:
    """Return a package's name. Raises InvalidCallError for what Quilt would not take."""
    if not isinstance(name, str) or not _PACKAGE_NAME.fullmatch(name):
        raise InvalidCallError(
            f"Not a package's name: {name!r}. Expected two parts of letters, digits, _ and -: team/package."
        )
    return name


def parse_registry(text: str) -> str:
    """Return the bucket of a registry, given as ``s3://bucket`` or as the bucket's name.

    >>> parse_registry("s3://acme-data/"), parse_registry("acme-data")
    ('acme-data', 'acme-data')
    """
    if "://" not in text:
        return check_bucket_name(text)
    place = S3Uri.parse(text)
    if place.key:
        raise InvalidCallError(f"registry is {text!r}. Expected a bucket: s3://{place.bucket}.")
    return check_bucket_name(place.bucket)


def parse_metadata(given: Any) -> Any:
    """Return a package's metadata: a mapping, text that is a JSON object, or other text as it is.

    :raises InvalidCallError: for what JSON does not know, NaN for instance, with the place.
    """
    from airflow_quilt_athena.core.quilt.package_json import parse_json, to_json

    if isinstance(given, str) and given.lstrip().startswith("{"):
        try:
            given = parse_json(given)
        except ValueError as error:
            raise InvalidCallError(f"The package's metadata {error}.") from error
    if not (given is None or isinstance(given, str | Mapping)):
        raise InvalidCallError(f"metadata is {given!r}. Expected a mapping, or text.")
    try:
        return None if given is None else parse_json(to_json(given))
    except ValueError as error:
        raise InvalidCallError(f"The package's metadata {error}.") from error


def parse_tags(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the tags, each once."""
    return tuple(dict.fromkeys((given,) if isinstance(given, str) else given))


def _check_tag(tag: object) -> None:
    from airflow_quilt_athena.core.quilt.revisions import LATEST

    if not isinstance(tag, str) or not _TAG.fullmatch(tag) or tag == LATEST:
        raise InvalidCallError(
            f"Not a tag: {tag!r}. Expected a letter and then letters, digits, _ . and -; {LATEST} is moved "
            "anyway, and names of digits are revisions."
        )


def parse_rows(given: Any) -> Iterable[Mapping[str, Any]]:
    """Return rows that were given: mappings, the XCom of a query's rows, or JSON of one of the two.

    >>> list(parse_rows({"columns": ["logical_key"], "rows": [["a"]]}))
    [{'logical_key': 'a'}]
    """
    from airflow_quilt_athena.core.quilt.package_json import parse_json

    if isinstance(given, str):
        try:
            given = parse_json(given)
        except ValueError as error:
            raise InvalidCallError(f"rows {error}. Expected a list of mappings.") from error
    if isinstance(given, Mapping) and {"columns", "rows"} <= given.keys():
        return [dict(zip(given["columns"], row, strict=True)) for row in given["rows"]]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise InvalidCallError(f"rows is {given!r}. Expected a list of mappings, one for each file.")
    return _each_checked(given)


def _each_checked(rows: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise InvalidCallError(f"Row {number} is {row!r}. Expected a mapping from column to value.")
        yield row


def check_columns(names: Iterable[str]) -> None:
    """Raise InvalidCallError when columns of these names cannot tell of files."""
    from airflow_quilt_athena.core.quilt.package_entries import COLUMNS, KEY_COLUMNS

    found = {name.lower() for name in names}
    missing = [name for name in ("logical_key", "size") if name not in found]
    missing += [] if found & set(KEY_COLUMNS) else [" or ".join(KEY_COLUMNS)]
    if missing:
        raise InvalidCallError(
            f"The rows have the columns {', '.join(sorted(found))}, and no {', no '.join(missing)}. A "
            f"package is made from {', '.join(COLUMNS)}."
        )


def build_partition_query(name: TableName, keys: Columns, partition: Mapping[str, str]) -> str:
    r"""Return a query of the rows of a partition.

    >>> from airflow_quilt_athena.core.glue.tables import TableName
    >>> build_partition_query(TableName("lake", "files"), (("dt", "date"),), {"dt": "2026-01-31"})
    'SELECT * FROM "lake"."files" WHERE "dt" = CAST(\'2026-01-31\' AS date)'
    """
    from airflow_quilt_athena.core.athena.hive_types import parse_hive_type
    from airflow_quilt_athena.core.athena.sql import Dialect, quote_identifier, quote_literal

    conditions = [
        f"{quote_identifier(key, Dialect.TRINO)} = "
        f"CAST({quote_literal(partition[key], Dialect.TRINO)} AS {parse_hive_type(hive_type).trino})"
        for key, hive_type in keys
        if key in partition
    ]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT * FROM {name.trino}{where}"
