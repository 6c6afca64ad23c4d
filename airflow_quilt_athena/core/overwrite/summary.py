"""What a task tells of many partitions, small enough for an XCom and an asset event at any size."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_quilt_athena.core.overwrite.journal_entry import Change

MOST_TOLD = 20
# Of each list. All that a task tells stays under 48 KB, what a database column of Airflow's may hold and a
# browser shows.
_MOST_BYTES = 16_000
_MOST_QUERIES = 100


def summarize_changes(keys: Sequence[str], changes: Sequence[Change]) -> dict[str, Any]:
    """Return the first partitions whole, and how many there are of each action."""
    told = first_of(_partition(keys, change) for change in changes[:MOST_TOLD])
    return {
        "partitions": told,
        "partitions_total": len(changes),
        "partitions_by_action": dict(Counter(change.action.value for change in changes)),
    }


def _partition(keys: Sequence[str], change: Change) -> dict[str, Any]:
    return {
        "values": dict(zip(keys, change.values, strict=True)),
        "action": change.action.value,
        "rows": change.rows,
        "location": change.location,
        "generation": change.generation,
        "previous_location": change.previous_location,
        "previous_generation": change.previous_generation,
    }


def first_of(items: Iterable[Any]) -> list[Any]:
    """Return the first items, as many as are told."""
    told: list[Any] = []
    left = _MOST_BYTES
    for item in items:
        left -= len(json.dumps(item))
        if len(told) == MOST_TOLD or (left < 0 and told):
            break
        told.append(item)
    return told


def first_in(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first pairs of a mapping, as many as are told."""
    return dict(first_of(mapping.items()))


def summarize_queries(query_execution_ids: Sequence[str]) -> list[str]:
    """Return the first ids."""
    return list(query_execution_ids[:_MOST_QUERIES])
