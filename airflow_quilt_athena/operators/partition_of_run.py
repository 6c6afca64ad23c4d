"""Which partition a run is for, read from Airflow's context in Python.

In a template a missing partition key becomes the text "None", and ``{{ ds }}`` does not exist in runs without
a logical date; here both are noticed, and the failure shows the command to use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException

Partition = Mapping[str, Any] | str

CONF_KEY = "partition"


def resolve_partition(explicit: object, context: Mapping[str, Any], *, date_format: str) -> Partition:
    """Return the partition to overwrite: a value, or a mapping from key to value.

    In order: what the task says; the run's partition key; its partition date; ``partition`` in its
    configuration; the start of its data interval; its logical date.

    :raises AirflowFailException: when none is there, or the first that is has no value.
    """
    for source, value in _sources(explicit, context, date_format):
        if value is not None:
            return _with_value(source, value, context)
    raise AirflowFailException(
        "This run has no partition key, no partition date, no partition in its configuration and no logical "
        f"date, and the task names no partition. {_advice(context)}"
    )


def _sources(explicit: object, context: Mapping[str, Any], date_format: str) -> list[tuple[str, object]]:
    conf = getattr(context.get("dag_run"), "conf", None) or {}
    return [
        ("the task's partition", explicit),
        ("the run's partition key", context.get("partition_key")),
        ("the run's partition date", _text(context.get("partition_date"), date_format)),
        (f"{CONF_KEY} in the run's configuration", conf.get(CONF_KEY)),
        ("the run's data interval", _text(context.get("data_interval_start"), date_format)),
        ("the run's logical date", _text(context.get("logical_date"), date_format)),
    ]


def _text(moment: Any, date_format: str) -> str | None:
    return None if moment is None else str(moment.strftime(date_format))


def _with_value(source: str, value: object, context: Mapping[str, Any]) -> Partition:
    values = value if isinstance(value, Mapping) else {"": value}
    for name, single in values.items():
        if single is None or str(single).strip() in {"", "None"}:
            where = f"{source}, key {name}," if name else source
            raise AirflowFailException(
                f"The partition value of {where} is {single!r}: a template that found no value renders so. "
                f"{_advice(context)}"
            )
    if isinstance(value, Mapping):
        return {str(name): str(single) for name, single in value.items()}
    return str(value)


def _advice(context: Mapping[str, Any]) -> str:
    dag_id = getattr(context.get("ti"), "dag_id", None) or "DAG_ID"
    return (
        f'Name one: airflow dags trigger {dag_id} --conf \'{{"{CONF_KEY}": "2026-01-31"}}\' with partition '
        f"left out of the task; or, for a partitioned DAG, POST /api/v2/dags/{dag_id}/dagRuns with "
        '{"logical_date": null, "partition_key": "2026-01-31"}; or airflow backfill create '
        f"--dag-id {dag_id} --from-date 2026-01-31 --to-date 2026-01-31."
    )
