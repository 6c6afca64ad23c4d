from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_quilt_athena.exceptions import RetryableError
from airflow_quilt_athena.flows.aws import deadline as patience
from airflow_quilt_athena.flows.overwrite.journal import Journal
from airflow_quilt_athena.flows.overwrite.lease import CALL_SECONDS, Lease, LeaseLost
from tests.unit.lake_examples import BASE
from tests.unit.s3_fake import NO_ANSWER, FakeS3, s3_error

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


def puts(world: World) -> list[Any]:
    return [request for call, request in world.s3.calls if call == "put_object"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(patience, "_FIRST_PAUSE_SECONDS", 0.0)
    return World()


def test_a_free_lease_is_taken_at_once_and_given_back(world: World) -> None:
    with world.lease() as held:
        assert world.holder == "mine"
        assert held.left_by == ()
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
        assert second.left_by == ()
    assert 5 <= world.clock < 7


def test_a_lease_that_was_left_behind_is_taken_when_it_has_expired_by_the_clock_of_s3(world: World) -> None:
    world.lease("dead").__enter__()
    with world.lease(seconds=60) as held:
        assert held.left_by == ("dead",)
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
        assert again.left_by == ()
    assert world.clock == 0
    assert world.s3.objects == {}


def test_no_body_is_written_twice_so_that_every_renewal_changes_the_etag(world: World) -> None:
    etags = []
    with world.lease(seconds=60) as held:
        for _ in range(5):
            etags.append(world.s3.etag(KEY))
            world.sleep(31)
            held.renew()
    assert len(set(etags)) == 5


def test_a_lease_is_renewed_when_less_than_the_time_of_a_call_and_some_is_left(world: World) -> None:
    with world.lease(seconds=60) as held:
        world.sleep(30)
        held.renew()
        assert len(puts(world)) == 1
        world.sleep(1)
        held.renew()
        assert len(puts(world)) == 2
        world.sleep(30)
        held.renew()
        assert len(puts(world)) == 2


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
        with pytest.raises(LeaseLost, match="another run took it"):
            lost.__exit__(None, None, None)
        lost.__exit__(ValueError, ValueError("of its own"), None)
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
        world.sleep(31)
    world.s3.events.append(("put_object", "after", NO_ANSWER))
    if call == "renewed":
        lease.renew()
    else:
        lease.__enter__()
    assert world.s3.events == []
    assert world.holder == "mine"
    assert lease.left_by == (("dead",) if call == "taken over" else ())
    lease.__exit__(None, None, None)
    assert world.s3.objects == {}


def test_an_error_before_the_first_flip_gives_the_lease_back(world: World) -> None:
    held = world.lease().__enter__()
    held.__exit__(ValueError, ValueError("early"), None)
    assert world.s3.objects == {}


def test_an_error_after_a_flip_tells_who_comes_next_and_keeps_nobody_waiting(world: World) -> None:
    held = world.lease().__enter__()
    held.leaves_work(True)
    held.__exit__(ValueError, ValueError("late"), None)
    assert [world.holder] == [None]  # no `is`, by which mypy would hold it for None below as well
    with world.lease("next") as held:
        assert held.left_by == ("mine",)
        assert world.holder == "next"
    assert world.clock == 0
    assert world.s3.objects == {}


def test_work_that_was_half_done_and_then_finished_gives_the_lease_back(world: World) -> None:
    with world.lease() as held:
        held.leaves_work(True)
    assert world.s3.objects == {}


def test_the_lease_is_encrypted_with_the_key_that_was_named(world: World) -> None:
    lease = Lease(Journal(world.s3, BASE, kms_key_arn="arn:key"), "mine", sleep=world.sleep)
    with lease:
        assert world.s3.calls[0][1]["SSEKMSKeyId"] == "arn:key"


# ------------------------------------------------------------------------------------- calls under it


def test_a_call_is_tried_again_for_as_long_as_the_lease_can_be_renewed(world: World) -> None:
    tries: list[float] = []

    def throttled() -> str:
        tries.append(world.clock)
        world.sleep(CALL_SECONDS)
        if len(tries) < 8:
            raise s3_error("SlowDown", 503)
        return "done"

    with world.lease(seconds=60) as held:
        assert held.ask(throttled, "flip") == "done"
        # It was held all the time, though the tries took longer than a lease lasts.
        assert world.holder == "mine"
    assert world.clock > 120


def test_a_call_is_not_made_after_the_lease_was_lost(world: World) -> None:
    made: list[str] = []
    slow = world.lease("slow", seconds=60)
    slow.__enter__()
    world.sleep(61)
    with world.lease("second"), pytest.raises(LeaseLost):
        slow.ask(lambda: made.append("late"), "flip")
    assert made == []


def test_a_renewal_that_takes_longer_than_a_call_may_is_made_again(world: World) -> None:
    with world.lease(seconds=60) as held:
        world.sleep(31)
        world.s3.events.append(("put_object", "before", lambda: world.sleep(CALL_SECONDS + 1)))
        held.renew()
        assert len(puts(world)) == 3


def test_a_lease_whose_every_renewal_takes_longer_than_a_call_may_is_given_up(world: World) -> None:
    with world.lease(seconds=60) as held:
        world.sleep(31)
        slow = ("put_object", "before", lambda: world.sleep(CALL_SECONDS + 1))
        world.s3.events += [slow] * 5
        with pytest.raises(RetryableError, match="cannot be renewed in time"):
            held.renew()


@pytest.mark.parametrize("body", [b"", b"torn", b"[" * 100_000, b"[]", b'{"holder": 7}', b"{}"])
def test_a_lease_that_cannot_be_read_is_a_stranger_s_that_expired(world: World, body: bytes) -> None:
    world.s3.objects[KEY] = (body, world.s3.now)
    with world.lease() as held:
        assert world.holder == "mine"
        assert held.left_by == ()
    assert world.s3.objects == {}


def test_what_several_holders_left_one_after_the_other_is_told_to_the_next(world: World) -> None:
    for name in ("first", "second"):
        world.lease(name).__enter__()
        world.sleep(61)
    with world.lease() as held:
        assert held.left_by == ("first", "second")


def test_several_threads_renew_it_once(world: World) -> None:
    with world.lease(seconds=60) as held:
        world.sleep(31)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: held.renew(), range(8)))
        assert len(puts(world)) == 2


