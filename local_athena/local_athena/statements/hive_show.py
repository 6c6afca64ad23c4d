"""SHOW and DESCRIBE, printed as Hive prints them: rows of one cell, its values joined by tabs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from local_athena.data.catalog import EntityMissing
from local_athena.data.partition_names import partition_path
from local_athena.data.session import Outcome
from local_athena.data.tables import Table
from local_athena.errors import QueryFailed
from local_athena.sql_text import (
    Dialect,
    TokenKind,
    quote_identifier,
    quote_literal,
    quote_name,
)
from local_athena.statements.hive_create import database_not_found
from local_athena.statements.hive_partitions import matching, one_partition, partition_spec
from local_athena.statements.statement import Statement, utility
from local_athena.statements.token_cursor import Cursor, QualifiedName

_WIDTH = 20  # Hive pads what DESCRIBE prints to at least this
_DESCRIBE_COLUMNS = ("col_name", "data_type", "comment")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def show_databases(statement: Statement) -> Outcome:
    """``SHOW {DATABASES | SCHEMAS} [LIKE 'pattern']``."""
    cursor = statement.hive()
    cursor.step()
    cursor.step()
    matches = _pattern(cursor, liked=cursor.take("LIKE"))
    names = sorted(name for name in statement.catalog.databases() if matches(name))
    return utility("SHOW_DATABASES", ["database_name"], ([name] for name in names))


def show_tables(statement: Statement) -> Outcome:
    """``SHOW TABLES [IN database] ['pattern']``: views, too."""
    return _show_names(statement, "SHOW_TABLES", "tab_name", views_only=False)


def show_views(statement: Statement) -> Outcome:
    """``SHOW VIEWS [IN database] [LIKE 'pattern']``."""
    return _show_names(statement, "SHOW_VIEWS", "views", views_only=True)


def _show_names(statement: Statement, substatement: str, heading: str, *, views_only: bool) -> Outcome:
    cursor = statement.hive()
    cursor.step()
    cursor.step()
    database = statement.session.database
    if cursor.take("IN") or cursor.take("FROM"):
        database = cursor.identifier()
    matches = _pattern(cursor, liked=cursor.take("LIKE"))
    try:
        tables = statement.catalog.list_tables(database)
    except EntityMissing as error:
        raise database_not_found(database) from error
    names = sorted(t.name for t in tables if matches(t.name) and (t.is_view or not views_only))
    return utility(substatement, [heading], ([name] for name in names))


class _Pattern:
    """Hive's pattern of names: ``*`` is anything, ``|`` is or."""

    def __init__(self, text: str | None) -> None:
        choices = [".*"] if text is None else text.strip().lower().split("|")
        self._choices = [re.compile(re.sub(r"(?<!\.)\*", ".*", choice.strip())) for choice in choices]

    def __call__(self, name: str) -> bool:
        return any(choice.fullmatch(name) for choice in self._choices)


def _pattern(cursor: Cursor, *, liked: bool) -> _Pattern:
    if cursor.done and not liked:
        return _Pattern(None)
    text = cursor.string()
    cursor.expect_end()
    try:
        return _Pattern(text)
    except re.error as error:
        raise QueryFailed(f"FAILED: SemanticException Invalid pattern '{text}': {error}") from error


def show_partitions(statement: Statement) -> Outcome:
    """``SHOW PARTITIONS table [PARTITION (…)]``."""
    cursor = statement.hive()
    cursor.expect("SHOW", "PARTITIONS")
    table = statement.find(cursor.qualified_name())
    spec = partition_spec(cursor) if cursor.take("PARTITION") else {}
    cursor.expect_end()
    if not table.partition_keys:
        raise QueryFailed(
            f"FAILED: SemanticException [Error 10241]: Table {table.name} is not a partitioned table"
        )
    found = matching(statement, table, spec) if spec else statement.catalog.partitions(table)
    names = [name for name, _ in table.partition_keys]
    paths = sorted(partition_path(names, partition.values) for partition in found)
    return utility("SHOW_PARTITIONS", ["partition"], ([path] for path in paths))


