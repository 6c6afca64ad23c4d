"""What names and places an argument may hold: judges of tables, buckets, keys, roles, … Runs nothing.

A name that AWS would refuse, or that only a mistake writes (a template left unrendered, a wildcard, the text
"None"), is refused before it is looked for. What exists is for the flows to see.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime

from airflow_quilt_athena.core.arguments import (
    is_list,
    matching,
    read_printed,
    refusal,
    rendered,
    text,
)
from airflow_quilt_athena.core.glue.partitions import check_key_type, value_text
from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.overwrite.attempt_names import TEMPORARY_PREFIX
from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
from airflow_quilt_athena.exceptions import InvalidCallError

MAX_NAME_LENGTH = 255  # of databases, tables and columns: AWS Glue API reference, read 2026-11
MAX_KEY_BYTES = 1024  # of an S3 key: Amazon S3 user guide, read 2026-11

# Glue takes any character; Athena's own rule is letters, digits and underscores, and quoted names with the
# others here are in use.
_NAME = re.compile(r"[\w$@#+-]+")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LISTED = "letters, digits and underscores"

workgroup = matching(r"[A-Za-z0-9._-]{1,128}", "a workgroup's name: up to 128 letters, digits, . _ and -")
region = matching(r"[a-z]{2,}(?:-[a-z0-9]+){2,}", "an AWS region, such as eu-west-1")
connection = matching(r"[\w#!()./:\\-]{1,250}", "the id of an Airflow connection")
catalog = matching(r"\d{12}(?::\S+)?", "a Glue catalog: the 12 digits of an account, as text")
policy = matching(r"[\w+=,.@-]{1,120}", "a policy's name: up to 120 letters, digits and _ + = , . @ -")
role = matching(
    r"[\w+=,.@-]{1,64}|arn:aws[\w-]*:iam::\d{12}:role/[\x21-\x29\x2b-\x3e\x40-\x7e]{1,512}",
    "a role's name or ARN",
)
_KEY_ARN = r"arn:aws[\w-]*:kms:[a-z0-9-]+:\d{12}:"
key_arn = matching(
    _KEY_ARN + r"(?:key|alias)/[\w/:-]+",
    "the ARN of a KMS key: arn:aws:kms:eu-west-1:111122223333:key/…",
)
# In a policy an alias grants nothing: a Resource is the key itself.
own_key_arn = matching(
    _KEY_ARN + r"key/[\w-]+",
    "the ARN of a KMS key itself, not of an alias: arn:aws:kms:eu-west-1:111122223333:key/…",
)


queue_arn = matching(
    r"arn:[\w-]+:sqs:[\w-]+:[0-9]{12}:[A-Za-z0-9_-]{1,80}([.]fifo)?",
    "the ARN of a queue of SQS: arn:aws:sqs:eu-west-1:111122223333:quilt-events",
)


def database(name: str, value: object) -> str:
    """Judge the name of a Glue database."""
    expected = f"a database's name: up to {MAX_NAME_LENGTH} {_LISTED}"
    found = text(name, value, expected)
    if not _is_name(found):
        raise refusal(name, value, expected)
    return found


def table(name: str, value: object) -> str:
    """Judge ``table`` or ``database.table``, which is none of the temporary ones."""
    from airflow_quilt_athena.core.glue.tables import TableName

    expected = f"table or database.table, each of up to {MAX_NAME_LENGTH} {_LISTED}"
    if not isinstance(value, str):
        raise refusal(name, value, expected)
    parsed = TableName.parse(value, "default")  # says more of a name with three parts, or with none
    found = text(name, value, expected)
    if not (_is_name(parsed.database) and _is_name(parsed.table)):
        raise refusal(name, value, expected)
    if parsed.table.startswith(TEMPORARY_PREFIX):
        raise refusal(name, value, f"a table that stays; {TEMPORARY_PREFIX}… are temporary ones")
    return found


def _is_name(found: str) -> bool:
    return bool(_NAME.fullmatch(found)) and len(found) <= MAX_NAME_LENGTH and found != "None"


def column(name: str, value: object) -> str:
    """Judge the name of a column, which Athena keeps in lower case."""
    expected = f"a column's name of up to {MAX_NAME_LENGTH} characters"
    found = rendered(name, text(name, value, expected), expected).strip()
    if _CONTROL.search(found) or len(found) > MAX_NAME_LENGTH:
        raise refusal(name, value, expected)
    return found.lower()


def bucket(name: str, value: object) -> str:
    """Judge the name of a bucket that may exist."""
    found = text(name, value, "a bucket's name, without s3://")
    try:
        return check_bucket_name(found)
    except InvalidCallError as error:
        raise InvalidCallError(f"{name}: {error}") from error


def place(name: str, value: object) -> S3Uri:
    """Judge ``s3://bucket/key``."""
    expected = "an S3 URI: s3://bucket/key"
    found = text(name, value, expected)
    try:
        uri = S3Uri.parse(found)
    except InvalidCallError as error:
        raise InvalidCallError(f"{name}: {error}") from error
    if not _BUCKET.fullmatch(uri.bucket):
        raise refusal(name, value, f"{expected}, with a bucket's name of letters, digits and . _ -")
    if _CONTROL.search(uri.key) or len(uri.key.encode()) > MAX_KEY_BYTES:
        raise refusal(name, value, f"{expected}, of up to {MAX_KEY_BYTES:,} printable bytes")
    return uri


