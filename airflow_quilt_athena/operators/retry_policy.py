"""A retry policy that knows which failures of Athena another try can mend. Airflow 3.3 or newer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_quilt_athena.exceptions import QuiltAthenaError
from airflow_quilt_athena.operators.base import is_worth_a_retry


class AthenaRetryPolicy(RetryPolicy):
    """Fail at once where the same task meets the same end; leave the rest to the task's retries.

    For ``retry_policy=`` of any task: of ours, of Amazon's, and of a function that calls boto3 or our flows.
    It looks through the causes of an exception for one it knows: ours, and what boto3
    raises. What it does not know is left to Airflow.

    :param passing_delay: the delay before a retry that can help; None is the task's ``retry_delay``.

    .. code-block:: python

        @task(retries=3, retry_policy=AthenaRetryPolicy(passing_delay=timedelta(seconds=30)))
        def report(): ...
    """

    def __init__(self, passing_delay: timedelta | None = None) -> None:
        self.passing_delay = passing_delay

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        """Decide by the first cause that is known."""
        from airflow_quilt_athena.flows.aws.errors import AWS_ERRORS, is_passing

        for cause in _causes(exception):
            if isinstance(cause, QuiltAthenaError):
                return self._decide(is_worth_a_retry(cause), cause)
            if isinstance(cause, AWS_ERRORS):
                return self._decide(is_passing(cause), cause)
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the delay, in seconds."""
        return {"passing_delay": self.passing_delay.total_seconds() if self.passing_delay else None}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> AthenaRetryPolicy:
        """Read what ``serialize`` wrote."""
        seconds = data["passing_delay"]
        return cls(None if seconds is None else timedelta(seconds=seconds))

    def _decide(self, worth: bool, cause: BaseException) -> RetryDecision:
        if worth:
            return RetryDecision.retry(self.passing_delay, f"A retry can help: {cause}")
        return RetryDecision.fail(f"A retry cannot help: {cause}")


def _causes(exception: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = exception
    while current is not None and id(current) not in seen:
        yield current
        seen.add(id(current))
        # As Python prints them: what ``raise … from None`` hides is no cause.
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
