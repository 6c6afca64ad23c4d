"""Two writers of one partition, of neighbours, of one set; and a writer that died, or nearly did."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from airflow_quilt_athena.core.overwrite.request import Replace
from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws.clients import LakeClients
from airflow_quilt_athena.flows.overwrite import flips
from airflow_quilt_athena.flows.overwrite import lease as leases
from tests.faults.forks import Forks
from tests.faults.hooks import PATIENCE_SECONDS, Nth, PauseAtCall
from tests.faults.lake import Lake, Rows, counted, rows_query
from tests.faults.scenarios import (
    BY_DAY_AND_COUNTRY,
    DAY,
    NEXT_DAY,
    SET_NEW,
    THREE_PARTITIONS,
    of_set,
    overwrite_set,
)
from tests.faults.whole import assert_swept_clean

pytestmark = pytest.mark.integration

_ROUNDS = 8
_GENERATION = re.compile(r"w/t/\.generations/a[0-9a-f]{12}-\d+-[0-9a-f]{8}/")

Write = Callable[[LakeClients], object]


@pytest.fixture
def quick_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the lease looks again soon."""
    monkeypatch.setattr(leases, "_LONGEST_PAUSE_SECONDS", 0.02)


def at_once(lake: Lake, *writes: Write) -> None:
    """Begin all at one moment; raise the error of one that fails."""
    ready = threading.Barrier(len(writes))

    def write(one: Write, clients: LakeClients) -> None:
        ready.wait(PATIENCE_SECONDS)
        one(clients)

    with ThreadPoolExecutor(len(writes)) as pool:
        for writing in [pool.submit(write, one, lake.new_clients()) for one in writes]:
            writing.result()


def rows_of(writer: str, number: int) -> list[tuple[int, str]]:
    return [(row, f"{writer}{number}") for row in range(2 + number % 3)]


def writer_of_day(lake: Lake, writer: str, number: int, day: str = DAY) -> Write:
    query = rows_query("id, note", rows_of(writer, number))
    return lambda clients: lake.overwrite(
        query, {"dt": day}, f"{writer}{number}", clients=clients, partitioned_by=(("dt", "string"),)
    )


# --------------------------------------------------------------------------------- one, and neighbours


def test_of_two_writers_of_a_partition_one_wins_whole(lake: Lake) -> None:
    writer_of_day(lake, "a", 0)(lake.clients())
    for number in range(1, _ROUNDS + 1):
        at_once(lake, writer_of_day(lake, "a", number), writer_of_day(lake, "b", number))

        expected = [counted((*row, DAY) for row in rows_of(writer, number)) for writer in "ab"]
        assert lake.rows() in expected
    assert_swept_clean(lake)


def test_writers_of_neighbouring_partitions_do_not_meet(lake: Lake) -> None:
    writer_of_day(lake, "a", 0)(lake.clients())
    for number in range(1, _ROUNDS + 1):
        at_once(lake, writer_of_day(lake, "a", number), writer_of_day(lake, "b", number, NEXT_DAY))

        assert lake.rows() == counted(
            [(*row, DAY) for row in rows_of("a", number)] + [(*row, NEXT_DAY) for row in rows_of("b", number)]
        )
    assert_swept_clean(lake)


def test_two_first_writers_make_one_table(lake: Lake) -> None:
    at_once(lake, writer_of_day(lake, "a", 1), writer_of_day(lake, "b", 2, NEXT_DAY))

    assert lake.rows() == counted(
        [(*row, DAY) for row in rows_of("a", 1)] + [(*row, NEXT_DAY) for row in rows_of("b", 2)]
    )
    assert_swept_clean(lake)


def test_of_two_writers_of_a_table_without_keys_one_wins_whole(lake: Lake) -> None:
    def writer(name: str, number: int) -> Write:
        query = rows_query("id, note", rows_of(name, number))
        return lambda clients: lake.overwrite(
            query, {}, f"{name}{number}", clients=clients, replace=Replace.TABLE
        )

    for number in range(1, _ROUNDS + 1):
        at_once(lake, writer("a", number), writer("b", number))

        assert lake.rows() in [counted(rows_of(name, number)) for name in "ab"]
    assert_swept_clean(lake)


# ------------------------------------------------------------------------------------ one set of partitions

# The sets of two writers share two partitions; each has one that the other does not have.
_COUNTRIES = {"a": ("ch", "de", "fr"), "b": ("ch", "de", "it")}


