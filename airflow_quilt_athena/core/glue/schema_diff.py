"""Two column lists side by side: what is missing, extra or unlike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from airflow_quilt_athena.core.athena.hive_types import parse_hive_type
from airflow_quilt_athena.core.glue.tables import Columns


def name_differences(expected: Columns, found_names: Iterable[str]) -> tuple[str, ...]:
    """Return a line for each column that is missing, extra or doubled; nothing when the names agree.

    >>> name_differences((("a", "int"), ("b", "string")), ("b", "c", "c"))
    ('a (int): missing in the result', 'c: not a column of the table', 'c: 2 times in the result')
    """
    names = [name.lower() for name in found_names]
    found, wanted = dict.fromkeys(names), dict(expected)
    return (
        *(f"{name} ({wanted[name]}): missing in the result" for name in wanted if name not in found),
        *(f"{name}: not a column of the table" for name in found if name not in wanted),
        *doubled_names(names),
    )


def doubled_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return a line for each name that comes more than once."""
    counts = Counter(name.lower() for name in names)
    return tuple(f"{name}: {count} times in the result" for name, count in counts.items() if count > 1)


def differences(expected: Columns, found: Columns) -> tuple[str, ...]:
    """Return a line for each column that is not the same on both sides, by name and by type.

    Types are the same when they mean the same; a struct's fields are compared by name, in order.

    >>> differences((("a", "int"),), (("a", "bigint"),))
    ('a: the table has int, the result bigint',)
    """
    wanted, got = dict(expected), dict(found)
    unlike = (
        f"{name}: the table has {wanted[name]}, the result {got[name]}"
        for name in wanted
        if name in got and parse_hive_type(wanted[name]) != parse_hive_type(got[name])
    )
    return (*name_differences(expected, got), *unlike)
