"""Names of one attempt at an overwrite: its journal entry, its folder, its temporary tables, its tokens.

The task key (DAG, task, map index, run, number of clears) stays the same over retries; the number tells the
attempts of one task key apart. Whoever holds both finds the journal entry. The nonce, kept in the entry,
makes everything else new: a task key that comes again after its entry was swept must not be answered with an
old query whose files are gone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_quilt_athena.exceptions import InvalidCallError

if TYPE_CHECKING:
    from airflow_quilt_athena.core.glue.tables import TableName

TEMPORARY_PREFIX = "tmp_quilt_"

_NONCE = re.compile(r"[0-9a-f]{8}")
_NAME = re.compile(r"a(?P<digest>[0-9a-f]{12})-(?P<number>[1-9]\d*)-(?P<nonce>[0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to stage and publish. ``digest`` stands for the task key; ``nonce`` is handed in."""

    digest: str
    number: int
    nonce: str

    def __post_init__(self) -> None:
        if not _NONCE.fullmatch(self.nonce):
            raise InvalidCallError(f"Not a nonce: {self.nonce!r}. Expected 8 of 0-9 and a-f.")

    @classmethod
    def parse(cls, name: str) -> Attempt | None:
        """Read an attempt's name; None for any other text.

        >>> Attempt.parse("a0123456789ab-2-0f0f0f0f").entry_name
        '0123456789ab-2'
        """
        match = _NAME.fullmatch(name)
        return cls(match["digest"], int(match["number"]), match["nonce"]) if match else None

    @property
    def name(self) -> str:
        """The folder's name; it starts with a letter, so that no reader takes it for a hidden one."""
        return f"a{self.digest}-{self.number}-{self.nonce}"

    @property
    def entry_name(self) -> str:
        """The name of its journal entry."""
        return f"{self.digest}-{self.number}"

    def temporary_table(self, database: str, suffix: str = "") -> TableName:
        """Return a table that stages: the only one, or the one of a slice."""
        from airflow_quilt_athena.core.glue.tables import TableName

        return TableName(database, f"{TEMPORARY_PREFIX}{self.digest}_{self.number}_{self.nonce}{suffix}")

    def token(self, sql: str) -> str:
        """Return the client request token for ``sql``: starting twice in one attempt is starting once."""
        return hashlib.sha256(f"{self.name}\0{sql}".encode()).hexdigest()


def digest_of(task_key: str) -> str:
    """Return what stands for a task key in names."""
    return hashlib.sha256(task_key.encode()).hexdigest()[:12]
