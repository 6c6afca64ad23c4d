from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_quilt_athena.core.overwrite.attempt_names import Attempt
from airflow_quilt_athena.core.overwrite.journal_entry import AdoptedFile, Entry, State
from airflow_quilt_athena.core.overwrite.journal_format import parse_entry
from airflow_quilt_athena.exceptions import ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws import deadline as patience
from airflow_quilt_athena.flows.overwrite.journal import Journal, JournalConflict, new_nonce
from tests.unit.lake_examples import ATTEMPT, BASE, entry
from tests.unit.s3_fake import NO_ANSWER, FakeS3

KEY = "sales/orders/.generations/.journal/0123456789ab-1.json"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


def journal(s3: FakeS3) -> Journal:
    """Return the journal as another process sees it."""
    return Journal(s3, BASE)


def kept(s3: FakeS3) -> Entry:
    return parse_entry(s3.objects[KEY][0], KEY, ATTEMPT.entry_name, BASE)


def test_an_entry_is_created_once(s3: FakeS3) -> None:
    assert journal(s3).create(entry())
    assert not journal(s3).create(entry(task_key="another"))
    assert kept(s3) == entry()


def test_who_creates_the_same_entry_at_the_same_time_is_another(s3: FakeS3) -> None:
    assert journal(s3).create(entry())
    assert not journal(s3).create(entry())


def test_an_entry_whose_answer_was_lost_is_known_as_ones_own(s3: FakeS3) -> None:
    s3.events.append(("put_object", "after", NO_ANSWER))
    mine = journal(s3)
    assert mine.create(entry())
    # It is held as if the answer had come.
    assert mine.advance(entry(), state=State.SUBMITTED).state is State.SUBMITTED


def test_an_entry_advances_by_one_and_carries_the_time_of_s3(s3: FakeS3) -> None:
    mine = journal(s3)
    mine.create(entry())
    s3.pass_time(3600)
    mine.read(ATTEMPT.entry_name)
    advanced = mine.advance(entry(), state=State.SUBMITTED, rows=7)
    assert kept(s3) == advanced
    assert (advanced.state, advanced.rows, advanced.revision) == (State.SUBMITTED, 7, 1)
    assert abs(advanced.updated_at - s3.now) < timedelta(minutes=1)
    again = mine.advance(advanced, updated_at=s3.now)
    assert (again.revision, again.updated_at) == (2, s3.now)


def test_an_advance_whose_answer_was_lost_is_known_as_ones_own(s3: FakeS3) -> None:
    mine = journal(s3)
    mine.create(entry())
    s3.events.append(("put_object", "after", NO_ANSWER))
    advanced = mine.advance(entry(), state=State.SUBMITTED)
    assert kept(s3) == advanced
    assert mine.advance(advanced, state=State.STAGED).revision == 2


def test_who_comes_second_is_told_what_the_first_made_of_the_entry(s3: FakeS3) -> None:
    mine, other = journal(s3), journal(s3)
    mine.create(entry())
    found = other.read(ATTEMPT.entry_name)
    assert found is not None
    swept = other.advance(found, state=State.DELETING)
    with pytest.raises(JournalConflict, match=r"is deleting .*expected intended") as conflict:
        mine.advance(entry(), state=State.SUBMITTED)
    assert isinstance(conflict.value, RetryableError)
    assert conflict.value.found == swept
    assert kept(s3).state is State.DELETING
    # Having looked, the second may go on from there.
    assert mine.advance(swept, state=State.ABORTED).revision == 2


def test_the_same_change_by_another_process_is_a_conflict_and_not_ones_own(s3: FakeS3) -> None:
    mine, other = journal(s3), journal(s3)
    mine.create(entry())
    other.read(ATTEMPT.entry_name)
    other.advance(entry(), state=State.PUBLISHING, updated_at=s3.now)
    with pytest.raises(JournalConflict):
        mine.advance(entry(), state=State.PUBLISHING, updated_at=s3.now)


def test_a_lost_answer_after_which_another_went_on_is_a_conflict(s3: FakeS3) -> None:
    mine, other = journal(s3), journal(s3)
    mine.create(entry())

    def another_goes_on() -> None:
        found = other.read(ATTEMPT.entry_name)
        assert found is not None
        assert found.state is State.SUBMITTED
        other.advance(found, state=State.DELETING)
        raise NO_ANSWER

    s3.events.append(("put_object", "after", another_goes_on))
    with pytest.raises(JournalConflict, match="is deleting"):
        mine.advance(entry(), state=State.SUBMITTED)
    assert kept(s3).state is State.DELETING


