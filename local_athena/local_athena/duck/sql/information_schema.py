"""What Trino tells of its own catalog: information_schema, and a table's ``$partitions``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from local_athena.data.catalog import Catalog
from local_athena.data.partition_names import HIVE_DEFAULT_PARTITION
from local_athena.data.tables import Table
from local_athena.data.type_parser import parse_hive
from local_athena.data.types import BIGINT, VARCHAR, DataType
from local_athena.duck.errors import failed
from local_athena.duck.sql.context import Analysis
from local_athena.duck.sql.relations import Relation
from local_athena.duck.values.scope import Conjunct
from local_athena.duck.values.snippets import name, text

SCHEMA = "information_schema"
_CATALOG = "awsdatacatalog"
Row = tuple[Any, ...]


@dataclass(eq=False)
class SystemRows(Relation):
    """Rows that are listed when the query runs; ``databases`` limits them when a condition names some."""

    rows: Callable[[frozenset[str] | None], Iterable[Row]] = lambda databases: ()
    databases: frozenset[str] | None = field(default=None)

    def sink(self, conditions: Sequence[Conjunct]) -> None:
        """Learn from ``table_schema = 'x'`` which databases to list."""
        for condition in conditions:
            labels = {one.name for one in condition.fields}
            if labels in ({"table_schema"}, {"schema_name"}):
                named = re.fullmatch(r'\(+"[^"]*"\)* (?:=|IN) \(?((?:\'[^\']*\'(?:, )?)+)\)*', condition.sql)
                if named is not None:
                    self.databases = frozenset(re.findall(r"'([^']*)'", named.group(1)))

    def definition(self) -> str:
        """Return the rows as SQL."""
        columns = ", ".join(one.sql for one in self.fields)
        rows = [
            f"({', '.join(_literal(value, one.type) for value, one in zip(row, self.fields, strict=True))})"
            for row in self.rows(self.databases)
        ]
        if not rows:
            nothing = ", ".join(f"CAST(NULL AS {one.type.duckdb}) AS {one.sql}" for one in self.fields)
            return f"SELECT {nothing} WHERE FALSE"
        return f"SELECT * FROM (VALUES {', '.join(rows)}) AS {name('rows#')}({columns})"


def _literal(value: Any, kind: DataType) -> str:
    shown = "NULL" if value is None else text(str(value))
    return f"CAST({shown} AS {kind.duckdb})"


def system_table(analysis: Analysis, parts: tuple[str, ...], node: Any) -> Relation | None:
    """Return a table of Trino's own, or None when the name is not one."""
    database, label = parts
    if database == SCHEMA:
        listing = _LISTINGS.get(label)
        if listing is None:
            raise failed("TABLE_NOT_FOUND", node, f"Table '{_CATALOG}.{database}.{label}' does not exist")
        columns, rows = listing
        catalog = analysis.shared.catalog
        return _relation(analysis, columns, lambda databases: rows(catalog, databases))
    if label.endswith("$partitions"):
        return _partitions(analysis, database, label.removesuffix("$partitions"))
    return None


def _relation(
    analysis: Analysis,
    columns: Sequence[tuple[str, DataType]],
    rows: Callable[[frozenset[str] | None], Iterable[Row]],
) -> SystemRows:
    fields = [analysis.field(label, kind) for label, kind in columns]
    found = SystemRows(fields, name(analysis.symbol("system")), rows)
    analysis.shared.definitions.append((found.source, found.definition))
    return found


def _partitions(analysis: Analysis, database: str, label: str) -> Relation | None:
    table = analysis.find(database, label)
    if table is None or not table.partition_keys:
        return None
    columns = [(key, parse_hive(hive)) for key, hive in table.partition_keys]

    def rows(databases: frozenset[str] | None) -> Iterable[Row]:
        for partition in analysis.shared.catalog.partitions(table):
            yield tuple(None if value == HIVE_DEFAULT_PARTITION else value for value in partition.values)

    return _relation(analysis, columns, rows)


def _wanted(catalog: Catalog, databases: frozenset[str] | None) -> list[str]:
    return [one for one in catalog.databases() if databases is None or one in databases]


def _tables(catalog: Catalog, databases: frozenset[str] | None) -> Iterable[Table]:
    for database in _wanted(catalog, databases):
        yield from catalog.list_tables(database)


def _schemata_rows(catalog: Catalog, databases: frozenset[str] | None) -> Iterable[Row]:
    for database in (*_wanted(catalog, databases), SCHEMA):
        yield (_CATALOG, database)


def _table_rows(catalog: Catalog, databases: frozenset[str] | None) -> Iterable[Row]:
    for table in _tables(catalog, databases):
        yield (_CATALOG, table.database, table.name, "VIEW" if table.is_view else "BASE TABLE")


def _view_rows(catalog: Catalog, databases: frozenset[str] | None) -> Iterable[Row]:
    for table in _tables(catalog, databases):
        if table.is_view:
            yield (_CATALOG, table.database, table.name, table.view_sql)


def _column_rows(catalog: Catalog, databases: frozenset[str] | None) -> Iterable[Row]:
    for table in _tables(catalog, databases):
        stored = [(one.name, one.type) for one in table.view.columns] if table.view else []
        listed = stored or [(label, parse_hive(hive).trino) for label, hive in table.columns]
        keys = [(label, parse_hive(hive).trino) for label, hive in table.partition_keys]
        for position, (label, kind) in enumerate([*listed, *keys], start=1):
            extra = "partition key" if position > len(listed) else None
            yield (_CATALOG, table.database, table.name, label, position, None, "YES", kind, None, extra)


def _named(*labels: str) -> list[tuple[str, DataType]]:
    return [(label, BIGINT if label == "ordinal_position" else VARCHAR) for label in labels]


_LISTINGS = {
    "schemata": (_named("catalog_name", "schema_name"), _schemata_rows),
    "tables": (_named("table_catalog", "table_schema", "table_name", "table_type"), _table_rows),
    "views": (_named("table_catalog", "table_schema", "table_name", "view_definition"), _view_rows),
    "columns": (
        _named(
            "table_catalog", "table_schema", "table_name", "column_name", "ordinal_position",
            "column_default", "is_nullable", "data_type", "comment", "extra_info",
        ),
        _column_rows,
    ),
}  # fmt: skip
