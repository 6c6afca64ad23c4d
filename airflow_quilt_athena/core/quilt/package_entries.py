"""Rows of a query as entries of a Quilt package. Decides row by row; reads and writes nothing.

A row names a file by ``logical_key`` and ``physical_key`` (or ``physical_keys``), with ``size`` and, where
they are known, ``hash`` (or ``hash_type`` and ``hash_value``), ``meta`` and ``version_id``: the columns of
the entries view, and those that the Catalog makes packages from. What cannot be an entry is told with its
reason.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

from airflow_quilt_athena.core.quilt.package_json import parse_json, to_json
from airflow_quilt_athena.core.quilt.physical_keys import join_physical_key, split_physical_key

KEY_COLUMNS = ("physical_key", "physical_keys")
COLUMNS = ("logical_key", *KEY_COLUMNS, "size", "hash", "hash_type", "hash_value", "meta", "version_id")

# quilt3 8.0.0, packages.py, SUPPORTED_HASH_TYPES: what a value of each has to look like.
SHA256 = "SHA256"
_BASE64_BYTES = {"sha2-256-chunked": 32, "CRC64NVME": 8}
_SHA256_VALUE = re.compile(r"[0-9a-f]{64}")

# quilt3 8.0.0, packages.py, DEFAULT_MANIFEST_MAX_RECORD_SIZE: more, and other readers of manifests fail.
MAX_RECORD_BYTES = 1_000_000

# A manifest's ``meta`` holds what a user gave under user_meta, beside what quilt3 needs to read a file back.
_MANIFEST_META = frozenset({"user_meta", "format", "target"})

_S3_URL = re.compile(r"s3://(?P<bucket>[^/?#]+)/(?P<key>[^?#]+)(?:\?(?P<query>[^#]*))?")
_STRUCT_FIELD = re.compile(r"(\w+)=(.*?)(?=, \w+=|$)", re.DOTALL)
_EMPTY = frozenset({"", "null", "None"})


class Entry(NamedTuple):
    """A file of a package, as its manifest will tell of it. A tuple: a package may have millions."""

    logical_key: str
    physical_key: str  # as quilt3 writes it: percent-encoded, with the version if there is one
    size: int
    hash_type: str | None
    hash_value: str | None
    meta: str = "{}"  # JSON

    @property
    def place(self) -> tuple[str, str, str | None]:
        """Bucket, key and version of the object."""
        return split_physical_key(self.physical_key)

    @property
    def has_version(self) -> bool:
        """Whether the physical key names a version."""
        return "?" in self.physical_key

    def with_version(self, version_id: str) -> Entry:
        """Return the entry with its object's version."""
        bucket, key, _ = self.place
        return self._replace(physical_key=join_physical_key(bucket, key, version_id))


class Unusable(NamedTuple):
    """A row that cannot be an entry, and why."""

    number: int  # of the row, from 1
    logical_key: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.number}, {self.logical_key or 'without a logical key'}: {self.reason}"


class _UnusableError(ValueError):
    """Says why a row cannot be an entry."""


def parse_row(number: int, row: Mapping[str, Any]) -> Entry | Unusable:
    """Return the entry that a row describes, or why it cannot be one.

    >>> parse_row(1, {"logical_key": "a b.csv", "physical_keys": "[s3://acme/raw/a b.csv]", "size": "3"})
    Entry(logical_key='a b.csv', physical_key='s3://acme/raw/a%20b.csv', size=3, hash_type=None, hash_value=None, meta='{}')
    >>> str(parse_row(2, {"logical_key": "../a", "physical_key": "s3://acme/a", "size": 1}))
    "row 2, ../a: a part of its logical key is '..'"
    """  # noqa: E501
    try:
        logical_key = _logical_key(row.get("logical_key"))
        physical_key = _physical_key(row)
        hash_type, hash_value = _hash(row)
        entry = Entry(
            logical_key, physical_key, _size(row.get("size")), hash_type, hash_value, _meta(row.get("meta"))
        )
        if len(entry.meta) + len(logical_key) > MAX_RECORD_BYTES // 8:
            _refuse_long(entry)
    except _UnusableError as error:
        return Unusable(number, str(row.get("logical_key") or ""), str(error))
    return entry


