"""What a listing of a bucket shows and its views do not, with the reason for each. Pure: reads what was read.

Names tell some of it: what Athena skips, what is no pointer, what is no manifest. What is inside the files is
asked of the views' tables, in one query over all of them or over those that are new.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from airflow_quilt_athena.core.quilt.revisions import SECONDS
from airflow_quilt_athena.core.quilt.table_ddl import manifests_location, packages_location

CHECKED_PARAMETER = "quilt_athena.checked"

# A statement of 262,144 bytes holds about two thousand paths; beyond this everything is read.
MAX_NEW_FILES = 1_000
_MOST_KEPT = 1_000  # a parameter in Glue holds 512,000 bytes
HIDDEN_STARTS = ("_", ".")
_TOP_HASH = re.compile(r"[0-9a-f]{64}")
_POINTER_BYTES = range(64, 67)  # with the end of line that an editor leaves


class Reason(Enum):
    """Why something is not as a listing lets expect; the text is a log's."""

    HIDDEN_PACKAGES = "packages that no query sees, because Athena skips folders that begin with _ or a dot"
    HIDDEN_TAGS = "tags whose names begin with _ or a dot, which Athena skips"
    REGISTRY_V2 = "a registry of version 2 in .quilt/v2, which the views do not read"
    ODD_POINTER_NAMES = "pointers named by a number that is no time in seconds: neither revisions nor tags"
    MISPLACED_POINTERS = "objects among the pointers that belong to no package"
    POINTER_BODIES = "pointers that hold something else than one top hash"
    MISSING_MANIFESTS = "pointers to a manifest that is not there, or is empty"
    UNREADABLE_HEADERS = "manifests whose header cannot be read: message and metadata are NULL"
    UNREADABLE_LINES = "manifests with lines that Athena reads as NULL: no JSON, or blank"
    ODD_SIZES = "manifests with sizes that are no whole numbers, and NULL"
    UNEXPLAINED = "pointers that a query does not show, for no reason known here"
    OTHER_OBJECTS = "objects among the manifests that are none: copies in folders, other formats"

    @property
    def loses_rows(self) -> bool:
        """Whether something of the registry is missing or wrong; other objects are only told of."""
        return self is not Reason.OTHER_OBJECTS


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it seems."""

    reason: Reason
    name: str
    count: int = 1
    key: str | None = None  # the object that a query told of


@dataclass(frozen=True, slots=True)
class File:
    """An object of the registry, as a listing tells of it."""

    key: str
    modified_at: datetime
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All of a registry's objects, and when they were listed."""

    bucket: str
    pointers: tuple[File, ...]
    manifests: tuple[File, ...]  # all objects in their folder
    has_registry_v2: bool
    looked_at: datetime

    @property
    def digest(self) -> str:
        """Equal where nothing came, went or was written again."""
        return _digest(f"{file.key} {file.modified_at}" for file in (*self.pointers, *self.manifests))

    def manifests_before(self, moment: datetime) -> str:
        """Return a hash of the manifests that are older."""
        return _digest(file.key for file in self.manifests if file.modified_at < moment)


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def judge_names(listing: Listing) -> tuple[Finding, ...]:
    """Return what the names of the objects tell."""
    found = [Finding(Reason.REGISTRY_V2, ".quilt/v2/")] if listing.has_registry_v2 else []
    for file in listing.pointers:
        finding = _judge_pointer(listing.bucket, file)
        if finding is not None:
            found.append(finding)
    root = manifests_location(listing.bucket).key
    found += [
        Finding(Reason.OTHER_OBJECTS, file.key.removeprefix(root))
        for file in listing.manifests
        if not file.key.endswith("/") and not _TOP_HASH.fullmatch(file.key.removeprefix(root))
    ]
    return tuple(dict.fromkeys(found))


def _judge_pointer(bucket: str, file: File) -> Finding | None:
    path = file.key.removeprefix(packages_location(bucket).key)
    if path.endswith("/") or not path:
        return None  # how some tools show a folder
    parts = path.split("/")
    if len(parts) != 3:
        return Finding(Reason.MISPLACED_POINTERS, path)
    package, name = "/".join(parts[:2]), parts[2]
    if any(part.startswith(HIDDEN_STARTS) for part in parts[:2]):
        return Finding(Reason.HIDDEN_PACKAGES, package)
    if name.startswith(HIDDEN_STARTS):
        return Finding(Reason.HIDDEN_TAGS, path)
    if re.fullmatch(r"[0-9]+", name) and not SECONDS.fullmatch(name):
        return Finding(Reason.ODD_POINTER_NAMES, path)
    if file.size_bytes not in _POINTER_BYTES:
        return Finding(Reason.POINTER_BODIES, path)
    return None