def test_an_entry_that_was_removed_meanwhile_is_a_conflict(s3: FakeS3) -> None:
    mine, other = journal(s3), journal(s3)
    mine.create(entry())
    found = other.read(ATTEMPT.entry_name)
    assert found is not None
    assert other.remove(found)
    assert not other.remove(found)
    with pytest.raises(JournalConflict, match="entry is gone") as conflict:
        mine.advance(entry(), state=State.SUBMITTED)
    assert conflict.value.found is None
    assert s3.objects == {}


def test_an_entry_that_another_has_advanced_is_not_removed(s3: FakeS3) -> None:
    mine, other = journal(s3), journal(s3)
    mine.create(entry())
    other.read(ATTEMPT.entry_name)
    other.advance(entry(), state=State.PUBLISHING)
    assert not mine.remove(entry())
    assert kept(s3).state is State.PUBLISHING


def test_the_newest_attempt_of_a_task_is_found_by_number_and_not_by_name(s3: FakeS3) -> None:
    mine = journal(s3)
    for number in (1, 2, 9, 10):
        mine.create(entry(attempt=Attempt("0123456789ab", number, "00000000")))
    mine.create(entry(attempt=Attempt("ffffffffffff", 11, "00000000")))
    s3.objects["sales/orders/.generations/.journal/0123456789ab-x.json"] = (b"", s3.now)
    s3.objects["sales/orders/.generations/.journal/lease"] = (b"{}", s3.now)
    number, latest = journal(s3).latest("0123456789ab")
    assert latest is not None
    assert (number, latest.attempt.number) == (10, 10)
    assert journal(s3).latest("aaaaaaaaaaaa") == (0, None)
    assert "lease" not in mine.names()
    assert set(mine.names("ffff")) == {"ffffffffffff-11"}


def test_all_entries_are_read_but_for_those_that_go_meanwhile(s3: FakeS3) -> None:
    mine = journal(s3)
    made = [entry(attempt=Attempt("0123456789ab", number, "00000000")) for number in range(1, 21)]
    for one in made:
        mine.create(one)
    names = mine.names()
    del s3.objects[KEY]
    found = {one.name: one for one in journal(s3).read_all(names)}
    assert found == {one.name: one for one in made[1:]}


@pytest.mark.parametrize("body", [b"", b"torn", b"[" * 100_000, b"{}"])
def test_an_entry_that_cannot_be_read_stops_who_needs_it_and_nobody_else(s3: FakeS3, body: bytes) -> None:
    mine, other = journal(s3), entry(attempt=Attempt("ffffffffffff", 1, "00000000"))
    mine.create(other)
    s3.objects[KEY] = (body, s3.now)
    with pytest.raises(ManualActionError, match="cannot be read"):
        mine.read(ATTEMPT.entry_name)
    assert list(mine.read_all(mine.names())) == [other]
    assert list(mine.unreadable) == [ATTEMPT.entry_name]
    assert mine.latest("0123456789ab") == (1, None)
    assert not mine.create(entry())


def test_the_time_is_asked_for_before_it_is_used(s3: FakeS3) -> None:
    s3.now += timedelta(days=300)
    made = journal(s3)
    assert abs(made.now() - s3.now) < timedelta(minutes=1)


def test_what_lay_there_before_is_kept_beside_an_entry_where_it_is_long(s3: FakeS3) -> None:
    mine, files = journal(s3), {"s3://lake/t/": (AdoptedFile("a", '"e"', 7),)}
    place = mine.write_adopted(entry(), files)
    assert mine.names() == ()
    listed = entry(adopted_list=place)
    assert journal(s3).read_adopted(listed) == files
    assert journal(s3).read_adopted(entry(adopted_files=files)) == files
    mine.remove_adopted(listed)
    assert journal(s3).read_adopted(listed) == {}


def test_the_journal_is_encrypted_with_the_key_that_was_named(s3: FakeS3) -> None:
    mine = Journal(s3, BASE, kms_key_arn="arn:key")
    mine.create(entry())
    mine.advance(entry(), state=State.SUBMITTED)
    puts = [request for call, request in s3.calls if call == "put_object"]
    assert [request["SSEKMSKeyId"] for request in puts] == ["arn:key", "arn:key"]


def test_a_nonce_is_new_each_time() -> None:
    assert len({Attempt("0123456789ab", 1, new_nonce()).name for _ in range(100)}) == 100
