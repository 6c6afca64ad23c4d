"""Who calls, what they may do, and AWS as they see it. Reads moto's IAM and STS; moto decides nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_quilt_athena.local.errors import ApiError
from airflow_quilt_athena.local.grants import Need, s3_resource
from airflow_quilt_athena.local.knobs import Knobs
from airflow_quilt_athena.local.naming import DEFAULT_REGION, Signature
from airflow_quilt_athena.local.policies import (
    Decision,
    Principal,
    Statement,
    UnknownConditionError,
    decide,
    parse_policy,
)
from airflow_quilt_athena.local.signatures import is_genuine
from airflow_quilt_athena.local.wire import AwsError, Request, is_json_call

ACCOUNT_ID = "123456789012"
ROOT_ARN = f"arn:aws:iam::{ACCOUNT_ID}:root"
# The account's root user, who may do everything, also while IAM is enforced.
ROOT_ACCESS_KEY_ID = "LOCALATHENAROOT00000"
ROOT_SECRET_ACCESS_KEY = "local-athena-root"
_ATHENA = "athena.amazonaws.com"
_UNSIGNED_SERVICES = frozenset({"s3", "sts"})  # public buckets, AssumeRoleWithWebIdentity
_S3_ARN = "arn:aws:s3:::"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed a call. ``secret_access_key`` is empty for a key that nobody made."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    arn: str
    region: str = DEFAULT_REGION

    @property
    def account_id(self) -> str:
        """The account the caller belongs to."""
        return self.arn.split(":")[4]

    @property
    def is_root(self) -> bool:
        """Whether the caller is an account's root user."""
        return self.arn.endswith(":root")


ANONYMOUS = Caller("", "", None, f"arn:aws:iam::{ACCOUNT_ID}:anonymous")


@dataclass(frozen=True, slots=True)
class _Permissions:
    """The policies of one caller. Each of ``limits`` must allow as well: boundary, session policy."""

    identity: tuple[Statement, ...]
    limits: tuple[tuple[Statement, ...], ...]


