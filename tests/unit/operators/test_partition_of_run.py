"""Whose day a run is of: its schedule's, on every Airflow, and no other run's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_quilt_athena.operators.partition_of_run import resolve_partition

HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)


def resolve(
    schedule: Any,
    moment: datetime,
    length: timedelta | None = None,
    *,
    zone: str = "UTC",
    form: str = "%Y-%m-%d",
) -> Any:
    """The partition of the run of a DAG at a moment; a length gives it a data interval."""
    dag = DAG("d", schedule=schedule, start_date=pendulum.datetime(2026, 1, 1, tz=zone))
    context: dict[str, Any] = {
        "dag": dag,
        "dag_run": SimpleNamespace(conf={}),
        "ti": SimpleNamespace(dag_id="d"),
        "logical_date": moment.astimezone(UTC),
    }
    if length is not None:
        start = moment.astimezone(UTC)
        context |= {"data_interval_start": start, "data_interval_end": start + length}
    return resolve_partition(None, context, date_format=form)


@pytest.mark.parametrize(
    "zone", ["Asia/Tokyo", "Europe/Berlin", "America/Los_Angeles", "Pacific/Kiritimati", "UTC"]
)
@pytest.mark.parametrize("length", [None, timedelta(0), A_DAY])
def test_a_schedule_at_local_midnight_writes_the_local_day(zone: str, length: timedelta | None) -> None:
    midnight = datetime(2026, 3, 4, tzinfo=ZoneInfo(zone))
    assert resolve("0 0 * * *", midnight, length, zone=zone) == "2026-03-04"


def test_the_day_is_the_same_with_a_partition_date_as_with_a_data_interval() -> None:
    midnight = datetime(2026, 3, 4, tzinfo=ZoneInfo("Asia/Tokyo"))
    dag = DAG("d", schedule="0 0 * * *", start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Tokyo"))
    context = {"dag": dag, "partition_date": midnight.astimezone(UTC)}
    assert resolve_partition(None, context, date_format="%Y-%m-%d") == "2026-03-04"


def test_a_timetable_s_own_zone_goes_before_the_dag_s() -> None:
    timetable = SimpleNamespace(timezone="Asia/Tokyo")
    dag = SimpleNamespace(timetable=timetable, timezone=UTC)
    context = {"dag": dag, "logical_date": datetime(2026, 3, 3, 15, tzinfo=UTC)}
    assert resolve_partition(None, context, date_format="%Y-%m-%d") == "2026-03-04"


def test_the_scheduler_s_own_timetables_of_airflow_3_1_are_read_as_well() -> None:
    timetable = SimpleNamespace(_timezone=ZoneInfo("Asia/Tokyo"), _expression="0 * * * *")
    dag = SimpleNamespace(timetable=timetable, timezone=UTC)
    context = {"dag": dag, "logical_date": datetime(2026, 3, 3, 15, tzinfo=UTC)}
    with pytest.raises(AirflowFailException, match="%Y-%m-%dT%H"):
        resolve_partition(None, context, date_format="%Y-%m-%d")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize("hour", [0, 1, 12, 22, 23])
@pytest.mark.parametrize("length", [None, HOUR])
def test_every_hourly_run_under_a_daily_format_is_refused_with_the_format_to_use(
    zone: str, hour: int, length: timedelta | None
) -> None:
    moment = datetime(2026, 3, 4, hour, tzinfo=ZoneInfo(zone))
    with pytest.raises(AirflowFailException, match=r"such as '%Y-%m-%dT%H'"):
        resolve("@hourly", moment, length, zone=zone)
    assert resolve("@hourly", moment, length, zone=zone, form="%Y-%m-%dT%H") == f"2026-03-04T{hour:02}"


@pytest.mark.parametrize(
    ("schedule", "form", "finer"),
    [
        ("*/5 * * * *", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M"),
        ("0 6,18 * * *", "%Y-%m-%d", "%Y-%m-%dT%H"),
        ("@weekly", "%Y-%m", "%Y-%m-%d"),
        ("@monthly", "%Y", "%Y-%m"),
        (timedelta(hours=6), "%Y-%m-%d", "%Y-%m-%dT%H"),
    ],
)
def test_what_is_finer_than_its_format_is_refused(schedule: Any, form: str, finer: str) -> None:
    moment = datetime(2026, 3, 8, 6, tzinfo=UTC)
    with pytest.raises(AirflowFailException, match=f"'{finer}'"):
        resolve(schedule, moment, form=form)
    resolve(schedule, moment, form=finer)


@pytest.mark.parametrize(
    ("schedule", "form", "value"),
    [
        ("0 6 * * *", "%Y-%m-%d", "2026-03-04"),
        ("0 6 * * 1-5", "%Y-%m-%d", "2026-03-04"),
        ("@weekly", "%Y-%m-%d", "2026-03-04"),
        ("@monthly", "%Y-%m", "2026-03"),
        ("@yearly", "%Y", "2026"),
        (None, "%Y-%m-%d", "2026-03-04"),
        (A_DAY, "%Y-%m-%d", "2026-03-04"),
    ],
)
@pytest.mark.parametrize("hour", [3, 6, 23])
def test_what_is_not_finer_passes_also_when_it_is_run_by_hand(
    schedule: Any, form: str, value: str, hour: int
) -> None:
    assert resolve(schedule, datetime(2026, 3, 4, hour, 30, tzinfo=UTC), form=form) == value


@pytest.mark.parametrize("month_and_day", [(3, 28), (3, 29), (3, 30), (10, 24), (10, 25), (10, 26)])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_days_of_23_and_25_hours_are_days(month_and_day: tuple[int, int], zone: str) -> None:
    midnight = datetime(2026, *month_and_day, tzinfo=ZoneInfo(zone))
    end = datetime(2026, *month_and_day, tzinfo=ZoneInfo(zone)) + A_DAY
    length = end.astimezone(UTC) - midnight.astimezone(UTC)
    for given in (None, length):
        assert resolve("@daily", midnight, given, zone=zone) == f"{midnight:%Y-%m-%d}"


@pytest.mark.parametrize("length", [None, HOUR])
def test_the_hour_that_comes_twice_is_told_apart_by_its_offset(length: timedelta | None) -> None:
    first = datetime(2026, 10, 25, 0, tzinfo=UTC)  # 02:00 in Berlin, an hour before it is 02:00 again
    for moment in (first, first + HOUR):
        with pytest.raises(AirflowFailException, match="%Y-%m-%dT%H%z"):
            resolve("@hourly", moment, length, zone="Europe/Berlin", form="%Y-%m-%dT%H")
    found = [
        resolve("@hourly", moment, length, zone="Europe/Berlin", form="%Y-%m-%dT%H%z")
        for moment in (first, first + HOUR)
    ]
    assert found == ["2026-10-25T02+0200", "2026-10-25T02+0100"]


# -------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("00", "00"),
        (7, "7"),
        (True, "true"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.50"), "1.50"),
        (date(2026, 1, 31), "2026-01-31"),
        (datetime(2026, 1, 31, 1, 2, 3), "2026-01-31 01:02:03"),
    ],
)
def test_values_are_written_as_athena_prints_them(value: object, text: str) -> None:
    assert resolve_partition({"k": value}, {}, date_format="%Y-%m-%d") == {"k": text}
    assert resolve_partition(value, {}, date_format="%Y-%m-%d") == text


NO_VALUES = [
    ["a"],
    ("a",),
    {"a"},
    {"x": {"y": "z"}},
    b"a",
    1.5,
    float("nan"),
    object(),
    "['a']",
    "{'a': 1}",
    1j,
]


@pytest.mark.parametrize(
    "value", [*NO_VALUES, Decimal("NaN"), Decimal("Infinity"), "x\x00", "\ud800", "x" * 1025]
)
def test_what_is_no_value_is_refused_by_its_key(value: object) -> None:
    with pytest.raises(AirflowFailException, match=r"key|k'\]"):
        resolve_partition({"k": value}, {}, date_format="%Y-%m-%d")


def test_a_configuration_with_a_list_is_refused_with_the_command() -> None:
    context = {"dag_run": SimpleNamespace(conf={"partition": ["2026-01-01"]})}
    with pytest.raises(AirflowFailException, match="airflow dags trigger"):
        resolve_partition(None, context, date_format="%Y-%m-%d")
