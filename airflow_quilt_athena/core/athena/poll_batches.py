"""Which of many waiting parties a round of looks at Athena is for. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Party = TypeVar("Party")

# Athena API Reference, "BatchGetQueryExecution", read 2026-11.
MAX_IDS_PER_BATCH = 50


@dataclass(frozen=True, slots=True)
class Want:
    """Somebody wants to know of queries, from a moment on.

    :param query_execution_ids: the queries.
    :param due: when, in seconds on the clock of whoever plans.
    """

    query_execution_ids: tuple[str, ...]
    due: float


def choose_round(wants: Mapping[Party, Want], now: float) -> tuple[Party, ...]:
    """Return whom of ``wants`` the next round serves; nobody when none is due.

    A call tells of 50 queries for the price of one. So the last call of a round is filled with those due
    next: they are spared a round of their own, and parties that came at odd times fall into step.

    >>> choose_round({"x": Want(("a",), due=9), "y": Want(("b",), due=1), "z": Want(("c",), due=3)}, now=2)
    ('y', 'z', 'x')
    """
    in_order = sorted(wants, key=lambda party: wants[party].due)
    due = [party for party in in_order if wants[party].due <= now]
    if not due:
        return ()
    ids = {name for party in due for name in wants[party].query_execution_ids}
    room = -(-len(ids) // MAX_IDS_PER_BATCH) * MAX_IDS_PER_BATCH
    chosen = due
    for party in in_order[len(due) :]:
        ids.update(wants[party].query_execution_ids)
        if len(ids) > room:
            break
        chosen.append(party)
    return tuple(chosen)
