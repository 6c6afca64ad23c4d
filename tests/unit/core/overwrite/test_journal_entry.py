from __future__ import annotations

import json
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import (
    Action,
    Change,
    Entry,
    Found,
    Kind,
    Query,
    State,
    entry_place,
    journal_folder,
    lease_place,
    parse_entry,
)
from airflow_quilt_athena.exceptions import ManualActionError
from tests.unit.lake_examples import ATTEMPT, BASE, change, entry

FOLDER = f"s3://lake/sales/orders/.generations/dt=1/{ATTEMPT.name}/"

_texts = st.text(max_size=8)
_maybe = st.none() | _texts
_counts = st.integers(0, 10**12)
_times = st.datetimes(timezones=st.just(UTC))
_values = st.lists(_texts, max_size=3).map(tuple)
_inputs = st.none() | st.fixed_dictionaries(
    {"Values": st.lists(_texts, max_size=2), "Parameters": st.dictionaries(_texts, _texts, max_size=2)}
)
_attempts = st.builds(
    Attempt,
    digest=st.from_regex("[0-9a-f]{12}", fullmatch=True),
    number=st.integers(1, 10**6),
    nonce=st.from_regex("[0-9a-f]{8}", fullmatch=True),
)
_changes = st.builds(
    Change,
    values=_values,
    action=st.sampled_from(Action),
    location=_maybe,
    generation=_maybe,
    rows=st.none() | _counts,
    previous_location=_maybe,
    previous_generation=_maybe,
    previous=_inputs,
    adopted=_values,
    restored=_inputs,
)
_entries = st.builds(
    Entry,
    attempt=_attempts,
    task_key=_texts,
    table=_texts,
    database=_texts,
    kind=st.sampled_from(Kind),
    state=st.sampled_from(State),
    fingerprint=_texts,
    basis=_texts,
    retain_seconds=st.floats(0, 1e9),
    created_at=_times,
    updated_at=_times,
    folder=_maybe,
    queries=st.lists(st.builds(Query, _texts, _texts), max_size=2).map(tuple),
    found=st.none() | st.lists(st.builds(Found, _values, _counts), max_size=2).map(tuple),
    rows=st.none() | _counts,
    bytes_scanned=_counts,
    changes=st.lists(_changes, max_size=2).map(tuple),
    published_at=st.none() | _times,
    settled_at=st.none() | _times,
    keep_until=st.none() | _times,
    marked=st.dictionaries(_texts, _times, max_size=2),
    claimed_by=_maybe,
    claims=_values,
    doomed=_values,
    deleted=_values,
    reason=_texts,
    untidy=st.booleans(),
    revision=st.integers(0, 10**6),
    writer=_texts,
    notes=st.dictionaries(_texts, _texts, max_size=2),
)


def test_every_field_of_an_entry_is_generated_below() -> None:
    given_fields = set(_entries.wrapped_strategy.kwargs)  # type: ignore[attr-defined]
    assert given_fields == set(Entry.__dataclass_fields__)


@given(_entries)
def test_an_entry_is_read_back_as_it_was_written(written: Entry) -> None:
    read = parse_entry(written.render(), "s3://b/x.json")
    assert read == written
    assert read.writer == written.writer
    assert read.render() == written.render()


def test_what_glue_answers_in_other_types_is_kept_as_text() -> None:
    kept = entry(changes=(change("1", previous={"Parameters": {"since": Decimal("1.5")}}),))
    assert json.loads(kept.render())["changes"][0]["previous"] == {"Parameters": {"since": "1.5"}}


def test_who_wrote_an_entry_does_not_make_it_another() -> None:
    assert entry(writer="one") == entry(writer="other")
    assert entry(writer="one").render() != entry(writer="other").render()


def _document(**changes: Any) -> bytes:
    return json.dumps(json.loads(entry(changes=(change("1"),)).render()) | changes).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"{}",
        b"[]",
        b'"text"',
        b"7",
        b"null",
        _document(format=2),
        _document(state="thinking"),
        _document(kind="other"),
        _document(surprise=1),
        _document(created_at="yesterday"),
        _document(attempt={"digest": "d", "number": 1, "nonce": "no"}),
        _document(changes=["x"]),
        _document(queries=7),
    ],
)
def test_an_entry_that_this_version_does_not_know_is_left_for_a_person(text: bytes) -> None:
    with pytest.raises(ManualActionError, match=r"s3://b/x\.json cannot be read.*Nothing was changed"):
        parse_entry(text, "s3://b/x.json")


def test_an_entry_of_this_version_is_read() -> None:
    assert parse_entry(_document(), "s3://b/x.json") == entry(changes=(change("1"),))


def test_entries_and_the_lease_lie_where_no_reader_of_the_table_looks() -> None:
    folder = "s3://lake/sales/orders/.generations/.journal/"
    assert str(journal_folder(BASE)) == folder
    assert str(entry_place(BASE, entry().name)) == f"{folder}0123456789ab-1.json"
    assert str(lease_place(BASE)) == f"{folder}lease"


def test_an_entry_owns_what_lies_in_its_folder_and_nothing_beside() -> None:
    owner = entry(folder=FOLDER)
    assert owner.owns(FOLDER)
    assert owner.owns(f"{FOLDER}s1/dt=1/")
    assert not owner.owns(f"{FOLDER[:-1]}0/")
    assert not owner.owns("s3://lake/sales/orders/")
    assert not entry(folder=None).owns(FOLDER)


def test_an_entry_adopts_exactly_the_folders_it_names() -> None:
    adopting = entry(changes=(change("1"), change("2", adopted=("s3://b/t/dt=2/",))))
    assert adopting.adopts("s3://b/t/dt=2/")
    assert not adopting.adopts("s3://b/t/")


def test_a_query_is_found_by_what_it_is_for() -> None:
    made = entry(queries=(Query("stage", "q1"), Query("count", "q2")))
    assert (made.query_id("count"), made.query_id("define")) == ("q2", None)
