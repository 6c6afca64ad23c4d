"""``local-athena``: serves the local Athena, and runs the conformance table.

Each command imports what it needs when it runs, so that help comes at once.
"""

from __future__ import annotations

import argparse
import errno
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

from local_athena.errors import LocalAthenaError

PROGRAM = "local-athena"
_LARGEST_PORT = 65_535

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Without a command's name it is ``serve``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help", "--version"}):
        words = ["serve", *words]
    options = _build_parser().parse_args(words)
    run: Command = options.run
    return run(options)


def serve(arguments: Sequence[str], program: str) -> int:
    """Serve, as ``program``, which is the name errors and the help begin with; the exit code."""
    parser = argparse.ArgumentParser(program, description=_SERVE)
    _add_serve(parser)
    options = parser.parse_args(arguments)
    options.program = program
    return _serve(options)


_SERVE = (
    "Serve Athena, S3, Glue, IAM and STS on one loopback port, from memory, until Ctrl-C. Prints the "
    "variables that lead any AWS client there. A local pass is not an AWS pass."
)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(PROGRAM, description="Amazon Athena on your own machine.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_serve(commands.add_parser("serve", help="serve until interrupted (the default)", description=_SERVE))
    _add_conformance(
        commands.add_parser(
            "conformance",
            help="compare an endpoint's answers with the real Trino's",
            description=(
                "Run the conformance table, about 1,500 statements, on an endpoint that speaks Athena, S3 "
                "and Glue, and print by topic how its answers compare with those of the real Trino. Makes a "
                "bucket and a database, and removes them."
            ),
        )
    )
    return parser


def _version() -> str:
    try:
        return version(PROGRAM)
    except PackageNotFoundError:
        return "(not installed)"


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--engine", default="duckdb", help="what runs the SQL (default: %(default)s)")
    parser.add_argument("--trino-url", help="a Trino server to use instead of one of our own (engine: trino)")
    parser.add_argument("--iam", action="store_true", help="let IAM policies count, but for the root user")
    parser.add_argument(
        "--allow-remote", action="store_true", help="let --host be an address that other machines reach"
    )
    parser.set_defaults(run=_serve, program=PROGRAM)


def _add_conformance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--endpoint", help="URL of an emulator; without it, the environment's AWS account")
    parser.add_argument("--bucket", help="an empty bucket to use; it is emptied afterwards")
    parser.add_argument("--database", help="a name for the database that is made (default: one of its own)")
    parser.add_argument("--workgroup", default="primary", help="default: %(default)s")
    parser.add_argument("--region", help="the AWS region (default: the environment's, or us-east-1)")
    parser.add_argument(
        "--topic", action="append", default=[], help="run only this topic, after the tables; may be repeated"
    )
    parser.add_argument(
        "--timeout", type=float, default=120.0, help="seconds for one statement (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print all as one JSON document")
    parser.add_argument(
        "--disagreements", action="store_true", help="print what does not agree, one JSON object a line"
    )
    parser.set_defaults(run=_conformance, program=PROGRAM)


def _conformance(options: argparse.Namespace) -> int:
    from local_athena.conformance.command import run

    try:
        return run(options)
    except LocalAthenaError as error:
        print(f"{options.program}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


def _serve(options: argparse.Namespace) -> int:
    try:
        _check_address(options.host, options.port)
        from local_athena.foreground import serve_in_foreground

        serve_in_foreground(
            options.host,
            options.port,
            options.engine,
            iam=options.iam,
            trino_url=options.trino_url,
            allow_remote=options.allow_remote,
        )
    except (OSError, ValueError, LocalAthenaError) as error:
        print(f"{options.program}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _check_address(host: str, port: int) -> None:
    """Refuse a place that cannot be listened at, before anything heavy is loaded."""
    if not 0 <= port <= _LARGEST_PORT:
        raise ValueError(f"Port {port} is none: choose one up to {_LARGEST_PORT}, or 0 for a free one.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"Host {host!r} is not known here: {_reason(error)}. Use 127.0.0.1.") from error
    try:
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "Choose another with --port, or 0 for a free one.",
            errno.EACCES: "Choose one above 1023 with --port, or 0 for a free one.",
        }.get(error.errno or 0, "Use 127.0.0.1, or another address of this machine.")
        raise ValueError(f"Cannot listen on port {port} of {host}: {_reason(error)}. {advice}") from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


if __name__ == "__main__":
    sys.exit(main())
