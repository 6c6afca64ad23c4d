"""Users, roles, sessions, policies and owners, as moto keeps them. Reads; decides nothing."""

from __future__ import annotations

from typing import Any

from local_athena.account import PARTITIONS
from local_athena.iam.policies import PolicyStatement, parse_policy
from local_athena.wire.callers import Caller


def find_caller(key_id: str, region: str) -> Caller | None:
    """Find who holds an access key: a user, or a session of a role."""
    return _find_user(key_id, region) or _find_session_caller(key_id, region)


def _find_user(key_id: str, region: str) -> Caller | None:
    from moto.iam.models import iam_backends

    for _, backends in list(iam_backends.items()):
        for user in [user for name in PARTITIONS for user in list(backends[name].users.values())]:
            for key in user.access_keys:
                if key.access_key_id == key_id and key.status == "Active":
                    return Caller(key_id, key.secret_access_key, None, user.arn, region)
    return None


def _find_session_caller(key_id: str, region: str) -> Caller | None:
    session = find_session(key_id)
    if session is None:
        return None
    return Caller(key_id, session.secret_access_key, session.session_token, session.arn, region)


def find_session(key_id: str) -> Any:
    """Find the session of a role that an access key was made for."""
    from moto.sts.models import sts_backends

    for _, backends in list(sts_backends.items()):
        for name in PARTITIONS:
            found = backends[name].get_assumed_role_from_access_key(key_id)
            if found is not None:
                return found
    return None


def find_role(arn: str) -> Any:
    """Find a role by its ARN; None when there is none."""
    iam = _iam_of(arn)
    return None if iam is None else next((r for r in iam.roles.values() if r.arn == arn), None)


def find_managed_policy(arn: str) -> Any:
    """Find a managed policy by its ARN; None when there is none."""
    iam = _iam_of(arn)
    return None if iam is None else iam.managed_policies.get(arn)


def bucket_owner(name: str) -> str | None:
    """Find the account that owns a bucket; None when there is no such bucket."""
    from moto.s3.models import s3_backends

    _, owner = s3_backends.bucket_accounts.get(name, (None, None))
    return owner


def user_statements(arn: str) -> tuple[PolicyStatement, ...]:
    """Collect what a user's policies and those of their groups say."""
    iam = _iam_of(arn)
    user = None if iam is None else iam.users.get(arn.rpartition("/")[2])
    if iam is None or user is None:
        return ()
    groups = [group for group in iam.groups.values() if user in group.users]
    return tuple(statement for holder in (user, *groups) for statement in holder_statements(holder))


def holder_statements(holder: Any) -> tuple[PolicyStatement, ...]:
    """Collect what the inline and managed policies of a user, group or role say."""
    documents = [*holder.policies.values(), *map(_default_document, holder.managed_policies.values())]
    return tuple(statement for document in documents for statement in parse_policy(document))


def role_boundary(role: Any) -> tuple[tuple[PolicyStatement, ...], ...]:
    """Give a role's permissions boundary, if it has one."""
    policy = find_managed_policy(role.permissions_boundary_arn or "")
    return (parse_policy(_default_document(policy)),) if policy else ()


def _iam_of(arn: str) -> Any:
    """Find moto's IAM of the account an ARN names."""
    from moto.iam.models import iam_backends

    parts = arn.split(":")
    account = parts[4] if len(parts) > 5 else ""
    known = account.isdigit() and len(account) == 12 and parts[1] in PARTITIONS
    return iam_backends[account][parts[1]] if known else None


def iam_of(caller: Caller) -> Any:
    """Give moto's IAM of the account that a caller belongs to."""
    return _iam_of(caller.arn)


def _default_document(policy: Any) -> str:
    return next(str(version.document) for version in policy.versions if version.is_default)
