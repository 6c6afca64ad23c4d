"""Which of many waiting parties a round of looks at Athena is for. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def choose_round(wants: Sequence[Want], now: float) -> tuple[int, ...]:
    """Return the places in ``wants`` that the next round serves; nothing when none is due.

    A call tells of 50 queries for the price of one. So the last call of a round is filled with those due
    next: they are spared a round of their own, and parties that came at odd times fall into step.

    >>> choose_round([Want(("a",), due=9), Want(("b",), due=1), Want(("c",), due=3)], now=2)
    (1, 2, 0)
    """
    in_order = sorted(range(len(wants)), key=lambda place: wants[place].due)
    due = [place for place in in_order if wants[place].due <= now]
    if not due:
        return ()
    ids = {name for place in due for name in wants[place].query_execution_ids}
    room = -(-len(ids) // MAX_IDS_PER_BATCH) * MAX_IDS_PER_BATCH
    chosen = due
    for place in in_order[len(due) :]:
        ids.update(wants[place].query_execution_ids)
        if len(ids) > room:
            break
        chosen.append(place)
    return tuple(chosen)
