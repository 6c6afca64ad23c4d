"""The private door by which LocalAthena turns the knobs and reads the log. Not part of AWS."""

from __future__ import annotations

import json
from typing import Any

from local_athena.wire.call_log import CallLog
from local_athena.wire.faults import UNLOAD_UPDATE_COUNTS, Fault, Knobs
from local_athena.wire.messages import Answer


class Control:
    """Answers ``<METHOD> /_local_athena/<what>``."""

    def __init__(self, knobs: Knobs, log: CallLog) -> None:
        self._knobs = knobs
        self._log = log

    def answer(self, method: str, what: str, body: bytes) -> Answer:
        """Do what is asked for; what cannot be read is told, and changes nothing."""
        try:
            return self._do(method, what, json.loads(body or b"null"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            said = f"{method} {what} does not take this: {type(error).__name__}: {error}"
            return _answer({"error": said}, 400)

    def _do(self, method: str, what: str, document: Any) -> Answer:
        match method, what:
            case "GET", "calls":
                return _answer([call.to_json() for call in self._log.calls()])
            case "DELETE", "calls":
                self._log.clear()
            case "PUT", "faults":
                self._knobs.set_faults([Fault.from_json(fault) for fault in document])
            case "PUT", "latency":
                self._knobs.set_latency({str(name): float(found) for name, found in document.items()})
            case "PUT", "unload-update-count":
                if document not in UNLOAD_UPDATE_COUNTS:
                    raise ValueError(f"expected one of {', '.join(UNLOAD_UPDATE_COUNTS)}, not {document!r}")
                self._knobs.unload_update_count = document
            case "PUT", "iam":
                if not isinstance(document, bool):
                    raise ValueError(f"expected true or false, not {document!r}")
                self._knobs.iam = document
            case _:
                return _answer({"error": f"Nothing here answers {method} {what}."}, 404)
        return _answer({})


def _answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, (("Content-Type", "application/json"),), json.dumps(document).encode())
