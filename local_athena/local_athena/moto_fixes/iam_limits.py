"""What IAM refuses and moto does not: documents that are too long, policies deleted while in use.

And whom moto forgets: it looks for a policy's holders among the first hundred users and roles alone.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

from local_athena.iam.accounts import find_managed_policy
from local_athena.wire.messages import Answer, AwsError, Forward, Request

# "IAM and AWS STS quotas", read 2026-11: white space is not counted.
MAX_MANAGED_POLICY_LENGTH = 6144


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


def find_all_holders(request: Request, forward: Forward) -> Answer:
    """List all users, roles and groups that hold a policy."""
    if request.operation != "ListEntitiesForPolicy" or "MaxItems" in _fields(request):
        return forward(request)
    return forward(replace(request, body=request.body + f"&MaxItems={sys.maxsize}".encode()))


def _fields(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
