"""Which partitions are meant: by values given, by keys left open, or a table without keys as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from airflow_quilt_athena.core.glue.partitions import (
    HIVE_DEFAULT_PARTITION,
    canonical_value,
    partition_path,
)
from airflow_quilt_athena.core.glue.tables import Columns
from airflow_quilt_athena.exceptions import InvalidCallError

_NUMBERS = frozenset({"tinyint", "smallint", "int", "integer", "bigint"})
_EXPRESSION_LENGTH = 2048  # AWS Glue, "GetPartitions" (API reference), read 2026-11
# Glue reads expressions by JSqlParser, which takes none of these for a key's name, and compares only some
# types as Athena does (trinodb/trino, GlueExpressionUtil, read 2026-11).
WORDS_OF_EXPRESSIONS = frozenset(
    {
        "as", "by", "do", "is", "in", "or", "on", "all", "and", "any", "key", "not", "set", "asc", "top",
        "end", "desc", "into", "null", "like", "drop", "join", "left", "from", "open", "case", "when",
        "then", "else", "some", "full", "with", "table", "where", "using", "union", "group", "begin",
        "index", "inner", "limit", "outer", "order", "right", "delete", "create", "select", "offset",
        "exists", "having", "insert", "update", "values", "escape", "primary", "natural", "replace",
        "between", "truncate", "distinct", "intersect",
    }
)  # fmt: skip

Values = tuple[str, ...]
Partition = Mapping[str, object] | str  # key → value, or the value of the only key


@dataclass(frozen=True, slots=True)
class Selection:
    """The partitions that may change. ``fixed`` holds the canonical value of each key that the call gives.

    With keys left over, the result says which partitions it has; ``removes`` then tells whether those that
    it no longer has go. A table without keys is one thing that is replaced whole.
    """

    keys: Columns
    fixed: Mapping[str, str]
    removes: bool = False

    @property
    def dynamic(self) -> Columns:
        """The keys whose values the result has."""
        return tuple((name, hive_type) for name, hive_type in self.keys if name not in self.fixed)

    @property
    def is_unpartitioned(self) -> bool:
        """Whether the table has no partition keys."""
        return not self.keys

    @property
    def is_set(self) -> bool:
        """Whether the result says which partitions it has."""
        return bool(self.dynamic)

    @property
    def prefix_path(self) -> str:
        """The folder of what is given, in the keys' order: ``dt=2026-01-01``, or nothing."""
        names = [name for name, _ in self.keys if name in self.fixed]
        return partition_path(names, [self.fixed[name] for name in names])

    @property
    def values(self) -> Values:
        """The values of a partition that is given whole; () for a table without keys."""
        return self.complete(())

    def complete(self, found: Sequence[str]) -> Values:
        """Return a partition's values from those of the dynamic keys."""
        waiting = iter(found)
        return tuple(self.fixed[name] if name in self.fixed else next(waiting) for name, _ in self.keys)

    def covers(self, values: Sequence[str]) -> bool:
        """Whether a partition, by its canonical values, is among those that may change."""
        given = ((self.fixed.get(name), value) for (name, _), value in zip(self.keys, values, strict=True))
        return all(fixed is None or fixed == value for fixed, value in given)

    def describe(self, values: Sequence[str] | None = None) -> dict[str, str]:
        """Return the given values by key, or those of one partition."""
        if values is None:
            return dict(self.fixed)
        return {name: value for (name, _), value in zip(self.keys, values, strict=True)}

    @property
    def title(self) -> str:
        """What is replaced, for logs and errors."""
        if self.is_unpartitioned:
            return "the table"
        if not self.fixed:
            return "the partitions in the result"
        return f"partition {dict(self.fixed)}" if not self.is_set else f"the partitions of {dict(self.fixed)}"


def fixed_values(keys: Columns, partition: Partition) -> dict[str, str]:
    """Return the canonical value of each key that is given.

    :raises InvalidCallError: for values None, "" and "None", and for keys that there are not.
    """
    names = [name for name, _ in keys]
    if isinstance(partition, str):
        if len(names) > 1:
            canonical_value(partition, "string")  # a value that is none is the worse mistake: tell it first
            raise InvalidCallError(
                f"partition is the one value {partition!r}, but the keys are {describe_keys(keys)}. "
                "Expected a mapping from key to value; keys left out are taken from the result."
            )
        partition = {names[0]: partition}
    given = {str(name).strip().lower(): value for name, value in partition.items()}
    if len(given) < len(partition):
        raise InvalidCallError(f"partition names one of its keys twice: {', '.join(map(str, partition))}.")
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidCallError(f"partition names {', '.join(unknown)}; the keys are {describe_keys(keys)}.")
    return {name: _key_value(name, given[name], hive_type) for name, hive_type in keys if name in given}