def set_query(writer: str, number: int, *, with_day: bool = False) -> str:
    day = (DAY,) if with_day else ()
    rows = [(*row, country, *day) for row in rows_of(writer, number) for country in _COUNTRIES[writer]]
    return rows_query("id, note, country" + (", dt" if with_day else ""), rows)


def set_rows(writer: str, number: int, countries: tuple[str, ...] | None = None) -> Rows:
    return counted(
        (*row, DAY, country) for row in rows_of(writer, number) for country in countries or _COUNTRIES[writer]
    )


def writer_of_set(lake: Lake, writer: str, number: int) -> Write:
    return lambda clients: lake.overwrite(
        set_query(writer, number),
        {"dt": DAY},
        f"{writer}{number}",
        clients=clients,
        partitioned_by=BY_DAY_AND_COUNTRY,
    )


@pytest.mark.usefixtures("quick_turns")
def test_a_set_of_two_writers_is_never_a_mixture_in_the_end(lake: Lake) -> None:
    writer_of_set(lake, "a", 0)(lake.clients())
    for number in range(1, _ROUNDS + 1):
        at_once(lake, writer_of_set(lake, "a", number), writer_of_set(lake, "b", number))

        assert lake.rows() in [set_rows("a", number), set_rows("b", number)]
    assert_swept_clean(lake)


@pytest.mark.faults
@pytest.mark.usefixtures("quick_turns")
def test_overlapping_sets_are_published_one_after_the_other(lake: Lake) -> None:
    """One replaces the whole day, the other only what it has."""
    writer_of_set(lake, "a", 0)(lake.clients())

    def writer_of_some(number: int) -> Write:
        query = set_query("b", number, with_day=True)
        return lambda clients: lake.overwrite(
            query, {}, f"b{number}", clients=clients, partitioned_by=BY_DAY_AND_COUNTRY
        )

    for number in range(1, _ROUNDS + 1):
        at_once(lake, writer_of_set(lake, "a", number), writer_of_some(number))

        some_last = set_rows("b", number) + set_rows("a", number, ("fr",))
        assert lake.rows() in [set_rows("a", number), some_last]
    assert_swept_clean(lake)


@pytest.fixture
def two_forks() -> Iterator[tuple[Forks, Forks]]:
    with Forks() as first, Forks() as second:
        yield first, second


def test_two_processes_leave_whole_partitions_and_one_set(lake: Lake, two_forks: tuple[Forks, Forks]) -> None:
    """Each writes the set of one day and a partition of the next, again and again."""
    writer_of_set(lake, "a", 0)(lake.clients())
    number = 4
    for forks, writer in zip(two_forks, "ab", strict=True):
        rounds: list[tuple[str, dict[str, str], str]] = []
        for turn in range(1, number + 1):
            rounds.append((set_query(writer, turn), {"dt": DAY}, f"set {writer}{turn}"))
            query = rows_query("id, note", rows_of(writer, turn))
            rounds.append((query, {"dt": NEXT_DAY, "country": "ch"}, f"one {writer}{turn}"))
        forks.order("write_in_turn", lake, rounds)
    assert [forks.result() for forks in two_forks] == [0, 0]

    seen = lake.rows()
    a_set = counted(row for row in seen.elements() if row[2] == DAY)
    one = counted(row for row in seen.elements() if row[2] == NEXT_DAY)
    assert a_set in [set_rows(writer, number) for writer in "ab"]
    assert one in [counted((*row, NEXT_DAY, "ch") for row in rows_of(writer, number)) for writer in "ab"]
    assert_swept_clean(lake)


# ------------------------------------------------------------------------- a holder of the lease that died

_HALF_WAY = Nth("glue:BatchUpdatePartition")  # one partition is created by then, two are as they were


@pytest.fixture
def half_published(lake: Lake) -> Lake:
    """A set whose writer died under the lease."""
    THREE_PARTITIONS.prepare(lake)
    with Forks() as forks:
        assert forks.run_and_kill(THREE_PARTITIONS.name, lake, _HALF_WAY, after=False) < 0
    assert lake.rows() not in (THREE_PARTITIONS.before, THREE_PARTITIONS.after)
    assert lake.exists(f"{lake.base}.generations/.journal/lease")
    assert [entry["state"] for entry in lake.journal().values() if entry["task_key"] == "task"] == [
        "publishing"
    ]
    return lake


