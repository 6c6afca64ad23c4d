"""Errors, branching by what the reader does next.

QuiltAthenaError
├── InvalidCallError      mend the call: a parameter, a query, a table that does not fit
├── AccessError           mend permissions or ownership
├── RetryableError        try again: throttling, a writer that came first, an engine out of breath
├── ManualActionError     look by hand: the outcome is unknown, or something is not ours to change
│   └── AuditFailedError  new data did not pass its checks and was not published
└── QueryFailedError      an Athena query ended FAILED or CANCELLED, or was not done in time
"""

from __future__ import annotations


class QuiltAthenaError(Exception):
    """Root of every error this package raises on purpose."""


class InvalidCallError(QuiltAthenaError, ValueError):
    """The call itself must change; the same call will never succeed."""


class AccessError(QuiltAthenaError):
    """A permission is missing, or a resource belongs to somebody else."""


class RetryableError(QuiltAthenaError):
    """The same call may succeed when it is made again."""


class ManualActionError(QuiltAthenaError):
    """Nothing was changed, or it is not known what was: a person has to look."""


class AuditFailedError(ManualActionError):
    """Staged data did not pass a check. Nothing was published; the old data is as it was."""


class QueryFailedError(QuiltAthenaError):
    """An Athena query did not succeed.

    :param message: what failed, why, and where to look, in one readable text.
    :param query_execution_id: Athena's id of the query.
    :param state: the state it ended in, e.g. ``FAILED``.
    :param reason: Athena's StateChangeReason.
    :param category: Athena's ErrorCategory: 1 system, 2 user, 3 other; None when Athena gave none.
    :param retryable: whether running the same query again can help.
    :param workgroup: the workgroup it ran in.
    """

    def __init__(
        self,
        message: str,
        *,
        query_execution_id: str,
        state: str,
        reason: str,
        category: int | None = None,
        retryable: bool = False,
        workgroup: str | None = None,
    ) -> None:
        super().__init__(message)
        self.query_execution_id = query_execution_id
        self.state = state
        self.reason = reason
        self.category = category
        self.retryable = retryable
        self.workgroup = workgroup
