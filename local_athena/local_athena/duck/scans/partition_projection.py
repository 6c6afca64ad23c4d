"""Partition projection: partitions that table properties describe, so that Glue is not asked for them.

Athena user guide, "Partition projection: supported types" and "Set up partition projection", read 2026-11.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from local_athena.data.s3_uri import InvalidUri, S3Uri
from local_athena.data.tables import Table
from local_athena.data.types import DataType
from local_athena.duck.scans.pruning import Place, quoted, surviving, typed_values
from local_athena.errors import QueryFailed

_MAX_PLACES = 1_000_000
_NOW = re.compile(r"NOW\s*(?:([+-])\s*([0-9]+)\s*([A-Z]+))?", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\$\{([^}]+)\}")
_PATTERN_PART = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|.", re.DOTALL)
_STRFTIME = {"yyyy": "%Y", "uuuu": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_SECONDS = {"WEEKS": 604_800, "DAYS": 86_400, "HOURS": 3_600, "MINUTES": 60, "SECONDS": 1}

Keys = Sequence[tuple[str, DataType]]


def is_projected(table: Table) -> bool:
    """Whether Athena ignores the table's partitions in Glue."""
    return table.parameters.get("projection.enabled", "").lower() == "true"


def projected_places(
    con: duckdb.DuckDBPyConnection, table: Table, keys: Keys, filters: Sequence[str]
) -> list[Place]:
    """Return the places that the properties describe and no filter rules out."""
    texts = [_key_values(con, table, key, filters) for key in keys]
    total = 1
    for values in texts:
        total *= len(values)
    if total > _MAX_PLACES:
        raise QueryFailed(
            f"CONSTRAINT_VIOLATION: The filters leave {total} projected partitions of "
            f"{table.database}.{table.name}; at most {_MAX_PLACES} are read"
        )
    rows = list(itertools.product(*texts))
    typed = [typed_values(row, keys) for row in rows]
    candidates = [(name, kind, [row[i] for row in typed]) for i, (name, kind) in enumerate(keys)]
    names = [name for name, _ in keys]
    return [
        Place(_location(table, names, rows[position]), typed[position])
        for position in surviving(con, candidates, filters)
    ]


def _key_values(
    con: duckdb.DuckDBPyConnection, table: Table, key: tuple[str, DataType], filters: Sequence[str]
) -> list[str]:
    """Values of one key, those left out that a filter on this key alone rules out."""
    name, kind = key
    settings = _Settings(table, name)
    if settings.get("type") == "injected":
        return _injected_values(name, filters)
    texts = settings.values()
    others = [quoted(other) for other, _ in table.partition_keys if other != name]
    own = [f for f in filters if quoted(name) in f and not any(other in f for other in others)]
    values = [typed_values([text], [key])[0] for text in texts]
    return [texts[position] for position in surviving(con, [(name, kind, values)], own)]


def _location(table: Table, names: Sequence[str], texts: Sequence[str]) -> S3Uri:
    template = table.parameters.get("storage.location.template")
    if not template:
        folders = "".join(f"{name}={text}/" for name, text in zip(names, texts, strict=True))
        assert table.location is not None  # such a table is refused before it is scanned
        return table.location / folders
    found = dict(zip(names, texts, strict=True))
    try:
        return S3Uri.parse(_PLACEHOLDER.sub(lambda match: found[match[1].strip().lower()], template))
    except (KeyError, InvalidUri) as error:
        raise _invalid(table, f"storage.location.template '{template}': {error}") from error


def _invalid(table: Table, problem: str) -> QueryFailed:
    return QueryFailed(
        f"INVALID_TABLE_PROPERTY: Table {table.database}.{table.name} is configured for partition "
        f"projection, but {problem}",
        error_type=1004,
    )


