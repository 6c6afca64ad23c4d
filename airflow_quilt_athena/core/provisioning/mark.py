"""The mark on what provisioning created, and may therefore take away again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_quilt_athena.core.quilt.ownership import CREATED_BY

# On what provisioning created, and may therefore take away again.
OUR_TAG = {"Key": "quilt-athena:created-by", "Value": CREATED_BY}


def is_ours(tags: Sequence[Mapping[str, str]] | None) -> bool:
    """Whether the tags of a resource say that provisioning created it."""
    return any(dict(tag) == OUR_TAG for tag in tags or ())
