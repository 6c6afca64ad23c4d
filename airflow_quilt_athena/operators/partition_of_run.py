"""Which partition a run is for, read from Airflow's context in Python.

In a template a missing partition key becomes the text "None", and ``{{ ds }}`` does not exist in runs without
a logical date; here both are noticed, and the failure shows the command to use.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_quilt_athena.core.names import partition
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.operators.schedule import neighbours, time_zone

Partition = Mapping[str, Any] | str

CONF_KEY = "partition"

# From coarse to fine. An hour that comes twice, when clocks are set back, is told apart by its offset.
_FORMATS = (
    "%Y",
    "%Y-%m",
    "%Y-%m-%d",
    "%Y-%m-%dT%H",
    "%Y-%m-%dT%H%z",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M%z",
    "%Y-%m-%dT%H:%M:%S%z",
)


def resolve_partition(explicit: object, context: Mapping[str, Any], *, date_format: str) -> Partition:
    """Return the partition to overwrite: a value, or a mapping from key to value.

    In order: what the task says; the run's partition key; its partition date; ``partition`` in its
    configuration; the start of its data interval; its logical date. Dates are those of the schedule's time
    zone, or else of the DAG's.

    :raises AirflowFailException: when none is there, or the first that is has no value; and when runs of the
        schedule would have the same date, and overwrite one another.
    """
    for source, value in _sources(explicit, context):
        if value is not None:
            found = _date(source, value, context, date_format) if isinstance(value, datetime) else value
            return _with_value(source, found, context)
    raise AirflowFailException(
        "This run has no partition key, no partition date, no partition in its configuration and no logical "
        f"date, and the task names no partition. {_advice(context)}"
    )


def _sources(explicit: object, context: Mapping[str, Any]) -> list[tuple[str, object]]:
    conf = getattr(context.get("dag_run"), "conf", None) or {}
    return [
        (_TASK, explicit),
        ("the run's partition key", context.get("partition_key")),
        (_PARTITION_DATE, context.get("partition_date")),
        (f"{CONF_KEY} in the run's configuration", conf.get(CONF_KEY)),
        ("the run's data interval", context.get("data_interval_start")),
        ("the run's logical date", context.get("logical_date")),
    ]


_TASK = "the task's partition"
_PARTITION_DATE = "the run's partition date"


def _date(source: str, moment: datetime, context: Mapping[str, Any], date_format: str) -> object:
    """Return a date of the run as a partition value; what the task itself says stays as it is."""
    if source == _TASK:
        return moment
    zone = time_zone(context)

    def show(at: datetime, form: str = date_format) -> str:
        return (at if zone is None else at.astimezone(zone)).strftime(form)

    # A partition's date has been chosen by the timetable, by its own format.
    for one, other in () if source == _PARTITION_DATE else neighbours(context):
        if show(one) == show(other):
            # The coarsest that tells them apart; no run is shorter than a second.
            finer = next((form for form in _FORMATS if show(one, form) != show(other, form)), _FORMATS[-1])
            raise AirflowFailException(
                f"The runs of this DAG for {one.isoformat()} and {other.isoformat()} would both write "
                f"partition {show(one)!r}, the later over the rows of the earlier. Expected a finer "
                f"partition_format than {date_format!r}, such as {finer!r}; or a partition named by the task."
            )
    return show(moment)


def _with_value(source: str, value: object, context: Mapping[str, Any]) -> Partition:
    try:
        return partition(source, value)
    except InvalidCallError as error:
        raise AirflowFailException(f"{error} {_advice(context)}") from error


def _advice(context: Mapping[str, Any]) -> str:
    dag_id = getattr(context.get("ti"), "dag_id", None) or "DAG_ID"
    return (
        f'Name one: airflow dags trigger {dag_id} --conf \'{{"{CONF_KEY}": "2026-01-31"}}\' with partition '
        f"left out of the task; or, for a partitioned DAG, POST /api/v2/dags/{dag_id}/dagRuns with "
        '{"logical_date": null, "partition_key": "2026-01-31"}; or airflow backfill create '
        f"--dag-id {dag_id} --from-date 2026-01-31 --to-date 2026-01-31."
    )
