"""CompleteMultipartUpload tells the checksum of the whole, which quilt3 reads; moto keeps it back.

A checksum of several parts is a hash of their hashes, followed by their number, unless it is one of the full
object (S3 user guide, "Checking object integrity", read 2026-11). And moto says version "null" where there
are no versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from local_athena.moto_fixes.moto_calls import head_object
from local_athena.wire.messages import Answer, Forward, Request

_HEADER = "x-amz-checksum-"
_END = b"</CompleteMultipartUploadResult>"


def tell_checksum(request: Request, forward: Forward) -> Answer:
    """Add the checksum to the answer, where the upload was made with one."""
    answer = forward(request)
    if request.operation != "CompleteMultipartUpload" or answer.status != 200:
        return answer
    written = head_object(request, forward, {"HTTP_X_AMZ_CHECKSUM_MODE": "ENABLED"})
    told = "".join(_elements(written, parts=request.body.count(b"<PartNumber>")))
    headers = tuple(
        (name, value)
        for name, value in answer.headers
        if name.lower() != "content-length" and (name.lower(), value) != ("x-amz-version-id", "null")
    )
    return Answer(200, headers, answer.body.replace(_END, told.encode() + _END))


def _elements(written: Answer, parts: int) -> Iterator[str]:
    of_the_whole = written.header(f"{_HEADER}type") == "FULL_OBJECT"
    for header, value in written.headers:
        name = header.lower().removeprefix(_HEADER).upper()
        if not header.lower().startswith(_HEADER) or name == "TYPE":
            continue
        composite = not of_the_whole and name != "CRC64NVME" and "-" not in value
        yield f"<Checksum{name}>{escape(f'{value}-{parts}' if composite else value)}</Checksum{name}>"
