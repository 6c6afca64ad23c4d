"""Who holds our policies: the roles that are named, and whoever was given the first document by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_quilt_athena.core.plans import Difference, Step
from airflow_quilt_athena.core.provisioning.arns import Account, parse_role
from airflow_quilt_athena.exceptions import InvalidCallError
from airflow_quilt_athena.flows.aws.deadline import ask, ask_settling, ask_unless
from airflow_quilt_athena.flows.provisioning.resources import AwsClients, Change

_NOT_THERE = frozenset({"NoSuchEntity"})
_DEFAULT_QUOTA = 10  # managed policies of a role; IAM user guide, "IAM and AWS STS quotas", read 2026-11
_SERVICE_LINKED = "/aws-service-role/"

# A policy by its name, and its ARN when there is one already.
Wanted = tuple[str, str | None]
Holder = tuple[str, str]  # Role, User or Group; and its name


def plan_attachments(
    clients: AwsClients,
    account: Account,
    roles: Sequence[str],
    wanted: Sequence[Wanted],
    *,
    first: str | None,
) -> list[Change]:
    """Return what has to be done for each role, and for the other holders of the first document.

    Who was given the first document was given the grant: a further document goes to them as well.

    :param first: the ARN of the first document, when it is there.
    :raises InvalidCallError: for a role that does not exist, is another's, or can hold no more policies.
    """
    named = dict.fromkeys(_resolve(clients, account, role) for role in roles)
    changes = [_plan_role(clients, account, role, wanted) for role in named]
    if first is not None and len(wanted) > 1:
        holders = set(_holders(clients, first)) - {("Role", role) for role in named}
        holding = {name: set(_holders(clients, arn)) if arn else set() for name, arn in wanted}
        for kind, name in sorted(holders):
            missing = [policy for policy, _ in wanted if (kind, name) not in holding[policy]]
            changes.append(_attachment(clients, account, (kind, name), missing))
    return changes


def _resolve(clients: AwsClients, account: Account, text: str) -> str:
    """Return the name of a role that exists, as IAM spells it."""
    given = parse_role(text, account)
    answer = ask_unless(
        _NOT_THERE, lambda: clients.iam.get_role(RoleName=given.name), f"look at role {given.name}"
    )
    if answer is None:
        raise InvalidCallError(
            f"Role {given.name} does not exist in account {account.account_id}. Nothing was changed. "
            "Create the role, or take it out of attach_to_roles."
        )
    role = answer["Role"]
    if given.arn is not None and role["Arn"] != given.arn:
        raise InvalidCallError(
            f"There is no role {given.arn}: the role of that name is {role['Arn']}. Nothing was changed. "
            "Name the role that is meant in attach_to_roles."
        )
    if role.get("Path", "").startswith(_SERVICE_LINKED):
        raise InvalidCallError(
            f"Role {role['Arn']} belongs to a service of AWS; nobody can attach policies to it. Nothing was "
            "changed. Take it out of attach_to_roles."
        )
    return str(role["RoleName"])


def _plan_role(clients: AwsClients, account: Account, role: str, wanted: Sequence[Wanted]) -> Change:
    pages = clients.iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
    attached = {
        policy["PolicyArn"]
        for page in ask(lambda: list(pages), f"list the policies of role {role}")
        for policy in page["AttachedPolicies"]
    }
    missing = [name for name, _ in wanted if account.policy_arn(name) not in attached]
    if missing and len(attached) + len(missing) > _DEFAULT_QUOTA:
        _refuse_too_many(clients, role, len(attached), len(missing))
    return _attachment(clients, account, ("Role", role), missing)


def _refuse_too_many(clients: AwsClients, role: str, attached: int, missing: int) -> None:
    summary = ask(clients.iam.get_account_summary, "read the quotas of the account")["SummaryMap"]
    quota = int(summary.get("AttachedPoliciesPerRoleQuota", _DEFAULT_QUOTA))
    if attached + missing > quota:
        raise InvalidCallError(
            f"Role {role} holds {attached} managed policies and would need {missing} more; the account "
            f"allows {quota} to a role. Nothing was changed. Detach some, provision fewer buckets under one "
            "policy_name, or have AWS raise the quota."
        )


def _attachment(clients: AwsClients, account: Account, holder: Holder, missing: Sequence[str]) -> Change:
    kind, name = holder
    details = [Difference("attached policy", None, policy) for policy in missing]
    step = Step.converge(kind.lower(), name, details)

    def apply() -> None:
        for policy in missing:
            _attach(clients, holder, account.policy_arn(policy))

    return Change(step, apply)


def _attach(clients: AwsClients, holder: Holder, arn: str) -> None:
    kind, name = holder
    attach = getattr(clients.iam, f"attach_{kind.lower()}_policy")
    # A policy made a moment ago is not known everywhere yet.
    ask_settling(
        _NOT_THERE,
        lambda: attach(**{f"{kind}Name": name, "PolicyArn": arn}),
        f"attach policy {arn} to {kind.lower()} {name}",
    )


def _holders(clients: AwsClients, arn: str) -> Iterator[Holder]:
    pages = clients.iam.get_paginator("list_entities_for_policy").paginate(PolicyArn=arn)
    for page in ask(lambda: list(pages), f"list who holds policy {arn}"):
        for kind in ("Role", "User", "Group"):
            yield from ((kind, holder[f"{kind}Name"]) for holder in page.get(f"Policy{kind}s", ()))


def detach_all(clients: AwsClients, arn: str) -> None:
    """Take a policy from all its holders."""
    for kind, name in list(_holders(clients, arn)):
        detach = getattr(clients.iam, f"detach_{kind.lower()}_policy")
        _detach(detach, {f"{kind}Name": name, "PolicyArn": arn}, arn)


def _detach(detach: Any, request: Mapping[str, str], arn: str) -> None:
    ask_unless(_NOT_THERE, lambda: detach(**request), f"take policy {arn} from its holders")