class Identities:
    """Callers by access key, and what their policies say. Everything is allowed while IAM is off."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        # Kept here instead of in moto, which would apply them even while IAM is off, and takes an unmet
        # condition (the usual "deny unless TLS") for a denial.
        self.bucket_policies: dict[str, str] = {}

    @property
    def enforced(self) -> bool:
        """Whether policies count."""
        return self._knobs.iam

    def caller(self, signature: Signature, token: str | None) -> Caller:
        """Who holds the access key; while IAM is off, a key that nobody made is the account's root user's."""
        region = signature.region or DEFAULT_REGION
        key_id = signature.access_key_id
        if not key_id:
            return ANONYMOUS
        if key_id == ROOT_ACCESS_KEY_ID:
            return Caller(key_id, ROOT_SECRET_ACCESS_KEY, None, ROOT_ARN, region)
        found = _find_user(key_id, region) or _find_session(key_id, region)
        if found is not None:
            return found
        arn = f"arn:aws:iam::{ACCOUNT_ID}:unknown" if self.enforced else ROOT_ARN
        return Caller(key_id, "", token, arn, region)

    def authenticate(self, request: Request) -> None:
        """Refuse a call that is not signed and, while IAM is on, one that its key's holder did not sign."""
        caller, is_json = request.caller, is_json_call(request)
        if caller is ANONYMOUS and request.service not in _UNSIGNED_SERVICES:
            code = "MissingAuthenticationTokenException" if is_json else "MissingAuthenticationToken"
            raise AwsError(code, "Missing Authentication Token", 400 if is_json else 403)
        if not self.enforced or caller is ANONYMOUS:
            return
        secret, token = caller.secret_access_key, request.headers.get("x-amz-security-token")
        if not secret or (caller.session_token or None) != (token or None):
            raise _unknown_key(request.service, is_json)
        uri = str(request.environ.get("RAW_URI") or request.path)
        if not is_genuine(secret, token, request.method, uri, request.headers, request.body):
            code = "InvalidSignatureException" if is_json else "SignatureDoesNotMatch"
            raise AwsError(
                code, "The request signature we calculated does not match.", 400 if is_json else 403
            )

    def refusal(self, caller: Caller, need: Need, *, by_athena: bool = False) -> str | None:
        """Why the caller may not do this, in IAM's words; None when they may."""
        if not self.enforced or (caller.is_root and caller.account_id == ACCOUNT_ID):
            return None
        if need.action == "sts:GetCallerIdentity":  # allowed to everybody, whatever policies say
            return None
        context = {**_context(caller, by_athena), **need.context}
        try:
            return self._judge(caller, need, context)
        except UnknownConditionError as error:
            return f"Cannot tell whether {caller.arn} may {need.action} on {need.resource}: {error}"

    def check(self, caller: Caller, need: Need, *, by_athena: bool = False, is_json: bool = False) -> None:
        """Raise an AwsError when the caller may not do this."""
        reason = self.refusal(caller, need, by_athena=by_athena)
        if reason is not None:
            raise AwsError(
                "AccessDeniedException" if is_json else "AccessDenied", reason, 400 if is_json else 403
            )

    def authorize(self, caller: Caller, action: str, resource: str) -> None:
        """Raise ApiError when the caller may not do this at Athena."""
        reason = self.refusal(caller, Need(action, resource))
        if reason is not None:
            raise ApiError("AccessDeniedException", reason)

    def write_refusal(self, caller: Caller, bucket: str, key: str) -> str | None:
        """Why a query may not write this object for the caller; None when it may."""
        return self.refusal(caller, Need("s3:PutObject", s3_resource(bucket, key)), by_athena=True)

    def _judge(self, caller: Caller, need: Need, context: Mapping[str, tuple[str, ...]]) -> str | None:
        """Why not, by the caller's own policies and by those of the bucket or role asked for."""
        permissions = _permissions(caller)
        own = decide(permissions.identity, need.action, need.resource, context)
        limits = [decide(limit, need.action, need.resource, context) for limit in permissions.limits]
        theirs, same_account = self._resource_decision(caller, need, context)
        denial = (
            f"User: {caller.arn} is not authorized to perform: {need.action} on resource: {need.resource}"
        )
        if Decision.DENIED in (own, theirs, *limits):
            return f"{denial} with an explicit deny in a policy"
        if any(limit is not Decision.ALLOWED for limit in limits):
            return (
                f"{denial} because no permissions boundary or session policy allows the {need.action} action"
            )
        allowed = [decision is Decision.ALLOWED for decision in (own, theirs)]
        if any(allowed) if same_account else all(allowed):
            return None
        kind = "identity-based" if own is not Decision.ALLOWED else "resource-based"
        return f"{denial} because no {kind} policy allows the {need.action} action"

    def _resource_decision(
        self, caller: Caller, need: Need, context: Mapping[str, tuple[str, ...]]
    ) -> tuple[Decision, bool]:
        """Ask the bucket's policy or the role's trust: what it says, and whether that alone is enough."""
        names = tuple(arn for arn in (caller.arn, _role_arn(caller)) if arn)
        principal = Principal(names, "" if caller is ANONYMOUS else caller.account_id)
        if need.action == "sts:AssumeRole":
            return _trust_decision(principal, need, context)
        if not need.resource.startswith(_S3_ARN):
            return Decision.SILENT, True
        bucket = need.resource.removeprefix(_S3_ARN).partition("/")[0]
        owner = bucket_owner(bucket)
        suffices = caller is ANONYMOUS or owner in (None, caller.account_id)
        policy = self.bucket_policies.get(bucket)
        if policy is None:
            return Decision.SILENT, suffices
        return decide(parse_policy(policy), need.action, need.resource, context, principal), suffices


def _unknown_key(service: str, is_json: bool) -> AwsError:
    if service == "s3":
        message = "The AWS Access Key Id you provided does not exist in our records."
        return AwsError("InvalidAccessKeyId", message, 403)
    code, status = ("UnrecognizedClientException", 400) if is_json else ("InvalidClientTokenId", 403)
    return AwsError(code, "The security token included in the request is invalid.", status)


