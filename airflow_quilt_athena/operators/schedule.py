"""What a run's DAG says of its schedule: whose days they are, and which runs are beside this one.

Airflow's timetables differ from version to version: in 3.1 they are the scheduler's own, later the SDK's.
What is not understood (a timetable of somebody's own) says nothing, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo


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
    return pairwise(_starts_around(timetable, moment, time_zone(context)))


def _starts_around(timetable: Any, moment: datetime, zone: tzinfo | None) -> list[datetime]:
    """Return the schedule's two moments up to ``moment``, and the one after it."""
    crons = [cron for part in _parts(timetable) if (cron := _expression(part)) is not None]
    if crons:
        from croniter import croniter

        local = moment if zone is None else moment.astimezone(zone)
        just_after = local + timedelta(microseconds=1)
        found: set[datetime] = set()
        for cron in crons:
            iterator = croniter(cron, just_after)
            found |= {iterator.get_prev(datetime), iterator.get_prev(datetime)}
            found.add(croniter(cron, local).get_next(datetime))
        before = sorted(at for at in found if at <= local)[-2:]
        return [*before, min(at for at in found if at > local)]
    delta = getattr(timetable, "delta", getattr(timetable, "_delta", None))
    if isinstance(delta, timedelta) and delta > timedelta(0):
        return [moment - delta, moment, moment + delta]
    return []


def _parts(timetable: Any) -> list[Any]:
    """Return a timetable, or those that it is made of."""
    parts = getattr(timetable, "timetables", getattr(timetable, "_timetables", None))
    return list(parts) if isinstance(parts, list | tuple) else [timetable]


def _expression(timetable: Any) -> str | None:
    cron = getattr(timetable, "expression", getattr(timetable, "_expression", None))
    return cron if isinstance(cron, str) and cron else None
