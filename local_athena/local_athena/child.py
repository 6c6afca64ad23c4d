"""``python -m local_athena.child``: the server as LocalAthena's child process.

Reads one line of JSON (what to serve), answers with one line of JSON (where it listens), and ends when its
standard input does: also when its parent was killed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading


def main() -> int:
    """Serve until standard input ends."""
    from local_athena.server import LocalServer, isolate_environment
    from local_athena.wire.faults import Fault, Knobs

    isolate_environment()
    settings = json.loads(sys.stdin.readline())
    faults = [Fault.from_json(fault) for fault in settings["faults"]]
    knobs = Knobs(settings["latency"], faults, settings["iam"])
    server = LocalServer(
        settings["host"],
        settings["port"],
        settings["engine"],
        knobs,
        settings["trino_url"],
        secret=settings["secret"],
        allow_remote=settings["allow_remote"],
    )

    def end_with_parent() -> None:
        sys.stdin.read()
        server.close()
        shutil.rmtree(settings["folder"], ignore_errors=True)  # a parent that was killed cannot
        os._exit(0)  # at once: a query that is running must not keep the process

    threading.Thread(target=end_with_parent, name="parent", daemon=True).start()
    server.start_engine()
    print(json.dumps({"endpoint_url": server.endpoint_url}), flush=True)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