def render_entry(entry: Entry) -> bytes:
    """Return the line of a manifest for an entry, byte for byte as quilt3 writes it."""
    text = encode_basestring
    digest = (
        "null"
        if entry.hash_type is None or entry.hash_value is None
        else f'{{"type": {text(entry.hash_type)}, "value": {text(entry.hash_value)}}}'
    )
    return (
        f'{{"logical_key": {text(entry.logical_key)}, "physical_keys": [{text(entry.physical_key)}], '
        f'"size": {entry.size}, "hash": {digest}, "meta": {entry.meta}}}\n'
    ).encode()


# ------------------------------------------------------------------------------------------ keys


def _logical_key(value: Any) -> str:
    if value is None or value == "":
        raise _UnusableError("it has no logical key")
    if not isinstance(value, str):
        raise _UnusableError(f"its logical key is {value!r}, which is no text")
    # One look for nearly all keys.
    if "//" in f"/{value}/" or "/." in f"/{value}":
        for part in value.split("/"):
            if part in {"", ".", ".."}:
                raise _UnusableError(f"a part of its logical key is {part!r}")
    if not value.isascii():
        _check_encodable("logical key", value)
    if "\0" in value:
        raise _UnusableError("its logical key holds a NUL character")
    return value


def _physical_key(row: Mapping[str, Any]) -> str:
    one, several = row.get("physical_key"), row.get("physical_keys")
    given = [*_listed(one), *_listed(several)]
    keys = {_parse_physical_key(value) for value in given}
    if not keys:
        raise _UnusableError("it has no physical key")
    if len(keys) > 1:
        raise _UnusableError(f"it has {len(keys)} physical keys, and an entry has one: {', '.join(given)}")
    ((bucket, key, version),) = keys
    told = row.get("version_id")
    if told is not None and told != "":
        if version is not None and version != told:
            raise _UnusableError(f"its physical key is of version {version}, its version_id {told}")
        version = str(told)
    return join_physical_key(bucket, key, version)


def _listed(value: Any) -> Sequence[Any]:
    """Return the keys in what a column holds: one, a list, or a list as Athena or JSON prints it."""
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        if not value.startswith("["):
            return (value,)
        if value.startswith('["'):
            parsed = _json("physical_keys", value)
            return parsed if isinstance(parsed, list) else (value,)
        inner = value.removeprefix("[").removesuffix("]")
        return [part for part in re.split(r",\s*(?=s3://)", inner) if part not in _EMPTY]
    if isinstance(value, Sequence):
        return value
    raise _UnusableError(f"its physical key is {value!r}, which is no text")


def _parse_physical_key(value: Any) -> tuple[str, str, str | None]:
    match = _S3_URL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        hint = "; write # in a key as %23" if isinstance(value, str) and "#" in value else ""
        raise _UnusableError(f"its physical key is {value!r}. Expected s3://bucket/key{hint}")
    key, query = match["key"], match["query"]
    key = unquote(key) if "%" in key else key
    if key.endswith("/"):
        raise _UnusableError(f"its physical key is {value!r}, which is a folder")
    if not key.isascii():
        _check_encodable("physical key", key)
    if query is None:
        return match["bucket"], key, None
    name, _, version = query.partition("=")
    if name != "versionId" or not version or "&" in version:
        raise _UnusableError(f"its physical key is {value!r}. Expected ?versionId=… or none; write ? as %3F")
    return match["bucket"], key, unquote_plus(version)


