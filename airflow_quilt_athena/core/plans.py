"""A plan as values: what is there, what is wanted, and what has to be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Action(Enum):
    """What a plan does to a resource."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


_MARKS = {Action.CREATED: "+", Action.CHANGED: "~", Action.REMOVED: "-", Action.UNCHANGED: "="}
_WILL_BE = {
    Action.CREATED: "to create",
    Action.CHANGED: "to change",
    Action.REMOVED: "to remove",
    Action.UNCHANGED: "unchanged",
}
_WAS = {action: action.value for action in Action}


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of a resource; None stands for what is not there."""

    setting: str
    was: str | None
    wanted: str | None

    def __str__(self) -> str:
        """Return one line for a log."""
        if self.was is None:
            return f"{self.setting}: {self.wanted}"
        if self.wanted is None:
            return f"{self.setting}: {self.was} → removed"
        return f"{self.setting}: {self.was} → {self.wanted}"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one resource. A step without differences does nothing."""

    resource: str  # its kind, e.g. "workgroup"
    name: str
    action: Action
    details: tuple[Difference, ...] = ()

    @classmethod
    def create(cls, resource: str, name: str, details: Iterable[Difference] = ()) -> Step:
        """Return the step that makes a resource."""
        return cls(resource, name, Action.CREATED, tuple(details))

    @classmethod
    def converge(cls, resource: str, name: str, differences: Iterable[Difference]) -> Step:
        """Return the step that mends what differs, if anything does."""
        details = tuple(differences)
        return cls(resource, name, Action.CHANGED if details else Action.UNCHANGED, details)

    @classmethod
    def remove(cls, resource: str, name: str, details: Iterable[Difference] = ()) -> Step:
        """Return the step that takes a resource away."""
        return cls(resource, name, Action.REMOVED, tuple(details))

    @classmethod
    def keep(cls, resource: str, name: str, why: str) -> Step:
        """Return the step that leaves a resource as it is, and says why."""
        return cls(resource, name, Action.UNCHANGED, (Difference("kept", None, why),))

    @property
    def does_something(self) -> bool:
        """Whether the resource is created, changed or removed."""
        return self.action is not Action.UNCHANGED


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order they are taken."""

    steps: tuple[Step, ...]

    @property
    def changed(self) -> bool:
        """Whether any step does something."""
        return any(step.does_something for step in self.steps)

    def to_xcom(self) -> dict[str, Any]:
        """Return the plan as small JSON."""
        return {
            "changed": self.changed,
            "resources": [
                {
                    "resource": step.resource,
                    "name": step.name,
                    "action": step.action.value,
                    "details": [
                        {"setting": detail.setting, "from": detail.was, "to": detail.wanted}
                        for detail in step.details
                    ],
                }
                for step in self.steps
            ],
        }

    def render(self, *, applied: bool) -> str:
        """Return the plan as a person reads it, resource by resource.

        :param applied: whether the steps were taken, or are only what would be done.
        """
        words = _WAS if applied else _WILL_BE
        lines = []
        for step in self.steps:
            lines.append(f"{_MARKS[step.action]} {step.resource} {step.name}: {words[step.action]}")
            lines += [f"    {detail}" for detail in step.details]
        return "\n".join([*lines, self._summary(words)])

    def _summary(self, words: dict[Action, str]) -> str:
        counts = _count(self.steps)
        told = (action for action in Action if counts[action] or action is not Action.REMOVED)
        return "Plan: " + ", ".join(f"{counts[action]} {words[action]}" for action in told) + "."


def _count(steps: Sequence[Step]) -> dict[Action, int]:
    return {action: sum(step.action is action for step in steps) for action in Action}


def compare(wanted: Iterable[tuple[str, object]], found: dict[str, object]) -> tuple[Difference, ...]:
    """Return the settings whose value is not the one wanted.

    >>> [str(d) for d in compare([("metrics", True), ("cutoff", 5)], {"metrics": False, "cutoff": 5})]
    ['metrics: False → True']
    """
    return tuple(
        Difference(setting, _text(found.get(setting)), _text(value))
        for setting, value in wanted
        if found.get(setting) != value
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
