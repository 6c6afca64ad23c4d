"""What must hold of a table in a fake world, whatever has happened to it."""

from __future__ import annotations

import re

from airflow_quilt_athena.exceptions import QuiltAthenaError
from tests.fakes.athena import find_files, read_rows
from tests.fakes.lake import FakeLake
from tests.faults.lake import TABLE
from tests.interleavings.model import Values
from tests.interleavings.scenes import row_count

_TEN_DAYS = 10 * 86_400.0  # longer than anything is kept
_MOST_SWEEPS = 8
_ATTEMPT = re.compile(r"/a([0-9a-f]{12}-\d+)-[0-9a-f]{8}/")


def see(lake: FakeLake) -> tuple[dict[Values, str], list[str]]:
    """Return which run's rows each partition has, and what is not whole."""
    seen: dict[Values, str] = {}
    torn: list[str] = []
    for values, location in (lake.locations() if lake.table else {}).items():
        rows = read_rows(lake.world.s3, location)
        runs = {str(row["note"]) for row in rows}
        run = runs.pop() if len(runs) == 1 else None
        if not rows and not values:
            continue  # a table without keys that others made, and wrote nothing to
        if run is None or len(rows) != row_count(run, values):
            torn.append(f"{values} at {location} has {rows}")
        else:
            seen[values] = run
    return seen, torn


def foreign_keys(lake: FakeLake) -> set[str]:
    """Return the keys that are in none of our folders."""
    ours = f"{lake.base}.generations/"
    return {key for key in lake.keys("") if not key.startswith(ours) or key.endswith("readme.txt")}


def sweep_all(lake: FakeLake) -> list[str]:
    """Sweep until nothing changes; return what is wrong: rows that changed, and what nobody needs."""
    if lake.table is None:
        return []  # nobody can sweep what is of no table
    before, _ = see(lake)
    there: list[dict[str, bytes]] = []
    while len(there) < _MOST_SWEEPS and (len(there) < 2 or there[-1] != there[-2]):
        lake.world.pass_time(_TEN_DAYS)
        try:
            lake.sweep_now()
        except QuiltAthenaError as error:
            return [f"a sweep: {error!r}"]
        there.append({key: body for key, (body, _) in lake.world.s3.objects.items()})
    now, torn = see(lake)
    problems = [f"after the sweeps: {line}" for line in torn]
    if now != before:
        problems.append(f"after the sweeps: there is {now}; was {before}")
    left = (lake.keys("") - foreign_keys(lake) - needed_keys(lake)) | (lake.tables() - {TABLE})
    if left:
        problems.append(f"after the sweeps: left are {sorted(left)}")
    return problems


def needed_keys(lake: FakeLake) -> set[str]:
    """Return the files where Glue points, and the journal entry of each attempt that wrote some of them.

    So is an entry that says which files others had where we wrote, since somebody may want them deleted one
    day; and the last of each partition, which says why it is where it is.
    """
    places = lake.locations() if lake.table else {}
    owners = {found[1] for location in places.values() if (found := _ATTEMPT.search(f"/{location}"))}
    last: dict[Values, tuple[str, str]] = {}
    for name, entry in lake.journal().items():
        if entry.get("adopted_files"):
            owners.add(name)
        for change in entry["changes"] if entry["published_at"] else ():
            values = tuple(change["values"])
            last[values] = max(last.get(values, ("", "")), (entry["published_at"], name))
    owners |= {name for _, name in last.values()}
    journal = {f"{lake.base}.generations/.journal/{name}.json" for name in owners}
    return journal.union(*(find_files(lake.world.s3, location) for location in places.values()))
