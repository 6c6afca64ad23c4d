"""A world in one process: its time, its S3, Glue and Athena, and workers that die, wait or go on when told.

The real flows run in it, in one thread and always in the same order: what sleeps moves the time, what looks
at a clock sees the world's, and whoever is to act in between acts inside the call that it comes before.
Nothing of what a worker believes is shared with another one but through S3, Glue and Athena.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import random
import secrets
import time
import types
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from types import SimpleNamespace, TracebackType
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from airflow_quilt_athena import flows
from airflow_quilt_athena.flows.aws.clients import LakeClients
from tests.fakes.athena import FakeAthena
from tests.fakes.glue import FakeGlue
from tests.unit.athena_fake import client_error
from tests.unit.s3_fake import FakeS3

POLLS = frozenset({"athena:GetQueryExecution", "athena:BatchGetQueryExecution"})
_SECONDS_PER_CALL = 0.05
_WRITES = ("Start", "Put", "Create", "Update", "Delete")


class Killed(BaseException):
    """The worker is no more; not even what it had left to tidy is done."""


@dataclass
class World:
    """Time, the services, and what is still to happen."""

    now: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)
    s3: FakeS3 = field(default_factory=FakeS3)
    glue: FakeGlue = field(default_factory=FakeGlue)
    athena: FakeAthena = field(init=False)
    due: list[tuple[datetime, Callable[[], object]]] = field(default_factory=list)
    on_write: list[Callable[[], object]] = field(default_factory=list)  # who looks whenever somebody wrote
    made_up: int = 0  # names and numbers that are said to be random
    skews: list[timedelta] = field(default_factory=list)  # of the worker at work, and of those it interrupts

    def __post_init__(self) -> None:
        self.athena = FakeAthena(self.s3, self.glue)

    def pass_time(self, seconds: float) -> None:
        """Let time pass; what was to happen meanwhile happens in its order."""
        until = self.now + timedelta(seconds=seconds)
        while self.due and min(moment for moment, _ in self.due) <= until:
            event = min(self.due, key=lambda one: one[0])
            self.due.remove(event)
            self._set(max(self.now, event[0]))
            event[1]()
        self._set(max(self.now, until))

    def _set(self, moment: datetime) -> None:
        self.now = self.s3.now = self.glue.now = moment
        self.athena.work(moment)

    def after(self, seconds: float, do: Callable[[], object]) -> None:
        """Have something done when so much time has passed."""
        self.due.append((self.now + timedelta(seconds=seconds), do))

    def look(self) -> None:
        """Let those look who watch what others write."""
        for look in self.on_write:
            look()

    def metadata(self) -> dict[str, Any]:
        """Return what comes with each answer: the time as AWS has it."""
        headers = {"date": format_datetime(self.now.replace(microsecond=0), usegmt=True)}
        return {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": headers}}

    def make_up(self) -> int:
        """Return a number that is new."""
        self.made_up += 1
        return self.made_up

    # ------------------------------------------------------------------------ what workers see of time

    def sleep(self, seconds: float) -> None:
        self.pass_time(max(seconds, 0.001))

    def monotonic(self) -> float:
        return self.now.timestamp()

    def wall(self, zone: tzinfo | None = None) -> datetime:
        skew = self.skews[-1] if self.skews else timedelta()
        return (self.now + skew).astimezone(zone)

    @contextmanager
    def entered(self) -> Iterator[World]:
        """Make this the world that the flows see."""
        with pytest.MonkeyPatch.context() as patch:
            _enter(self, patch)
            yield self

    def worker(self, *events: Event, skew: timedelta = timedelta()) -> Worker:
        """Return a worker that has made no call yet."""
        return Worker(self, list(events), skew)


# --------------------------------------------------------------------------------------------- workers


@dataclass(frozen=True)
class Event:
    """What happens to a worker at one of its calls, polls of queries not counted: the first is number 1."""

    number: int
    happen: Callable[[Worker, Call], Any]


@dataclass(frozen=True)
class Call:
    """A call that is about to be made. ``make`` makes it."""

    name: str
    make: Callable[[], dict[str, Any]]


def writes(call: str) -> bool:
    """Whether a call changes something in S3 or Glue, or starts a query."""
    return call.partition(":")[2].removeprefix("Batch").startswith(_WRITES)


@dataclass(eq=False)
class Worker:
    """Makes calls until it dies. ``clients`` are what the flows are handed."""

    world: World
    events: list[Event]
    skew: timedelta
    made: list[str] = field(default_factory=list)
    dead: bool = False
    throttled: dict[str, datetime] = field(default_factory=dict)  # until when, by call

    @property
    def clients(self) -> LakeClients:
        world = self.world
        services = (("athena", world.athena), ("glue", world.glue), ("s3", world.s3))
        return LakeClients(*(Client(self, name, service) for name, service in services))

    @contextmanager
    def at_work(self) -> Iterator[LakeClients]:
        """Be the one whose clock is looked at."""
        self.world.skews.append(self.skew)
        try:
            yield self.clients
        finally:
            self.world.skews.pop()

    def call(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self.dead:
            raise Killed
        self.world.pass_time(_SECONDS_PER_CALL)
        call = Call(name, make)
        if name not in POLLS:
            self.made.append(name)
            for event in self.events:
                if event.number == len(self.made):
                    answer = event.happen(self, call)
                    if answer is not None:
                        return dict(answer)
        if self.throttled.get(name, self.world.now) > self.world.now:
            raise (
                client_error("ThrottlingException")
                if not name.startswith("s3:")
                else client_error("SlowDown", 503)
            )
        return make()


class Client:
    """A boto3 client, as far as the flows use one."""

    def __init__(self, worker: Worker, name: str, service: object) -> None:
        self._worker, self._name, self._service = worker, name, service
        self.meta = SimpleNamespace(region_name="us-east-1")

    def __getattr__(self, operation: str) -> Callable[..., dict[str, Any]]:
        if operation.startswith("_"):
            raise AttributeError(operation)
        method = getattr(self._service, operation)
        name = f"{self._name}:{''.join(part.capitalize() for part in operation.split('_'))}"

        def call(**request: Any) -> dict[str, Any]:
            sent = deepcopy(request)  # what is sent later is what was meant now
            return self._worker.call(name, lambda: method(**sent))

        return call


# ---------------------------------------------------------------------------------------------- events


def killed_before(number: int) -> Event:
    """The worker dies, and the call is never made."""

    def happen(worker: Worker, _: Call) -> None:
        worker.dead = True
        raise Killed

    return Event(number, happen)


def killed_after(number: int) -> Event:
    """The call is made, and nobody hears the answer."""

    def happen(worker: Worker, call: Call) -> None:
        call.make()
        worker.dead = True
        raise Killed

    return Event(number, happen)


def interrupted(number: int, actor: Callable[[], object], *, seconds: float = 0.0) -> Event:
    """The worker stands still for some time, at the end of which somebody else acts, whole."""

    def happen(worker: Worker, _: Call) -> None:
        worker.world.pass_time(seconds)
        actor()

    return Event(number, happen)


def throttled(number: int, seconds: float) -> Event:
    """The call is refused, and so is every other of its name, for that long."""

    def happen(worker: Worker, call: Call) -> None:
        worker.throttled[call.name] = worker.world.now + timedelta(seconds=seconds)

    return Event(number, happen)


def meanwhile(number: int, seconds: float, actor: Callable[[], object]) -> Event:
    """Somebody else acts so long after the call, wherever the worker is by then."""

    def happen(worker: Worker, _: Call) -> None:
        worker.world.after(seconds, actor)

    return Event(number, happen)


def lost(number: int) -> Event:
    """The call is made, and its answer is lost."""

    def happen(_: Worker, call: Call) -> None:
        call.make()
        raise ReadTimeoutError(endpoint_url="https://aws")

    return Event(number, happen)


def lands_late(number: int, seconds: float, *, killed: bool = False) -> Event:
    """The call is answered with an error, or to nobody, and is carried out so much later."""

    def happen(worker: Worker, call: Call) -> None:
        worker.world.after(seconds, lambda: _quietly(call.make, worker.world))
        if killed:
            worker.dead = True
            raise Killed
        raise ReadTimeoutError(endpoint_url="https://aws")

    return Event(number, happen)


def _quietly(make: Callable[[], object], world: World) -> None:
    """Nobody hears whether it was refused by then."""
    with contextlib.suppress(ClientError):
        make()
    world.look()


# ---------------------------------------------------------------- the world, seen by the flows' modules


class _InTurn:
    """A pool without threads: whoever asks does the work."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> _InTurn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def map(self, work: Callable[..., Any], *items: Iterable[Any]) -> Iterator[Any]:
        return iter([work(*one) for one in zip(*items, strict=False)])

    def submit(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        from concurrent.futures import Future

        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments, **named))
        except Exception as error:
            done.set_exception(error)
        return done

    def shutdown(self, *_: object, **__: object) -> None:
        pass