def folder(name: str, value: object) -> S3Uri:
    """Judge ``s3://bucket/folder/``: a place of its own, which no wildcard widens."""
    uri = place(name, value)
    if re.search(r"[*?$]", uri.key):
        raise refusal(name, value, "one folder: s3://bucket/folder/, without *, ? or $")
    if not uri.key.strip("/"):
        raise InvalidCallError(
            f"{name} is the root of a bucket ({uri}). Expected a folder: s3://bucket/folder/."
        )
    return uri


def file(name: str, value: object) -> S3Uri:
    """Judge ``s3://bucket/key`` that names a file."""
    uri = place(name, value)
    if not uri.key or uri.key.endswith("/"):
        raise InvalidCallError(f"{name} is {uri}, which names no file. Expected s3://bucket/key.csv.")
    return uri


# -------------------------------------------------------------------------------------------- partitions

Partition = dict[str, str] | str


def partition(name: str, value: object) -> Partition:
    """Judge the partition that is meant: a value, or a mapping from key to value; ``{}`` is all."""
    found = read_printed(value) if isinstance(value, str) else value
    if isinstance(found, Mapping):
        values = {}
        for key, single in found.items():
            values[column(f"a key of {name}", key)] = partition_value(f"{name}[{key!r}]", single)
        if len(values) < len(found):
            raise InvalidCallError(f"{name} names one of its keys twice: {', '.join(map(str, found))}.")
        return values
    return partition_value(name, found)


def partition_value(name: str, value: object) -> str:
    """Judge one value: text, a whole number, a switch, a Decimal, a date or a datetime."""
    expected = "text, a whole number, a boolean, a Decimal, a date or a datetime"
    if isinstance(value, str):
        if not isinstance(read_printed(value), str):
            raise refusal(name, value, f"{expected}; this is the text of a list or a mapping")
        return value_text(rendered(name, text(name, value, expected), expected))
    try:
        return value_text(value)
    except InvalidCallError as error:
        raise refusal(name, value, expected) from error


def partitions(name: str, value: object) -> tuple[Partition, ...]:
    """Judge one partition or several."""
    found = read_printed(value) if isinstance(value, str) else value
    if not is_list(found):
        return (partition(name, found),)
    if not found:
        raise refusal(name, value, "one partition at least; None is all of them")
    return tuple(partition(f"{name}[{number}]", one) for number, one in enumerate(found))  # type: ignore[arg-type, var-annotated]


def partition_keys(name: str, value: object) -> tuple[tuple[str, str], ...]:
    """Judge the keys of a table to be made: names, for strings, or a mapping from name to Hive type."""
    expected = "names of partition keys, or a mapping from name to Hive type"
    found = read_printed(value) if isinstance(value, str) else value
    if isinstance(found, str):
        found = (found,)
    if isinstance(found, Mapping):
        pairs = [(column(f"a key of {name}", key), kind) for key, kind in found.items()]
    elif is_list(found):
        pairs = [(column(f"{name}[{number}]", key), "string") for number, key in enumerate(found)]  # type: ignore[arg-type, var-annotated]
    else:
        raise refusal(name, value, expected)
    names = [key for key, _ in pairs]
    if len(set(names)) < len(names) or not all(_NAME.fullmatch(key) for key in names):
        raise refusal(name, value, f"{expected}: {_LISTED}, each once")
    return tuple((key, _key_type(f"{name}[{key!r}]", kind)) for key, kind in pairs)


def _key_type(name: str, value: object) -> str:
    kind = text(name, value, "a Hive type, such as string, date or int")
    try:
        return check_key_type(kind)
    except InvalidCallError as error:
        raise InvalidCallError(f"{name}: {error} Expected a simple type, such as string or date.") from error


def date_format(name: str, value: object) -> str:
    """Judge how a date of the run becomes a partition value: runs of other years must give other values."""
    expected = "a format of strftime that tells days apart, such as %Y-%m-%d"
    found = text(name, value, expected)
    try:
        first, second = (datetime(year, 5, 17, 4, 5).strftime(found) for year in (2025, 2026))
    except (ValueError, UnicodeError) as error:  # not every platform's strftime takes every format
        raise refusal(name, value, expected) from error
    if first == second or not first.strip():
        raise refusal(name, value, expected)
    return found


def moment(name: str, value: object) -> str | date:
    """Judge a date or a time, which may be text."""
    if isinstance(value, date):
        return value
    return text(name, value, "a date or a time, such as 2026-01-31")
