from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import (
    Action,
    AdoptedFile,
    Change,
    Entry,
    Found,
    Kind,
    Query,
    State,
    entry_place,
    journal_folder,
    lease_place,
)
from airflow_quilt_athena.core.overwrite.journal_format import (
    UnreadableEntry,
    parse_adopted,
    parse_entry,
    render_adopted,
    render_entry,
)
from airflow_quilt_athena.core.overwrite.query_role import (
    COUNT,
    DEFINE,
    DESCRIBE,
    READS,
    ROWS,
    STAGE,
    Role,
    RoleKind,
)
from airflow_quilt_athena.exceptions import ManualActionError
from tests.unit.lake_examples import ATTEMPT, BASE, NOON, change, entry

FOLDER = f"s3://lake/sales/orders/.generations/dt=1/{ATTEMPT.name}/"

_texts = st.text(max_size=8)
_places = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
    lambda key: f"s3://lake/sales/orders/.generations/{key}"
)
_maybe = st.none() | _texts
_roles = st.one_of(
    st.sampled_from([DESCRIBE, STAGE, ROWS, COUNT, DEFINE]),
    st.builds(Role, st.sampled_from([*READS, RoleKind.SLICE]), st.integers(1, 2000)),
    st.builds(Role, st.just(RoleKind.CHECK), check=_texts),
)
_counts = st.integers(0, 10**12)
_times = st.datetimes(timezones=st.just(UTC))
_values = st.lists(_texts, max_size=3).map(tuple)
_parameters = st.dictionaries(
    _texts | st.sampled_from(["quilt_athena.rows", "quilt_athena.previous_location"]),
    _texts | st.just("./x") | st.just("s3://lake/sales/orders/.generations/x"),
    max_size=3,
)
_descriptors = st.fixed_dictionaries(
    {"Columns": st.lists(st.fixed_dictionaries({"Name": _texts, "Type": _texts}), max_size=2)},
    optional={"Location": _texts | st.just("./x") | st.just("s3://lake/sales/orders/.generations/x")},
)
_inputs = st.none() | st.fixed_dictionaries(
    {"Parameters": _parameters},
    optional={"Values": st.lists(_texts, max_size=2), "StorageDescriptor": _descriptors},
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
    location=_places,
    generation=_maybe,
    rows=st.none() | _counts,
    previous_location=_places,
    previous_generation=_maybe,
    previous=_inputs,
    adopted=_places,
    restored=_inputs,
)
_adopted_files = st.dictionaries(
    _texts, st.lists(st.builds(AdoptedFile, _texts, _texts, _counts), max_size=2).map(tuple), max_size=2
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
    base=st.just(str(BASE)),
    folder=st.none(),
    adopted_files=_adopted_files,
    adopted_list=_maybe,
    queries=st.lists(st.builds(Query, _roles, _texts), max_size=2).map(tuple),
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
    partition_notes=st.dictionaries(_texts, st.dictionaries(_texts, _texts, max_size=1), max_size=2),
)


def test_every_field_of_an_entry_is_generated_below() -> None:
    given_fields = set(_entries.wrapped_strategy.kwargs)  # type: ignore[attr-defined]
    assert given_fields == set(Entry.__dataclass_fields__)


@given(_entries)
def test_an_entry_is_read_back_as_it_was_written(written: Entry) -> None:
    read = parse_entry(render_entry(written), "s3://b/x.json", written.name, BASE)
    assert read == written
    assert read.writer == written.writer
    assert render_entry(read) == render_entry(written)


def test_who_wrote_an_entry_does_not_make_it_another() -> None:
    assert entry(writer="one") == entry(writer="other")
    assert render_entry(entry(writer="one")) != render_entry(entry(writer="other"))


def _document(**changes: Any) -> bytes:
    return json.dumps(json.loads(render_entry(entry(changes=(change("1"),)))) | changes).encode()


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
        b"[" * 100_000,
        _document(format=1),
        _document(state="thinking"),
        _document(kind="other"),
        _document(created_at="yesterday"),
        _document(created_at="2026-01-01T12:00:00"),
        _document(attempt=["d", 1, "no"]),
        _document(rows="7"),
        _document(folder="s3://lake/sales/orders/.generations/another/"),
        _document(folder=f"s3://lake/sales/orders/{ATTEMPT.name}/"),
        _document(base="s3://lake/sales/copied/"),
        _document(changes=["x"]),
        _document(queries=7),
    ],
)
def test_an_entry_that_this_version_does_not_know_is_left_for_a_person(text: bytes) -> None:
    with pytest.raises(ManualActionError, match=r"s3://b/x\.json cannot be read.*Nothing that it tells"):
        parse_entry(text, "s3://b/x.json", ATTEMPT.entry_name, BASE)