def show_columns(statement: Statement) -> Outcome:
    """``SHOW COLUMNS {FROM | IN} table [{FROM | IN} database]``."""
    cursor = statement.hive()
    cursor.expect("SHOW", "COLUMNS")
    if not cursor.take("IN"):
        cursor.expect("FROM")
    name = cursor.qualified_name()
    if cursor.take("IN") or cursor.take("FROM"):
        name = QualifiedName(cursor.identifier(), name.name)
    cursor.expect_end()
    table = statement.find(name)
    columns = [*table.columns, *table.partition_keys]
    return utility("SHOW_COLUMNS", ["field"], ([name.ljust(_WIDTH)] for name, _ in columns))


def show_table_properties(statement: Statement) -> Outcome:
    """``SHOW TBLPROPERTIES table [('key')]``."""
    cursor = statement.hive()
    cursor.expect("SHOW", "TBLPROPERTIES")
    table = statement.find(cursor.qualified_name())
    headings = ["prpt_name", "prpt_value"]
    if cursor.take("("):
        key = cursor.string()
        cursor.expect(")")
        cursor.expect_end()
        missing = f"Table {table.database}.{table.name} does not have property: {key}"
        return utility("SHOW_TBLPROPERTIES", headings, [[table.parameters.get(key, missing)]])
    cursor.expect_end()
    return utility("SHOW_TBLPROPERTIES", headings, sorted(table.parameters.items()))


def show_create_table(statement: Statement) -> Outcome:
    """``SHOW CREATE TABLE table``: a statement that makes the table again."""
    cursor = statement.hive()
    cursor.expect("SHOW", "CREATE", "TABLE")
    written = cursor.qualified_name()
    cursor.expect_end()
    table = statement.find(written)
    if table.is_view:
        raise QueryFailed(
            f"FAILED: SemanticException {table.database}.{table.name} is a view; use SHOW CREATE VIEW"
        )
    name = f"{written.database}.{written.name}" if written.database else written.name
    lines = render_create_table(name, table.raw)
    return utility("SHOW_CREATE_TABLE", ["createtab_stmt"], ([line] for line in lines))


def show_create_view(statement: Statement) -> Outcome:
    """``SHOW CREATE VIEW view``; Trino's statement, so names are quoted as Trino quotes them."""
    cursor = statement.trino()
    cursor.expect("SHOW", "CREATE", "VIEW")
    name = cursor.qualified_name()
    cursor.expect_end()
    table = statement.find(name)
    if table.view is None:
        raise QueryFailed(f"NOT_SUPPORTED: line 1:1: '{table.database}.{table.name}' is not a view")
    head = f"CREATE VIEW {quote_name(table.database, table.name, Dialect.TRINO)} AS"
    lines = [head, *table.view.sql.splitlines()]
    return utility("SHOW_CREATE_VIEW", ["Create View"], ([line] for line in lines))


def describe(statement: Statement) -> Outcome:
    """``{DESCRIBE | DESC} [EXTENDED | FORMATTED] table [PARTITION (…)] [column]``."""
    cursor = statement.hive()
    cursor.step()
    detailed = cursor.take("EXTENDED") or cursor.take("FORMATTED")
    table = statement.find(cursor.qualified_name())
    storage: Mapping[str, Any] = table.raw.get("StorageDescriptor") or {}
    if cursor.take("PARTITION"):
        storage = one_partition(statement, table, partition_spec(cursor)).raw["StorageDescriptor"]
    column = None if cursor.done else _column_path(cursor)
    cursor.expect_end()
    columns = storage.get("Columns") or []
    keys = table.raw.get("PartitionKeys") or []
    if column is None:
        rows = list(_describe_rows(columns, keys))
        if detailed:
            rows += _detail_rows(table, storage)
    else:
        found = [c for c in [*columns, *keys] if c["Name"].lower() == column]
        if not found:
            raise QueryFailed(f"FAILED: SemanticException [Error 10002]: Invalid column reference {column}")
        rows = [_describe_row(found[0])]
    return utility("DESCRIBE_TABLE", _DESCRIBE_COLUMNS, rows)


def _column_path(cursor: Cursor) -> str:
    if cursor.token.kind is TokenKind.SYMBOL:
        cursor.fail("a column")
    return cursor.identifier()


def _describe_rows(
    columns: Iterable[Mapping[str, str]], keys: Sequence[Mapping[str, str]]
) -> Iterator[list[str]]:
    yield from (_describe_row(column) for column in [*columns, *keys])
    if keys:
        yield ["", " ", " "]
        yield ["# Partition Information", " ", " "]
        yield ["# col_name".ljust(_WIDTH), "data_type".ljust(_WIDTH), "comment".ljust(_WIDTH)]
        yield ["", " ", " "]
        yield from (_describe_row(key) for key in keys)


