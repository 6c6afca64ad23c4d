from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.quilt.chosen_by import By
from airflow_quilt_athena.core.quilt.late import Arrivals, Covered, LateRevisions, find_late, parse_covered
from airflow_quilt_athena.core.quilt.revisions import Interval, Pointer

BUCKET = "acme-data"
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST = Interval(BUCKET, MIDNIGHT, MIDNIGHT + DAY)


def made(after: timedelta, arrived: timedelta, package: str = "team/pkg") -> Pointer:
    return Pointer(package, str(int((MIDNIGHT + after).timestamp())), MIDNIGHT + arrived)


def late_in(covered: list[Covered], pointers: list[Pointer]) -> list[tuple[object, int]]:
    found = find_late(covered, {BUCKET: Arrivals.of(pointers)})
    return [(late.partition, late.count) for late in found]


def test_what_arrives_after_its_day_was_written_is_late() -> None:
    there = [made(timedelta(hours=1), timedelta(hours=1))]
    covered = [Covered.of(FIRST, {"dt": "2026-01-01"}, MIDNIGHT + DAY, there)]
    assert late_in(covered, there) == []
    two_days_later = made(timedelta(hours=2), 3 * DAY)
    of_another_day = made(DAY, 3 * DAY)
    tag = Pointer("team/pkg", "latest", MIDNIGHT + 3 * DAY)
    assert late_in(covered, [*there, two_days_later, of_another_day, tag]) == [({"dt": "2026-01-01"}, 1)]


def test_what_is_written_again_is_late_no_more() -> None:
    late = made(timedelta(hours=2), 3 * DAY)
    first = Covered.of(FIRST, "2026-01-01", MIDNIGHT + DAY, [])
    assert late_in([first], [late]) == [("2026-01-01", 1)]
    again = Covered.of(FIRST, "2026-01-01", MIDNIGHT + 4 * DAY, [late])
    assert late_in([again], [late]) == []
    # A partition that the second write did not touch, because its result has lost it, asks for nothing.
    assert late_in([first, again], [late]) == []


def test_what_was_seen_is_not_late_for_arriving_in_the_second_of_the_look() -> None:
    arrived = DAY
    there = [made(timedelta(hours=1), arrived)]
    covered = [Covered.of(FIRST, "d", MIDNIGHT + arrived, there)]
    assert late_in(covered, there) == []
    assert late_in(covered, [*there, made(timedelta(hours=2), arrived)]) == [("d", 2)]  # told, if too loud


def test_a_revision_that_is_gone_is_not_late() -> None:
    covered = [Covered.of(FIRST, "d", MIDNIGHT + DAY, [made(timedelta(hours=1), timedelta(hours=1))])]
    assert late_in(covered, []) == []


def test_by_arrival_what_came_after_the_look_is_late_though_made_long_ago() -> None:
    by_arrival = replace(FIRST, by=By.ARRIVAL)
    covered = [Covered.of(by_arrival, "d", MIDNIGHT + timedelta(hours=12), [])]
    assert late_in(covered, [made(-300 * DAY, timedelta(hours=13))]) == [("d", 1)]
    assert late_in(covered, [made(timedelta(hours=13), 3 * DAY)]) == []


def test_buckets_that_were_not_listed_are_not_judged() -> None:
    covered = [Covered.of(replace(FIRST, bucket="other"), "d", MIDNIGHT + DAY, [])]
    assert late_in(covered, [made(timedelta(hours=1), 3 * DAY)]) == []


@pytest.mark.parametrize("partition", ["2026-01-01", {"dt": "2026-01-01", "team": "ü"}, {}])
@pytest.mark.parametrize("by", By)
def test_the_record_is_read_as_it_was_written(partition: dict[str, str] | str, by: By) -> None:
    covered = Covered.of(replace(FIRST, by=by), partition, MIDNIGHT + DAY, [])
    assert parse_covered(covered.render()) == covered
    assert covered.asked == parse_covered(covered.render()).asked  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "x", "[]", "{}", json.dumps({"bucket": BUCKET, "start": "no"})])
def test_what_is_no_record_is_none(text: str) -> None:
    assert parse_covered(text) is None


def test_the_arguments_write_the_same_interval_again() -> None:
    late = LateRevisions(FIRST, {"dt": "2026-01-01"}, 2)
    assert late.as_dict() == {
        "partition": {"dt": "2026-01-01"},
        "quilt_revisions": {
            "bucket": BUCKET,
            "start": "2026-01-01T00:00:00+00:00",
            "end": "2026-01-02T00:00:00+00:00",
            "by": "revision",
        },
        "revisions": 2,
    }


hours = st.integers(0, 24 * 6)


@given(
    st.lists(st.tuples(hours, hours), max_size=12),
    st.lists(st.tuples(st.integers(0, 5), hours), max_size=6),
    st.sampled_from(By),
)
def test_late_is_what_a_look_at_each_pointer_says(
    revisions: list[tuple[int, int]], looks: list[tuple[int, int]], by: By
) -> None:
    pointers = [
        made(timedelta(hours=at), timedelta(hours=arrived), f"team/p{number}")
        for number, (at, arrived) in enumerate(revisions)
    ]
    covered, expected = [], []
    for day, looked in dict(looks).items():
        interval = Interval(BUCKET, MIDNIGHT + day * DAY, MIDNIGHT + (day + 1) * DAY, by)
        # A look in the middle of an hour: nothing arrives just then.
        at = MIDNIGHT + timedelta(hours=looked, minutes=30)
        there = [p for p in pointers if p.arrived_at is not None and p.arrived_at < at]
        covered.append(Covered.of(interval, f"day {day}", at, there))
        ages = [arrived if by is By.ARRIVAL else made_at for made_at, arrived in revisions]
        count = sum(
            24 * day <= age < 24 * (day + 1) and arrived > looked
            for age, (_, arrived) in zip(ages, revisions, strict=True)
        )
        if count:
            expected.append((f"day {day}", count))
    assert late_in(covered, pointers) == sorted(expected)
