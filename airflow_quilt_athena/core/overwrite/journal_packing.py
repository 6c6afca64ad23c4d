"""What many changes of one journal entry share, stored once, and read back.

A set of 5,000 partitions of a table with 200 columns stays below 2 MB: definitions are stored as what differs
from a few shared ones, and places as what follows a common root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.core.overwrite.journal_entry import Action, Change, Entry

_OF_EACH_PARTITION = ("quilt_athena.rows", "quilt_athena.previous_location", "quilt_athena.keeps")
_INSIDE = "./"  # a place below the changes' common root
_LITERAL = "="  # a text that only looks like one
Json = dict[str, Any]


class Packing:
    """What the changes of one entry share."""

    def __init__(self, entry: Entry) -> None:
        places = {place for c in entry.changes for place in (c.location, c.previous_location) if place}
        first, last = min(places, default=""), max(places, default="")
        # What the first and the last of sorted texts begin with, all begin with.
        root = "".join(
            a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
        )
        self.root = root[: root.rfind("/") + 1]
        self.generations: dict[str, int] = {}
        self.descriptors: list[Json] = []
        self.parameters: list[Json] = []
        self._of_parameters: dict[frozenset[tuple[str, Any]], int] = {}

    def change(self, change: Change) -> Json:
        """Return a change as JSON, without what it shares."""
        packed = {
            "action": change.action.value,
            "values": list(change.values),
            "at": self._place(change.location),
            "of": self._generation(change.generation),
            "rows": change.rows,
            "was_at": self._place(change.previous_location),
            "was_of": self._generation(change.previous_generation),
            "was": self._definition(change.previous),
            "again": self._definition(change.restored),
            "adopted": self._place(change.adopted),
        }
        return {name: value for name, value in packed.items() if value is not None}

    def _place(self, place: str | None) -> str | None:
        if place is None:
            return None
        if self.root and place.startswith(self.root):
            return f"{_INSIDE}{place[len(self.root) :]}"
        return f"{_LITERAL}{place}" if place.startswith((_INSIDE, _LITERAL)) else place

    def _generation(self, name: str | None) -> int | None:
        return None if name is None else self.generations.setdefault(name, len(self.generations))

    def _definition(self, given: Mapping[str, Any] | None) -> list[Any] | None:
        """Return values, location, parameters of its own, and the numbers of what is shared."""
        if given is None:
            return None
        descriptor, parameters = given.get("StorageDescriptor"), given.get("Parameters")
        own, shared = self._parameters(parameters)
        location = None if descriptor is None else descriptor.get("Location")
        return [given.get("Values"), self._place(location), own, self._descriptor(descriptor), shared]

    def _descriptor(self, descriptor: Mapping[str, Any] | None) -> int | None:
        if descriptor is None:
            return None
        rest = {name: value for name, value in descriptor.items() if name != "Location"}
        for number, known in enumerate(reversed(self.descriptors), start=1):
            if (
                known == rest
            ):  # cheap where parts are one and the same object, as they are when they were read
                return len(self.descriptors) - number
        self.descriptors.append(rest)
        return len(self.descriptors) - 1

    def _parameters(self, parameters: Mapping[str, Any] | None) -> tuple[Json, int | None]:
        if parameters is None:
            return {}, None
        own = {name: self._place(parameters[name]) for name in _OF_EACH_PARTITION if name in parameters}
        rest = {name: value for name, value in parameters.items() if name not in own}
        key = frozenset(rest.items())
        number = self._of_parameters.setdefault(key, len(self.parameters))
        if number == len(self.parameters):
            self.parameters.append(rest)
        return own, number


class Unpacking:
    """What the changes of a document share. Raises TypeError and ValueError for what is no such document."""

    def __init__(self, document: Json) -> None:
        self._root = read_text(document["root"])
        self._generations = read_texts(document["generations"])
        self._descriptors: list[Json] = [dict(one) for one in document["descriptors"]]
        self._parameters: list[Json] = [dict(one) for one in document["parameters"]]

    def change(self, packed: Json) -> Change:
        """Read a change, with what it shares."""
        return Change(
            values=read_texts(packed["values"]),
            action=Action(packed["action"]),
            location=self._uri(packed.get("at")),
            generation=self._generation(packed.get("of")),
            rows=maybe(read_number, packed.get("rows")),
            previous_location=self._uri(packed.get("was_at")),
            previous_generation=self._generation(packed.get("was_of")),
            previous=self._definition(packed.get("was")),
            restored=self._definition(packed.get("again")),
            adopted=self._uri(packed.get("adopted")),
        )

    def _place(self, packed: str | None) -> str | None:
        if packed is None:
            return None
        if read_text(packed).startswith(_INSIDE):
            return self._root + packed.removeprefix(_INSIDE)
        return packed.removeprefix(_LITERAL)

    def _uri(self, packed: str | None) -> str | None:
        place = self._place(packed)
        return place if place is None else str(S3Uri.parse(place))

    def _generation(self, number: int | None) -> str | None:
        return None if number is None else self._generations[number]

    def _definition(self, packed: list[Any] | None) -> Json | None:
        if packed is None:
            return None
        values, location, own, descriptor, parameters = packed
        definition: Json = {} if values is None else {"Values": [read_text(value) for value in values]}
        if descriptor is not None:
            place = self._place(location)
            definition["StorageDescriptor"] = {
                **self._descriptors[descriptor],
                **({} if place is None else {"Location": place}),
            }
        if parameters is not None:
            shared = self._parameters[parameters]
            definition["Parameters"] = {**shared, **{name: self._place(text) for name, text in own.items()}}
        return definition


def read_text(value: object) -> str:
    """Return a text. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.50} is not text")
    return value


def read_texts(values: Sequence[object]) -> tuple[str, ...]:
    """Return texts. Raises TypeError for anything else."""
    return tuple(map(read_text, values))


def read_number(value: object) -> int:
    """Return a whole number. Raises TypeError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r:.50} is not a number")
    return value


def maybe(parse: Callable[[Any], Any], value: Any) -> Any:
    """Return what is read of a value; None where there is none."""
    return None if value is None else parse(value)
