"""Who may not list a bucket gets 403 for an object that is not there, instead of 404."""

from __future__ import annotations

from local_athena.iam.grants import list_need
from local_athena.iam.identities import Identities
from local_athena.wire.messages import Answer, AwsError, Fix, Forward, Request, error_code

_READS = frozenset({"GetObject", "HeadObject", "GetObjectAttributes", "GetObjectTagging"})


def build_secrecy(identities: Identities) -> Fix:
    """Make the fix that keeps from a caller what is not there."""

    def keep_secret(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if request.operation not in _READS or answer.status != 404 or error_code(answer) == "NoSuchBucket":
            return answer
        need = list_need(request.bucket, request.key)
        if identities.refusal(request.caller, need, by_athena=request.by_athena) is None:
            return answer
        raise AwsError("AccessDenied", "Access Denied", 403)

    return keep_secret
