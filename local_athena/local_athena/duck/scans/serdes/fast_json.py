"""OpenX JSON lines by the hundred thousand: DuckDB reads what is plain, OpenXJson all the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import duckdb

from local_athena.data.types import DataType
from local_athena.duck.scans.serdes.json_columns import (
    HAS_CASED_KEY,
    MAY_HAVE_UNCLEAR_KEY,
    PLAIN_OBJECT,
    UNCLEAR_KEY,
    column_sql,
    lines_sql,
    literal,
)
from local_athena.duck.scans.serdes.lenient_json import InvalidJsonError
from local_athena.duck.scans.serdes.openx_json import OpenXJson, lowered_text

_BATCH_CHARACTERS = 4 * 1024 * 1024
_WORKERS = 2
_MAX_ODD_KEYS = 100
_CONTENTS = "__contents"
_LINES = f"(SELECT file, unnest(string_split(content, chr(10))) AS line FROM {_CONTENTS})"

Columns = Sequence[tuple[str, DataType]]
Rows = tuple[Any, list[Any]]  # numbers of the rows' files, and the columns


@dataclass(frozen=True, slots=True)
class Text:
    """The lines of one file, joined by line feeds."""

    file: int
    content: str


def can_read(columns: Columns, decoder: OpenXJson) -> bool:
    """Whether DuckDB reads all the types wanted."""
    return all(column_sql(kind, decoder) is not None for _, kind in columns)


def read_texts(
    con: duckdb.DuckDBPyConnection,
    texts: Iterable[Text],
    columns: Columns,
    make_decoder: Callable[[], OpenXJson],
) -> Iterator[Rows]:
    """Yield the columns wanted, a batch of lines at a time and in their order.

    Batches are read side by side, each on a cursor of its own, while the next texts are fetched: DuckDB does
    not share one table of Arrow's among its threads.
    """
    running: deque[Future[list[Rows]]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for batch in _batches(texts):
            running.append(pool.submit(_read_batch, con.cursor(), batch, columns, make_decoder()))
            if len(running) > _WORKERS:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()


def _batches(texts: Iterable[Text]) -> Iterator[Any]:
    """Yield tables of contents."""
    pieces: list[Text] = []
    held = 0
    for piece in (piece for text in texts for piece in _pieces(text)):
        pieces.append(piece)
        held += len(piece.content) + 1
        if held >= _BATCH_CHARACTERS:
            yield _batch(pieces)
            pieces, held = [], 0
    if pieces:
        yield _batch(pieces)


def _batch(pieces: Sequence[Text]) -> Any:
    import pyarrow as pa

    files = pa.array([piece.file for piece in pieces], pa.int32())
    return pa.table({"file": files, "content": pa.array([piece.content for piece in pieces], pa.string())})


def _pieces(text: Text) -> Iterator[Text]:
    """Cut a long text at ends of lines."""
    start, content = 0, text.content
    while len(content) - start > _BATCH_CHARACTERS:
        end = content.find("\n", start + _BATCH_CHARACTERS)
        if end < 0:
            break
        yield Text(text.file, content[start:end])
        start = end + 1
    yield Text(text.file, content[start:] if start else content)


def _read_batch(
    cursor: duckdb.DuckDBPyConnection, batch: Any, columns: Columns, decoder: OpenXJson
) -> list[Rows]:
    with cursor:
        cursor.register(_CONTENTS, batch)
        if not columns:  # then Trino does not look into the lines
            return [(cursor.sql(f"SELECT file FROM {_LINES}").to_arrow_table().column(0), [])]
        return _read_lines(cursor, columns, decoder)


def _read_lines(con: duckdb.DuckDBPyConnection, columns: Columns, decoder: OpenXJson) -> list[Rows]:
    keys = _Keys(con, decoder)
    spelling = {name: keys.spelled[key] for name, key in keys.wanted(columns)}
    sql = lines_sql(_LINES, columns, spelling, keys.odd_condition(columns), decoder)
    found = con.sql(sql).to_arrow_table()
    odd = found.column("odd_line")
    plain = found.filter(odd.is_null()) if odd.null_count < len(odd) else found
    try:
        lowered = [_lowered(plain.column(f"c{i}"), plain.column(f"k{i}")) for i in range(len(columns))]
    except InvalidJsonError:  # keys that collide make their whole line malformed
        every = con.sql(f"SELECT file, line AS odd_line FROM {_LINES}").to_arrow_table()
        return [_decoded(every, columns, decoder)]
    rows: list[Rows] = [(plain.column("file"), lowered)]
    if odd.null_count < len(odd):
        rows.append(_decoded(found.filter(odd.is_valid()), columns, decoder))
    return rows


def _decoded(lines: Any, columns: Columns, decoder: OpenXJson) -> Rows:
    names = [name for name, _ in columns]
    return lines.column("file"), decoder.decode(lines.column("odd_line").to_pylist(), names)


def _lowered(column: Any, cased: Any) -> Any:
    """Make the keys lower case in the JSON texts marked; equal texts are worked on once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(cased).as_py():
        return column
    encoded = pa.array(column.filter(cased).to_pylist(), pa.string()).dictionary_encode()
    lowered = pa.array([lowered_text(text) for text in encoded.dictionary.to_pylist()], pa.string())
    values = pa.concat_arrays(column.cast(pa.string()).chunks)
    return pc.replace_with_mask(values, pa.concat_arrays(cased.chunks), lowered.take(encoded.indices))


