"""The front: one port for all of AWS. Names each call, logs it, lets it fail or wait, and passes it on.

Athena's calls go to ``athena.api``; all others to moto, through the fixes.
"""

from __future__ import annotations

import io
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from local_athena.errors import ApiError
from local_athena.front.caller_objects import KeyIndex
from local_athena.iam.grants import needs_of
from local_athena.iam.identities import Identities
from local_athena.wire.call_log import MAX_DETAIL_LENGTH, Call, CallLog
from local_athena.wire.callers import Caller
from local_athena.wire.faults import Fault, Knobs
from local_athena.wire.messages import (
    Answer,
    AwsError,
    Fix,
    Forward,
    Request,
    build_answer,
    build_error,
    error_code,
    is_json_call,
)
from local_athena.wire.operation_names import (
    describe_call,
    name_call,
    read_query,
    read_signature,
    split_s3_path,
)

_SERVICES = frozenset({"glue", "iam", "s3", "sts"})
_OTHER_PATHS = ("/moto-api", "/v20180820/")  # moto's own, and S3 Control's, which is signed for S3 too


class AthenaHandler(Protocol):
    """The Athena API, as far as the front needs it."""

    def handle(self, operation: str, request: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Answer one call, or raise ApiError."""
        ...


class Moto:
    """moto's services, each call alone: moto's backends are not made for threads.

    One lock for a service makes what is check-then-act there (PutObject's If-None-Match, a table version)
    one step; the work is pure Python, so nothing is lost by it.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self.s3_keys = KeyIndex()
        self._create: Callable[[Any], Any] = create_backend_app  # moto's type lists its services one by one
        self._dispatcher = DomainDispatcherApplication(create_backend_app)
        self._apps: dict[str, Any] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._locks_lock = threading.Lock()

    def lock(self, service: str) -> threading.RLock:
        """Give what a thread must hold while it touches the service's backend."""
        with self._locks_lock:
            return self._locks.setdefault(service, threading.RLock())

    def _app(self, request: Request) -> Any:
        """Choose moto's application. Its own dispatcher looks a hundred folders up on disk for each call."""
        if request.service not in _SERVICES or request.path.startswith(_OTHER_PATHS):
            return self._dispatcher
        if request.service not in self._apps:
            self._apps[request.service] = self._create(request.service)
        return self._apps[request.service]

    def forward(self, request: Request) -> Answer:
        """Have moto answer."""
        if request.service == "s3" and request.method not in ("GET", "HEAD"):
            self.s3_keys.forget(request.bucket)
        environ = dict(request.environ)
        environ["wsgi.input"] = io.BytesIO(request.body)
        environ["CONTENT_LENGTH"] = str(len(request.body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            started[:] = [int(status.partition(" ")[0]), tuple(headers)]

        try:
            chunks = self._app(request)(environ, start_response)
            body = b"".join(chunks)
            chunks.close()
        except NotImplementedError as error:
            raise AwsError(
                "NotImplemented", f"The local Athena does not offer {request.name}: {error}"
            ) from error
        return Answer(started[0], started[1], body)


class Front:
    """Answers requests. ``athena`` is called for when the first Athena call comes in."""

    def __init__(
        self,
        moto: Moto,
        knobs: Knobs,
        log: CallLog,
        identities: Identities,
        fixes: Mapping[str, tuple[Fix, ...]],
        athena: Callable[[], AthenaHandler],
    ) -> None:
        self._moto = moto
        self._knobs = knobs
        self._log = log
        self._identities = identities
        self._fixes = fixes
        self._athena = athena

    def answer(self, environ: Mapping[str, Any], body: bytes) -> Answer | None:
        """Answer a client's request. None: the answer is to be lost, its connection closed."""
        started = time.time()
        request = self.read_request(environ, body)
        request = replace(request, by_athena=request.caller.is_engine)
        detail = _detail(request)
        fault = self._knobs.take_fault(request.name, detail, by_athena=request.by_athena)
        answer = self._answer_with(fault, request)
        latency = 0.0 if request.by_athena else self._knobs.call_latency(request.name)
        if latency:
            time.sleep(latency)
        lost = fault is not None and fault.when == "lost"
        self._note(request, detail, started, answer, lost)
        return None if lost else answer

    def answer_inside(self, caller: Caller, environ: Mapping[str, Any], body: bytes) -> Answer:
        """Answer a call that a query makes on behalf of its caller."""
        started = time.time()
        request = replace(self.read_request(environ, body), caller=caller, by_athena=True)
        detail = _detail(request)
        fault = self._knobs.take_fault(request.name, detail, by_athena=True)
        answer = self._answer_with(fault, request)
        self._note(request, detail, started, answer, lost=False)
        return answer

    def read_request(self, environ: Mapping[str, Any], body: bytes) -> Request:
        """Name the call and its caller."""
        headers = _headers(environ)
        path, _, query_string = str(environ.get("RAW_URI") or environ["PATH_INFO"]).partition("?")
        query = read_query(query_string)
        signature = read_signature(headers, query)
        method = str(environ["REQUEST_METHOD"])
        service, operation = name_call(signature, method, path, query, headers, body)
        bucket, key = split_s3_path(path) if service == "s3" else ("", "")
        token = headers.get("x-amz-security-token") or query.get("X-Amz-Security-Token")
        return Request(
            service=service,
            operation=operation,
            method=method,
            path=path,
            query=query,
            headers=headers,
            body=body,
            caller=self._identities.caller(signature, token),
            environ=environ,
            bucket=bucket,
            key=key,
        )

    def _answer_with(self, fault: Fault | None, request: Request) -> Answer:
        """Answer, or do what the fault makes of it."""
        if fault is None:
            return self._answer(request)
        failed = build_error(request, AwsError(fault.error, fault.message or "Injected fault.", fault.status))
        if fault.when == "before":
            return failed
        answer = self._answer(request)
        return answer if fault.when == "lost" else failed

    def _answer(self, request: Request) -> Answer:
        try:
            # Who calls from inside was authenticated when the query came in.
            if not request.by_athena or request.caller.is_engine:
                self._identities.authenticate(request)
            if request.service == "athena":
                return self._answer_athena(request)
            for need in needs_of(request):
                self._identities.check(
                    request.caller, need, by_athena=request.by_athena, is_json=is_json_call(request)
                )
            with self._moto.lock(request.service):
                return self._chain(request)(request)
        except AwsError as refusal:
            return build_error(request, refusal)
        except Exception as error:
            # A bug of ours or of moto's. 400, because clients retry 500 for seconds, to no avail.
            traceback.print_exc(file=sys.stderr)
            message = f"The local Athena failed on {request.name}: {type(error).__name__}: {error}"
            return build_error(request, AwsError("LocalAthenaFailure", message))

    def _chain(self, request: Request) -> Forward:
        """Put the service's fixes one around the other, with moto inside."""
        forward: Forward = self._moto.forward
        for fix in reversed(self._fixes.get(request.service, ())):
            forward = _wrap(fix, forward)
        return forward

    def _answer_athena(self, request: Request) -> Answer:
        try:
            return build_answer(self._athena().handle(request.operation, request.json(), request.caller))
        except ApiError as error:
            raise AwsError(error.code, error.message, error.status) from error
        except ValueError as error:
            raise AwsError("SerializationException", f"The request is not JSON: {error}") from error

    def _note(self, request: Request, detail: str, started: float, answer: Answer, lost: bool) -> None:
        self._log.add(
            Call(
                service=request.service,
                operation=request.operation,
                caller=request.caller.arn,
                time=started,
                seconds=time.time() - started,
                status=0 if lost else answer.status,
                error=error_code(answer),
                by_athena=request.by_athena,
                detail=detail[:MAX_DETAIL_LENGTH],
            )
        )


def _wrap(fix: Fix, forward: Forward) -> Forward:
    return lambda request: fix(request, forward)


def _detail(request: Request) -> str:
    return describe_call(request.service, request.operation, request.bucket, request.key, request.body)


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {n[5:].replace("_", "-").lower(): v for n, v in environ.items() if n.startswith("HTTP_")}
    for name in ("content-type", "content-length"):  # WSGI keeps these two apart; some clients sign them
        value = environ.get(name.upper().replace("-", "_"))
        if value:
            headers[name] = value
    return headers
