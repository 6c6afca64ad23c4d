"""Reads CREATE EXTERNAL TABLE into Glue's TableInput.

By hand, strictly in Hive's order: sqlglot reads LOCATION before STORED AS, types Hive does not have and
clauses it then drops, all of which Athena refuses.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from local_athena.data.catalog import EntityExists, EntityMissing
from local_athena.data.hive_storage import HIVE_FORMATS, TEXTFILE, Storage
from local_athena.data.s3_uri import InvalidUri, S3Uri
from local_athena.data.session import Outcome
from local_athena.data.type_parser import parse_hive
from local_athena.data.types import UnknownTypeError
from local_athena.errors import SCHEMA_ERROR, QueryFailed
from local_athena.sql_text import TokenKind
from local_athena.statements.statement import Statement, task_error
from local_athena.statements.token_cursor import Cursor

GlueColumns = list[dict[str, str]]

# ROW FORMAT DELIMITED, in Hive's order: the words, and the SerDe parameters they set.
# "colelction.delim" is Hive's own spelling.
_DELIMITERS = (
    (("FIELDS", "TERMINATED", "BY"), ("field.delim", "serialization.format")),
    (("ESCAPED", "BY"), ("escape.delim",)),
    (("COLLECTION", "ITEMS", "TERMINATED", "BY"), ("colelction.delim",)),
    (("MAP", "KEYS", "TERMINATED", "BY"), ("mapkey.delim",)),
    (("LINES", "TERMINATED", "BY"), ("line.delim",)),
    (("NULL", "DEFINED", "AS"), ("serialization.null.format",)),
)
_AFTER_TYPE = (",", ")", "COMMENT", "FIRST", "AFTER")
_ICEBERG = re.compile(r"""['"]table_type['"]\s*=\s*['"]iceberg['"]""", re.IGNORECASE)
_OPENERS = frozenset("(<")
_CLOSERS = frozenset(")>")


def create_external_table(statement: Statement) -> Outcome:
    """``CREATE EXTERNAL TABLE``: refuses what Hive's grammar refuses, then creates the table in Glue."""
    cursor = statement.hive()
    cursor.expect("CREATE", "EXTERNAL", "TABLE")
    if_not_exists = cursor.take("IF", "NOT", "EXISTS")
    database, name = statement.resolve(cursor.qualified_name())
    table_input = {"Name": name, **parse_table_body(cursor)}
    if table_input["Parameters"].get("table_type", "").upper() == "ICEBERG":
        raise iceberg_refused()
    create_in_glue(statement, database, table_input, if_not_exists=if_not_exists)
    return Outcome("DDL", "CREATE_TABLE")


def refuse_managed_table(statement: Statement) -> Outcome:
    """``CREATE TABLE (…)`` without EXTERNAL: Athena makes only Iceberg tables so, and this engine none."""
    if _ICEBERG.search(statement.sql):
        raise iceberg_refused()
    cursor = statement.hive()
    cursor.expect("CREATE")
    cursor.refuse("missing EXTERNAL at 'TABLE'")


def iceberg_refused() -> QueryFailed:
    """Why an Iceberg statement fails here."""
    return QueryFailed(
        "NOT_SUPPORTED: Iceberg tables are not supported by the local Athena; it reads and writes Hive tables"
    )


def create_in_glue(
    statement: Statement, database: str, table_input: Mapping[str, Any], *, if_not_exists: bool
) -> None:
    """Create the table, telling what Glue refuses in Hive's words."""
    try:
        statement.catalog.create_table(database, table_input)
    except EntityExists as error:
        if not if_not_exists:
            raise task_error(
                f"AlreadyExistsException(message:Table {table_input['Name']} already exists)"
            ) from error
    except EntityMissing as error:
        raise database_not_found(database) from error


def database_not_found(database: str) -> QueryFailed:
    """Return what Hive says of a database that is not there."""
    return QueryFailed(
        f"FAILED: SemanticException [Error 10072]: Database does not exist: {database}",
        error_type=SCHEMA_ERROR,
    )


def parse_table_body(cursor: Cursor) -> dict[str, Any]:
    """Everything after the table's name."""
    columns = column_list(cursor)
    comment = cursor.string() if cursor.take("COMMENT") else None
    keys = column_list(cursor) if cursor.take("PARTITIONED", "BY") else []
    buckets = _buckets(cursor)
    storage = _storage(cursor)
    location = _location(cursor)
    parameters = properties(cursor) if cursor.take("TBLPROPERTIES") else {}
    cursor.expect_end()
    _refuse_duplicates([*columns, *keys])
    descriptor = {**storage.descriptor(columns, location), **buckets}
    described = {} if comment is None else {"Description": comment}
    return {
        **described,
        "Owner": "hadoop",
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": keys,
        "StorageDescriptor": descriptor,
        "Parameters": {
            "EXTERNAL": "TRUE",
            "transient_lastDdlTime": str(int(time.time())),
            **({} if comment is None else {"comment": comment}),
            **parameters,
        },
    }


def column_list(cursor: Cursor) -> GlueColumns:
    """``(name type [COMMENT 'text'], …)``."""
    columns: GlueColumns = []
    cursor.expect("(")
    while True:
        columns.append(column(cursor))
        if not cursor.take(","):
            break
    cursor.expect(")")
    return columns


def column(cursor: Cursor) -> dict[str, str]:
    """``name type [COMMENT 'text']``."""
    name = cursor.identifier()
    found = {"Name": name, "Type": hive_type(cursor)}
    if cursor.take("COMMENT"):
        found["Comment"] = cursor.string()
    return found


def hive_type(cursor: Cursor) -> str:
    """Return a type, as Glue keeps it: lower case, without spaces."""
    start = cursor.token
    text, depth = "", 0
    while not cursor.done and (depth or not any(cursor.at(stop) for stop in _AFTER_TYPE)):
        token = cursor.step()
        words = token.kind in (TokenKind.WORD, TokenKind.BACKTICK)
        text += (" " if words and text[-1:].isalnum() else "") + token.text
        depth += (token.text in _OPENERS) - (token.text in _CLOSERS)
    if not text:
        cursor.fail("a type")
    try:
        return parse_hive(text).hive
    except UnknownTypeError as error:
        line = cursor.sql.count("\n", 0, start.start) + 1
        at = start.start - (cursor.sql.rfind("\n", 0, start.start) + 1)
        raise QueryFailed(
            f"FAILED: ParseException line {line}:{at} cannot recognize input near '{text}' in column type"
        ) from error


def properties(cursor: Cursor) -> dict[str, str]:
    """``('key'='value', …)``."""
    found: dict[str, str] = {}
    cursor.expect("(")
    while True:
        key = cursor.string()
        cursor.expect("=")
        found[key] = cursor.string()
        if not cursor.take(","):
            break
    cursor.expect(")")
    return found


def checked_location(cursor: Cursor) -> str:
    """Return a location's literal: an s3 uri of a folder."""
    text = cursor.string()
    try:
        S3Uri.parse(text)
    except InvalidUri as error:
        raise task_error(
            f"MetaException(message:Got exception: location is not an S3 path: {text})"
        ) from error
    return text


def _location(cursor: Cursor) -> str:
    if not cursor.take("LOCATION"):
        cursor.fail("LOCATION, which an external table needs")
    return checked_location(cursor)


def _buckets(cursor: Cursor) -> dict[str, Any]:
    if not cursor.take("CLUSTERED", "BY"):
        return {}
    cursor.expect("(")
    names = [cursor.identifier()]
    while cursor.take(","):
        names.append(cursor.identifier())
    cursor.expect(")", "INTO")
    count = cursor.integer()
    cursor.expect("BUCKETS")
    return {"BucketColumns": names, "NumberOfBuckets": count}


def _storage(cursor: Cursor) -> Storage:
    serde, parameters = None, dict[str, str]()
    if cursor.take("ROW", "FORMAT", "SERDE"):
        serde = cursor.string()
    elif cursor.take("ROW", "FORMAT", "DELIMITED"):
        parameters = _delimiters(cursor)
    parameters |= _serde_properties(cursor)
    storage = _stored_as(cursor)
    parameters |= _serde_properties(cursor)
    return replace(storage, serde=serde or storage.serde, serde_parameters=parameters)


def _serde_properties(cursor: Cursor) -> dict[str, str]:
    return properties(cursor) if cursor.take("WITH", "SERDEPROPERTIES") else {}


def _delimiters(cursor: Cursor) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for words, names in _DELIMITERS:
        if cursor.take(*words):
            text = cursor.string()
            parameters |= dict.fromkeys(names, text)
    return parameters


def _stored_as(cursor: Cursor) -> Storage:
    if not cursor.take("STORED", "AS"):
        return TEXTFILE
    if cursor.take("INPUTFORMAT"):
        input_format = cursor.string()
        cursor.expect("OUTPUTFORMAT")
        return Storage(TEXTFILE.serde, input_format, cursor.string())
    name = cursor.token.text.upper()
    if name not in HIVE_FORMATS:
        cursor.refuse(f"Unrecognized file format in STORED AS clause: '{cursor.token.text}'")
    cursor.step()
    return HIVE_FORMATS[name]


def _refuse_duplicates(columns: GlueColumns) -> None:
    seen: set[str] = set()
    for entry in columns:
        if entry["Name"] in seen:
            raise QueryFailed(
                f"FAILED: SemanticException [Error 10036]: Duplicate column name: {entry['Name']}"
            )
        seen.add(entry["Name"])
