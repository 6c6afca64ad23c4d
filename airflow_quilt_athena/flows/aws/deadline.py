"""One deadline for all of a piece of work, and calls that are tried again inside it."""

from __future__ import annotations

import random as random_module
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from botocore.exceptions import ClientError

from airflow_quilt_athena.flows.aws.errors import AWS_ERRORS, error_code, is_passing, translate

Result = TypeVar("Result")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_PATIENCE_SECONDS = 120.0
_SETTLING_SECONDS = 60.0
_UNSETTLED = object()


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on ``clock`` at which to give up. Sleep, clock and randomness are handed in for tests."""

    started_at: float
    seconds: float
    sleep: Callable[[float], None]
    clock: Callable[[], float]
    random: Callable[[], float]

    @classmethod
    def after(
        cls,
        seconds: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random_module.random,
    ) -> Deadline:
        """Return the deadline ``seconds`` from now."""
        return cls(clock(), seconds, sleep, clock, random)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the work began."""
        return self.clock() - self.started_at

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return self.elapsed_seconds >= self.seconds

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the deadline."""
        self.sleep(max(0.0, min(seconds, self.seconds - self.elapsed_seconds)))

    def call(self, function: Callable[[], Result], doing: str) -> Result:
        """Return ``function()``, called again while what it meets may pass; see ``is_passing``.

        Only for calls that may be made twice. Raises ours for all that boto3 raises: at once for what is
        final, and for all else when the deadline has passed.

        :param doing: what is being done, for the error: ``read table "sales"."orders" from Glue``.
        """
        longest = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return function()
            except AWS_ERRORS as error:
                if not is_passing(error) or self.passed:
                    raise translate(error, doing) from error
            self.pause(longest * (0.5 + 0.5 * self.random()))
            longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)


def ask(function: Callable[[], Result], doing: str) -> Result:
    """Call AWS, again for two minutes while what it answers may pass; raise ours for its refusals.

    :param doing: what is being done, on which resource: ``create bucket acme-results``.
    """
    return Deadline.after(_PATIENCE_SECONDS).call(function, doing)


def ask_unless(codes: frozenset[str], function: Callable[[], Result], doing: str) -> Result | None:
    """Call AWS as ``ask`` does; None when it refuses with one of ``codes``."""
    return ask(unless(codes, function), doing)


def unless(codes: frozenset[str], function: Callable[[], Result]) -> Callable[[], Result | None]:
    """Return ``function`` as one that returns None when AWS refuses with one of ``codes``."""

    def guarded() -> Result | None:
        try:
            return function()
        except ClientError as error:
            if error_code(error) in codes:
                return None
            raise

    return guarded


def ask_settling(codes: frozenset[str], function: Callable[[], Result], doing: str) -> Result:
    """Call AWS as ``ask`` does, and again for a minute while it refuses with one of ``codes``.

    For what is refused while AWS still spreads the word of a change of ours: a policy just made is not there
    yet, one just taken from its holders is still held.
    """
    settling = Deadline.after(_SETTLING_SECONDS)
    longest = _FIRST_PAUSE_SECONDS

    def guarded() -> Result | object:
        try:
            return function()
        except ClientError as error:
            if error_code(error) in codes and not settling.passed:
                return _UNSETTLED
            raise

    while (answer := ask(guarded, doing)) is _UNSETTLED:
        settling.pause(longest)
        longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)
    return cast(Result, answer)
