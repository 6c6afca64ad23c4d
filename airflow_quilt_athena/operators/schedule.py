"""What a run's DAG says of its schedule: whose days they are, and which runs are beside this one.

Airflow's timetables differ from version to version: in 3.1 they are the scheduler's own, later the SDK's.
What is not understood (a timetable of somebody's own) says nothing, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

_FEW_HOURS = timedelta(hours=3)


def time_zone(context: Mapping[str, Any]) -> tzinfo | None:
    """Return the time zone whose days the runs are of: the timetable's, else the DAG's; None when unknown."""
    dag = context.get("dag")
    timetable = getattr(dag, "timetable", None)
    for owner, name in ((timetable, "timezone"), (timetable, "_timezone"), (dag, "timezone")):
        zone = getattr(owner, name, None)
        if isinstance(zone, str):
            return ZoneInfo(zone)
        if isinstance(zone, tzinfo):
            return zone
    return None


def neighbours(context: Mapping[str, Any]) -> Iterator[tuple[datetime, datetime]]:
    """Yield the starts of the runs before and after this one, each beside this one's."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if isinstance(start, datetime) and isinstance(end, datetime) and start < end:
        length = end - start
        return pairwise((start - length, start, end))
    moment = start if isinstance(start, datetime) else context.get("logical_date")
    timetable = getattr(context.get("dag"), "timetable", None)
    if not isinstance(moment, datetime) or timetable is None:
        return iter(())
    return pairwise(_starts_around(timetable, moment, time_zone(context) or UTC))


def _starts_around(timetable: Any, moment: datetime, zone: tzinfo) -> list[datetime]:
    """Return the schedule's two moments up to ``moment``, and the one after it."""
    crons = [cron for part in _parts(timetable) if (cron := _expression(part)) is not None]
    if crons:
        local = moment.astimezone(zone)
        naive = _clock_around(crons, local.replace(tzinfo=None))
        # Few hours apart, the clock's change is no part of the schedule: hours follow one another. Days and
        # more apart it is: every day begins at its own midnight.
        few = naive[-1] - naive[-2] <= _FEW_HOURS
        return [
            at.replace(tzinfo=timezone(local.utcoffset() or timedelta(0)) if few else zone) for at in naive
        ]
    delta = getattr(timetable, "delta", getattr(timetable, "_delta", None))
    if isinstance(delta, timedelta) and delta > timedelta(0):
        return [moment - delta, moment, moment + delta]
    return []


def _clock_around(crons: Sequence[str], naive: datetime) -> list[datetime]:
    """Return the last two times of some cron expressions up to ``naive``, and the next, on a clock's face."""
    from croniter import croniter

    before: set[datetime] = set()
    after: set[datetime] = set()
    for cron in crons:
        backwards = croniter(cron, naive + timedelta(microseconds=1))
        before |= {backwards.get_prev(datetime), backwards.get_prev(datetime)}
        after.add(croniter(cron, naive).get_next(datetime))
    return [*sorted(before)[-2:], min(after)]


def _parts(timetable: Any) -> list[Any]:
    """Return a timetable, or those that it is made of."""
    parts = getattr(timetable, "timetables", getattr(timetable, "_timetables", None))
    return list(parts) if isinstance(parts, list | tuple) else [timetable]


def _expression(timetable: Any) -> str | None:
    cron = getattr(timetable, "expression", getattr(timetable, "_expression", None))
    return cron if isinstance(cron, str) and cron else None
