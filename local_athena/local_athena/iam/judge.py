"""What one caller may do at one moment: their own policies, and those of the bucket or role they ask for."""

from __future__ import annotations

import time
from collections.abc import Mapping

from local_athena.account import ACCOUNT_ID
from local_athena.iam.accounts import (
    bucket_owner,
    find_role,
    find_session,
    holder_statements,
    role_boundary,
    user_statements,
)
from local_athena.iam.grants import Need
from local_athena.iam.policies import (
    Context,
    Decision,
    PolicyStatement,
    Principal,
    UnknownConditionError,
    decide,
    parse_policy,
)
from local_athena.wire.callers import ANONYMOUS, Caller

_ATHENA = "athena.amazonaws.com"
_S3_ARN = "arn:aws:s3:::"


class Judge:
    """Judges many needs of one caller, whose policies are collected once."""

    def __init__(self, caller: Caller, bucket_policies: Mapping[str, str], by_athena: bool) -> None:
        self._caller = caller
        self._bucket_policies = bucket_policies
        session = find_session(caller.access_key_id) if ":assumed-role/" in caller.arn else None
        role_arn = str(session.role_arn) if session else None
        self._own: tuple[PolicyStatement, ...] = ()
        self._limits: tuple[
            tuple[PolicyStatement, ...], ...
        ] = ()  # boundary, session policy: each must allow too
        if session is not None:
            role = find_role(str(session.role_arn))
            self._own = holder_statements(role) if role else ()
            self._limits = role_boundary(role) if role else ()
            self._limits += (parse_policy(session.policy),) if session.policy else ()
        elif ":user/" in caller.arn:
            self._own = user_statements(caller.arn)
        arns = (caller.arn, role_arn) if role_arn else (caller.arn,)
        self._principal = Principal(arns, "" if caller == ANONYMOUS else caller.account_id)
        self._context = _global_context(caller, role_arn, by_athena)

    def refusal(self, need: Need) -> str | None:
        """Why the caller may not do this, in IAM's words; None when they may."""
        if need.action == "sts:GetCallerIdentity":  # allowed to everybody, whatever policies say
            return None
        context = {**self._context, **need.context} if need.context else self._context
        try:
            reason = self._reason(need, context)
        except UnknownConditionError as error:
            reason = f"because {error}"
        if reason is None:
            return None
        return (
            f"User: {self._caller.arn} is not authorized to perform: {need.action} "
            f"on resource: {need.resource} {reason}"
        )

    def _reason(self, need: Need, context: Context) -> str | None:
        own = decide(self._own, need.action, need.resource, context)
        limits = [decide(limit, need.action, need.resource, context) for limit in self._limits]
        theirs, suffices = self._resource_decision(need, context)
        if Decision.DENIED in (own, theirs, *limits):
            return "with an explicit deny in a policy"
        if any(limit is not Decision.ALLOWED for limit in limits):
            return f"because no permissions boundary or session policy allows the {need.action} action"
        allowed = [decision is Decision.ALLOWED for decision in (own, theirs)]
        if any(allowed) if suffices else all(allowed):
            return None
        kind = "resource-based" if own is Decision.ALLOWED else "identity-based"
        return f"because no {kind} policy allows the {need.action} action"

    def _resource_decision(self, need: Need, context: Context) -> tuple[Decision, bool]:
        """Ask the bucket's policy or the role's trust: what it says, and whether that alone is enough."""
        if need.action == "sts:AssumeRole":
            return self._trust_decision(need, context)
        if not need.resource.startswith(_S3_ARN):
            return Decision.SILENT, True
        bucket = need.resource.removeprefix(_S3_ARN).partition("/")[0]
        suffices = self._caller == ANONYMOUS or bucket_owner(bucket) in (None, self._caller.account_id)
        policy = self._bucket_policies.get(bucket)
        if policy is None:
            return Decision.SILENT, suffices
        return decide(parse_policy(policy), need.action, need.resource, context, self._principal), suffices

    def _trust_decision(self, need: Need, context: Context) -> tuple[Decision, bool]:
        """Ask a role's trust. When that names only the account, the caller's own policy must allow too."""
        role = find_role(need.resource)
        if role is None:
            return Decision.DENIED, True
        statements = parse_policy(role.assume_role_policy_document)
        decision = decide(statements, need.action, need.resource, context, self._principal)
        if decision is Decision.SILENT:
            return Decision.DENIED, True
        named = {name for statement in statements for name in statement.principals or ()}
        return decision, bool(named & set(self._principal.arns))


def _global_context(caller: Caller, role_arn: str | None, by_athena: bool) -> dict[str, tuple[str, ...]]:
    """Give the global condition keys. Plain HTTP on loopback stands for HTTPS."""
    now = time.time()
    context: dict[str, tuple[str, ...]] = {
        "aws:principalarn": (role_arn or caller.arn,),
        "aws:principalaccount": (caller.account_id,),
        "aws:principaltype": ("AssumedRole" if role_arn else "User",),
        "aws:resourceaccount": (ACCOUNT_ID,),
        "s3:resourceaccount": (ACCOUNT_ID,),
        "aws:requestedregion": (caller.region,),
        "aws:securetransport": ("true",),
        "aws:sourceip": ("127.0.0.1",),
        "aws:epochtime": (str(int(now)),),
        "aws:currenttime": (time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now)),),
    }
    if ":user/" in caller.arn:
        context["aws:username"] = (caller.arn.rpartition("/")[2],)
    if by_athena:
        for name in ("aws:calledvia", "aws:calledviafirst", "aws:calledvialast"):
            context[name] = (_ATHENA,)
        context["aws:viaawsservice"] = ("true",)
    return context
