"""What the parts of provisioning share: the clients, a change that can be carried out, our mark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from airflow_quilt_athena.core.drift import CREATED_BY
from airflow_quilt_athena.core.plans import Step
from airflow_quilt_athena.flows.aws_errors import error_code
from airflow_quilt_athena.flows.patience import Deadline

Result = TypeVar("Result")

_PATIENCE_SECONDS = 60.0

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


def ask(function: Callable[[], Result], doing: str) -> Result:
    """Call AWS, again while it throttles or does not answer; raise ours for its refusals.

    :param doing: what is being done, on which resource: ``create bucket acme-results``.
    """
    return Deadline.after(_PATIENCE_SECONDS).call(function, doing)


def ask_unless(codes: frozenset[str], function: Callable[[], Result], doing: str) -> Result | None:
    """Call AWS; None when it refuses with one of ``codes``."""

    def guarded() -> Result | None:
        try:
            return function()
        except ClientError as error:
            if error_code(error) in codes:
                return None
            raise

    return ask(guarded, doing)


def is_ours(tags: list[dict[str, str]] | None) -> bool:
    """Whether the tags of a resource say that provisioning created it."""
    return OUR_TAG in (tags or [])
