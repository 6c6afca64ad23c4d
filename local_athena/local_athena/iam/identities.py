"""Who calls, and what they may do. moto keeps users and policies; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable

from local_athena.account import (
    ACCOUNT_ID,
    DEFAULT_REGION,
    ENGINE_ACCESS_KEY_ID,
    ENGINE_SECRET_ACCESS_KEY,
    ROOT_ACCESS_KEY_ID,
    ROOT_SECRET_ACCESS_KEY,
    partition_of,
)
from local_athena.errors import ApiError
from local_athena.iam.accounts import find_caller
from local_athena.iam.grants import Need, s3_resource
from local_athena.iam.judge import Judge
from local_athena.wire.callers import ANONYMOUS, Caller
from local_athena.wire.faults import Knobs
from local_athena.wire.messages import AwsError, Request, is_json_call
from local_athena.wire.operation_names import CredentialScope
from local_athena.wire.sigv4 import is_genuine

__all__ = ["Caller", "Identities"]

_UNSIGNED_SERVICES = frozenset({"s3", "sts"})  # public buckets, AssumeRoleWithWebIdentity


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

    def caller(self, signature: CredentialScope, token: str | None) -> Caller:
        """Who holds the access key; while IAM is off, a key that nobody made is the account's root user's."""
        region = signature.region or DEFAULT_REGION
        key_id = signature.access_key_id
        if not key_id:
            return ANONYMOUS
        if key_id == ROOT_ACCESS_KEY_ID:
            return Caller(key_id, ROOT_SECRET_ACCESS_KEY, None, _root_arn(region), region)
        if key_id == ENGINE_ACCESS_KEY_ID:
            return Caller(key_id, ENGINE_SECRET_ACCESS_KEY, None, _root_arn(region), region)
        found = find_caller(key_id, region)
        if found is not None:
            return found
        arn = f"arn:aws:iam::{ACCOUNT_ID}:unknown" if self.enforced else _root_arn(region)
        return Caller(key_id, "", token, arn, region)

    def authenticate(self, request: Request) -> None:
        """Refuse a call that is not signed and, while IAM is on, one that its key's holder did not sign."""
        caller, is_json = request.caller, is_json_call(request)
        if caller == ANONYMOUS and request.service not in _UNSIGNED_SERVICES:
            code = "MissingAuthenticationTokenException" if is_json else "MissingAuthenticationToken"
            raise AwsError(code, "Missing Authentication Token", 400 if is_json else 403)
        if not self.enforced or caller == ANONYMOUS:
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

    def judge(self, caller: Caller, *, by_athena: bool = False) -> Callable[[Need], str | None]:
        """Make a judge of what the caller may do at this moment: it gives a reason against, or None."""
        if not self.enforced or (caller.is_root and caller.account_id == ACCOUNT_ID):
            return lambda need: None
        return Judge(caller, self.bucket_policies, by_athena).refusal

    def refusal(self, caller: Caller, need: Need, *, by_athena: bool = False) -> str | None:
        """Why the caller may not do this, in IAM's words; None when they may."""
        return self.judge(caller, by_athena=by_athena)(need)

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


def _unknown_key(service: str, is_json: bool) -> AwsError:
    if service == "s3":
        message = "The AWS Access Key Id you provided does not exist in our records."
        return AwsError("InvalidAccessKeyId", message, 403)
    code, status = ("UnrecognizedClientException", 400) if is_json else ("InvalidClientTokenId", 403)
    return AwsError(code, "The security token included in the request is invalid.", status)


def _root_arn(region: str) -> str:
    return f"arn:{partition_of(region)}:iam::{ACCOUNT_ID}:root"
