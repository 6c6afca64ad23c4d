"""Runs a command, and ends it for sure when whoever started this process is gone.

``python keeper.py command …``: the command is killed when standard input ends, which it does also when the
other end was killed, and on SIGTERM. Imports nothing of the package, so that it is there at once.
"""

import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the command to its end; return its exit code."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def kill(*_: object) -> None:
        child.kill()

    def watch() -> None:
        sys.stdin.buffer.read()
        kill()

    signal.signal(signal.SIGTERM, kill)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
