"""Print what the local Athena, an overwrite, large sizes, views, packages and waiting take.

Times are of one machine and one run; read them against the column beside them, not against another day's.
Wrong rows make the run fail; times never do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from benchmarks import kept, local_athena, overwrite, packages, quilt, sizes, waiting
from benchmarks.report import Report

GROUPS: dict[str, Callable[[], Sequence[Report]]] = {
    "local": local_athena.measure,
    "overwrite": overwrite.measure,
    "sizes": sizes.measure,
    "quilt": quilt.measure,
    "kept": kept.measure_packages(2_000),
    "packages": packages.measure,
    "waiting": waiting.measure,
}
# Run only when they are named: they take many minutes.
LONG: dict[str, Callable[[], Sequence[Report]]] = {
    "kept-20000": kept.measure_packages(20_000),
    "kept-trino": kept.measure_packages(24, "trino"),
}
WIDTH = 132


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the groups that are named, or all; return 1 when rows were wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"{', '.join(GROUPS)}, {', '.join(LONG)}")
    asked = parser.parse_args(arguments).groups
    known = GROUPS | LONG
    unknown = sorted(set(asked) - set(known))
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)}; expected {', '.join(known)}")
    # Where there is no terminal to fit into, as in a log of CI, rich takes 80 columns, and the tables fold.
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    wrong = False
    for name in asked or GROUPS:
        with console.status(f"{name} …"):
            reports = known[name]()
        for report in reports:
            report.show(console)
            wrong = wrong or bool(report.wrong)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
