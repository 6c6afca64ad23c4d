"""A fix's own calls to moto, in the name of whoever made the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local_athena.wire.messages import Answer, Forward, Request


def call(request: Request, operation: str, document: Mapping[str, Any]) -> Request:
    """Make another Glue call out of one."""
    environ = {**request.environ, "HTTP_X_AMZ_TARGET": f"AWSGlue.{operation}"}
    return replace(request, operation=operation, environ=environ).with_json(document)


def head_object(request: Request, forward: Forward, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask for the state of the object that a call is about; ``headers`` by their names in WSGI's environ."""
    environ = {
        name: value
        for name, value in request.environ.items()
        if not name.startswith(("HTTP_IF_", "HTTP_X_AMZ_", "HTTP_RANGE"))
    }
    path = request.path
    environ.update(REQUEST_METHOD="HEAD", QUERY_STRING="", RAW_URI=path, REQUEST_URI=path, **(headers or {}))
    return forward(
        replace(request, operation="HeadObject", method="HEAD", query={}, body=b"", environ=environ)
    )
