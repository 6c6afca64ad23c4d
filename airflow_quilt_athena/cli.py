"""``quilt-athena``: what the package offers on the command line. Each sub-command imports what it needs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; its exit code."""
    parser = _build_parser()
    options = parser.parse_args(arguments)
    run: Command = options.run
    return run(options)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quilt-athena", description="Quilt packages and Amazon Athena, from Airflow."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (_add_local,):
        add(commands)
    return parser


def _add_local(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "local",
        help="serve the embedded local Athena until interrupted",
        description=(
            "Serve Athena, S3, Glue, IAM and STS on one loopback port, from memory, until Ctrl-C. "
            "Prints the variables that lead any AWS client there. A local pass is not an AWS pass."
        ),
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--engine", default="duckdb", help="what runs the SQL (default: %(default)s)")
    parser.add_argument("--iam", action="store_true", help="let IAM policies count, but for the root user")
    parser.set_defaults(run=_run_local)


def _run_local(options: argparse.Namespace) -> int:
    try:
        from airflow_quilt_athena.local.foreground import serve_in_foreground
    except ModuleNotFoundError as error:
        missing = f"The local Athena needs {error.name}: pip install 'airflow-quilt-athena[local]'."
        print(missing, file=sys.stderr)
        return 1
    try:
        serve_in_foreground(options.host, options.port, options.engine, iam=options.iam)
    except (OSError, ValueError) as error:
        print(f"quilt-athena local: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
