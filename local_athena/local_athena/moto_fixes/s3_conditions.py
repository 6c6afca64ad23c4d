"""Conditional calls that moto does not check: CopyObject's, CompleteMultipartUpload's, DeleteObject's ``*``.

PutObject's are moto's own. What is checked stays true until it is done: S3's calls are
answered one at a time.
"""

from __future__ import annotations

from local_athena.moto_fixes.moto_calls import head_object
from local_athena.wire.messages import Answer, AwsError, Forward, Request

_CHECKED = frozenset({"CopyObject", "CompleteMultipartUpload", "DeleteObject"})


def check_conditions(request: Request, forward: Forward) -> Answer:
    """Refuse to write over, or to delete, an object that is there, or is not the one expected."""
    if_match = request.headers.get("if-match")
    if_none_match = request.headers.get("if-none-match")
    if request.operation not in _CHECKED or (if_match is None and if_none_match is None):
        return forward(request)
    found = head_object(request, forward)
    etag = (found.header("etag") or "").strip('"') if found.status == 200 else None
    if if_none_match is not None and etag is not None and if_none_match.strip('"') in ("*", etag):
        _fail("If-None-Match")
    if if_match is not None and etag is None:
        raise AwsError("NoSuchKey", "The specified key does not exist.", 404, {"Key": request.key})
    if if_match is not None and if_match.strip('"') not in ("*", etag):
        _fail("If-Match")
    return forward(request.without_header("if-match").without_header("if-none-match"))


def _fail(condition: str) -> None:
    raise AwsError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        412,
        {"Condition": condition},
    )
