from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws import deadline as patience
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.lease import Lease
from tests.unit.lake_examples import BASE
from tests.unit.s3_fake import NO_ANSWER, FakeS3

KEY = "sales/orders/.generations/.journal/lease"


class World:
    """S3 and the workers' clocks, in which time passes by sleeping alone."""

    def __init__(self) -> None:
        self.s3 = FakeS3()
        self.clock = 0.0

    def sleep(self, seconds: float) -> None:
        self.clock += max(seconds, 0.001)
        self.s3.pass_time(max(seconds, 0.001))

    def lease(self, holder: str = "mine", **options: Any) -> Lease:
        return Lease(Journal(self.s3, BASE), holder, sleep=self.sleep, clock=lambda: self.clock, **options)

    @property
    def holder(self) -> str | None:
        return json.loads(self.s3.objects[KEY][0])["holder"] if KEY in self.s3.objects else None


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_SECONDS", 0.0)
    return World()


def test_a_free_lease_is_taken_at_once_and_given_back(world: World) -> None:
    with world.lease() as held:
        assert world.holder == "mine"
        assert held.left_by is None
    assert world.s3.objects == {}
    assert world.clock == 0


def test_who_comes_second_waits_until_it_is_given_back(world: World) -> None:
    first = world.lease("first")
    first.__enter__()

    def later(seconds: float) -> None:
        world.sleep(seconds)
        if world.clock >= 5:
            first.__exit__(None, None, None)

    second = Lease(Journal(world.s3, BASE), "second", sleep=later, clock=lambda: world.clock)
    with second:
        assert world.holder == "second"
        assert second.left_by is None
    assert 5 <= world.clock < 7


def test_a_lease_that_was_left_behind_is_taken_when_it_has_expired_by_the_clock_of_s3(world: World) -> None:
    world.lease("dead").__enter__()
    with world.lease(seconds=60) as held:
        assert held.left_by == "dead"
        assert world.holder == "mine"
    assert 60 <= world.clock < 63


def test_a_worker_whose_clock_is_wrong_does_not_take_a_lease_that_is_held(world: World) -> None:
    world.lease("alive").__enter__()

    def a_clock_far_ahead(seconds: float) -> None:
        world.clock += 100_000  # for S3 no time passes

    lease = Lease(Journal(world.s3, BASE), "mine", sleep=a_clock_far_ahead, clock=lambda: world.clock)
    with pytest.raises(RetryableError, match="held by others without pause"):
        lease.__enter__()
    assert world.holder == "alive"


def test_patience_ends_and_nothing_was_taken(world: World) -> None:
    alive = world.lease("alive", seconds=60)
    alive.__enter__()

    def renewing(seconds: float) -> None:
        world.sleep(seconds)
        alive.renew()

    lease = Lease(
        Journal(world.s3, BASE), "mine", patience_seconds=900, sleep=renewing, clock=lambda: world.clock
    )
    with pytest.raises(RetryableError, match="held by others without pause"):
        lease.__enter__()
    assert 900 <= world.clock < 905
    assert world.holder == "alive"


def test_ones_own_lease_is_taken_over_at_once_and_nobody_is_said_to_have_left_it(world: World) -> None:
    world.lease().__enter__()
    with world.lease() as again:
        assert again.left_by is None
    assert world.clock == 0
    assert world.s3.objects == {}


def test_no_body_is_written_twice_so_that_every_renewal_changes_the_etag(world: World) -> None:
    etags = []
    with world.lease(seconds=60) as held:
        for _ in range(5):
            etags.append(world.s3.etag(KEY))
            world.sleep(20)
            held.renew()
    assert len(set(etags)) == 5


def test_a_lease_is_renewed_after_a_third_of_its_time_and_not_before(world: World) -> None:
    with world.lease(seconds=60) as held:
        world.sleep(19)
        held.renew()
        assert len(world.s3.calls) == 1
        world.sleep(1)
        held.renew()
        assert len(world.s3.calls) == 2
        world.sleep(19)
        held.renew()
        assert len(world.s3.calls) == 2


def test_a_renewed_lease_is_not_taken_by_who_had_seen_it_expired(world: World) -> None:
    held = world.lease("alive", seconds=60)
    held.__enter__()
    world.sleep(61)
    world.s3.events.append(("get_object", "after", held.renew))
    lease = world.lease(patience_seconds=1)
    with pytest.raises(RetryableError, match="held by others"):
        lease.__enter__()
    assert world.holder == "alive"


def test_who_was_taken_over_is_told_at_the_next_renewal_and_does_not_take_it_back(world: World) -> None:
    lost = world.lease("slow", seconds=60)
    lost.__enter__()
    world.sleep(61)
    with world.lease("second"):
        with pytest.raises(RetryableError, match="another run took it"):
            lost.renew()
        lost.__exit__(None, None, None)
        assert world.holder == "second"
    with pytest.raises(RetryableError, match="another run took it"):
        lost.renew()


def test_a_lease_given_back_just_now_is_free(world: World) -> None:
    first = world.lease("first")
    first.__enter__()
    world.s3.events.append(("get_object", "before", lambda: first.__exit__(None, None, None)))
    with world.lease("second"):
        assert world.holder == "second"
    assert world.clock <= 1


@pytest.mark.parametrize("call", ["taken", "renewed", "taken over"])
def test_a_lost_answer_to_ones_own_write_is_recognised(world: World, call: str) -> None:
    if call == "taken over":
        world.lease("dead").__enter__()
        world.sleep(61)
    lease = world.lease(seconds=60)
    if call == "renewed":
        lease.__enter__()
        world.sleep(30)
    world.s3.events.append(("put_object", "after", NO_ANSWER))
    if call == "renewed":
        lease.renew()
    else:
        lease.__enter__()
    assert world.s3.events == []
    assert world.holder == "mine"
    assert lease.left_by == ("dead" if call == "taken over" else None)
    lease.__exit__(None, None, None)
    assert world.s3.objects == {}


def test_an_error_before_the_first_flip_gives_the_lease_back(world: World) -> None:
    held = world.lease().__enter__()
    held.__exit__(ValueError, ValueError("early"), None)
    assert world.s3.objects == {}


def test_an_error_after_a_flip_leaves_the_lease_for_who_finishes_the_work(world: World) -> None:
    held = world.lease().__enter__()
    held.half_done = True
    held.__exit__(ValueError, ValueError("late"), None)
    assert world.holder == "mine"
    with world.lease("next") as held:
        assert held.left_by == "mine"


def test_work_that_was_half_done_and_then_finished_gives_the_lease_back(world: World) -> None:
    with world.lease() as held:
        held.half_done = True
    assert world.s3.objects == {}


def test_the_lease_is_encrypted_with_the_key_that_was_named(world: World) -> None:
    lease = Lease(Journal(world.s3, BASE, kms_key_arn="arn:key"), "mine", sleep=world.sleep)
    with lease:
        assert world.s3.calls[0][1]["SSEKMSKeyId"] == "arn:key"
