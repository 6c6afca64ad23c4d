"""Whether a request was signed with the secret of the key it names. AWS's signature version 4.

Presigned URLs are taken at their word: nothing here rests on their being refused.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

_PARTS = re.compile(
    r"Credential=[^/,\s]+/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,?\s*"
    r"SignedHeaders=(?P<headers>[^,\s]+),?\s*Signature=(?P<signature>[0-9a-f]+)"
)


def is_genuine(
    secret: str, token: str | None, method: str, uri: str, headers: Mapping[str, str], body: bytes
) -> bool:
    """Sign the request again and compare. ``uri`` is path and query as sent; header names in lower case."""
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    authorization = headers.get("authorization")
    if authorization is None:
        return True
    match = _PARTS.search(authorization)
    if match is None:
        return False
    signed = {name: headers.get(name, "") for name in match["headers"].split(";")}
    request = AWSRequest(method, f"http://{headers.get('host', '')}{uri}", headers=signed, data=body)
    request.context["timestamp"] = headers.get("x-amz-date", "")
    kind = S3SigV4Auth if match["service"] == "s3" else SigV4Auth
    auth = kind(Credentials("unused", secret, token), match["service"], match["region"])
    # The scope names no access key, so any stands in; the secret is what counts.
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return hmac.compare_digest(auth.signature(text, request), match["signature"])
