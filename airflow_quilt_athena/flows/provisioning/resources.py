"""What the parts of provisioning share: the clients, a change that can be carried out, our mark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.plans import Step
from airflow_quilt_athena.core.quilt.ownership import CREATED_BY

# On what provisioning created, and may therefore take away again.
OUR_TAG = {"Key": "quilt-athena:created-by", "Value": CREATED_BY}


@dataclass(frozen=True, slots=True)
class AwsClients:
    """boto3's clients. Not typed further: thirty calls as a protocol would only repeat boto3's own names."""

    athena: Any
    glue: Any
    s3: Any
    iam: Any
    sts: Any


@dataclass(frozen=True, slots=True)
class Change:
    """A step of a plan, and the deed it announces. The deed of a step that does nothing is not done."""

    step: Step
    apply: Callable[[], object]


def is_ours(tags: Sequence[Mapping[str, str]] | None) -> bool:
    """Whether the tags of a resource say that provisioning created it."""
    return any(dict(tag) == OUR_TAG for tag in tags or ())
