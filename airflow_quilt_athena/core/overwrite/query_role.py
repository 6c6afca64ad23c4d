"""What a query of an attempt is for: a value that names its table, and its text in the journal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_CHECK = "check:"


class RoleKind(Enum):
    """The kinds of queries, as the journal writes them."""

    READ_REVISIONS = "read-revisions"
    READ_ENTRIES = "read-entries"
    DESCRIBE = "describe"
    STAGE = "stage"
    ROWS = "rows"
    COUNT = "count"
    CHECK = "check"
    DEFINE = "define"
    SLICE = "slice"


READS = frozenset({RoleKind.READ_REVISIONS, RoleKind.READ_ENTRIES})
_NUMBERED = READS | {RoleKind.SLICE}
# How the temporary table ends that a query of a kind makes; the others make none.
_TABLE_ENDINGS = {
    RoleKind.STAGE: "",
    RoleKind.DESCRIBE: "_described",
    RoleKind.DEFINE: "_defined",
    RoleKind.SLICE: "_slice",
    RoleKind.READ_REVISIONS: "_read_revisions",
    RoleKind.READ_ENTRIES: "_read_entries",
}


@dataclass(frozen=True, slots=True)
class Role:
    """What a query is for.

    :param number: of a slice, or of a group of revisions that is read; they are counted from 1.
    :param check: the name of the user's check.
    """

    kind: RoleKind
    number: int | None = None
    check: str | None = None

    def __post_init__(self) -> None:
        if (self.number is not None) != (self.kind in _NUMBERED):
            raise ValueError(f"{self.kind.value} with the number {self.number}")
        if (self.check is not None) != (self.kind is RoleKind.CHECK):
            raise ValueError(f"{self.kind.value} of the check {self.check!r}")

    @classmethod
    def parse(cls, text: str) -> Role:
        """Read a role as the journal writes it. Raises ValueError for any other text.

        >>> Role.parse("slice-3")
        Role(kind=<RoleKind.SLICE: 'slice'>, number=3, check=None)
        """
        if text.startswith(_CHECK):
            return cls(RoleKind.CHECK, check=text.removeprefix(_CHECK))
        kind, _, number = text.rpartition("-")
        return cls(RoleKind(kind), int(number)) if number.isdecimal() else cls(RoleKind(text))

    @property
    def text(self) -> str:
        """The role as the journal writes it."""
        if self.check is not None:
            return f"{_CHECK}{self.check}"
        return self.kind.value if self.number is None else f"{self.kind.value}-{self.number}"

    @property
    def table_ending(self) -> str | None:
        """How the name ends of the temporary table that the query makes; None when it makes none."""
        ending = _TABLE_ENDINGS.get(self.kind)
        return ending if ending is None or self.number is None else f"{ending}_{self.number}"


DESCRIBE, STAGE, ROWS, COUNT, DEFINE = map(
    Role, (RoleKind.DESCRIBE, RoleKind.STAGE, RoleKind.ROWS, RoleKind.COUNT, RoleKind.DEFINE)
)