# ------------------------------------------------------------------------------------ what was known before


@dataclass(frozen=True, slots=True)
class Checked:
    """The last check: what it covered, and what a query told it."""

    listing: str
    looked_at: datetime
    old_manifests: str  # a hash of those that were older than the look
    findings: tuple[Finding, ...]  # of the query; names are judged anew each time

    @classmethod
    def of(cls, listing: Listing, findings: Sequence[Finding]) -> Checked:
        """Return the record of a check of this listing."""
        return cls(
            listing.digest, listing.looked_at, listing.manifests_before(listing.looked_at), tuple(findings)
        )

    def render(self) -> str | None:
        """Return it as the value of a parameter; None where it would be too long to be kept."""
        if len(self.findings) > _MOST_KEPT:
            return None
        document = {
            "listing": self.listing,
            "looked_at": self.looked_at.isoformat(),
            "old_manifests": self.old_manifests,
            "findings": [[f.reason.name, f.name, f.count, f.key] for f in self.findings],
        }
        return json.dumps(document)


def parse_checked(text: str | None) -> Checked | None:
    """Read the parameter; None where there is none that this version knows."""
    try:
        document = json.loads(text or "")
        return Checked(
            document["listing"],
            datetime.fromisoformat(document["looked_at"]),
            document["old_manifests"],
            tuple(
                Finding(Reason[reason], name, count, key) for reason, name, count, key in document["findings"]
            ),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Check:
    """What has to be asked of the tables to know about a listing, and what is known without."""

    listing: Listing
    pointers: tuple[File, ...] | None  # those to ask about; None is all
    manifests: tuple[File, ...] | None
    known: tuple[Finding, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether there is anything to ask about."""
        return self.pointers is None or bool(self.pointers) or bool(self.manifests)


def plan_check(listing: Listing, before: Checked | None) -> Check:
    """Return what to ask: nothing, about what is new, or about everything."""
    if before is None:
        return Check(listing, None, None)
    if before.listing == listing.digest:
        return Check(listing, (), (), before.findings)
    new_pointers = tuple(f for f in listing.pointers if f.modified_at >= before.looked_at)
    new_manifests = tuple(f for f in listing.manifests if f.modified_at >= before.looked_at)
    gone = listing.manifests_before(before.looked_at) != before.old_manifests
    if gone or len(new_pointers) + len(new_manifests) > MAX_NEW_FILES:
        return Check(listing, None, None)  # a manifest that went may leave pointers behind, anywhere
    old = {file.key for file in (*listing.pointers, *listing.manifests)}
    old -= {file.key for file in (*new_pointers, *new_manifests)}
    known = tuple(
        finding
        for finding in before.findings
        if finding.key in old
        and not (finding.reason is Reason.MISSING_MANIFESTS and _manifest_of(listing, finding) in old)
    )
    return Check(listing, new_pointers, new_manifests, known)


def _manifest_of(listing: Listing, finding: Finding) -> str:
    return manifests_location(listing.bucket).key + finding.name.rpartition(" ")[2]


# ------------------------------------------------------------------------------------------- the report


def report_findings(findings: Iterable[Finding], most_names: int = 10) -> list[dict[str, Any]]:
    """Return small JSON: for each reason how many, and the first names."""
    by_reason: dict[Reason, list[Finding]] = {}
    for finding in findings:
        by_reason.setdefault(finding.reason, []).append(finding)
    return [
        {
            "reason": reason.name.lower(),
            "text": reason.value,
            "loses_rows": reason.loses_rows,
            "count": len(by_reason[reason]),
            "names": sorted(finding.name for finding in by_reason[reason])[:most_names],
            **_sum_of(by_reason[reason]),
        }
        for reason in Reason
        if reason in by_reason
    ]


def _sum_of(findings: Sequence[Finding]) -> Mapping[str, int]:
    lines = sum(finding.count for finding in findings)
    counted = {Reason.UNREADABLE_LINES: "lines", Reason.ODD_SIZES: "sizes", Reason.UNEXPLAINED: "pointers"}
    name = counted.get(findings[0].reason)
    return {name: lines} if name else {}