_REAL_SLEEP, _REAL_MONOTONIC = time.sleep, time.monotonic


def _enter(world: World, patch: pytest.MonkeyPatch) -> None:
    class OfDatetimes(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

    class Datetime(datetime, metaclass=OfDatetimes):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return world.wall(tz)

    shims = {
        "time": SimpleNamespace(sleep=world.sleep, monotonic=world.monotonic, time=world.monotonic),
        "secrets": SimpleNamespace(token_hex=lambda size=4: f"{world.make_up():0{2 * size}x}"),
        "random": SimpleNamespace(random=lambda: 0.5, uniform=lambda low, high: (low + high) / 2),
        "uuid": SimpleNamespace(uuid4=lambda: uuid.UUID(int=world.make_up())),
        "datetime": Datetime,
        "ThreadPoolExecutor": _InTurn,
    }
    real = {"time": time, "random": random, "secrets": secrets, "uuid": uuid, "datetime": datetime}
    for module in _modules():
        for name, shim in shims.items():
            found = getattr(module, name, None)
            if found is not None and found is real.get(name, found):
                patch.setattr(module, name, shim)
        for function in _functions(module):
            if function.__kwdefaults__:
                changed = {n: _in_world(world, v) for n, v in function.__kwdefaults__.items()}
                patch.setattr(function, "__kwdefaults__", changed)


def _in_world(world: World, default: object) -> object:
    if default is _REAL_SLEEP:
        return world.sleep
    if default is _REAL_MONOTONIC:
        return world.monotonic
    if getattr(default, "__name__", "") == "random":
        return lambda: 0.5
    return default


def _modules() -> list[types.ModuleType]:
    found = pkgutil.walk_packages(flows.__path__, f"{flows.__name__}.")
    return [importlib.import_module(one.name) for one in found]


def _functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    for made in vars(module).values():
        if getattr(made, "__module__", None) != module.__name__:
            continue
        if isinstance(made, types.FunctionType):
            yield made
        elif isinstance(made, type):
            for member in vars(made).values():
                function = getattr(member, "__func__", member)
                if isinstance(function, types.FunctionType):
                    yield function
