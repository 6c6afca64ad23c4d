"""Runs in a client's own virtual environment: calls the functions it is asked for, one line of JSON each way.

    python worker.py <file with functions>

A request is ``{"function": name, "arguments": {...}}``, its answer ``{"result": ...}`` or ``{"error": type,
"message": ..., "trace": ...}``. Values JSON has no word for are answered as their ``repr``: a test sees their
type too. Needs nothing but the standard library.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
import traceback
from types import ModuleType
from typing import Any, TextIO

_connect = socket.socket.connect


def _connect_to_loopback_only(self: socket.socket, address: Any) -> None:
    inet = self.family in {socket.AF_INET, socket.AF_INET6}
    if inet and address[0] not in {"127.0.0.1", "::1", "localhost"}:
        raise ConnectionRefusedError(f"A client tried to reach {address}; tests reach loopback only.")
    _connect(self, address)


def _keep_stdout_for_answers() -> TextIO:
    """What a client prints goes to stderr: only answers may use the real stdout."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("client_calls", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["client_calls"] = module
    spec.loader.exec_module(module)
    return module


def _answer(module: ModuleType, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": getattr(module, request["function"])(**request["arguments"])}
    except Exception as error:  # whatever a client raises is an answer too
        kind = type(error)
        return {
            "error": f"{kind.__module__}.{kind.__qualname__}",
            "message": str(error),
            "trace": traceback.format_exc(),
        }


def main() -> None:
    socket.socket.connect = _connect_to_loopback_only  # type: ignore[method-assign,assignment]
    answers = _keep_stdout_for_answers()
    module = _load(sys.argv[1])
    for line in sys.stdin:
        answers.write(json.dumps(_answer(module, json.loads(line)), default=repr) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
