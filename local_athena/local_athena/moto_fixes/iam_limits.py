"""What IAM refuses and moto does not: documents that are too long, policies deleted while in use.

Names that differ by case or path alone, more policies than a role may hold. And whom moto forgets or counts
twice: it looks for a policy's holders among the first hundred users and roles alone, and counts a policy that
is attached again once more.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from local_athena.iam.accounts import find_managed_policy, iam_of
from local_athena.wire.messages import Answer, AwsError, Forward, Request

# "IAM and AWS STS quotas", read 2026-11: white space is not counted.
MAX_MANAGED_POLICY_LENGTH = 6144
MAX_POLICIES_OF_A_ROLE = 10

_CREATES = {"CreatePolicy": "Policy", "CreateRole": "Role", "CreateUser": "User", "CreateGroup": "Group"}
_ATTACHED = (
    b'<AttachRolePolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata>'
    b"<RequestId>b5a1a4c1-0d7e-4c0f-8a3e-3f0d2a1c9e55</RequestId></ResponseMetadata></AttachRolePolicyResponse>"
)


def limit_documents(request: Request, forward: Forward) -> Answer:
    """Refuse a managed policy's document that is too long."""
    if request.operation in ("CreatePolicy", "CreatePolicyVersion"):
        document = _fields(request).get("PolicyDocument", "")
        if len("".join(document.split())) > MAX_MANAGED_POLICY_LENGTH:
            quota = f"Cannot exceed quota for PolicySize: {MAX_MANAGED_POLICY_LENGTH}"
            raise AwsError("LimitExceeded", quota, 409)
    return forward(request)


def protect_policies(request: Request, forward: Forward) -> Answer:
    """Refuse to delete a policy that is attached, or has versions besides its default."""
    if request.operation != "DeletePolicy":
        return forward(request)
    policy: Any = find_managed_policy(_fields(request).get("PolicyArn", ""))
    if policy is not None and policy.attachment_count > 0:
        raise AwsError("DeleteConflict", "Cannot delete a policy attached to entities.", 409)
    if policy is not None and len(policy.versions) > 1:
        raise AwsError(
            "DeleteConflict",
            "This policy has more than one version. Before you delete a policy, you must delete the policy's "
            "versions. The default version is deleted with the policy.",
            409,
        )
    return forward(request)


def keep_names_apart(request: Request, forward: Forward) -> Answer:
    """Refuse a second user, role, group or policy of a name, whatever its case and path."""
    kind = _CREATES.get(request.operation)
    if kind is None:
        return forward(request)
    name = _fields(request).get(f"{kind}Name", "")
    if any(name.casefold() == there.casefold() for there in _names(request, kind)):
        raise AwsError("EntityAlreadyExists", f"{kind} with name {name} already exists.", 409)
    return forward(request)


def _names(request: Request, kind: str) -> list[str]:
    iam = iam_of(request.caller)
    if iam is None:
        return []
    if kind == "Policy":
        own = [policy for policy in iam.managed_policies.values() if ":iam::aws:" not in policy.arn]
        return [str(policy.name) for policy in own]
    found = {"Role": iam.roles, "User": iam.users, "Group": iam.groups}[kind]
    return [str(one.name) for one in found.values()]


def limit_attachments(request: Request, forward: Forward) -> Answer:
    """Refuse an eleventh managed policy of a role, and attach one that is attached only once."""
    if request.operation != "AttachRolePolicy":
        return forward(request)
    fields = _fields(request)
    iam = iam_of(request.caller)
    roles = () if iam is None else iam.roles.values()
    held = next((list(one.managed_policies) for one in roles if one.name == fields.get("RoleName")), [])
    if fields.get("PolicyArn") in held:
        return Answer(200, (("Content-Type", "text/xml"),), _ATTACHED)
    if len(held) >= MAX_POLICIES_OF_A_ROLE:
        quota = f"Cannot exceed quota for PoliciesPerRole: {MAX_POLICIES_OF_A_ROLE}"
        raise AwsError("LimitExceeded", quota, 409)
    return forward(request)


def find_all_holders(request: Request, forward: Forward) -> Answer:
    """List all users, roles and groups that hold a policy."""
    if request.operation != "ListEntitiesForPolicy" or "MaxItems" in _fields(request):
        return forward(request)
    return forward(replace(request, body=request.body + f"&MaxItems={sys.maxsize}".encode()))


def _fields(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
