"""A mend's own calls to moto, in the name of the caller of the call it mends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_quilt_athena.local.wire import Request


def call(request: Request, operation: str, document: Mapping[str, Any]) -> Request:
    """Make another Glue call out of one."""
    environ = {**request.environ, "HTTP_X_AMZ_TARGET": f"AWSGlue.{operation}"}
    return replace(request, operation=operation, environ=environ).with_json(document)