class _Settings:
    """The properties that project one key."""

    def __init__(self, table: Table, name: str) -> None:
        self._table = table
        self._prefix = f"projection.{name}."
        self._properties: Mapping[str, str] = {k.lower(): v for k, v in table.parameters.items()}
        self._name = name

    def get(self, setting: str, default: str | None = None) -> str:
        value = self._properties.get(self._prefix + setting, default)
        if value is None:
            raise _invalid(self._table, f"the property {self._prefix}{setting} is missing")
        return value if setting == "format" else value.strip()

    def values(self) -> list[str]:
        """All values of an enum, integer or date key."""
        makers = {"enum": self._enum, "integer": self._integers, "date": self._dates}
        kind = self.get("type").lower()
        if kind not in makers:
            raise _invalid(self._table, f"'{kind}' is no projection type (column {self._name})")
        try:
            return list(makers[kind]())
        except (ValueError, OverflowError) as error:
            raise _invalid(self._table, f"column {self._name}: {error}") from error

    def _enum(self) -> Iterator[str]:
        return (value.strip() for value in self.get("values").split(","))

    def _bounds(self) -> tuple[str, str]:
        low, separator, high = self.get("range").partition(",")
        if not separator:
            raise ValueError(f"range '{low}' has no end")
        return low.strip(), high.strip()

    def _integers(self) -> Iterator[str]:
        low, high = map(int, self._bounds())
        digits = int(self.get("digits", "0"))
        return (f"{n:0{digits}d}" for n in range(low, high + 1, int(self.get("interval", "1"))))

    def _dates(self) -> Iterator[str]:
        pattern = strftime_pattern(self.get("format"))
        low, high = (_moment(bound, pattern) for bound in self._bounds())
        interval = int(self.get("interval", "1"))
        unit = self.get("interval.unit", _default_unit(pattern)).upper()
        number, moment, last = 0, low, ""
        while moment <= high:
            text = moment.strftime(pattern)
            if text != last:
                yield text
            number, last = number + interval, text
            moment = _later(low, number, unit)


def _default_unit(pattern: str) -> str | None:
    if any(part in pattern for part in ("%H", "%M", "%S")):
        return None
    return "DAYS" if "%d" in pattern else "MONTHS" if "%m" in pattern else None


def _moment(bound: str, pattern: str) -> datetime:
    match = _NOW.fullmatch(bound)
    if match is None:
        return datetime.strptime(bound, pattern)
    now = datetime.now(UTC).replace(tzinfo=None)
    if match[1]:
        now = _later(now, int(match[1] + match[2]), match[3].upper())
    return now


def _later(start: datetime, number: int, unit: str) -> datetime:
    unit = unit if unit.endswith("S") else unit + "S"
    if unit in _SECONDS:
        return start + timedelta(seconds=number * _SECONDS[unit])
    if unit not in ("MONTHS", "YEARS"):
        raise ValueError(f"'{unit}' is no unit of time")
    months = start.year * 12 + start.month - 1 + number * (12 if unit == "YEARS" else 1)
    first = start.replace(year=months // 12, month=months % 12 + 1, day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return first.replace(day=min(start.day, (following - timedelta(days=1)).day))


def strftime_pattern(java: str) -> str:
    """Return Python's pattern for a date format of Java's: ``yyyy/MM/dd``, ``yyyy-MM-dd'T'HH``."""
    parts = []
    for match in _PATTERN_PART.finditer(java):
        text = match.group()
        if match[1] is not None:
            parts.append((match[1].replace("''", "'") or "'").replace("%", "%%"))
        elif match[2]:
            if text not in _STRFTIME:
                raise ValueError(f"the format '{java}' has '{text}', which is not supported")
            parts.append(_STRFTIME[text])
        else:
            parts.append(text.replace("%", "%%"))
    return "".join(parts)


def _injected_values(name: str, filters: Sequence[str]) -> list[str]:
    """Values that the query itself names, by ``=`` or ``IN``."""
    import sqlglot
    from sqlglot import exp

    found: list[str] = []
    for condition in filters:
        parsed: Any = sqlglot.parse_one(condition, read="duckdb")
        while isinstance(parsed, exp.Paren):
            parsed = parsed.this
        sides = list(parsed.iter_expressions()) if isinstance(parsed, (exp.EQ, exp.In)) else []
        columns = [side for side in sides if isinstance(side, exp.Column) and side.name == name]
        literals = [side.this for side in sides if isinstance(side, exp.Literal)]
        if len(columns) == 1 and len(literals) == len(sides) - 1:
            found += literals
    if not found:
        raise QueryFailed(
            f"CONSTRAINT_VIOLATION: For the injected projected partition column {name}, the WHERE clause "
            "must contain only static equality conditions, and at least one such condition must be present."
        )
    return list(dict.fromkeys(found))
