from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_quilt_athena.core.glue.s3_uri import S3Uri
from airflow_quilt_athena.exceptions import AccessError, RetryableError
from airflow_quilt_athena.flows.aws import deadline as patience
from airflow_quilt_athena.flows.aws.objects import (
    S3Clock,
    delete_listed,
    delete_object,
    list_objects,
    read_object,
    write_object,
)
from tests.unit.s3_fake import NO_ANSWER, FakeS3, s3_error

PLACE = S3Uri("b", "t/entry.json")
THROTTLED = s3_error("SlowDown", 503)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_SECONDS", 0.0)


@pytest.fixture
def s3() -> FakeS3:
    return FakeS3()


# ------------------------------------------------------------------------------------------------- write


def test_an_object_is_written_only_where_there_is_none(s3: FakeS3) -> None:
    assert write_object(s3, PLACE, b"one", S3Clock()) == '"f97c5d29941bfb1b2fdab0874906ab82"'
    assert write_object(s3, PLACE, b"two", S3Clock()) is None
    assert s3.objects[PLACE.key][0] == b"one"


def test_an_object_is_replaced_only_when_it_is_the_one_that_was_read(s3: FakeS3) -> None:
    first = write_object(s3, PLACE, b"one", S3Clock())
    second = write_object(s3, PLACE, b"two", S3Clock(), replaces=first)
    assert write_object(s3, PLACE, b"three", S3Clock(), replaces=first) is None
    assert s3.objects[PLACE.key][0] == b"two"
    del s3.objects[PLACE.key]
    assert write_object(s3, PLACE, b"three", S3Clock(), replaces=second) is None
    assert s3.objects == {}


def test_a_write_whose_answer_was_lost_is_told_as_not_done_for_the_caller_to_look(s3: FakeS3) -> None:
    s3.events.append(("put_object", "after", NO_ANSWER))
    assert write_object(s3, PLACE, b"one", S3Clock()) is None
    assert s3.objects[PLACE.key][0] == b"one"


@pytest.mark.parametrize("fault", [NO_ANSWER, THROTTLED, s3_error("ConditionalRequestConflict", 409)])
def test_a_write_that_did_not_reach_s3_is_made_again(s3: FakeS3, fault: Exception) -> None:
    s3.events.append(("put_object", "before", fault))
    assert write_object(s3, PLACE, b"one", S3Clock()) is not None
    assert [call for call, _ in s3.calls] == ["put_object", "put_object"]


def test_a_write_that_is_not_allowed_is_told_at_once(s3: FakeS3) -> None:
    s3.events.append(("put_object", "before", s3_error("AccessDenied", 403)))
    with pytest.raises(AccessError, match=r"write s3://b/t/entry\.json"):
        write_object(s3, PLACE, b"one", S3Clock())
    assert len(s3.calls) == 1


def test_what_is_written_is_encrypted_with_the_key_that_was_named(s3: FakeS3) -> None:
    write_object(s3, PLACE, b"one", S3Clock())
    write_object(s3, S3Uri("b", "other"), b"one", S3Clock(), kms_key_arn="arn:key")
    plain, encrypted = (request for _, request in s3.calls)
    assert plain == {"Key": PLACE.key, "IfNoneMatch": "*"}
    assert encrypted == {
        "Key": "other",
        "IfNoneMatch": "*",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "arn:key",
    }


# -------------------------------------------------------------------------------------------------- read


def test_an_object_is_read_with_its_age_by_the_clock_of_s3(s3: FakeS3) -> None:
    etag = write_object(s3, PLACE, b"one", S3Clock())
    s3.pass_time(90)
    read = read_object(s3, PLACE, S3Clock())
    assert read is not None
    assert (read.body, read.etag, read.age) == (b"one", etag, timedelta(seconds=90))


def test_no_object_is_none_and_no_permission_is_an_error(s3: FakeS3) -> None:
    assert read_object(s3, PLACE, S3Clock()) is None
    s3.events.append(("get_object", "before", s3_error("AccessDenied", 403)))
    with pytest.raises(AccessError):
        read_object(s3, PLACE, S3Clock())