@pytest.mark.usefixtures("leases_expire_at_once")
def test_what_a_dead_writer_left_is_rolled_forward_by_the_next_holder(half_published: Lake) -> None:
    lake = half_published
    query = rows_query("id, note, country, dt", [(7, "other", "ch", DAY)])
    lake.overwrite(query, {}, "other")

    kept = [row for row in SET_NEW if row[2] != "ch"]
    assert lake.rows() == of_set([*kept, (7, "other", "ch")])
    assert not lake.exists(f"{lake.base}.generations/.journal/lease")
    assert_swept_clean(lake)
    assert lake.rows() == of_set([*kept, (7, "other", "ch")])


@pytest.mark.usefixtures("leases_expire_at_once")
def test_what_a_dead_writer_left_is_superseded_when_the_whole_prefix_is_replaced(
    half_published: Lake,
) -> None:
    lake, rows = half_published, [(7, "other", "ch"), (8, "other", "at")]
    lake.overwrite(rows_query("id, note, country", rows), {"dt": DAY}, "other")

    assert lake.rows() == of_set(rows)
    assert_swept_clean(lake)
    assert lake.rows() == of_set(rows)


def test_the_dead_writer_s_own_retry_does_not_wait_for_its_lease(half_published: Lake) -> None:
    overwrite_set(half_published, half_published.clients())

    assert half_published.rows() == THREE_PARTITIONS.after
    assert_swept_clean(half_published)


def test_a_living_lease_is_waited_for(half_published: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = half_published
    monkeypatch.setattr(flips, "Lease", partial(leases.Lease, seconds=3600.0, patience_seconds=0.2))
    with pytest.raises(RetryableError, match="held by others"):
        lake.overwrite(rows_query("id, note, country", [(7, "other", "ch")]), {"dt": DAY}, "other")

    overwrite_set(lake, lake.clients())  # its holder goes on, though its lease is not over
    assert lake.rows() == THREE_PARTITIONS.after


@pytest.mark.usefixtures("leases_expire_at_once")
def test_a_holder_that_stood_still_takes_back_what_it_did_late(lake: Lake) -> None:
    """Its lease expired, another finished its work and wrote anew; then it went on: both have published."""
    THREE_PARTITIONS.prepare(lake)
    pause = PauseAtCall(calls_until(lake, "BatchUpdatePartition"))
    with ThreadPoolExecutor(1) as pool:
        standing = pool.submit(overwrite_set, lake, lake.new_clients(before_send=pause))
        try:
            assert pause.stopped.wait(PATIENCE_SECONDS)
            assert pause.at == "glue:BatchUpdatePartition"
            lake.overwrite(rows_query("id, note, country, dt", [(7, "other", "ch", DAY)]), {}, "other")
        finally:
            pause.go_on()
        standing.result()

    expected = of_set([*(row for row in SET_NEW if row[2] != "ch"), (7, "other", "ch")])
    assert lake.rows() == expected
    overwrite_set(lake, lake.clients())
    assert lake.rows() == expected
    assert_swept_clean(lake)
    assert lake.rows() == expected


def calls_until(lake: Lake, operation: str) -> int:
    """How many calls a run makes until its first of an operation; found in a lake of its own."""
    made: list[str] = []

    def note(event_name: str, **_: Any) -> None:
        made.append(event_name.split(".")[2])

    other = lake.another()
    THREE_PARTITIONS.prepare(other)
    overwrite_set(other, other.new_clients(before_send=note))
    counted_calls = [name for name in made if not name.endswith("GetQueryExecution")]
    return counted_calls.index(operation) + 1


# --------------------------------------------------------------------------------------------- in a row


def test_overwrites_of_a_table_without_keys_never_nest(lake: Lake) -> None:
    locations = set()
    for number in range(10):
        lake.overwrite(rows_query("id, note", rows_of("a", number)), {}, f"a{number}", replace=Replace.TABLE)
        (location,) = lake.locations().values()
        assert _GENERATION.fullmatch(location)
        locations.add(location)
    assert len(locations) == 10

    lake.sweep()

    journal = lake.keys(f"{lake.base}.generations/.journal/")
    assert lake.keys() - journal == lake.keys(location)
    assert lake.rows() == counted(rows_of("a", 9))
    assert_swept_clean(lake)