# ------------------------------------------------------------------------------- leases of single partitions


def test_flips_of_two_partitions_do_not_wait_for_each_other(world: World) -> None:
    first, second = world.lease("first"), world.lease("second")
    assert first.take_if_free(("a",))
    assert second.take_if_free(("b",))
    with first, second:
        assert world.holder is None
        assert len(world.s3.objects) == 2
    assert world.s3.objects == {}
    assert world.clock == 0


def test_one_partition_s_flips_take_turns_by_the_table_s_lease(world: World) -> None:
    first = world.lease("first")
    assert first.take_if_free(("a",))
    second = who_sees_it_given_back(world, first, 5, "second")
    assert not second.take_if_free(("a",))
    with second:
        assert world.holder == "second"
        assert second.left_by == ()
        assert list(world.s3.objects) == [KEY]
    assert 5 <= world.clock < 6


def test_who_changes_the_table_waits_for_flips_of_partitions(world: World) -> None:
    flip = world.lease("flip")
    assert flip.take_if_free(("a",))
    with who_sees_it_given_back(world, flip, 5, "set"):
        assert list(world.s3.objects) == [KEY]
    assert 5 <= world.clock < 6


def test_a_flip_takes_nothing_while_the_table_s_lease_is_held(world: World) -> None:
    with world.lease("set"):
        flip = world.lease("flip")
        assert not flip.take_if_free(("a",))
        assert list(world.s3.objects) == [KEY]
    with flip:
        assert world.holder == "flip"
    assert world.s3.objects == {}


def test_a_dead_flip_holds_the_table_up_for_as_long_as_its_lease_lasts(world: World) -> None:
    dead, alive = world.lease("dead", seconds=60), world.lease("alive", seconds=60)
    assert dead.take_if_free(("a",))
    with alive:
        assert alive.left_by == ("dead",)
        assert world.clock >= 60
        with pytest.raises(LeaseLost):
            dead.__exit__(None, None, None)
    assert world.s3.objects == {}


def test_a_dead_flip_s_lease_is_taken_by_the_next_of_its_partition(world: World) -> None:
    assert world.lease("dead", seconds=60).take_if_free(("a",))
    assert world.lease("again", seconds=60).is_left_behind() is False
    world.sleep(61)
    again = world.lease("again", seconds=60)
    assert again.is_left_behind()
    assert again.take_if_free(("a",))
    with again:
        assert again.left_by == ("dead",)
    assert world.s3.objects == {}


def test_the_next_try_of_a_task_does_not_wait_for_its_own_lease(world: World) -> None:
    assert world.lease("mine").take_if_free(("a",))
    with world.lease("mine") as held:
        assert held.left_by == ()
        assert list(world.s3.objects) == [KEY]
    assert world.clock == 0


def test_a_partition_s_lease_that_cannot_be_read_holds_nobody_up(world: World) -> None:
    world.s3.objects[f"{KEY}-0a1b"] = (b"torn", world.s3.now)
    with world.lease() as held:
        assert held.left_by == ()
        assert list(world.s3.objects) == [KEY]
    assert world.clock == 0


def test_who_waits_for_a_flip_for_too_long_gives_the_table_s_lease_back(world: World) -> None:
    flip = world.lease("flip")
    assert flip.take_if_free(("a",))
    with pytest.raises(RetryableError, match="held by others without pause"):
        world.lease("set", patience_seconds=3).__enter__()
    assert KEY not in world.s3.objects


def who_sees_it_given_back(world: World, held: Lease, seconds: float, holder: str) -> Lease:
    """Return a lease during whose waiting another is given back, when so much time has passed."""
    given_back: list[Lease] = []

    def later(slept: float) -> None:
        world.sleep(slept)
        if world.clock >= seconds and not given_back:
            given_back.append(held)
            held.__exit__(None, None, None)

    return Lease(Journal(world.s3, BASE), holder, sleep=later, clock=lambda: world.clock)
