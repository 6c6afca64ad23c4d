"""What differs between two policy documents, in the words of a plan. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from airflow_quilt_athena.core.plans import Difference

_LISTS = ("Action", "NotAction", "Resource", "NotResource")


def compare_documents(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what differs, statement by statement; the order of statements and of their lists does not count.

    A list that differs shows what goes as ``was`` and what comes as ``wanted``, not the whole of it.
    """
    was, will_be = _by_sid(found), _by_sid(wanted)
    differences: list[Difference] = []
    for sid in [*will_be, *(sid for sid in was if sid not in will_be)]:
        if sid not in was:
            differences.append(Difference(f"statement {sid}", None, _summary(will_be[sid])))
        elif sid not in will_be:
            differences.append(Difference(f"statement {sid}", _summary(was[sid]), None))
        else:
            differences += _compare_statements(sid, was[sid], will_be[sid])
    return tuple(differences)


def _by_sid(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    statements = document.get("Statement", [])
    if isinstance(statements, dict):  # IAM takes a single statement without its list
        statements = [statements]
    return {
        statement.get("Sid") or f"number {number}": statement
        for number, statement in enumerate(statements, start=1)
    }


def _compare_statements(sid: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Difference]:
    differences = []
    for part in sorted({*found, *wanted} - {"Sid"}):
        setting = f"statement {sid}, {part}"
        if part in _LISTS:
            was, will_be = _as_list(found.get(part)), _as_list(wanted.get(part))
            gone = ", ".join(item for item in was if item not in will_be)
            come = ", ".join(item for item in will_be if item not in was)
            if gone or come:
                differences.append(Difference(setting, gone or None, come or None))
        elif _canonical(found.get(part)) != _canonical(wanted.get(part)):
            differences.append(Difference(setting, _canonical(found.get(part)), _canonical(wanted.get(part))))
    return differences


def _summary(statement: Mapping[str, Any]) -> str:
    return ", ".join(_as_list(statement.get("Action") or statement.get("NotAction")))


def _as_list(value: Any) -> list[str]:
    if value is None:
        return []
    return sorted(map(str, value)) if isinstance(value, list) else [str(value)]


def _canonical(value: Any) -> str | None:
    """Return one writing for what IAM takes in several: one value or a list of it, in any order."""
    return None if value is None else json.dumps(_sorted(value), sort_keys=True)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(inner) for key, inner in value.items()}
    return _as_list(value)


# ----------------------------------------------------------------------------------------- narrowing

# What is allowed: an action, a resource, and on which condition, each as IAM matches it.
_Right = tuple[str, str, str]


def narrowed(
    found: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]]
) -> tuple[Difference, ...]:
    """Return what some documents grant together and others will not, a line for each place.

    What is granted by another document, or by a wider name, is not taken away.
    """
    rights = {right for document in wanted for right in _rights(document)}
    lost: dict[str, list[str]] = {}
    for action, resource, condition in sorted({r for document in found for r in _rights(document)}):
        if not any(_covers(right, (action, resource, condition)) for right in rights):
            lost.setdefault(resource, []).append(action)
    return tuple(
        Difference(f"right to {', '.join(dict.fromkeys(actions))}", resource, None)
        for resource, actions in lost.items()
    )


def _rights(document: Mapping[str, Any]) -> Iterator[_Right]:
    for statement in _by_sid(document).values():
        if statement.get("Effect") != "Allow":
            continue
        # What is allowed by leaving out cannot be listed; it is told as it is written.
        actions = _as_list(statement.get("Action")) or [
            f"not {a}" for a in _as_list(statement.get("NotAction"))
        ]
        resources = _as_list(statement.get("Resource")) or [
            f"not {r}" for r in _as_list(statement.get("NotResource"))
        ]
        for condition in _conditions(statement.get("Condition")):
            yield from ((action, resource, condition) for action in actions for resource in resources)


def _conditions(condition: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the prefixes that may be listed, each a right of its own; another condition is one whole."""
    prefixes = (condition or {}).get("StringLike", {}).get("s3:prefix")
    if condition and prefixes and condition == {"StringLike": {"s3:prefix": prefixes}}:
        yield from _as_list(prefixes)
    else:
        yield _canonical(condition) or "*"


def _covers(wide: _Right, narrow: _Right) -> bool:
    return (
        fnmatchcase(narrow[0].lower(), wide[0].lower())
        and fnmatchcase(narrow[1], wide[1].replace("[", "[[]"))
        and fnmatchcase(narrow[2], wide[2].replace("[", "[[]"))
    )