def _key_value(name: str, value: object, hive_type: str) -> str:
    with naming(name):
        return canonical_value(value, hive_type)


@contextmanager
def naming(key: str) -> Iterator[None]:
    """Say which partition key an error is about."""
    try:
        yield
    except InvalidCallError as error:
        raise InvalidCallError(f"Partition key {key}: {error}") from error


def parse_partitions(keys: Columns, asked: Partition | Sequence[Partition]) -> tuple[Selection, ...]:
    """Return what is meant by one partition or several, each whole or by some of its keys.

    >>> dt = (("dt", "date"), ("c", "string"))
    >>> parse_partitions(dt, {"dt": "2026-01-01"})[0].covers(("2026-01-01", "ch"))
    True
    """
    several = (asked,) if isinstance(asked, str | Mapping) else asked
    return tuple(Selection(keys, fixed_values(keys, partition)) for partition in several)


def identity(keys: Columns, registered: Sequence[str]) -> Values:
    """Return the values by which a partition is known: two spellings of one value give the same.

    Glue keeps values as text, so that an integer key may have a partition 01 for the value 1. A text that
    is no value of the key's type, such as Hive's default partition, stands for itself.

    >>> identity((("n", "int"), ("s", "string")), ["01", "01"])
    ('1', '01')
    """
    return tuple(_canonical_or_itself(text, kind) for text, (_, kind) in zip(registered, keys, strict=True))


def _canonical_or_itself(text: str, hive_type: str) -> str:
    if text == HIVE_DEFAULT_PARTITION:
        return text
    try:
        return canonical_value(text, hive_type)
    except InvalidCallError:
        return text


def build_expression(keys: Columns, fixed: Mapping[str, str]) -> str | None:
    """Return Glue's condition for partitions that may have these values; None when there is none to give.

    More may be found than is meant: conditions that Glue may read otherwise, or that do not fit, are left
    out.

    >>> build_expression((("n", "int"), ("d", "date"), ("s", "string")), {"n": "1", "s": "it's"})
    'n = 1'
    """
    expression = ""
    for name, hive_type in keys:
        if name not in fixed or "'" in fixed[name] or not _can_be_asked_for(name, hive_type):
            continue
        longer = " AND ".join(filter(None, [expression, f"{name} = {_literal(fixed[name], hive_type)}"]))
        if len(longer) <= _EXPRESSION_LENGTH:
            expression = longer
    return expression or None


def build_range(keys: Columns, found: Sequence[Values]) -> str | None:
    """Return Glue's condition for partitions whose first key lies within what ``found`` has, or None.

    >>> build_range((("d", "date"),), [("2026-01-03",), ("2026-01-01",)])
    "d >= '2026-01-01' AND d <= '2026-01-03'"
    """
    name, hive_type = keys[0]
    firsts = {values[0] for values in found}
    ordinal = hive_type == "date" or hive_type in _NUMBERS
    if not (firsts and ordinal and _can_be_asked_for(name, hive_type)) or HIVE_DEFAULT_PARTITION in firsts:
        return None
    ordered = sorted(firsts, key=int if hive_type in _NUMBERS else str)
    low, high = (_literal(value, hive_type) for value in (ordered[0], ordered[-1]))
    return f"{name} >= {low} AND {name} <= {high}"


def all_text(keys: Columns) -> bool:
    """Whether every key is text, so that a value has one spelling only."""
    return all(hive_type == "string" or hive_type.startswith(("varchar", "char")) for _, hive_type in keys)


def _can_be_asked_for(name: str, hive_type: str) -> bool:
    known = hive_type in _NUMBERS or hive_type in {"date", "string"} or hive_type.startswith("varchar")
    return known and name not in WORDS_OF_EXPRESSIONS


def _literal(value: str, hive_type: str) -> str:
    return value if hive_type in _NUMBERS else f"'{value}'"


def describe_keys(keys: Columns) -> str:
    """Return the keys with their types, for errors."""
    return ", ".join(f"{name} ({hive_type})" for name, hive_type in keys) or "nothing"
