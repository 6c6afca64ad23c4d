"""Names of one attempt at an overwrite: its folder, its temporary table, its request token.

The task key (DAG, task, map index, run, number of clears) stays the same over retries; the submission tells
the attempts of one task key apart. Whoever holds both can find everything an attempt made.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from airflow_quilt_athena.core.tables import TableName
from airflow_quilt_athena.exceptions import InvalidCallError

TEMPORARY_PREFIX = "tmp_quilt_"

_SUBMISSION = re.compile(r"[a-z0-9]{1,16}")
_DIGEST_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to stage and publish. ``submission`` is lower-case letters and digits, handed in."""

    task_key: str
    submission: str

    def __post_init__(self) -> None:
        if not _SUBMISSION.fullmatch(self.submission):
            raise InvalidCallError(f"Not a submission: {self.submission!r}. Expected 1 to 16 of a-z and 0-9.")

    @property
    def name(self) -> str:
        """The folder's name; it starts with a letter, so that no reader takes it for a hidden one."""
        return f"a{self._digest}-{self.submission}"

    def temporary_table(self, database: str) -> TableName:
        """Return the table that the CTAS makes."""
        return TableName(database, f"{TEMPORARY_PREFIX}{self._digest}_{self.submission}")

    def token(self, sql: str) -> str:
        """Return the client request token for ``sql``: starting twice in one attempt is starting once."""
        return hashlib.sha256(f"{self.name}\0{sql}".encode()).hexdigest()

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.task_key.encode()).hexdigest()[:_DIGEST_LENGTH]