def test_a_copy_of_an_entry_under_another_name_is_none() -> None:
    with pytest.raises(UnreadableEntry, match="it is a copy of entry 0123456789ab-1"):
        parse_entry(_document(), "s3://b/x.json", "0123456789ab-2", BASE)


def test_an_entry_of_this_version_is_read() -> None:
    read = parse_entry(_document(), "s3://b/x.json", ATTEMPT.entry_name, BASE)
    assert read == entry(changes=(change("1"),))


def test_an_entry_of_a_large_set_keeps_what_its_partitions_share_once() -> None:
    columns = [{"Name": f"column_{number}", "Type": "string"} for number in range(200)]
    old = replace(ATTEMPT, nonce="00000000")

    def of(number: int) -> Change:
        value = f"2026-{number:05d}"
        location = f"{FOLDER}../{old.name}/s{number // 100}/country={value}/"
        return change(
            "2026-01-01",
            value,
            location=f"{FOLDER}s{number // 100}/country={value}/",
            previous_location=location,
            previous_generation=old.name,
            previous={
                "Values": ["2026-01-01", value],
                "StorageDescriptor": {"Columns": [dict(one) for one in columns], "Location": location},
                "Parameters": {
                    "quilt_athena.generation": old.name,
                    "quilt_athena.rows": str(number),
                    "quilt_athena.written_at": NOON.isoformat(),
                    "quilt_athena.previous_location": location,
                },
            },
        )

    large = entry(folder=FOLDER, changes=tuple(of(number) for number in range(5000)))
    text = render_entry(large)
    assert len(text) < 2_000_000
    assert parse_entry(text, "s3://b/x.json", large.name, BASE) == large


def test_a_list_of_adopted_files_is_read_back_and_a_torn_one_is_none() -> None:
    files = {"s3://b/t/": (AdoptedFile("a", '"1"', 1), AdoptedFile("b c", '"2"', 2)), "s3://b/u/": ()}
    assert parse_adopted(render_adopted(files), "s3://b/l") == {"s3://b/t/": files["s3://b/t/"]}
    with pytest.raises(UnreadableEntry, match="s3://b/l cannot be read"):
        parse_adopted(render_adopted(files)[:-3], "s3://b/l")


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
    adopting = entry(changes=(change("1"), change("2", adopted="s3://b/t/dt=2/")))
    assert adopting.adopts("s3://b/t/dt=2/")
    assert not adopting.adopts("s3://b/t/")


def test_a_query_is_found_by_what_it_is_for() -> None:
    made = entry(queries=(Query(STAGE, "q1"), Query(COUNT, "q2")))
    assert (made.query_id(COUNT), made.query_id(DEFINE)) == ("q2", None)


def test_an_entry_that_tells_of_no_place_in_s3_is_not_read() -> None:
    document = json.loads(render_entry(entry(folder=FOLDER, changes=(change("1"),))))
    document["folder"] = "somewhere"
    with pytest.raises(UnreadableEntry, match=r"cannot be read: .*Not an S3 URI"):
        parse_entry(json.dumps(document).encode(), "s3://lake/j", ATTEMPT.entry_name, BASE)


def test_an_entry_whose_values_are_no_text_is_not_read() -> None:
    document = json.loads(render_entry(entry(folder=FOLDER, changes=(change("1"),))))
    document["changes"][0]["values"] = [1]
    with pytest.raises(UnreadableEntry, match="1 is not text"):
        parse_entry(json.dumps(document).encode(), "s3://lake/j", ATTEMPT.entry_name, BASE)


def test_a_partition_without_a_descriptor_is_kept_as_it_was() -> None:
    made = entry(folder=FOLDER, changes=(change("1", previous={"Values": ["1"]}),))
    assert parse_entry(render_entry(made), "s3://lake/j", ATTEMPT.entry_name, BASE) == made


def test_partitions_of_several_formats_keep_each_its_own() -> None:
    kinds = ("a", "b", "a", "c", "b")
    changes = tuple(
        change(str(number), previous={"Values": [str(number)], "StorageDescriptor": {"InputFormat": kind}})
        for number, kind in enumerate(kinds)
    )
    made = entry(folder=FOLDER, changes=changes)
    assert parse_entry(render_entry(made), "s3://lake/j", ATTEMPT.entry_name, BASE) == made
