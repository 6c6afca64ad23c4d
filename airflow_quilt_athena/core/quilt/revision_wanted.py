"""Which revisions a sensor waits for. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_quilt_athena.core.quilt.chosen_by import By
from airflow_quilt_athena.core.quilt.revisions import Interval, parse_interval
from airflow_quilt_athena.core.quilt.watch import Arrival, Watch
from airflow_quilt_athena.exceptions import InvalidCallError

_TOP_HASH = re.compile(r"[0-9a-f]{64}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Revisions of packages: all, those after a moment or a revision, or those of an interval.

    :param after: newer than this.
    :param after_hash: newer than the revision of this top hash; ``after`` is found from it.
    :param interval: made in it.
    """

    watch: Watch
    by: By = By.REVISION
    after: datetime | None = None
    after_hash: str | None = None
    interval: Interval | None = None

    @property
    def title(self) -> str:
        """What is waited for, in words."""
        what = f"a revision of {self.watch.package} in s3://{self.watch.bucket}"
        if self.interval is not None:
            return f"{what} from {self.interval.start.isoformat()} to {self.interval.end.isoformat()}"
        if self.after_hash is not None:
            return f"{what} after {self.after_hash}"
        return what if self.after is None else f"{what} after {self.after.isoformat()}"

    @property
    def from_second(self) -> int:
        """No pointer with a lower name need be looked at."""
        if self.by is By.ARRIVAL or self.after_hash is not None:
            return 0
        start = self.interval.start if self.interval is not None else self.after
        return 0 if start is None else max(0, int((start - _EPOCH).total_seconds()))

    def choose(self, arrivals: Iterable[Arrival], after: datetime | None) -> tuple[Arrival, ...]:
        """Return the revisions that are wanted, the newest last.

        :param after: what ``after_hash`` turned out to mean, or ``self.after``.
        """
        chosen = [
            (when, arrival)
            for arrival in arrivals
            if arrival.is_revision
            and self.watch.covers(arrival.pointer.package)
            and (when := self.time_of(arrival)) is not None
            and (after is None or when > after)
            and (self.interval is None or self.interval.start <= when < self.interval.end)
        ]
        return tuple(
            arrival for _, arrival in sorted(chosen, key=lambda item: (item[0], item[1].pointer.name))
        )

    def time_of(self, arrival: Arrival) -> datetime | None:
        """Return the time by which a revision is chosen; None for one that no calendar has."""
        if self.by is By.ARRIVAL:
            return arrival.arrived_at
        try:
            return _EPOCH + timedelta(seconds=arrival.pointer.seconds or 0)
        except OverflowError:
            return None


def parse_wanted(bucket: str, package: str, newer_than: Any, by: str) -> Wanted:
    """Read what a sensor is to wait for.

    :param newer_than: None for any revision; a time; a top hash; or an interval, ``{"start": …, "end": …}``.
    """
    try:
        wanted_by = By(by)
    except ValueError as error:
        raise InvalidCallError(f"by is {by!r}. Expected revision or arrival.") from error
    watch = Watch(bucket, package)
    if newer_than is None:
        return Wanted(watch, wanted_by)
    if isinstance(newer_than, Mapping):
        interval = parse_interval({"bucket": bucket, **newer_than})
        return Wanted(watch, wanted_by, interval=interval)
    text = newer_than.isoformat() if isinstance(newer_than, datetime) else str(newer_than).strip()
    if _TOP_HASH.fullmatch(text):
        return Wanted(watch, wanted_by, after_hash=text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidCallError(
            f"newer_than is {newer_than!r}. Expected a time, such as 2026-01-31T12:00:00, a top hash of 64 "
            "characters, or an interval: {'start': …, 'end': …}. A template that found no value renders as "
            "None."
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return Wanted(watch, wanted_by, after=moment)
