"""GetCallerIdentity tells who calls; moto says "user/moto" of every key it did not make."""

from __future__ import annotations

from local_athena.wire.messages import Answer, Forward, Request


def tell_identity(request: Request, forward: Forward) -> Answer:
    """Name the account's root user where the key is theirs."""
    answer = forward(request)
    if request.operation != "GetCallerIdentity" or not request.caller.is_root or answer.status != 200:
        return answer
    account = request.caller.account_id
    body = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>{request.caller.arn}</Arn><UserId>{account}</UserId><Account>{account}</Account>"
        "</GetCallerIdentityResult><ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>"
        "</ResponseMetadata></GetCallerIdentityResponse>"
    )
    return Answer(200, (("Content-Type", "text/xml"),), body.encode())
