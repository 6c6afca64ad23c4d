"""The embedded engine: Trino's SELECT, run by DuckDB in this process on Glue's tables."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from local_athena.data.catalog import Catalog
from local_athena.data.session import Column, QueryResult, Session
from local_athena.duck.file_writer import FileWriter

if TYPE_CHECKING:
    from local_athena.duck.sql.translate import Translated

_EXPLAIN = re.compile(
    r"\s*EXPLAIN\s+(?P<analyze>ANALYZE\s+(?:VERBOSE\s+)?)?(?:\((?:[^()]|\([^()]*\))*\)\s*)?", re.IGNORECASE
)

_RECURSION_LIMIT = 20_000


class DuckEngine(FileWriter):
    """Runs Trino SQL as the session's caller. Keeps nothing between queries but parsed texts."""

    def describe(self, sql: str, session: Session) -> tuple[Column, ...]:
        """Return the columns of a SELECT, without running it."""
        return _translated(sql, session).columns

    def query(self, sql: str, session: Session) -> QueryResult:
        """Run a SELECT; ``?`` are taken from the session's parameters."""
        translated = _translated(sql, session)
        table = _run(translated.sql, translated, session)
        return QueryResult(translated.columns, _typed(table, translated))

    def explain(self, sql: str, session: Session) -> Sequence[str]:
        """Return the lines of a plan, for a SELECT or for ``EXPLAIN [ANALYZE] SELECT``."""
        found = _EXPLAIN.match(sql)
        analyze = bool(found and found.group("analyze"))
        translated = _translated(sql[found.end() :] if found else sql, session)
        rows = _run(f"EXPLAIN {'ANALYZE ' if analyze else ''}{translated.sql}", translated, session)
        texts = rows.column(rows.num_columns - 1).to_pylist()
        return [line.rstrip() for text in texts for line in str(text).splitlines()]


_TYPICAL = """
WITH a AS (SELECT DISTINCT x, count(*) AS n, max(l[1]) AS y FROM (VALUES (1, ARRAY['a'])) AS t(x, l)
WHERE x IN (1, 2) AND NOT l[1] LIKE '%q' AND x IS NOT NULL GROUP BY 1)
SELECT a.*, CAST(b.y AS varchar) AS c, CASE WHEN a.n > 1 THEN -1 ELSE a.x + 1 END,
regexp_extract(a.y, '^s3:', 0), date_add('day', 1, DATE '2026-01-01'),
row_number() OVER (PARTITION BY a.x ORDER BY b.y)
FROM a JOIN (SELECT * FROM a) b ON a.x = b.x AND a.y = b.y CROSS JOIN UNNEST(ARRAY[1]) AS u(z)
ORDER BY 1 DESC LIMIT 10
"""


def warm() -> None:
    """Import, build and learn what the first query would otherwise wait for, by running a typical one."""
    from local_athena.duck import runtime
    from local_athena.duck.sql import gate
    from local_athena.duck.sql.translate import translate

    now = dt.datetime(2026, 1, 1)
    translated = translate(gate.parse(_TYPICAL), catalog=None, database="default", parameters=(), now=now)
    con = runtime.cursor()
    con.sql(translated.sql).to_arrow_table()
    con.close()


def _translated(sql: str, session: Session) -> Translated:
    from local_athena.duck.sql import gate
    from local_athena.duck.sql.translate import translate

    # Long texts nest deeply: an expression of a thousand terms is a thousand levels of the parse tree.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION_LIMIT))
    tree = gate.parse(sql)
    session.check()
    return translate(
        tree,
        catalog=Catalog(session.clients),
        database=session.database.lower(),
        parameters=session.parameters,
        now=dt.datetime.now(dt.UTC).replace(tzinfo=None),
    )


def _run(sql: str, translated: Translated, session: Session) -> Any:
    """Bind the scans and run DuckDB's SQL, stopping when the query is stopped."""
    import duckdb

    from local_athena.duck import runtime
    from local_athena.duck.scans.scanner import Scanner, ScanRequest

    requests = [
        ScanRequest(scan.alias, scan.table, scan.columns, tuple(dict.fromkeys(scan.filters)), scan.wants_path)
        for scan in translated.scans
    ]
    con = runtime.cursor()
    try:
        with session.interruptible(con.interrupt):
            if requests:
                Scanner().bind(con, requests, session)
            session.check()
            return con.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        session.check()
        raise runtime.failure(error) from error
    finally:
        con.close()


def _typed(table: Any, translated: Translated) -> Any:
    """Give the result the Arrow types its columns promise."""
    import pyarrow as pa

    columns = []
    for column, kind in zip(table.columns, translated.types, strict=True):
        wanted = kind.arrow()
        columns.append(column if column.type == wanted else column.cast(wanted))
    names = [column.name for column in translated.columns]
    return pa.Table.from_arrays(columns, names=names)


__all__ = ["DuckEngine", "warm"]
