"""What the parts of provisioning share: the clients, and a change that can be carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.plans import Step


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
