"""A package's manifest: its header, the order of its entries, its top hash; and manifests compared. Pure.

The bytes are those that quilt3 writes, and the top hash is that which quilt3 finds. They are made here, and
not by ``quilt3.Package``, because that holds a package three times over in memory while it pushes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import Any

from airflow_quilt_athena.core.quilt.package_entries import MAX_RECORD_BYTES, Entry, Unusable, render_entry
from airflow_quilt_athena.core.quilt.package_json import parse_json, to_json
from airflow_quilt_athena.exceptions import InvalidCallError, ManualActionError

MAX_SHOWN_DIFFERENCES = 10

_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

Numbered = tuple[int, Entry]


def build_header(message: str | None, metadata: Any, workflow: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the first record of a manifest.

    :param metadata: the package's; None is none.
    :param workflow: what a workflow's check gave to be kept; None is none.
    """
    header: dict[str, Any] = {"version": "v0"}
    if metadata is not None:
        header["user_meta"] = metadata
    if workflow:
        header["workflow"] = dict(workflow)
    return {**header, "message": message}


def render_header(header: Mapping[str, Any]) -> bytes:
    """Return the first line of a manifest. Raises InvalidCallError for one that Quilt would not read."""
    line = f"{to_json(header)}\n".encode()
    if len(line) > MAX_RECORD_BYTES:
        raise InvalidCallError(
            f"Message and metadata of the package have {len(line):,} bytes; Quilt reads {MAX_RECORD_BYTES:,}."
        )
    return line


def order_entries(numbered: list[Numbered]) -> tuple[list[Numbered], list[Unusable]]:
    """Return the entries in Quilt's order, and those that cannot be in one package with others.

    Of rows that are alike in everything one is kept; of others with one logical key none is, because nothing
    tells which is meant. A file that is a folder of other files' as well is left out.
    """
    # By the parts of the path: a folder's files come before a file whose name begins like the folder's.
    numbered.sort(key=lambda item: (item[1].logical_key.replace("/", "\0"), item[0]))
    kept: list[Numbered] = []
    unusable: list[Unusable] = []
    for group in _by_logical_key(numbered):
        first = group[0]
        if kept and first[1].logical_key.startswith(f"{kept[-1][1].logical_key}/"):
            number, entry = kept.pop()
            below = first[1].logical_key
            unusable.append(Unusable(number, entry.logical_key, f"it is a folder as well, with {below}"))
        if len(group) == 1:
            kept.append(first)
            continue
        alike = all(entry == first[1] for _, entry in group)
        if alike:
            kept.append(first)
        for number, entry in group[1 if alike else 0 :]:
            others = ", ".join(str(other) for other, _ in group if other != number)
            unusable.append(
                Unusable(number, entry.logical_key, f"its logical key is also that of row {others}")
            )
    return kept, unusable


def _by_logical_key(numbered: Sequence[Numbered]) -> Iterator[list[Numbered]]:
    group: list[Numbered] = []
    for item in numbered:
        if group and item[1].logical_key != group[0][1].logical_key:
            yield group
            group = []
        group.append(item)
    if group:
        yield group


@dataclass(slots=True)
class TopHash:
    """The top hash of a package, from its header and then its entries in Quilt's order.

    Physical keys do not count: a copy of a package has its top hash, and its manifest's name.
    """

    _digest: Any = field(default_factory=hashlib.sha256)

    def add_header(self, header: Mapping[str, Any]) -> None:
        """Take the header."""
        self._digest.update(_SORTED(header).encode())

    def add_entry(self, entry: Entry) -> None:
        """Take the next entry, which has a hash."""
        text = encode_basestring_ascii
        hash_type, hash_value = text(entry.hash_type or ""), text(entry.hash_value or "")
        meta = entry.meta if entry.meta == "{}" else _SORTED(json.loads(entry.meta))
        self._digest.update(
            f'{{"hash":{{"type":{hash_type},"value":{hash_value}}},'
            f'"logical_key":{text(entry.logical_key)},"meta":{meta},"size":{entry.size}}}'.encode()
        )

    def hexdigest(self) -> str:
        """Return the top hash of what was taken."""
        return str(self._digest.hexdigest())


def render_manifest(
    header: Mapping[str, Any], entries: Iterable[Entry], top_hash: TopHash
) -> Iterator[bytes]:
    """Yield the lines of a manifest, and have ``top_hash`` take them on the way."""
    top_hash.add_header(header)
    yield render_header(header)
    for entry in entries:
        top_hash.add_entry(entry)
        yield render_entry(entry)


# ------------------------------------------------------------------------------------ comparing


@dataclass(frozen=True, slots=True)
class KeyDifferences:
    """Where two manifests of one top hash name other objects."""

    count: int
    examples: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.count > 0


def compare_manifests(ours: Iterable[bytes], theirs: Iterable[bytes], where: str) -> KeyDifferences:
    """Return which entries of two manifests with the same top hash have different physical keys.

    :param where: names their manifest, for the error.
    :raises ManualActionError: when theirs is none.
    """
    wanted = _physical_keys(ours, "the manifest just made")
    found = _physical_keys(theirs, where)
    ahead: dict[str, str] = {}  # of theirs, which other writers may have put in another order
    count = 0
    examples: list[str] = []
    for logical_key, physical_key in wanted:
        while logical_key not in ahead:
            try:
                key, theirs_is = next(found)
            except StopIteration:
                ahead[logical_key] = ""
            else:
                ahead[key] = theirs_is
        theirs_is = ahead.pop(logical_key)
        if theirs_is != physical_key:
            count += 1
            if len(examples) < MAX_SHOWN_DIFFERENCES:
                examples.append(f"{logical_key}: {physical_key} here, {theirs_is or 'none'} there")
    left = [*ahead, *(key for key, _ in found)]
    examples += [f"{key}: none here" for key in left[: MAX_SHOWN_DIFFERENCES - len(examples)]]
    return KeyDifferences(count + len(left), tuple(examples))


def _physical_keys(lines: Iterable[bytes], where: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        try:
            record = parse_json(line.decode())
            keys = record.get("physical_keys")
            if number and keys:  # neither the header nor a folder's metadata
                yield str(record["logical_key"]), str(keys[0])
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ManualActionError(
                f"Line {number + 1} of {where} is no record of a Quilt manifest: {error}. Its name is the "
                "top hash of this package, and what we did not write we do not overwrite. Look at the object."
            ) from error
