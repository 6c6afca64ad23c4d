"""Which revisions a sensor waits for, by what its ``newer_than`` says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_quilt_athena.core.quilt.revision_wanted import parse_wanted
from airflow_quilt_athena.core.quilt.revisions import Pointer
from airflow_quilt_athena.core.quilt.watch import Arrival
from airflow_quilt_athena.exceptions import InvalidCallError

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = 1_767_225_600  # of NEW_YEAR
HASH = "a" * 64


def arrival(name: object, package: str = "team/a") -> Arrival:
    return Arrival(Pointer(package, str(name)), NEW_YEAR + timedelta(days=1), "e")


@pytest.mark.parametrize(
    ("newer_than", "title", "from_second"),
    [
        (None, "a revision of team/a in s3://acme-data", 0),
        ("2026-01-01", "a revision of team/a in s3://acme-data after 2026-01-01T00:00:00+00:00", SECONDS),
        (NEW_YEAR, "a revision of team/a in s3://acme-data after 2026-01-01T00:00:00+00:00", SECONDS),
        (
            "2026-01-01T01:00:00+01:00",
            "a revision of team/a in s3://acme-data after 2026-01-01T00:00:00+00:00",
            SECONDS,
        ),
        (f" {HASH} ", f"a revision of team/a in s3://acme-data after {HASH}", 0),
        (
            {"start": "2026-01-01", "end": "2026-01-02"},
            "a revision of team/a in s3://acme-data from 2026-01-01T00:00:00+00:00 to "
            "2026-01-02T00:00:00+00:00",
            SECONDS,
        ),
    ],
)
def test_what_is_waited_for_is_said_in_words(newer_than: Any, title: str, from_second: int) -> None:
    wanted = parse_wanted("acme-data", "team/a", newer_than, "revision")
    assert (wanted.title, wanted.from_second) == (title, from_second)


@pytest.mark.parametrize(
    ("newer_than", "by", "message"),
    [
        (None, "name", "by is 'name'. Expected revision or arrival"),
        ("None", "revision", "A template that found no value renders as None"),
        ("a" * 63, "revision", "a top hash of 64 characters"),
    ],
)
def test_what_says_no_time_is_refused(newer_than: Any, by: str, message: str) -> None:
    with pytest.raises(InvalidCallError, match=message):
        parse_wanted("acme-data", "team/a", newer_than, by)


def test_revisions_are_chosen_by_their_names_and_the_newest_is_last() -> None:
    wanted = parse_wanted("acme-data", "team/a", "2026-01-01", "revision")
    newest, newer, at, tag = (arrival(name) for name in (SECONDS + 2, SECONDS + 1, SECONDS, "latest"))
    other = arrival(SECONDS + 3, "team/b")
    assert wanted.choose([newest, newer, at, tag, other], wanted.after) == (newer, newest)


def test_a_revision_that_no_calendar_has_is_none_by_its_name_and_one_by_its_arrival() -> None:
    beyond = arrival(10**12 - 1)
    by_name = parse_wanted("acme-data", "team/a", None, "revision")
    assert by_name.choose([beyond], None) == ()
    by_arrival = parse_wanted("acme-data", "team/a", None, "arrival")
    assert by_arrival.choose([beyond], NEW_YEAR) == (beyond,)
    assert by_arrival.from_second == 0
