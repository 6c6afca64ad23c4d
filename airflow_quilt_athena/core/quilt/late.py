"""Revisions that arrived after the days they belong to were written. Pure: reads what was read.

A revision's pointer is named by when the revision was made, and may arrive much later: a client names it by
the time of its local commit and pushes it days afterwards, a registry is synchronised, a clock is wrong. So
what is written from the revisions of an interval keeps, as a parameter of its partitions, which interval that
was and when it was looked at; a later look tells what has arrived since.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_quilt_athena.core.quilt.chosen_by import By
from airflow_quilt_athena.core.quilt.revisions import Interval, Pointer

COVERED_PARAMETER = "quilt_athena.revisions"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Covered:
    """What a partition was written from: the revisions of an interval, as they were at some moment."""

    interval: Interval
    partition: Mapping[str, Any] | str  # as the write was asked for
    looked_at: datetime  # by the clock of S3, not after the listing began
    digest: str  # of the pointers that were there

    @classmethod
    def of(
        cls,
        interval: Interval,
        partition: Mapping[str, Any] | str,
        looked_at: datetime,
        pointers: Iterable[Pointer],
    ) -> Covered:
        """Return the record of a look that found these pointers in the bucket."""
        return cls(interval, partition, looked_at, _digest(p for p in pointers if interval.chooses(p)))

    @property
    def asked(self) -> tuple[Interval, str]:
        """What the write was asked for: equal for one that writes the same again."""
        return self.interval, json.dumps(self.partition, default=str, sort_keys=True)

    def render(self) -> str:
        """Return it as the value of a parameter."""
        document = {
            **_as_arguments(self.interval),
            "partition": self.partition,
            "looked_at": self.looked_at.isoformat(),
            "digest": self.digest,
        }
        return json.dumps(document, default=str, sort_keys=True)


def parse_covered(text: str) -> Covered | None:
    """Read the parameter; None for what this version did not write."""
    try:
        document = json.loads(text)
        start, end, looked_at = (
            datetime.fromisoformat(document[name]) for name in ("start", "end", "looked_at")
        )
        database = document.get("source_database")
        interval = Interval(document["bucket"], start, end, By(document["by"]), database)
        partition, digest = document["partition"], str(document["digest"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return Covered(interval, partition, looked_at, digest)


def _as_arguments(interval: Interval) -> dict[str, str]:
    arguments = {
        "bucket": interval.bucket,
        "start": interval.start.isoformat(),
        "end": interval.end.isoformat(),
        "by": interval.by.value,
    }
    database = interval.source_database
    return arguments if database is None else {**arguments, "source_database": database}


@dataclass(frozen=True, slots=True)
class LateRevisions:
    """Revisions of an interval that arrived after what was written from it."""

    interval: Interval
    partition: Mapping[str, Any] | str
    count: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**self.to_arguments(), "revisions": self.count}

    def to_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``CtasInsertOverwriteOperator`` that write the partition again."""
        return {"partition": self.partition, "quilt_revisions": _as_arguments(self.interval)}


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The revisions of a bucket, sorted to be asked for one interval after the other."""

    pointers: tuple[Pointer, ...]
    _sorted: Mapping[By, tuple[Sequence[timedelta], Sequence[Pointer]]] = field(repr=False)

    @classmethod
    def of(cls, pointers: Iterable[Pointer]) -> Arrivals:
        """Return them from all pointers of a bucket."""
        revisions = tuple(pointer for pointer in pointers if pointer.seconds is not None)
        by: dict[By, tuple[Sequence[timedelta], Sequence[Pointer]]] = {}
        for kind in By:
            dated = sorted(
                ((age, p) for p in revisions if (age := _age(p, kind)) is not None), key=lambda pair: pair[0]
            )
            by[kind] = ([age for age, _ in dated], [pointer for _, pointer in dated])
        return cls(revisions, by)

    def within(self, interval: Interval) -> Sequence[Pointer]:
        """Return the revisions of an interval."""
        ages, pointers = self._sorted[interval.by]
        first, after = (bisect_left(ages, moment - _EPOCH) for moment in (interval.start, interval.end))
        return pointers[first:after]


def _age(pointer: Pointer, by: By) -> timedelta | None:
    if by is By.ARRIVAL:
        return None if pointer.arrived_at is None else pointer.arrived_at - _EPOCH
    return None if pointer.seconds is None else timedelta(seconds=pointer.seconds)


def find_late(covered: Iterable[Covered], arrivals: Mapping[str, Arrivals]) -> tuple[LateRevisions, ...]:
    """Return what arrived late, by the start of its interval. ``arrivals`` are the buckets' that are known.

    What several partitions were written from in one run counts once. Writing it again need not touch all of
    them, for a result may have lost some, so the newest look counts.
    """
    looks: dict[tuple[Interval, str], Covered] = {}
    for one in covered:
        known = looks.get(one.asked)
        if one.interval.bucket in arrivals and (known is None or one.looked_at > known.looked_at):
            looks[one.asked] = one
    found = []
    for one in looks.values():
        now = arrivals[one.interval.bucket].within(one.interval)
        # What arrived about the time of the look, whose seconds are rounded, is told apart by the digest.
        late = [p for p in now if p.arrived_at is not None and p.arrived_at >= one.looked_at]
        if late and _digest(now) != one.digest:
            found.append(LateRevisions(one.interval, one.partition, len(late)))
    return tuple(sorted(found, key=lambda late: (late.interval.start, late.interval.bucket)))


def _digest(pointers: Iterable[Pointer]) -> str:
    lines = sorted(f"{p.package}/{p.name} {p.arrived_at}" for p in pointers)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
