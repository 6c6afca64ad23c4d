"""What a watcher of a registry tells: each new revision once. Decides from listings and its memory; pure.

A listing is the truth. Its memory is a cursor in S3's time, and what was told of the time just before it: S3
tells whole seconds, and writes that began together appear one after the other. What a pointer is called says
when its revision was made, and not when it arrived, which may be days later; a watcher goes by the arrival.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from airflow_quilt_athena.core.quilt.identifiers import check_bucket_name
from airflow_quilt_athena.core.quilt.revisions import LATEST, Pointer
from airflow_quilt_athena.exceptions import InvalidCallError

# Where watchers keep what they told, where Airflow does not: beside Quilt's own, in the registry.
WATCHERS_FOLDER = ".quilt-athena/watchers/"
# How long before the cursor a pointer may have been written and yet not have been seen.
OVERLAP = timedelta(minutes=15)

_WILD = "*?["
_GONE = "-"  # begins the key of a deletion


class Tell(Enum):
    """What may be told of a package."""

    CREATED = "created"  # a new revision
    ROLLED_BACK = "rolled_back"  # latest was set to an older revision
    DELETED = "deleted"  # the package is gone


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pointer as a listing tells of it."""

    pointer: Pointer
    arrived_at: datetime  # by S3
    etag: str

    @property
    def is_revision(self) -> bool:
        """Whether it is a revision's, and not a tag."""
        return self.pointer.seconds is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a look at a registry found.

    :param taken_at: when the look began, by S3: what is younger may be missing.
    :param arrivals: pointers that may be new, ``latest`` of each package among them.
    :param packages: all packages there are, or None where the look was at some of them alone.
    :param whole: whether all pointers were looked at: no other look sees one that came without ``latest``.
    """

    bucket: str
    taken_at: datetime
    arrivals: tuple[Arrival, ...]
    packages: frozenset[str] | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """Something to be told of a package."""

    kind: Tell
    package: str
    arrival: Arrival | None = None  # the pointer it is about; none of a deletion
    again: bool = False  # it may have been told before: the triggerer died before it could be sure

    @property
    def key(self) -> str:
        """What makes it this and no other: short, because memories hold many."""
        if self.arrival is None:
            return f"{_GONE}{self.package}"
        pointer, etag = self.arrival.pointer, self.arrival.etag
        # Of a tag the time as well: latest may be moved to one revision twice.
        moved = "" if self.arrival.is_revision else self.arrival.arrived_at.isoformat()
        text = f"{self.kind.value}/{self.package}/{pointer.name}/{etag}/{moved}"
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a watcher knows between two looks, and keeps where Airflow keeps state.

    :param cursor: when the last whole look was: all that arrived before it, less OVERLAP, was told.
    :param told: keys of what was told of the time since then, with when it arrived.
    :param telling: keys of what was handed to Airflow, which has not said that it keeps it.
    :param packages: the packages there were, where deletions are to be told.
    """

    cursor: datetime
    told: Mapping[str, datetime] = field(default_factory=dict)
    telling: Mapping[str, datetime] = field(default_factory=dict)
    packages: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "version": 1,
            "cursor": self.cursor.isoformat(),
            "told": {key: at.isoformat() for key, at in self.told.items()},
            "telling": {key: at.isoformat() for key, at in self.telling.items()},
            "packages": sorted(self.packages),
        }

    @classmethod
    def from_json(cls, value: Any) -> Memory | None:
        """Read what ``to_json`` wrote; None for anything else."""
        try:
            told, telling = (
                {str(key): datetime.fromisoformat(at) for key, at in value[name].items()}
                for name in ("told", "telling")
            )
            cursor = datetime.fromisoformat(value["cursor"])
            return cls(cursor, told, telling, frozenset(value["packages"]))
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched for.

    :param package: a package's name, or a pattern of names: ``team/*``.
    """

    bucket: str
    package: str = "*"
    tell: frozenset[Tell] = frozenset({Tell.CREATED})

    def __post_init__(self) -> None:
        check_bucket_name(self.bucket)
        if not self.package or self.package.count("/") > 1 or self.package != self.package.strip("/"):
            raise InvalidCallError(
                f"package is {self.package!r}. Expected a package's name, team/package, or a pattern: team/*."
            )
        if "/" not in self.package and not is_pattern(self.package):
            raise InvalidCallError(
                f"package is {self.package!r}. Expected two parts, team/package, or a pattern: *."
            )

    def covers(self, package: str) -> bool:
        """Whether a package is meant."""
        return fnmatchcase(package, self.package)

    @property
    def literal_start(self) -> str:
        """How the names of all packages that are meant begin."""
        ends = [self.package.find(character) for character in _WILD if character in self.package]
        return self.package[: min(ends)] if ends else f"{self.package}/"


def is_pattern(package: str) -> bool:
    """Whether a package is meant by a pattern, and not by its name."""
    return any(character in package for character in _WILD)


def parse_tell(given: str | Iterable[str]) -> frozenset[Tell]:
    """Return what is to be told. Raises InvalidCallError for what there is not."""
    names = (given,) if isinstance(given, str) else tuple(given)
    try:
        found = frozenset(Tell(name) for name in names)
    except ValueError as error:
        raise InvalidCallError(
            f"tell is {given!r}. Expected some of {', '.join(kind.value for kind in Tell)}."
        ) from error
    if not found:
        raise InvalidCallError("tell is empty: there would be nothing to watch for.")
    return found


def find_news(watch: Watch, memory: Memory, snapshot: Snapshot) -> tuple[News, ...]:
    """Return what a look shows that was not told, in the order of its arrival.

    What is in ``memory.telling`` is among it, marked: it was told, or it was not.
    """
    found = [
        *_created(watch, memory, snapshot),
        *_rolled_back(watch, memory, snapshot),
        *_deleted(watch, memory, snapshot),
    ]
    found.sort(key=_order)
    return tuple(
        replace(news, again=news.key in memory.telling) for news in found if news.key not in memory.told
    )


def _order(news: News) -> tuple[datetime, int, str]:
    arrival = news.arrival
    if arrival is None:
        return datetime.max.replace(tzinfo=UTC), 0, news.package
    return arrival.arrived_at, arrival.pointer.seconds or 0, news.package


def _young(memory: Memory, arrival: Arrival) -> bool:
    return arrival.arrived_at >= memory.cursor - OVERLAP


def _created(watch: Watch, memory: Memory, snapshot: Snapshot) -> list[News]:
    if Tell.CREATED not in watch.tell:
        return []
    return [
        News(Tell.CREATED, arrival.pointer.package, arrival)
        for arrival in snapshot.arrivals
        if arrival.is_revision and _young(memory, arrival) and watch.covers(arrival.pointer.package)
    ]


def _rolled_back(watch: Watch, memory: Memory, snapshot: Snapshot) -> list[News]:
    """Return where ``latest`` was moved after all revisions, and to another than the newest of them."""
    if Tell.ROLLED_BACK not in watch.tell:
        return []
    newest: dict[str, Arrival] = {}
    for arrival in snapshot.arrivals:
        if arrival.is_revision:
            package = arrival.pointer.package
            known = newest.get(package)
            if known is None or _age(arrival) > _age(known):
                newest[package] = arrival
    return [
        News(Tell.ROLLED_BACK, arrival.pointer.package, arrival)
        for arrival in snapshot.arrivals
        if arrival.pointer.name == LATEST
        and _young(memory, arrival)
        and watch.covers(arrival.pointer.package)
        and (last := newest.get(arrival.pointer.package)) is not None
        # A push writes latest just after its revision: within a second the two cannot be told apart.
        and last.arrived_at + timedelta(seconds=1) < arrival.arrived_at
        and last.etag != arrival.etag
    ]


def _age(arrival: Arrival) -> tuple[datetime, int]:
    return arrival.arrived_at, arrival.pointer.seconds or 0


def _deleted(watch: Watch, memory: Memory, snapshot: Snapshot) -> list[News]:
    if Tell.DELETED not in watch.tell or snapshot.packages is None:
        return []
    gone = sorted(memory.packages - snapshot.packages)
    return [News(Tell.DELETED, package) for package in gone if watch.covers(package)]


# ------------------------------------------------------------------------------------------ memory


def begin_memory(watch: Watch, since: datetime, snapshot: Snapshot | None = None) -> Memory:
    """Return the memory of a watcher that was never there before: what arrives from ``since`` on is new."""
    packages = _watched(watch, snapshot) if snapshot is not None else frozenset()
    return Memory(since + OVERLAP, packages=packages or frozenset())


def note_telling(memory: Memory, news: Sequence[News], snapshot: Snapshot) -> Memory:
    """Return the memory with what is about to be handed to Airflow."""
    telling = {one.key: _when(one, snapshot) for one in news}
    return replace(memory, telling={**memory.telling, **telling})


def note_told(memory: Memory, news: Sequence[News]) -> Memory:
    """Return the memory with what Airflow keeps."""
    return note_stored(memory, {one.key for one in news})


def note_stored(memory: Memory, keys: Set[str]) -> Memory:
    """Return the memory with what of ``telling`` Airflow keeps, by its keys."""
    told = {key: at for key, at in memory.telling.items() if key in keys}
    rest = {key: at for key, at in memory.telling.items() if key not in keys}
    return replace(memory, told={**memory.told, **told}, telling=rest)


def advance(watch: Watch, memory: Memory, snapshot: Snapshot) -> Memory:
    """Return the memory after all that a look showed is told: after a whole one with its cursor there."""
    told, packages = dict(memory.told), memory.packages
    if snapshot.packages is not None and Tell.DELETED in watch.tell:
        packages = _watched(watch, snapshot)
        # Gone, told and forgotten: when it is made and deleted again, that is news.
        told = {key: at for key, at in told.items() if not key.startswith(_GONE)}
    cursor = memory.cursor
    if snapshot.whole:
        cursor = max(cursor, snapshot.taken_at)
        told = {key: at for key, at in told.items() if at >= cursor - OVERLAP}
    return replace(memory, cursor=cursor, told=told, packages=packages)


def _watched(watch: Watch, snapshot: Snapshot) -> frozenset[str]:
    return frozenset(package for package in snapshot.packages or () if watch.covers(package))


def _when(news: News, snapshot: Snapshot) -> datetime:
    return snapshot.taken_at if news.arrival is None else news.arrival.arrived_at
