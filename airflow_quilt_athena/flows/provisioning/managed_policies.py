"""The managed policies of one name: found by listing and told by their mark; made, changed, taken away."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.core.provisioning.arns import Account
from airflow_quilt_athena.core.provisioning.mark import OUR_TAG, is_ours
from airflow_quilt_athena.core.provisioning.policy import PolicyDocument, check_policy_name, number_of
from airflow_quilt_athena.core.provisioning.policy_diff import compare_documents
from airflow_quilt_athena.exceptions import ManualActionError, RetryableError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_settling, ask_unless, unless
from airflow_quilt_athena.flows.provisioning.attachments import detach_all
from airflow_quilt_athena.flows.provisioning.resources import AwsClients

MAX_VERSIONS = 5  # IAM user guide, "IAM and AWS STS quotas", read 2026-11
OWNER_TAG = "quilt-athena:policy"  # whose documents these are: the policy_name they were provisioned under
# What Quilt's documentation of 2022 makes, "Athena", step II.A.
_SEEDS_DESCRIPTION = "Minimal Athena Access policy for Quilt"
_DESCRIPTION = "Run the operators of airflow-quilt-athena"
_NOT_THERE = frozenset({"NoSuchEntity"})
_CAME_FIRST = frozenset({"EntityAlreadyExists"})
_FULL = frozenset({"LimitExceeded"})
_STILL_HELD = frozenset({"DeleteConflict"})
_MAX_TRIES = 3


@dataclass(frozen=True, slots=True)
class FoundPolicy:
    """A managed policy whose name is one of ours."""

    number: int
    name: str
    arn: str
    owner: str | None  # the policy_name it was provisioned under; None when somebody else made it
    marked: bool  # whether its owner is written down with it
    seeds: bool  # whether it was made as Quilt's documentation says
    version: str

    def is_of(self, name: str) -> bool:
        """Whether it was provisioned under this name."""
        return self.owner == name


def observe_policies(clients: AwsClients, account: Account, name: str) -> tuple[FoundPolicy, ...]:
    """Return every policy of the account whose name is ``name``, or that and a number.

    Raises ManualActionError when the name itself is taken in another case or under another path.
    """
    check_policy_name(name)
    pages = clients.iam.get_paginator("list_policies").paginate(Scope="Local")
    found = []
    for page in ask(lambda: list(pages), "list the policies of the account"):
        for policy in page["Policies"]:
            number = number_of(policy["PolicyName"], name)
            if number == 1 and policy["Arn"] != account.policy_arn(name):
                raise ManualActionError(
                    f"Policy {name} cannot be made: there is {policy['Arn']}, and IAM takes no two names "
                    "that differ by case or path alone. Nothing was changed. Choose another policy_name, or "
                    "delete that policy."
                )
            if number is not None:
                found.append(_look(clients, number, policy["Arn"]))
    return tuple(sorted((policy for policy in found if policy), key=lambda policy: policy.number))


def _look(clients: AwsClients, number: int, arn: str) -> FoundPolicy | None:
    answer = ask_unless(_NOT_THERE, lambda: clients.iam.get_policy(PolicyArn=arn), f"look at policy {arn}")
    if answer is None:  # gone since it was listed
        return None
    policy = answer["Policy"]
    tags = policy.get("Tags") or []
    owner = next((tag["Value"] for tag in tags if tag["Key"] == OWNER_TAG), None)
    return FoundPolicy(
        number=number,
        name=policy["PolicyName"],
        arn=arn,
        # One without the tag was made before there was one, or has lost it. Nobody can change a description.
        owner=owner or (policy["PolicyName"] if is_ours(tags) or _is_first_of_ours(policy, number) else None),
        marked=owner is not None and is_ours(tags),
        seeds=not is_ours(tags) and policy.get("Description") == _SEEDS_DESCRIPTION,
        version=policy["DefaultVersionId"],
    )


def _is_first_of_ours(policy: Mapping[str, Any], number: int) -> bool:
    # A further document without its tags may be the first of another provisioning: only the tag tells.
    return number == 1 and policy.get("Description") == _DESCRIPTION


def read_document(clients: AwsClients, policy: FoundPolicy) -> Mapping[str, Any]:
    """Return the policy's default document."""
    answer = ask(
        lambda: clients.iam.get_policy_version(PolicyArn=policy.arn, VersionId=policy.version),
        f"read policy {policy.arn}",
    )
    document: Mapping[str, Any] = answer["PolicyVersion"]["Document"]
    return document


