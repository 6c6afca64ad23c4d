"""Requests and answers as values, and the errors of each AWS protocol."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from local_athena.wire.callers import Caller


@dataclass(frozen=True, slots=True)
class Request:
    """One AWS call under way. ``environ`` is WSGI's, without the body, which is ``body``."""

    service: str
    operation: str
    method: str
    path: str  # as sent, percent-encoded, without the query string
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    caller: Caller
    environ: Mapping[str, Any] = field(repr=False)
    bucket: str = ""  # of an S3 call
    key: str = ""
    by_athena: bool = False

    @property
    def name(self) -> str:
        """The call as policies write it, e.g. ``s3:PutObject``."""
        return f"{self.service}:{self.operation}"

    def json(self) -> dict[str, Any]:
        """Parse the body of a JSON call; anew each time, so that it may be changed."""
        document = json.loads(self.body or b"{}")
        return document if isinstance(document, dict) else {}

    def with_json(self, document: Mapping[str, Any]) -> Request:
        """Make the same call with another body."""
        return replace(self, body=json.dumps(document).encode())

    def without_header(self, name: str) -> Request:
        """Make the same call without one header, also for moto."""
        environ_name = "HTTP_" + name.upper().replace("-", "_")
        return replace(
            self,
            headers={n: v for n, v in self.headers.items() if n != name},
            environ={n: v for n, v in self.environ.items() if n != environ_name},
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Parse the body of a JSON answer."""
        document = json.loads(self.body or b"{}")
        return document if isinstance(document, dict) else {}

    def header(self, name: str) -> str | None:
        """Find the first header of that name."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def with_json(self, document: Mapping[str, Any]) -> Answer:
        """Make the same answer with another body."""
        headers = tuple((n, v) for n, v in self.headers if n.lower() != "content-length")
        return Answer(self.status, headers, json.dumps(document).encode())


Forward = Callable[[Request], Answer]
Fix = Callable[[Request, Forward], Answer]


@dataclass(slots=True)
class AwsError(Exception):
    """An AWS error to be answered in the protocol of the call."""

    code: str
    message: str
    status: int = 400
    extra: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def is_json_call(request: Request) -> bool:
    """Whether the call speaks AWS's JSON protocol."""
    return "x-amz-target" in request.headers


def build_answer(document: Mapping[str, Any], status: int = 200) -> Answer:
    """Make a JSON 1.1 answer."""
    return Answer(
        status,
        (("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", str(uuid.uuid4()))),
        json.dumps(document).encode(),
    )


def build_error(request: Request, refusal: AwsError) -> Answer:
    """Say a refusal in the words of the call's protocol: JSON, S3's XML or the query protocol's XML."""
    request_id = str(uuid.uuid4())
    if is_json_call(request):
        # AWS spells the member "Message" in some services and "message" in others; botocore reads both.
        body = {
            "__type": refusal.code,
            "Message": refusal.message,
            "message": refusal.message,
            **refusal.extra,
        }
        headers = (
            ("Content-Type", "application/x-amz-json-1.1"),
            ("x-amzn-RequestId", request_id),
            ("x-amzn-ErrorType", refusal.code),
        )
        return Answer(refusal.status, headers, json.dumps(body).encode())
    details = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in refusal.extra.items())
    error = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>{details}"
    if request.service == "s3":
        text = f"<Error>{error}<RequestId>{request_id}</RequestId></Error>"
        headers_xml = (("Content-Type", "application/xml"), ("x-amz-request-id", request_id))
    else:
        fault = "Receiver" if refusal.status >= 500 else "Sender"
        text = (
            f"<ErrorResponse><Error><Type>{fault}</Type>{error}</Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        headers_xml = (("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id))
    body_bytes = b"" if request.method == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
    return Answer(refusal.status, headers_xml, body_bytes)


def error_code(answer: Answer) -> str | None:
    """Find the AWS error code an answer carries, for the log."""
    if answer.status < 400:
        return None
    body = answer.body
    if body.lstrip().startswith(b"<"):
        _, _, rest = body.partition(b"<Code>")
        code = rest.partition(b"</Code>")[0].decode(errors="replace")
    else:
        code = _json_error_code(answer)
    return code or str(answer.status)


def _json_error_code(answer: Answer) -> str:
    try:
        document = answer.json()
    except ValueError:
        return ""
    code = str(document.get("__type", ""))
    return code.rpartition("#")[2]
