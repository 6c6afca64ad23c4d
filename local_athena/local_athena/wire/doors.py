"""Who may come in: requests for this server, of no web page, and to the private doors with the secret alone.

Any page that a browser shows may send requests to a port of this machine, and a name that its owner lets
point here (DNS rebinding) makes them look like the page's own. So a request has to name this server as its
host, and one that a browser says is another page's is refused. The doors that empty all buckets or switch
policies off open only to whoever holds the secret the server was started with.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from local_athena.wire.messages import Answer

SECRET_HEADER = "X-Local-Athena-Secret"
CONTROL_PATH = "/_local_athena/"  # no bucket can have this name
_MOTO_PATH = "/moto-api"  # moto's own: resets, seeds, recordings
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_OTHER_PAGES = frozenset({"cross-site", "same-site"})  # another port of this machine is the same site
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]@/\s]+)(?::(?P<port>\d{1,5}))?")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_remote(host: str, *, allow_remote: bool) -> None:
    """Raise ValueError when the server would serve other machines, and nobody said that it may."""
    if not allow_remote and not is_loopback(host):
        raise ValueError(
            f"Host {host} serves whoever reaches this machine, with the keys of a root user that everybody "
            "knows. Say allow_remote=True (--allow-remote) if that is meant, or leave the host out."
        )


class Doors:
    """Judges requests before anything looks at them.

    :param host: the address that the server listens on.
    :param port: its port.
    :param secret: what opens the private doors.
    """

    def __init__(self, host: str, port: int, secret: str) -> None:
        self._port = port
        self._secret = secret.encode()
        self._remote = not is_loopback(host)
        self._names = {*_LOOPBACK_NAMES, host.lower()}
        if self._remote:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def refuse(self, environ: Mapping[str, Any]) -> Answer | None:
        """Return the refusal of a request that may not come in; None lets it in."""
        host = str(environ.get("HTTP_HOST", ""))
        if not self._is_own(host):
            return _refusal(403, f"This server answers requests for its own host, not for {host[:100]!r}.")
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_own_origin(str(origin)):
            return _refusal(403, f"Requests of web pages are refused; this is from {str(origin)[:100]!r}.")
        if str(environ.get("HTTP_SEC_FETCH_SITE", "")).lower() in _OTHER_PAGES:
            return _refusal(403, "Requests of other web pages are refused.")
        if self._is_private(str(environ["PATH_INFO"])) and not self._holds_secret(environ):
            return _refusal(403, f"This door opens with the header {SECRET_HEADER} alone.")
        return None

    def _is_own(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name, port = found["name"].strip("[]").lower().rstrip("."), int(found["port"] or 80)
        # Buckets are subdomains for some clients; whatever is below localhost is this machine (RFC 6761).
        known = name in self._names or name.endswith(".localhost")
        if self._remote:
            # Behind a mapped port or another of its addresses; an address is no name that could be rebound.
            return known or _is_address(name)
        return port == self._port and (known or any(name.endswith(f".{own}") for own in self._names))

    def _is_own_origin(self, origin: str) -> bool:
        parts = urlsplit(origin)
        return parts.scheme == "http" and self._is_own(parts.netloc)

    @staticmethod
    def _is_private(path: str) -> bool:
        plain = re.sub(r"/+", "/", path)
        return plain.startswith((CONTROL_PATH, _MOTO_PATH))

    def _holds_secret(self, environ: Mapping[str, Any]) -> bool:
        given = str(environ.get("HTTP_" + SECRET_HEADER.upper().replace("-", "_"), ""))
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._secret)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _refusal(status: int, message: str) -> Answer:
    body = json.dumps({"error": message, "message": message}).encode()
    headers = (("Content-Type", "application/json"), ("x-amzn-errortype", "AccessDeniedException"))
    return Answer(status, headers, body)