def _tags(name: str) -> list[dict[str, str]]:
    return [OUR_TAG, {"Key": OWNER_TAG, "Value": name}]


def create_policy(clients: AwsClients, account: Account, name: str, wanted: PolicyDocument) -> None:
    """Make a policy. One that a try of ours made before, and whose answer was lost, is taken for it."""
    created = ask_unless(
        _CAME_FIRST,
        lambda: clients.iam.create_policy(
            PolicyName=wanted.name,
            PolicyDocument=json.dumps(wanted.document),
            Description=_DESCRIPTION,
            Tags=_tags(name),
        ),
        f"create policy {wanted.name}",
    )
    if created is not None:
        return
    # By an earlier try, whose answer was lost, or by a sister's. IAM may not show it to everybody yet.
    arn = account.policy_arn(wanted.name)
    ask_settling(_NOT_THERE, lambda: clients.iam.get_policy(PolicyArn=arn), f"look at policy {arn}")
    policy = _look(clients, number_of(wanted.name, name) or 1, arn)
    if policy is None or not policy.is_of(name):
        raise ManualActionError(
            f"Policy {arn} was made by somebody else since it was looked at. It was left as it is. "
            "Run the task again to see what is there now."
        )
    if compare_documents(read_document(clients, policy), wanted.document):
        _add_version(clients, arn, wanted)


def converge_policy(
    clients: AwsClients, name: str, policy: FoundPolicy, wanted: PolicyDocument, *, rewrite: bool
) -> None:
    """Give a policy our tags, and the document wanted where it is to be rewritten."""
    if policy.owner and not policy.marked:
        ask(
            lambda: clients.iam.tag_policy(PolicyArn=policy.arn, Tags=_tags(name)), f"tag policy {policy.arn}"
        )
    if rewrite:
        _add_version(clients, policy.arn, wanted)


def _add_version(clients: AwsClients, arn: str, wanted: PolicyDocument) -> None:
    """Make the document the policy's default version. Attachments stay; the oldest version goes for room."""
    for _ in range(_MAX_TRIES):
        versions = list(_versions(clients, arn))
        if len(versions) >= MAX_VERSIONS:
            oldest = min(
                (version for version in versions if not version["IsDefaultVersion"]),
                key=lambda version: (version["CreateDate"], int(version["VersionId"].lstrip("v"))),
            )
            _delete_version(clients, arn, oldest["VersionId"])
        create = unless(
            _FULL,  # a sister added one meanwhile
            lambda: clients.iam.create_policy_version(
                PolicyArn=arn, PolicyDocument=json.dumps(wanted.document), SetAsDefault=True
            ),
        )
        made = ask_settling(_NOT_THERE, create, f"change policy {arn}")
        if made is not None:
            return
    raise RetryableError(f"Policy {arn} is being changed by others without pause. Run the task again.")


def _versions(clients: AwsClients, arn: str) -> Iterator[Mapping[str, Any]]:
    pages = clients.iam.get_paginator("list_policy_versions").paginate(PolicyArn=arn)
    for page in ask(lambda: list(pages), f"list the versions of policy {arn}"):
        yield from page["Versions"]


def _delete_version(clients: AwsClients, arn: str, version_id: str) -> None:
    ask_unless(
        _NOT_THERE,
        lambda: clients.iam.delete_policy_version(PolicyArn=arn, VersionId=version_id),
        f"delete version {version_id} of policy {arn}",
    )


def remove_policy(clients: AwsClients, arn: str) -> None:
    """Take a policy away from all who hold it, and then away."""
    detach_all(clients, arn)
    for version in _versions(clients, arn):
        if not version["IsDefaultVersion"]:
            _delete_version(clients, arn, version["VersionId"])
    delete = unless(_NOT_THERE, lambda: clients.iam.delete_policy(PolicyArn=arn))
    ask_settling(_STILL_HELD, delete, f"delete policy {arn}")