def _check_encodable(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _UnusableError(f"its {name} holds half a character and cannot be written as UTF-8") from error


# ------------------------------------------------------------------------------ size, hash, metadata


def _size(value: Any) -> int:
    if type(value) is int:
        size = value
    elif isinstance(value, str) and value.isdecimal() and len(value) < 20:
        size = int(value)
    elif value is None or value == "":
        raise _UnusableError("it has no size")
    else:
        size = _whole(value)
    if size < 0:
        raise _UnusableError(f"its size is {size}")
    return size


def _whole(value: Any) -> int:
    """Return the whole number that a size is, however it is written: 10, "10", 10.0, "1.0E3"."""
    try:
        number = Decimal(value) if isinstance(value, str | Decimal) else Decimal(float(value))
        # An object has 19 digits of bytes at the most: more are not even counted.
        if isinstance(value, bool) or number.adjusted() > 18 or number != number.to_integral_value():
            raise ValueError
        return int(number)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise _UnusableError(f"its size is {value!r}. Expected a whole number of bytes") from error


def _hash(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    hash_type, hash_value = row.get("hash_type"), row.get("hash_value")
    whole = row.get("hash")
    if whole is not None and whole != "":
        told = _hash_fields(whole)
        if hash_type and hash_value and told != (hash_type, hash_value):
            raise _UnusableError("its hash is not that of its hash_type and hash_value")
        hash_type, hash_value = told
    if not hash_type and not hash_value:
        return None, None
    if not _is_hash(hash_type, hash_value):
        known = ", ".join((SHA256, *_BASE64_BYTES))
        raise _UnusableError(f"its hash is {hash_value!r} of type {hash_type!r}. Expected one of {known}")
    return str(hash_type), str(hash_value)


def _hash_fields(value: Any) -> tuple[Any, Any]:
    """Return type and value of a hash: a mapping, JSON, or a struct as Athena prints it."""
    if isinstance(value, str):
        if value.startswith('{"'):
            value = _json("hash", value)
        elif value.startswith("{") and value.endswith("}"):
            fields = dict(_STRUCT_FIELD.findall(value[1:-1]))
            value = {name: None if text in _EMPTY else text for name, text in fields.items()}
    if not isinstance(value, Mapping):
        raise _UnusableError(f"its hash is {value!r}. Expected its type and its value")
    return value.get("type"), value.get("value")


def _is_hash(hash_type: Any, value: Any) -> bool:
    if not isinstance(hash_type, str) or not isinstance(value, str):
        return False
    if hash_type == SHA256:
        return _SHA256_VALUE.fullmatch(value) is not None
    try:
        return len(base64.b64decode(value, validate=True)) == _BASE64_BYTES.get(hash_type)
    except (binascii.Error, ValueError):
        return False


def _meta(value: Any) -> str:
    """Return an entry's metadata as a manifest has it, as JSON.

    What a manifest holds is taken as it is; anything else is what a user says of the file, which is where
    quilt3's ``entry.meta`` finds it.
    """
    if value is None or value == "" or value == "{}":
        return "{}"
    parsed = _json("meta", value) if isinstance(value, str) else value
    if parsed is None:
        return "{}"
    if not isinstance(parsed, Mapping):
        raise _UnusableError(f"its metadata is {value!r}. Expected a JSON object")
    if "user_meta" not in parsed and not parsed.keys() <= _MANIFEST_META:
        parsed = {"user_meta": parsed}
    try:
        return to_json(parsed, parsed=isinstance(value, str))
    except ValueError as error:
        raise _UnusableError(f"its metadata {error}") from error


def _json(name: str, text: str) -> Any:
    try:
        return parse_json(text, remedy="; cast it in the query: CAST(… AS JSON)")
    except ValueError as error:
        raise _UnusableError(f"its {name} {error}") from error


def _refuse_long(entry: Entry) -> None:
    length = len(render_entry(entry))
    if length > MAX_RECORD_BYTES:
        raise _UnusableError(
            f"its record in the manifest would have {length:,} bytes, and Quilt reads {MAX_RECORD_BYTES:,}"
        )