def test_the_time_is_that_of_s3_whatever_the_workers_clock_says(s3: FakeS3) -> None:
    clock = S3Clock()
    s3.now = datetime.now(UTC) + timedelta(days=300)
    read_object(s3, PLACE, clock)  # an error says no time
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    write_object(s3, PLACE, b"one", clock)
    assert abs(clock.now() - s3.now) < timedelta(minutes=1)


def test_an_answer_without_a_date_leaves_the_clock_as_it_was() -> None:
    clock = S3Clock()
    assert abs(clock.learn({}) - datetime.now(UTC)) < timedelta(minutes=1)


# ------------------------------------------------------------------------------------------------ delete


def test_an_object_is_deleted_only_when_it_is_the_one_that_was_read(s3: FakeS3) -> None:
    first = write_object(s3, PLACE, b"one", S3Clock())
    assert first is not None
    second = write_object(s3, PLACE, b"two", S3Clock(), replaces=first)
    assert second is not None
    assert not delete_object(s3, PLACE, first)
    assert s3.objects[PLACE.key][0] == b"two"
    assert delete_object(s3, PLACE, second)
    assert not delete_object(s3, PLACE, second)
    assert s3.objects == {}


def test_a_delete_whose_answer_was_lost_has_deleted(s3: FakeS3) -> None:
    etag = write_object(s3, PLACE, b"one", S3Clock())
    assert etag is not None
    s3.events.append(("delete_object", "after", THROTTLED))
    assert not delete_object(s3, PLACE, etag)  # somebody did: it is gone
    assert s3.objects == {}


def _write_many(s3: FakeS3, count: int) -> list[str]:
    keys = [f"t/{number:05}" for number in range(count)]
    s3.objects |= dict.fromkeys((*keys, "tt/beside", "s"), (b"x", s3.now))
    return keys


def test_only_the_keys_named_are_deleted_a_thousand_at_a_time(s3: FakeS3) -> None:
    keys = _write_many(s3, 2001)
    assert delete_listed(s3, "b", keys[1:]) == (2000, ())
    assert sorted(s3.objects) == ["s", "t/00000", "tt/beside"]
    assert [len(request["Objects"]) for _, request in s3.calls] == [1000, 1000]
    assert all(request["Quiet"] for _, request in s3.calls)


def test_each_object_that_stayed_is_named_though_the_call_as_a_whole_succeeded(s3: FakeS3) -> None:
    keys = _write_many(s3, 3)
    s3.undeletable = frozenset({keys[1]})
    assert delete_listed(s3, "b", keys) == (2, ("s3://b/t/00001: AccessDenied: no",))
    assert keys[1] in s3.objects


def test_deleting_nothing_asks_nobody(s3: FakeS3) -> None:
    assert delete_listed(s3, "b", []) == (0, ())
    assert s3.calls == []


# -------------------------------------------------------------------------------------------------- list


@pytest.mark.parametrize(("page_size", "pages"), [(1000, 1), (2, 3)])
def test_a_folder_is_listed_page_by_page_without_its_longer_namesake(
    s3: FakeS3, page_size: int, pages: int
) -> None:
    keys = _write_many(s3, 5)
    s3.page_size = page_size
    listed = list(list_objects(s3, S3Uri("b", "t/")))
    assert [(found.key, found.modified_at, found.size_bytes) for found in listed] == [
        (key, s3.now, 1) for key in keys
    ]
    assert len(s3.calls) == pages


def test_a_listing_may_start_behind_a_key_and_ask_for_little(s3: FakeS3) -> None:
    keys = _write_many(s3, 5)
    found = next(iter(list_objects(s3, S3Uri("b", "t/"), after=keys[2], page_size=1)))
    assert found.key == keys[3]
    assert s3.calls == [("list_objects_v2", {"Prefix": "t/", "StartAfter": keys[2], "MaxKeys": 1})]


def test_a_listing_that_gets_no_answer_is_asked_for_again_and_in_the_end_told(
    s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_many(s3, 1)
    s3.events += [("list_objects_v2", "before", THROTTLED)] * 2
    assert len(list(list_objects(s3, S3Uri("b", "t/")))) == 1
    monkeypatch.setattr(patience, "_PATIENCE_SECONDS", 0.0)
    s3.events.append(("list_objects_v2", "before", NO_ANSWER))
    with pytest.raises(RetryableError, match="list s3://b/t/"):
        list(list_objects(s3, S3Uri("b", "t/")))