class _Keys:
    """The keys of the lines: the sets they have at their top and, where case does not count, all others."""

    def __init__(self, con: duckdb.DuckDBPyConnection, decoder: OpenXJson) -> None:
        rows = con.execute(f"SELECT DISTINCT json_keys(line) FROM {_LINES} WHERE {PLAIN_OBJECT}").fetchall()
        self._sets: list[list[str]] = [keys for (keys,) in rows]
        self._decoder = decoder
        # Where a key is spelled in several ways, one is read from plain lines.
        self.spelled = {decoder.folded(key): key for keys in self._sets for key in keys}
        cased = _cased_keys(con) if decoder.lowers else []
        self._colliding = [keys for keys in _by_lower_case(cased) if len(keys) > 1]
        self._unclear = bool(cased) and _any_file(con, MAY_HAVE_UNCLEAR_KEY)

    def wanted(self, columns: Columns) -> Iterator[tuple[str, str]]:
        """Yield the columns whose keys occur, with their keys."""
        for name, _ in columns:
            key = self._decoder.key(name)
            if key in self.spelled:
                yield name, key

    def odd_condition(self, columns: Columns) -> str:
        """Return SQL for: the line may have a key twice, or has a key of these columns spelled otherwise."""
        used = {key for _, key in self.wanted(columns)}
        odd = [keys for keys in self._sets if self._is_odd(keys, used)]
        if len(odd) + len(self._colliding) > _MAX_ODD_KEYS:
            return "true"
        conditions = [_has_two(spellings) for spellings in self._colliding]
        if odd:
            lists = ", ".join("[" + ", ".join(map(literal, keys)) + "]" for keys in odd)
            conditions.append(f"list_contains([{lists}], json_keys(plain))")
        if self._unclear:
            conditions.append(UNCLEAR_KEY)
        return "(" + (" OR ".join(conditions) or "false") + ")"

    def _is_odd(self, keys: Sequence[str], used: set[str]) -> bool:
        folded = [self._decoder.folded(key) for key in keys]
        if len(set(folded)) < len(folded) or (self._decoder.dots and any("." in key for key in keys)):
            return True
        return any(fold in used and self.spelled[fold] != key for fold, key in zip(folded, keys, strict=True))


def _cased_keys(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the keys, at any depth, of files that have one with upper-case letters.

    A key is what stands between the last quote and a quote with a colon; found among other things.
    """
    key = "substr(part, 1 - instr(reverse(part), chr(34)))"
    parts = (
        f"SELECT unnest(string_split(content, chr(34) || ':')) AS part FROM {_CONTENTS} WHERE {HAS_CASED_KEY}"
    )
    return [found for (found,) in con.execute(f"SELECT DISTINCT {key} FROM ({parts})").fetchall()]


def _any_file(con: duckdb.DuckDBPyConnection, condition: str) -> bool:
    return bool(con.execute(f"SELECT count(*) FROM {_CONTENTS} WHERE {condition}").fetchall()[0][0])


def _by_lower_case(keys: Sequence[str]) -> Iterable[list[str]]:
    """Group keys that differ only in case: two in one object make its line malformed."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(key.lower(), []).append(key)
    return groups.values()


def _has_two(spellings: Sequence[str]) -> str:
    there = (
        f"CAST(contains(line, {literal(chr(34) + key + chr(34) + ':')}) AS INTEGER)" for key in spellings
    )
    return f"{' + '.join(there)} > 1"
