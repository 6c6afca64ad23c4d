"""What a watcher tells: each new revision once, whatever it sees when. Laws over histories of a registry."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.quilt.event_messages import Hint, parse_hints
from airflow_quilt_athena.core.quilt.revisions import Pointer
from airflow_quilt_athena.core.quilt.watch import (
    Arrival,
    Memory,
    Snapshot,
    Tell,
    Watch,
    advance,
    begin_memory,
    find_news,
    note_telling,
    note_told,
    parse_tell,
)
from airflow_quilt_athena.exceptions import InvalidCallError

T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def arrival(package: str, name: str, minutes: float, etag: str = "e") -> Arrival:
    return Arrival(Pointer(package, name), at(minutes), etag)


def snapshot(minutes: float, *arrivals: Arrival, whole: bool = True) -> Snapshot:
    packages = frozenset(found.pointer.package for found in arrivals)
    return Snapshot("acme", at(minutes), tuple(arrivals), packages, whole)


ALL = frozenset(Tell)


def told(watch: Watch, memory: Memory, look: Snapshot) -> tuple[list[tuple[str, str]], Memory]:
    """Tell all that a look shows and have it stored; return it, and the memory as it was kept."""
    news = find_news(watch, memory, look)
    memory = advance(watch, note_told(note_telling(memory, news, look), news), look)
    kept = Memory.from_json(json.loads(json.dumps(memory.to_json())))
    assert kept == memory
    return [
        (one.kind.value, one.arrival.pointer.name if one.arrival else one.package) for one in news
    ], memory


# --------------------------------------------------------------------------------------------- laws

_HISTORY = st.lists(
    st.tuples(
        st.sampled_from(["team/a", "team/b", "other/c"]),
        st.integers(1_600_000_000, 1_600_000_006),  # names come late, and twice in one second
        st.integers(0, 300),  # minutes of arrival
        st.sampled_from(["x", "y"]),
    ),
    max_size=12,
)


@given(
    history=_HISTORY,
    looks=st.lists(
        st.tuples(st.integers(0, 310), st.booleans(), st.sampled_from(["stored", "crash", "late"])),
        max_size=12,
    ),
)
def test_every_revision_is_told_once_over_looks_and_crashes(history: Any, looks: Any) -> None:
    """At each look the registry is as it is then; a crash loses what was not kept."""
    pointers: dict[Pointer, tuple[int, str]] = {}
    for package, seconds, minutes, etag in history:
        pointers.setdefault(Pointer(package, str(seconds)), (minutes, etag))
    watch = Watch("acme", "team/*")
    kept = begin_memory(watch, T0)
    stored: list[Pointer] = []
    doubtful: list[Pointer] = []
    for minutes, whole, fate in [*sorted(looks), (400, True, "stored")]:
        there = [Arrival(p, at(m), e) for p, (m, e) in pointers.items() if m <= minutes]
        # A look for changes sees packages whose latest moved; here none did, and it sees nothing.
        look = snapshot(minutes, *there) if whole else Snapshot("acme", at(minutes), (), frozenset(), False)
        news = find_news(watch, kept, look)
        kept = note_telling(kept, news, look)
        handed = [one.arrival.pointer for one in news if one.arrival]
        again = [one.arrival.pointer for one in news if one.arrival and one.again]
        assert set(again) <= set(doubtful)
        if fate == "crash":  # Airflow has stored the events, or has not: nobody knows
            doubtful += handed
            continue
        stored += [pointer for pointer in handed if pointer not in again]
        doubtful = [pointer for pointer in doubtful if pointer not in handed]
        kept = note_told(kept, news)
        if fate == "stored":
            kept = advance(watch, kept, look)
    assert len(stored) == len(set(stored))
    wanted = {pointer for pointer in pointers if watch.covers(pointer.package)}
    told_again = {pointer for pointer in wanted if pointer not in stored}
    assert set(stored) | told_again == wanted
    assert not doubtful


@given(history=_HISTORY)
def test_a_second_look_at_the_same_tells_nothing(history: Any) -> None:
    pointers = {(p, s): (m, e) for p, s, m, e in history}
    look = snapshot(400, *(arrival(p, str(s), m, e) for (p, s), (m, e) in pointers.items()))
    watch = Watch("acme", "*", ALL)
    first, memory = told(watch, begin_memory(watch, T0), look)
    assert len(first) == len(pointers)
    assert told(watch, memory, look)[0] == []


# --------------------------------------------------------------------------------------------- cases


def test_what_was_there_before_the_first_look_is_not_new() -> None:
    watch = Watch("acme")
    look = snapshot(0, arrival("team/a", "1600000000", -1), arrival("team/a", "1600000001", 0))
    assert told(watch, begin_memory(watch, T0), look)[0] == [("created", "1600000001")]


def test_a_revision_that_arrives_days_after_it_was_made_is_told() -> None:
    watch = Watch("acme")
    _, memory = told(watch, begin_memory(watch, T0), snapshot(60, arrival("team/a", "1769860800", 30)))
    late = snapshot(120, arrival("team/a", "1769860800", 30), arrival("team/a", "1500000000", 100))
    assert told(watch, memory, late)[0] == [("created", "1500000000")]


def test_a_revision_that_a_look_for_changes_cannot_see_is_found_by_the_next_whole_one() -> None:
    watch = Watch("acme")
    _, memory = told(watch, begin_memory(watch, T0), snapshot(1))
    for minutes in range(2, 59):  # it came without latest, at minute 5
        _, memory = told(watch, memory, snapshot(minutes, whole=False))
    found, _ = told(watch, memory, snapshot(61, arrival("team/a", "1600000000", 5)))
    assert found == [("created", "1600000000")]


def test_what_was_told_in_a_partial_look_is_not_told_by_the_whole_one() -> None:
    watch = Watch("acme")
    _, memory = told(watch, begin_memory(watch, T0), snapshot(1))
    partial = Snapshot("acme", at(20), (arrival("team/a", "1600000000", 19),))
    found, memory = told(watch, memory, partial)
    assert found == [("created", "1600000000")]
    assert told(watch, memory, snapshot(61, arrival("team/a", "1600000000", 19)))[0] == []


def test_two_watchers_of_a_bucket_tell_their_own() -> None:
    look = snapshot(1, arrival("team/a", "1600000000", 1), arrival("other/b", "1600000000", 1))
    team, all_ = Watch("acme", "team/*"), Watch("acme", "*")
    assert len(find_news(team, begin_memory(team, T0), look)) == 1
    assert len(find_news(all_, begin_memory(all_, T0), look)) == 2


def test_tags_are_no_revisions() -> None:
    look = snapshot(1, arrival("team/a", "latest", 1), arrival("team/a", "v1", 1))
    watch = Watch("acme")
    assert find_news(watch, begin_memory(watch, T0), look) == ()


def test_a_rollback_is_told_as_that_and_only_when_asked() -> None:
    revisions = [arrival("team/a", "1600000000", -60, "one"), arrival("team/a", "1600000001", -30, "two")]
    look = snapshot(2, *revisions, arrival("team/a", "latest", 1, "one"))
    watch = Watch("acme", "*", ALL)
    found, memory = told(watch, begin_memory(watch, T0), look)
    assert found == [("rolled_back", "latest")]
    assert told(watch, memory, look)[0] == []
    again = snapshot(4, *revisions, arrival("team/a", "latest", 3, "one"))
    assert told(watch, memory, again)[0] == [("rolled_back", "latest")]
    silent = Watch("acme")
    assert told(silent, begin_memory(silent, T0), look)[0] == []


@pytest.mark.parametrize("etag", ["one", "two"])
def test_a_push_under_way_is_no_rollback(etag: str) -> None:
    look = snapshot(
        2,
        arrival("team/a", "1600000000", 1, "one"),
        arrival("team/a", "1600000001", 1.01, "two"),
        arrival("team/a", "latest", 1.01, etag),
    )
    watch = Watch("acme", "*", ALL)
    found, _ = told(watch, begin_memory(watch, T0), look)
    assert found == [("created", "1600000000"), ("created", "1600000001")]


def test_a_deletion_is_told_once_and_again_when_it_happens_again() -> None:
    watch = Watch("acme", "team/*", ALL)
    full = snapshot(1, arrival("team/a", "1600000000", -9), arrival("other/b", "1600000000", -9))
    memory = begin_memory(watch, T0, full)
    found, memory = told(watch, memory, snapshot(2, whole=False))
    assert found == [("deleted", "team/a")]
    found, memory = told(watch, memory, snapshot(3, whole=False))
    assert found == []
    found, memory = told(watch, memory, snapshot(5, arrival("team/a", "1600000009", 4), whole=False))
    assert found == [("created", "1600000009")]
    assert told(watch, memory, snapshot(6, whole=False))[0] == [("deleted", "team/a")]


def test_what_may_have_been_told_is_told_again_and_marked() -> None:
    watch = Watch("acme")
    look = snapshot(1, arrival("team/a", "1600000000", 1))
    memory = begin_memory(watch, T0)
    news = find_news(watch, memory, look)
    crashed = note_telling(memory, news, look)
    (again,) = find_news(watch, crashed, look)
    assert (news[0].again, again.again, again.key) == (False, True, news[0].key)


@pytest.mark.parametrize("package", ["", "team", "a/b/c", "/a", "team/"])
def test_a_package_that_is_none_is_refused(package: str) -> None:
    with pytest.raises(InvalidCallError, match="package is"):
        Watch("acme", package)


@pytest.mark.parametrize("tell", [(), "pushed", ("created", "x")])
def test_what_cannot_be_told_is_refused(tell: Any) -> None:
    with pytest.raises(InvalidCallError, match="tell is"):
        parse_tell(tell)


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"cursor": "x"}, {"cursor": T0.isoformat(), "told": [], "telling": {}, "packages": []}],
)
def test_a_memory_that_is_none_is_not_taken_for_one(value: Any) -> None:
    assert Memory.from_json(value) is None


# ------------------------------------------------------------------------------------------ messages

EVENT = {
    "version": "0",
    "detail-type": "package-revision",
    "source": "com.quiltdata",
    "detail": {
        "version": "0.1",
        "type": "created",
        "bucket": "acme",
        "handle": "team/a",
        "topHash": "ab" * 32,
    },
}
RECORD = {"s3": {"bucket": {"name": "acme"}, "object": {"key": ".quilt/named_packages/team/a/1600000000"}}}


@pytest.mark.parametrize(
    "body",
    [
        EVENT,
        {"Type": "Notification", "Message": json.dumps(EVENT)},
        {"Records": [RECORD]},
        {"source": "com.quiltdata.s3", "detail": RECORD},
        {
            "source": "aws.s3",
            "detail": {"bucket": {"name": "acme"}, "object": {"key": RECORD["s3"]["object"]["key"]}},
        },
        {"Message": json.dumps({"Records": [RECORD]})},
    ],
)
def test_messages_of_all_kinds_hint_at_the_package(body: Any) -> None:
    assert parse_hints(json.dumps(body)) == {Hint("acme", "team/a")}


@pytest.mark.parametrize(
    "body", ["", "x", "[]", "1", "{}", '{"detail": 1}', '{"Records": [1]}', '{"detail": {"bucket": 1}}',
             json.dumps({"Records": [{"s3": {"bucket": {"name": "acme"}, "object": {"key": "raw/a"}}}]})]
)  # fmt: skip
def test_other_messages_hint_at_nothing(body: str) -> None:
    assert parse_hints(body) == frozenset()


def test_who_asks_for_deletions_alone_is_told_of_no_revision() -> None:
    watch = Watch("acme", tell=frozenset({Tell.DELETED}))
    memory = Memory(T0, packages=frozenset({"team/a", "team/b"}))
    look = snapshot(1, arrival("team/a", "1769860800", 0.5), arrival("team/a", "latest", 0.5))
    assert told(watch, memory, look)[0] == [("deleted", "team/b")]


@pytest.mark.parametrize(
    "thing", [{"key": 7}, {}, {"key": None}, {"key": ".quilt/named_packages/team/a/latest", "bucket": 1}]
)
def test_an_event_of_an_object_without_a_name_hints_at_nothing(thing: dict[str, Any]) -> None:
    bucket = {"name": thing.pop("bucket", "acme")}
    assert parse_hints(json.dumps({"Records": [{"s3": {"bucket": bucket, "object": thing}}]})) == frozenset()
