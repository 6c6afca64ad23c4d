"""The two times of a revision."""

from __future__ import annotations

from enum import Enum


class By(Enum):
    """By which time a revision is chosen."""

    REVISION = "revision"  # when it was made, as its pointer's name says
    ARRIVAL = "arrival"  # when its pointer arrived in the bucket
