"""DuckDB itself: one locked in-memory database, a cursor for each query, and its errors in Athena's words."""

from __future__ import annotations

import atexit
import re
import threading
from typing import Any

from local_athena.duck.values.snippets import raised
from local_athena.errors import QueryFailed

_THREADS = 2
_MEMORY_LIMIT = "600MB"
_MAX_EXPRESSION_DEPTH = 10_000
# These evaluate what CASE, TRY or an earlier condition would have kept from it: folding constants makes
# `IF(false, 1 / 0)` fail, sharing subexpressions takes them out of TRY, and reordering filters puts
# `1 / x > 0` before `x <> 0`.
_DISABLED_OPTIMIZERS = "expression_rewriter,common_subexpressions,reorder_filter"
_lock = threading.Lock()
_database: Any = None


def cursor() -> Any:
    """Return a connection of its own to the shared database; views and tables made there are its own."""
    global _database
    with _lock:
        if _database is None:
            _database = _open()
        return _database.cursor()


def _open() -> Any:
    import duckdb

    from local_athena.duck.json import trino_json

    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": _THREADS,
        "memory_limit": _MEMORY_LIMIT,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    database = duckdb.connect(":memory:", config=settings)
    trino_json.register(database)
    atexit.register(database.close)  # what a function of ours holds is else told as leaked
    database.execute("SET TimeZone = 'UTC'")
    database.execute(f"SET disabled_optimizers = '{_DISABLED_OPTIMIZERS}'")
    database.execute(f"SET max_expression_depth = {_MAX_EXPRESSION_DEPTH}")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


_OVERFLOW = re.compile(r"Overflow in (\w+) of (\w+) \((.*?)\)", re.DOTALL)
_INTEGER_NAMES = {
    "INT8": "tinyint",
    "INT16": "smallint",
    "INT32": "integer",
    "INT64": "bigint",
    "INT128": "bigint",
}


def failure(error: Exception) -> QueryFailed:
    """Say one of DuckDB's errors in Athena's words."""
    message = str(error)
    ours = raised(message)
    if ours is not None:
        return QueryFailed(ours)
    overflow = _OVERFLOW.search(message)
    if overflow is not None:
        operation, kind, values = overflow.groups()
        if kind.startswith("DECIMAL"):
            return QueryFailed("NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow")
        return QueryFailed(
            f"NUMERIC_VALUE_OUT_OF_RANGE: {_INTEGER_NAMES.get(kind, kind)} {operation} overflow: {values}"
        )
    for pattern, reason in _KNOWN:
        found = re.search(pattern, message, re.DOTALL)
        if found is not None:
            return QueryFailed(found.expand(reason))
    return QueryFailed(f"GENERIC_INTERNAL_ERROR: {message.splitlines()[0]}", category=1, error_type=0)


_KNOWN = (
    (
        r"More than one row returned by a subquery",
        "SUBQUERY_MULTIPLE_ROWS: Scalar sub-query has returned multiple rows",
    ),
    (
        r"DECIMAL|[Oo]verflow in (?:decimal|multiplication of DECIMAL)",
        "NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow",
    ),
    (
        r"with value (\S+) can't be cast .*?destination type INT64",
        r"NUMERIC_VALUE_OUT_OF_RANGE: bigint addition overflow: \1",
    ),
    (
        r"with value (\S+) can't be cast .*?destination type (\w+)",
        r"NUMERIC_VALUE_OUT_OF_RANGE: Value \1 out of range",
    ),
    (r"Interval value \S+ \w+ out of range", "GENERIC_INTERNAL_ERROR: long overflow"),
    (r"Out of Range Error: (.*?)(?:\n|$)", r"NUMERIC_VALUE_OUT_OF_RANGE: \1"),
    (
        r"Window \w+ (?:PRECEDING|FOLLOWING) expression cannot be (?:negative|NULL)",
        "INVALID_WINDOW_FRAME: Window frame offset value must not be negative or null",
    ),
    (r"Map keys must be unique", "INVALID_FUNCTION_ARGUMENT: Duplicate map keys are not allowed"),
    (
        r"invalid (?:perl operator|escape sequence|repetition)[^\n]*",
        r"NOT_SUPPORTED: The local Athena runs regular expressions by RE2, which refuses one: \g<0>",
    ),
    (r"missing \)|missing \]|missing argument to repetition[^\n]*", r"INVALID_FUNCTION_ARGUMENT: \g<0>"),
    (r"Out of Memory Error", "EXCEEDED_LOCAL_MEMORY_LIMIT: Query exceeded per-node memory limit"),
)
