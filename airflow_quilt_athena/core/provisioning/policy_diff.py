"""What differs between two policy documents, in the words of a plan. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
