"""At every call of a run something happens to it, and somebody else acts, whole: what each said holds.

The flows are the real ones, on S3, Glue and Athena in memory, in which an hour passes at once.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.world import (
    Event,
    interrupted,
    killed_after,
    killed_before,
    lands_late,
    lost,
    meanwhile,
    throttled,
    writes,
)
from tests.interleavings.play import Play
from tests.interleavings.scenes import SCENES, Act, Scene, calls_of

pytestmark = pytest.mark.timeout(1800)

LEASE_SECONDS = 60.0  # of the flows; time enough for the next one to take it is a little more
_TAKEN_OVER = LEASE_SECONDS + 10
_LANDED = 2 * LEASE_SECONDS + 30

Events = Callable[[Play, int, Act], list[Event]]

# One or two of each kind, which run always: all the others are `make test-interleavings`.
_TELLING = {
    ("one partition", "other"),
    ("one partition", "a sweep two days later"),
    ("a set", "other set"),
    ("a set", "a stranger"),
    ("all partitions", "other"),
    ("a table without keys", "other"),
    ("first creation", "other"),
    ("rollback of one partition", "other"),
    ("rollback of a set", "a sweep two days later"),
    ("sweep", "a rollback"),
    ("a set after most of a dead one", "other"),
    ("sweep after a dead flip", "other"),
    ("sweep after a dead flip that landed", "other"),
    ("sweep after half a dead set", "other set"),
}

_LOST_ALWAYS = {"one partition", "a set", "a table without keys", "rollback of a set", "sweep"}


def _alive(scene: Scene, _: Act) -> bool:
    return scene.dead is None


def _alive_and_ours(scene: Scene, other: Act) -> bool:
    """Whether an order can be kept: a stranger's change is not told from one that a late write takes back."""
    return scene.dead is None and other.is_ours


def pairs(wanted: Callable[[Scene, Act], bool] = lambda scene, other: True) -> list[object]:
    """Return each scene with each of those who may come in between."""
    return [
        pytest.param(
            scene,
            other,
            id=f"{scene.name}-{other.name}",
            marks=() if (scene.name, other.name) in _TELLING else pytest.mark.interleavings,
        )
        for scene in SCENES
        for other in scene.family.others
        if wanted(scene, other)
    ]


def at_each_call(
    scene: Scene, other: Act, events: Events, *, only_writes: bool = False, heals: bool = False
) -> None:
    """Play the scene once for each of its calls."""
    calls = calls_of(scene)
    assert len(calls) >= 5, f"the run made only {calls}"
    problems: list[str] = []
    for number, call in enumerate(calls, start=1):
        waits = calls[max(0, number - 4) : number] == (call,) * 4  # for a lease that a dead run left
        if waits or (only_writes and not writes(call)):
            continue
        play = Play(scene, lambda play, number=number: events(play, number, other), heals)  # type: ignore[misc]
        problems += [f"at call {number}, {call}: {line}" for line in play.play()]
    assert not problems, f"{len(problems)} at {len(calls)} calls:\n" + "\n".join(problems)


@pytest.mark.parametrize(("scene", "other"), pairs())
def test_somebody_acts_in_between(scene: Scene, other: Act) -> None:
    at_each_call(scene, other, lambda play, number, other: [interrupted(number, lambda: play.act(other))])


@pytest.mark.parametrize(("scene", "other"), pairs(_alive))
def test_a_call_is_throttled_for_longer_than_the_lease_and_somebody_acts_meanwhile(
    scene: Scene, other: Act
) -> None:
    at_each_call(
        scene,
        other,
        lambda play, number, other: [
            throttled(number, _LANDED),
            meanwhile(number, _TAKEN_OVER, lambda: play.act(other)),
        ],
        heals=True,
    )


def _is_one_flip(scene: Scene, other: Act) -> bool:
    return scene.name in {"one partition", "a table without keys"} and other.pause == 0


@pytest.mark.parametrize(("scene", "other"), pairs(_is_one_flip))
def test_the_lease_is_waited_for_and_somebody_acts_meanwhile(scene: Scene, other: Act) -> None:
    """What is announced while others hold the lease may be no longer so when it is there."""

    def events(play: Play, number: int, other: Act) -> list[Event]:
        lease = f"{play.lake.base}.generations/.journal/lease"
        play.lake.put(lease, b'{"holder": "somebody", "left": []}')

        def give_back_and_act() -> None:
            play.lake.world.s3.objects.pop(lease, None)
            play.act(other)

        return [interrupted(number, give_back_and_act)]

    at_each_call(scene, other, events)


@pytest.mark.parametrize(("scene", "other"), pairs(_alive_and_ours))
def test_a_write_that_failed_lands_when_somebody_else_has_written(scene: Scene, other: Act) -> None:
    at_each_call(
        scene,
        other,
        lambda play, number, other: [
            meanwhile(number, _TAKEN_OVER, lambda: play.act(other)),
            lands_late(number, _LANDED),
        ],
        only_writes=True,
        heals=True,
    )


@pytest.mark.parametrize("landed", ["never made", "made", "made late"])
@pytest.mark.parametrize(("scene", "other"), pairs(_alive_and_ours))
def test_a_worker_dies_and_somebody_else_acts(scene: Scene, other: Act, landed: str) -> None:
    dies: dict[str, Callable[[int], Event]] = {
        "never made": killed_before,
        "made": killed_after,
        "made late": lambda number: lands_late(number, _LANDED, killed=True),
    }
    at_each_call(
        scene,
        other,
        lambda play, number, other: [
            meanwhile(number, _TAKEN_OVER, lambda: play.act(other)),
            dies[landed](number),
        ],
        only_writes=True,
        heals=True,
    )


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(scene, marks=() if scene.name in _LOST_ALWAYS else pytest.mark.interleavings)
        for scene in SCENES
    ],
    ids=lambda scene: scene.name,
)
def test_an_answer_is_lost(scene: Scene) -> None:
    at_each_call(scene, scene.held, lambda play, number, _: [lost(number)])
