"""The managed policies of those who run our operators, and the roles they are attached to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_quilt_athena.core.plans import Difference, Step
from airflow_quilt_athena.core.provisioning.policy import Account, PolicyDocument, policy_name
from airflow_quilt_athena.core.provisioning.policy_diff import compare_documents
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_unless
from airflow_quilt_athena.flows.provisioning.resources import OUR_TAG, AwsClients, Change, is_ours

MAX_VERSIONS = 5  # IAM user guide, "IAM and AWS STS quotas", read 2026-11
_DESCRIPTION = "Run the operators of airflow-quilt-athena"
_NOT_THERE = frozenset({"NoSuchEntity"})
_CAME_FIRST = frozenset({"EntityAlreadyExists"})


def plan_policies(
    clients: AwsClients, account: Account, name: str, documents: Sequence[PolicyDocument]
) -> list[Change]:
    """Return what has to be done for each document, and for documents of before that nobody needs."""
    changes = [_plan_policy(clients, account, document) for document in documents]
    number = len(documents) + 1
    while (policy := observe_policy(clients, account.policy_arn(policy_name(name, number)))) is not None:
        if is_ours(policy.get("Tags")):
            changes.append(_plan_removal(clients, policy))
        number += 1
    return changes


def plan_policy_removals(clients: AwsClients, account: Account, name: str) -> list[Change]:
    """Return what has to be done for no document to be left: none that is not ours is touched."""
    changes: list[Change] = []
    number = 1
    while (policy := observe_policy(clients, account.policy_arn(policy_name(name, number)))) is not None:
        if is_ours(policy.get("Tags")):
            arn = policy["Arn"]
            step = Step.remove("policy", policy["PolicyName"])
            changes.append(Change(step, lambda arn=arn: _remove(clients, arn)))  # type: ignore[misc]
        else:
            kept = Step.keep("policy", policy["PolicyName"], "somebody else made it")
            changes.append(Change(kept, lambda: None))
        number += 1
    return changes


def observe_policy(clients: AwsClients, arn: str) -> Mapping[str, Any] | None:
    """Return a managed policy, or None."""
    answer = ask_unless(_NOT_THERE, lambda: clients.iam.get_policy(PolicyArn=arn), f"look at policy {arn}")
    return None if answer is None else dict(answer["Policy"])


def _plan_policy(clients: AwsClients, account: Account, wanted: PolicyDocument) -> Change:
    arn = account.policy_arn(wanted.name)
    policy = observe_policy(clients, arn)
    if policy is None:
        step = Step.create("policy", wanted.name, compare_documents({}, wanted.document))
        return Change(step, lambda: _create(clients, account, wanted))
    version = ask(
        lambda: clients.iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"]),
        f"read policy {arn}",
    )
    differences = compare_documents(version["PolicyVersion"]["Document"], wanted.document)
    step = Step.converge("policy", wanted.name, differences)
    return Change(step, lambda: _add_version(clients, arn, wanted))


def _create(clients: AwsClients, account: Account, wanted: PolicyDocument) -> None:
    created = ask_unless(
        _CAME_FIRST,
        lambda: clients.iam.create_policy(
            PolicyName=wanted.name,
            PolicyDocument=json.dumps(wanted.document),
            Description=_DESCRIPTION,
            Tags=[OUR_TAG],
        ),
        f"create policy {wanted.name}",
    )
    if created is None:  # by an earlier try, whose answer was lost, or by a sister's
        found = _plan_policy(clients, account, wanted)
        if found.step.does_something:
            found.apply()


def _add_version(clients: AwsClients, arn: str, wanted: PolicyDocument) -> None:
    """Make the document the policy's default version. Attachments stay; the oldest version goes for room."""
    versions = list(_versions(clients, arn))
    if len(versions) >= MAX_VERSIONS:
        oldest = min(
            (version for version in versions if not version["IsDefaultVersion"]),
            key=lambda version: (version["CreateDate"], int(version["VersionId"].lstrip("v"))),
        )
        _delete_version(clients, arn, oldest["VersionId"])
    ask(
        lambda: clients.iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=json.dumps(wanted.document), SetAsDefault=True
        ),
        f"change policy {arn}",
    )


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


def _plan_removal(clients: AwsClients, policy: Mapping[str, Any]) -> Change:
    # What it grants is granted by the other documents, or not wanted any more.
    details = [Difference("policy", "holds buckets that are in other documents or not named now", None)]
    step = Step.converge("policy", policy["PolicyName"], details)
    return Change(step, lambda: _remove(clients, policy["Arn"]))


def _remove(clients: AwsClients, arn: str) -> None:
    iam = clients.iam
    pages = ask(
        lambda: list(iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn)),
        f"list who holds policy {arn}",
    )
    for page in pages:
        for kind, detach in (
            ("Role", iam.detach_role_policy),
            ("User", iam.detach_user_policy),
            ("Group", iam.detach_group_policy),
        ):
            for holder in page[f"Policy{kind}s"]:
                request = {f"{kind}Name": holder[f"{kind}Name"], "PolicyArn": arn}
                _detach(detach, request, arn)
    for version in _versions(clients, arn):
        if not version["IsDefaultVersion"]:
            _delete_version(clients, arn, version["VersionId"])
    ask_unless(_NOT_THERE, lambda: iam.delete_policy(PolicyArn=arn), f"delete policy {arn}")


def _detach(detach: Any, request: Mapping[str, str], arn: str) -> None:
    ask_unless(_NOT_THERE, lambda: detach(**request), f"take policy {arn} from its holders")


# -------------------------------------------------------------------------------------------- roles


def plan_attachments(
    clients: AwsClients, account: Account, roles: Sequence[str], documents: Sequence[PolicyDocument]
) -> list[Change]:
    """Return what has to be done for each role. Raises InvalidCallError for a role that does not exist."""
    return [_plan_role(clients, account, _name_of(role), documents) for role in dict.fromkeys(roles)]


def _name_of(role: str) -> str:
    return role.rpartition("/")[2]  # a name, or an ARN with a path


def _plan_role(
    clients: AwsClients, account: Account, role: str, documents: Sequence[PolicyDocument]
) -> Change:
    answer = ask_unless(_NOT_THERE, lambda: clients.iam.get_role(RoleName=role), f"look at role {role}")
    if answer is None:
        raise InvalidCallError(
            f"Role {role} does not exist in account {account.account_id}. Nothing was changed. "
            "Create the role, or take it out of attach_to_roles."
        )
    pages = clients.iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
    attached = {
        policy["PolicyArn"]
        for page in ask(lambda: list(pages), f"list the policies of role {role}")
        for policy in page["AttachedPolicies"]
    }
    missing = [d.name for d in documents if account.policy_arn(d.name) not in attached]
    step = Step.converge("role", role, [Difference("attached policy", None, name) for name in missing])
    return Change(step, lambda: _attach(clients, account, role, missing))


def _attach(clients: AwsClients, account: Account, role: str, names: Sequence[str]) -> None:
    for name in names:
        arn = account.policy_arn(name)
        _attach_one(clients, role, arn)


def _attach_one(clients: AwsClients, role: str, arn: str) -> None:
    ask(
        lambda: clients.iam.attach_role_policy(RoleName=role, PolicyArn=arn),
        f"attach policy {arn} to role {role}",
    )
