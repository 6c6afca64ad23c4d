"""A table of figures, each beside what it should be, and what turned out to be wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.table import Table


class Report:
    """Rows of figures under a title."""

    def __init__(self, title: str, columns: Sequence[str] = ("figure", "measured", "wanted")) -> None:
        self.title = title
        self.wrong: list[str] = []
        self._table = Table(*columns, title=title, title_justify="left")

    def section(self, name: str) -> None:
        """Begin a group of rows."""
        self._table.add_section()
        self._table.add_row(f"[bold]{name}[/]")

    def add(self, *cells: str) -> None:
        """Add a row, its cells in the order of the columns."""
        self._table.add_row(*cells)

    def check(self, what: str, found: object, expected: object) -> None:
        """Note that ``what`` is wrong when it is not as expected: it makes the whole run fail."""
        if found != expected:
            self.wrong.append(f"{self.title}: {what}: expected {expected}, found {found}")

    def show(self, console: Console) -> None:
        """Print the table, and then what is wrong."""
        console.print(self._table)
        for line in self.wrong:
            console.print(f"WRONG: {line}", style="bold red", markup=False, soft_wrap=True)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Measure what is done within; read ``seconds`` during it or afterwards."""
    watch = Stopwatch()
    try:
        yield watch
    finally:
        watch.stop()


class Stopwatch:
    """Runs from when it is made until it is stopped."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self._stopped: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has run, or ran."""
        return (self._stopped or perf_counter()) - self._started

    def stop(self) -> None:
        """Keep the time."""
        self._stopped = perf_counter()
