"""AWS from inside the server: boto clients whose requests never leave the process."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from local_athena.account import ACCOUNT_ID
from local_athena.data.session import Clients
from local_athena.front.caller_objects import CallerObjects, KeyIndex
from local_athena.iam.identities import Identities
from local_athena.wire.call_log import CallLog
from local_athena.wire.callers import Caller
from local_athena.wire.faults import Knobs
from local_athena.wire.messages import Answer

AnswerInside = Callable[[Caller, Mapping[str, Any], bytes], Answer]
_MAX_KEPT_CLIENTS = 64


class _Body(io.BytesIO):
    """A response body as botocore reads it from urllib3."""

    def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        """All of it."""
        del amt, decode_content
        yield self.read()


class InsideClients:
    """Makes the Clients of a query's caller."""

    def __init__(
        self,
        answer: AnswerInside,
        identities: Identities,
        knobs: Knobs,
        log: CallLog,
        s3_lock: AbstractContextManager[Any],
        keys: KeyIndex,
    ) -> None:
        self._answer = answer
        self._identities = identities
        self._knobs = knobs
        self._log = log
        self._s3_lock = s3_lock
        self._keys = keys
        self._lock = threading.Lock()  # botocore sessions are not made for threads
        self._glue = lru_cache(maxsize=_MAX_KEPT_CLIENTS)(self._build_glue)

    def clients_for(self, caller: Caller) -> Clients:
        """AWS as ``caller`` sees it."""
        with self._lock:
            glue = self._glue(caller)
        objects = CallerObjects(caller, self._identities, self._knobs, self._log, self._s3_lock, self._keys)
        judged = self._identities.enforced and not caller.is_root
        refusal = partial(self._identities.write_refusal, caller) if judged else None
        return Clients(objects, glue, ACCOUNT_ID, caller.region, refusal)

    def _build_glue(self, caller: Caller) -> Any:
        """Make a Glue client that hands its requests to the front instead of sending them."""
        from botocore.config import Config

        client = _session().create_client(
            "glue",
            region_name=caller.region,
            endpoint_url="http://127.0.0.1",  # never dialled
            aws_access_key_id=caller.access_key_id or "anonymous",
            # moto checks no signature; a key that nobody made has no secret
            aws_secret_access_key=caller.secret_access_key or "unknown",
            aws_session_token=caller.session_token,
            config=Config(retries={"max_attempts": 0}),
        )

        def answer(request: Any, **_: Any) -> Any:
            from botocore.awsrequest import AWSResponse

            body = request.body or b""
            body = body if isinstance(body, bytes) else str(body).encode()
            answered = self._answer(caller, _environ(request), body)
            return AWSResponse(request.url, answered.status, dict(answered.headers), _Body(answered.body))

        client.meta.events.register("before-send.glue", answer)
        return client


@lru_cache(maxsize=1)
def _session() -> Any:
    import botocore.session

    return botocore.session.Session()


def _environ(request: Any) -> dict[str, Any]:
    """WSGI's picture of a botocore request."""
    url = urlsplit(request.url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": url.path or "/",
        "RAW_URI": url.path or "/",
        "QUERY_STRING": url.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        text = value.decode() if isinstance(value, bytes) else str(value)
        name = name.upper().replace("-", "_")
        environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"] = text
    return environ