def _describe_row(column: Mapping[str, str]) -> list[str]:
    cells = (column["Name"].lower(), column.get("Type") or "string", column.get("Comment") or "")
    return [cell.ljust(_WIDTH) for cell in cells]


def _detail_rows(table: Table, storage: Mapping[str, Any]) -> list[list[str]]:
    serde = storage.get("SerdeInfo") or {}
    facts = [
        ("Database:", table.database),
        ("Owner:", table.raw.get("Owner", "")),
        ("Location:", storage.get("Location", "")),
        ("Table Type:", table.raw.get("TableType", "")),
        ("SerDe Library:", serde.get("SerializationLibrary", "")),
        ("InputFormat:", storage.get("InputFormat", "")),
        ("OutputFormat:", storage.get("OutputFormat", "")),
        ("Num Buckets:", str(storage.get("NumberOfBuckets", -1))),
        ("Bucket Columns:", f"[{', '.join(storage.get('BucketColumns') or [])}]"),
    ]
    parameters = [("", key, value) for key, value in sorted(table.parameters.items())]
    rows = [["", " ", " "], ["# Detailed Table Information", " ", " "]]
    rows += [[name.ljust(_WIDTH), value.ljust(_WIDTH), " "] for name, value in facts]
    if parameters:
        rows.append(["Table Parameters:".ljust(_WIDTH), " ", " "])
        rows += [["", key.ljust(_WIDTH), value.ljust(_WIDTH)] for _, key, value in parameters]
    return rows


def render_create_table(name: str, raw: Mapping[str, Any]) -> list[str]:
    """Lines of a CREATE EXTERNAL TABLE for Glue's table ``raw``."""
    storage = raw["StorageDescriptor"]
    serde = storage.get("SerdeInfo") or {}
    lines = [f"CREATE EXTERNAL TABLE {quote_identifier(name, Dialect.HIVE)}("]
    lines += _column_lines(storage.get("Columns") or [])
    if raw.get("Description"):
        lines.append(f"COMMENT {_literal(raw['Description'])}")
    if raw.get("PartitionKeys"):
        lines += ["PARTITIONED BY ( ", *_column_lines(raw["PartitionKeys"])]
    if storage.get("BucketColumns"):
        names = ", ".join(quote_identifier(c, Dialect.HIVE) for c in storage["BucketColumns"])
        lines += [f"CLUSTERED BY ( {names} ) ", f"INTO {storage['NumberOfBuckets']} BUCKETS"]
    lines += ["ROW FORMAT SERDE ", f"  {_literal(serde.get('SerializationLibrary') or '')} "]
    if serde.get("Parameters"):
        lines += ["WITH SERDEPROPERTIES ( ", *_property_lines(serde["Parameters"])]
    lines += ["STORED AS INPUTFORMAT ", f"  {_literal(storage.get('InputFormat') or '')} "]
    lines += ["OUTPUTFORMAT ", f"  {_literal(storage.get('OutputFormat') or '')}"]
    lines += ["LOCATION", f"  {_literal(storage.get('Location') or '')}"]
    parameters = {key: value for key, value in (raw.get("Parameters") or {}).items() if key != "EXTERNAL"}
    if parameters:
        lines += ["TBLPROPERTIES (", *_property_lines(parameters)]
    return lines


def _column_lines(columns: Sequence[Mapping[str, str]]) -> list[str]:
    lines = []
    for column in columns:
        comment = f" COMMENT {_literal(column['Comment'])}" if column.get("Comment") else ""
        lines.append(f"  {quote_identifier(column['Name'], Dialect.HIVE)} {column['Type']}{comment}")
    return _comma_separated(lines)


def _property_lines(values: Mapping[str, str]) -> list[str]:
    return _comma_separated([f"  {_literal(key)}={_literal(value)}" for key, value in sorted(values.items())])


def _comma_separated(lines: list[str]) -> list[str]:
    return [f"{line}, " for line in lines[:-1]] + [f"{lines[-1]})"]


def _literal(text: str) -> str:
    # Control characters would tear the line, or be lost on the way to the reader's screen.
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", quote_literal(text, Dialect.HIVE))
