"""What must hold of a table whatever has happened to it: partitions are whole, and nothing is left behind."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

from tests.faults.lake import TABLE, Lake, Rows
from tests.faults.scenarios import Scenario

_ATTEMPT = re.compile(r"/a([0-9a-f]{12}-\d+)-[0-9a-f]{8}/")


def assert_whole(scenario: Scenario, seen: Rows) -> None:
    found, before, after = map(scenario.by_partition, (seen, scenario.before, scenario.after))
    for partition in found.keys() | before.keys() | after.keys():
        rows = found.get(partition, Counter())
        allowed = (before.get(partition, Counter()), after.get(partition, Counter()))
        assert rows in allowed, f"readers of {partition} see {rows}: neither the old rows nor the new ones"


def assert_swept_clean(lake: Lake) -> None:
    left = sweep_all(lake)
    assert not left, f"the sweep left {left}"


def sweep_all(lake: Lake) -> set[str]:
    """Sweep; return the keys and tables that nobody needs. What is needed must all be there."""
    for days in (2, 4, 6):  # what the journal does not explain is marked first, and kept for a day
        lake.sweep(later=timedelta(days=days))
        needed, found = needed_keys(lake), lake.keys()
        assert needed <= found, f"the sweep took {needed - found}"
        left = (found - needed) | (lake.tables() - {TABLE})
        if not left:
            break
    return left


def needed_keys(lake: Lake) -> set[str]:
    """The files where Glue points, and the journal entry of each attempt that wrote some of them.

    So is the entry of the last one that did something to a partition: it says why it is as it is.
    """
    locations = lake.locations().values()
    owners = {found.group(1) for location in locations if (found := _ATTEMPT.search(location))}
    last: dict[tuple[str, ...], tuple[str, str]] = {}
    for name, entry in lake.journal().items():
        for change in entry["changes"] if entry["published_at"] else ():
            values = tuple(change["values"])
            last[values] = max(last.get(values, ("", "")), (entry["published_at"], name))
    owners |= {name for _, name in last.values()}
    journal = {f"{lake.base}.generations/.journal/{name}.json" for name in owners}
    return journal.union(*(lake.keys(location) for location in locations))