def _find_user(key_id: str, region: str) -> Caller | None:
    from moto.iam.models import iam_backends

    for _, backends in list(iam_backends.items()):
        for user in list(backends["aws"].users.values()):
            for key in user.access_keys:
                if key.access_key_id == key_id and key.status == "Active":
                    return Caller(key_id, key.secret_access_key, None, user.arn, region)
    return None


def _find_session(key_id: str, region: str) -> Caller | None:
    session = _session(key_id)
    if session is None:
        return None
    return Caller(key_id, session.secret_access_key, session.session_token, session.arn, region)


def _session(key_id: str) -> Any:
    from moto.sts.models import sts_backends

    for _, backends in list(sts_backends.items()):
        found = backends["aws"].get_assumed_role_from_access_key(key_id)
        if found is not None:
            return found
    return None


def _context(caller: Caller, by_athena: bool) -> dict[str, tuple[str, ...]]:
    """Give the global condition keys. Plain HTTP on loopback stands for HTTPS."""
    now = time.time()
    context: dict[str, tuple[str, ...]] = {
        "aws:principalarn": (_role_arn(caller) or caller.arn,),
        "aws:principalaccount": (caller.account_id,),
        "aws:principaltype": ("AssumedRole" if ":assumed-role/" in caller.arn else "User",),
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


def _role_arn(caller: Caller) -> str | None:
    session = _session(caller.access_key_id) if ":assumed-role/" in caller.arn else None
    return str(session.role_arn) if session else None


def _permissions(caller: Caller) -> _Permissions:
    from moto.iam.models import iam_backends

    if caller is ANONYMOUS:
        return _Permissions((), ())
    iam = iam_backends[caller.account_id]["aws"]
    if ":assumed-role/" in caller.arn:
        session = _session(caller.access_key_id)
        role = next((r for r in iam.roles.values() if session and r.arn == session.role_arn), None)
        session_policies = (parse_policy(session.policy),) if session and session.policy else ()
        return _Permissions(_holder_statements(role), _boundary(iam, role) + session_policies)
    user = iam.users.get(caller.arn.rpartition("/")[2])
    groups = [group for group in iam.groups.values() if user in group.users] if user else []
    statements = [s for holder in (user, *groups) for s in _holder_statements(holder)]
    return _Permissions(tuple(statements), ())


def _holder_statements(holder: Any) -> tuple[Statement, ...]:
    if holder is None:
        return ()
    documents = [*holder.policies.values(), *(_default_document(p) for p in holder.managed_policies.values())]
    return tuple(statement for document in documents for statement in parse_policy(document))


def _boundary(iam: Any, role: Any) -> tuple[tuple[Statement, ...], ...]:
    arn = getattr(role, "permissions_boundary_arn", None)
    policy = iam.managed_policies.get(arn) if arn else None
    return (parse_policy(_default_document(policy)),) if policy else ()


def _default_document(policy: Any) -> str:
    return next(str(version.document) for version in policy.versions if version.is_default)


def bucket_owner(name: str) -> str | None:
    """Find the account that owns a bucket; None when there is no such bucket."""
    from moto.s3.models import s3_backends

    _, owner = s3_backends.bucket_accounts.get(name, (None, None))
    return owner


def _trust_decision(
    principal: Principal, need: Need, context: Mapping[str, tuple[str, ...]]
) -> tuple[Decision, bool]:
    """Ask a role's trust. When that names only the account, the caller's own policy must allow too."""
    from moto.iam.models import iam_backends

    account = need.resource.split(":")[4] if need.resource.count(":") >= 5 else ""
    role = next((r for r in iam_backends[account]["aws"].roles.values() if r.arn == need.resource), None)
    if role is None:
        return Decision.DENIED, True
    statements = parse_policy(role.assume_role_policy_document)
    decision = decide(statements, need.action, need.resource, context, principal)
    if decision is Decision.SILENT:
        return Decision.DENIED, True
    names = {name for s in statements for name in s.principals or ()}
    return decision, account == principal.account_id and bool(names & set(principal.arns))


def find_managed_policy(arn: str) -> Any:
    """Find a managed policy by its ARN; None when there is none."""
    from moto.iam.models import iam_backends

    account = arn.split(":")[4] if arn.count(":") >= 5 else ""
    return iam_backends[account]["aws"].managed_policies.get(arn) if account.isdigit() else None
