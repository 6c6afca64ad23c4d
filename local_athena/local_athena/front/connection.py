"""HTTP/1.1 over the front: connections that stay open, answers in one packet, answers lost on purpose."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from http.client import responses
from typing import Any, NoReturn

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from local_athena.wire.messages import Answer

_BODILESS = frozenset({204, 304})


Application = Callable[[Mapping[str, Any], bytes], Answer | None]
"""What answers: from WSGI's environ and a body; None closes the connection without an answer."""


def build_server(host: str, port: int, application: Application) -> BaseWSGIServer:
    """Listen; port 0 takes a free one. One thread for a connection."""
    handler = type("Handler", (_Handler,), {"application": staticmethod(application)})
    return make_server(host, port, _refuse_wsgi, threaded=True, request_handler=handler)


def _refuse_wsgi(environ: object, start_response: object) -> NoReturn:
    raise NotImplementedError("The handler answers by itself; werkzeug's WSGI loop is not used.")


class _Handler(MotoRequestHandler):
    """moto's handler keeps headers with underscores; werkzeug's own loop would close every connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 300  # seconds an idle connection is kept
    application: Application

    def run_wsgi(self) -> None:
        try:
            self._answer()
        except OSError:  # the client is gone; there is nobody to tell
            self.close_connection = True

    def _answer(self) -> None:
        environ = self.make_environ()
        body = _read_body(environ)
        # A client that dies while it sends has asked for nothing: half an upload must not become an object.
        answer = None if body is None else type(self).application(environ, body)
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.wfile.write(self._render(answer))
        self.wfile.flush()

    def finish(self) -> None:
        """Close, whatever has become of the client."""
        with contextlib.suppress(OSError):
            super().finish()

    def _render(self, answer: Answer) -> bytes:
        """Make the whole response one piece of bytes, so that it leaves in one packet."""
        lines = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}"]
        lengths = [v for n, v in answer.headers if n.lower() == "content-length"]
        for name, value in answer.headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                lines.append(f"{name}: {value}")
        lines.append(f"Date: {self.date_time_string()}")
        bodiless = self.command == "HEAD" or answer.status in _BODILESS
        if self.command == "HEAD" and lengths:
            lines.append(f"Content-Length: {lengths[0]}")
        elif answer.status not in _BODILESS:
            lines.append(f"Content-Length: {len(answer.body)}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        return head.encode("latin-1", "replace") + (b"" if bodiless else answer.body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the calls are in the log of calls."""


def _length(environ: Mapping[str, Any]) -> int | None:
    text = str(environ.get("CONTENT_LENGTH") or 0)
    return int(text) if text.isdecimal() and text.isascii() else None


def _read_body(environ: Mapping[str, Any]) -> bytes | None:
    """Return what was sent; None when the connection ended before all of it."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        return bytes(stream.read())
    length = _length(environ)
    if length is None:
        return None
    body = bytes(stream.read(length))
    return body if len(body) == length else None
