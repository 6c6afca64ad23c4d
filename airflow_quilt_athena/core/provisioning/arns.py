"""ARNs: read in all their parts, and written so that nothing a user names can widen them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from airflow_quilt_athena.exceptions import InvalidCallError

_ACCOUNT_ID = re.compile(r"\d{12}", re.ASCII)
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+", re.ASCII)
_PARTITION = re.compile(r"aws(-[a-z]+)*", re.ASCII)
_ARN = re.compile(r"arn:([^:\s]*):([^:\s]*):([^:\s]*):([^:\s]*):(\S+)", re.ASCII)
_KEY_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}([.]fifo)?", re.ASCII)
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)

# What IAM reads in a Resource as more than itself: its wildcards, and the start of a policy variable.
_WIDENING = re.compile(r"[*?$]")


class Pattern(str):
    """A part of a Resource whose wildcards are ours, and meant."""

    __slots__ = ()


ANYTHING: Final = Pattern("*")


def literal(text: str, what: str) -> str:
    """Return what a user named, for a policy; raise InvalidCallError when IAM would read more in it.

    :param what: whose name it is, for the error: ``The warehouse``.
    """
    if _WIDENING.search(text) or not text.isprintable():
        raise InvalidCallError(
            f"{what} is {text!r}, which holds a wildcard of IAM (one of * ? $) or what cannot be printed: a "
            "policy would grant more than is named. Expected a name without them."
        )
    return text


def resource_of(*parts: str) -> str:
    """Return a policy's Resource: every one is made here, of what users name and of patterns of ours."""
    return "".join(part if isinstance(part, Pattern) else literal(part, "A name") for part in parts)


@dataclass(frozen=True, slots=True)
class Account:
    """Where resources live: the parts their ARNs share."""

    partition: str  # aws, aws-cn or aws-us-gov
    region: str
    account_id: str

    def __post_init__(self) -> None:
        if not _ACCOUNT_ID.fullmatch(self.account_id):
            raise InvalidCallError(f"Not an AWS account: {self.account_id!r}. Expected 12 digits.")
        if not _REGION.fullmatch(self.region):
            raise InvalidCallError(f"Not an AWS region: {self.region!r}. Expected one such as eu-west-1.")
        if not _PARTITION.fullmatch(self.partition):
            raise InvalidCallError(f"Not an AWS partition: {self.partition!r}. Expected aws, aws-cn, ….")

    def arn(self, service: str, *resource: str) -> str:
        """Return the ARN of a resource of this account and region."""
        head = f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:"
        return resource_of(head, *resource)

    def s3_arn(self, bucket: str, *key: str) -> str:
        """Return the ARN of a bucket, or of the objects whose keys fit."""
        return resource_of(f"arn:{self.partition}:s3:::", bucket, *(("/", *key) if key else ()))

    def policy_arn(self, name: str) -> str:
        """Return the ARN of a managed policy of this account."""
        return resource_of(f"arn:{self.partition}:iam::{self.account_id}:policy/", name)


def check_key_arn(text: str, what: str) -> str:
    """Return the ARN of a key of KMS; raise InvalidCallError for anything else.

    :param what: whose key it is, for the error: ``kms_key_arn``.
    """
    kind, _, key_id = _regional_resource(text, "kms").partition("/")
    if kind == "alias":
        raise InvalidCallError(
            f"{what} is {text!r}, an alias. A policy that names an alias grants nothing: name the key, "
            "arn:aws:kms:<region>:<account>:key/<id>."
        )
    if not (kind == "key" and _KEY_ID.fullmatch(key_id)):
        raise InvalidCallError(
            f"{what} is {text!r}, which is no key of KMS. Expected arn:aws:kms:<region>:<account>:key/<id>."
        )
    return text


def check_queue_arn(text: str, what: str) -> str:
    """Return the ARN of a queue of SQS; raise InvalidCallError for anything else.

    :param what: the argument, for the error.
    """
    if not _QUEUE_NAME.fullmatch(_regional_resource(text, "sqs")):
        raise InvalidCallError(
            f"{what} is {text!r}, which is no queue of SQS. Expected arn:aws:sqs:<region>:<account>:<name>."
        )
    return text


def _regional_resource(text: str, service: str) -> str:
    """Return the resource that an ARN of a service in a region names; nothing where it is none."""
    arn = _ARN.fullmatch(text)
    if arn is None or arn[2] != service:
        return ""
    parts = (_PARTITION.fullmatch(arn[1]), _REGION.fullmatch(arn[3]), _ACCOUNT_ID.fullmatch(arn[4]))
    return arn[5] if all(parts) else ""


@dataclass(frozen=True, slots=True)
class RoleName:
    """A role of one's own account, as the caller named it: by name, or by its whole ARN."""

    name: str
    arn: str | None = None


def parse_role(text: str, account: Account) -> RoleName:
    """Read a role's name or ARN; raise InvalidCallError for what is no role of this account."""
    said = f"Not a role to attach a policy to: {text!r}"
    if not text.startswith("arn:"):
        if not _ROLE_NAME.fullmatch(text):
            raise InvalidCallError(
                f"{said}. Expected a role's name (up to 64 letters, digits and _+=,.@-, no path), or its ARN."
            )
        return RoleName(text)
    arn = _ARN.fullmatch(text)
    if arn is None:
        raise InvalidCallError(f"{said}. Expected arn:{account.partition}:iam::<account>:role/<name>.")
    partition, service, region, account_id, resource = arn.groups()
    kind, _, path_and_name = resource.partition("/")
    name = path_and_name.rpartition("/")[2]
    if kind == "assumed-role":
        raise InvalidCallError(
            f"{said}: it is a session of a role. Name the role itself, "
            f"arn:{account.partition}:iam::{account_id}:role/{path_and_name.partition('/')[0]}."
        )
    if service != "iam" or region or kind != "role" or not _ROLE_NAME.fullmatch(name):
        raise InvalidCallError(f"{said}: it names a {service} {kind or 'resource'}, not a role of IAM.")
    if partition != account.partition or account_id != account.account_id:
        raise InvalidCallError(
            f"{said}: it is of account {account_id} in {partition}, and the policy is of account "
            f"{account.account_id} in {account.partition}. A policy goes to roles of its own account."
        )
    return RoleName(name, text)
