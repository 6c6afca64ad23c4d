"""SQL as text: quoting for a named engine, and tokens. Questions about columns are left to the engine.

Athena speaks two languages: Hive DDL (``CREATE EXTERNAL TABLE``, ``ALTER TABLE``, …) quotes identifiers
with back-ticks and escapes literals with a backslash; everything else is Trino, which doubles quotes.
Quoting takes the dialect as an argument because a wrong guess is an injection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from airflow_quilt_athena.exceptions import InvalidCallError

MAX_QUERY_BYTES = 262_144  # Athena API Reference, "StartQueryExecution", read 2026-11


class Dialect(Enum):
    """The two languages of Athena engine version 3."""

    TRINO = "trino"
    HIVE = "hive"


class TokenKind(Enum):
    """What a stretch of SQL text is."""

    WORD = "word"
    NUMBER = "number"
    STRING = "string"
    QUOTED = "quoted"  # "identifier"
    BACKTICK = "backtick"  # `identifier`
    COMMENT = "comment"
    SPACE = "space"
    PARAMETER = "parameter"  # ?
    SEMICOLON = "semicolon"
    SYMBOL = "symbol"


SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})


@dataclass(frozen=True, slots=True)
class Token:
    """A stretch of SQL text; the texts of all tokens, joined, are the SQL."""

    kind: TokenKind
    text: str
    start: int  # offset of the first character


class SqlTextError(InvalidCallError):
    """A quote or a comment is not closed."""


_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\r\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<backtick>`(?:[^`]|``)*`)
    | (?P<word>[^\W\d]\w*)
    | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<parameter>\?)
    | (?P<semicolon>;)
    | (?P<symbol>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_HIVE_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_OPENERS = {"'": "string literal", '"': "quoted identifier", "`": "quoted identifier"}


def quote_identifier(name: str, dialect: Dialect) -> str:
    """Return ``name`` as one quoted identifier of ``dialect``.

    >>> quote_identifier('a "b" c', Dialect.TRINO)
    '"a ""b"" c"'
    >>> quote_identifier("order", Dialect.HIVE)
    '`order`'
    """
    if not name or "\x00" in name:
        raise InvalidCallError(f"Cannot quote {name!r} as an identifier: it is empty or holds a NUL.")
    mark = '"' if dialect is Dialect.TRINO else "`"
    return mark + name.replace(mark, mark * 2) + mark


def quote_name(database: str, name: str, dialect: Dialect) -> str:
    """Return ``database.name`` as two quoted identifiers."""
    return f"{quote_identifier(database, dialect)}.{quote_identifier(name, dialect)}"


def quote_literal(text: str, dialect: Dialect) -> str:
    r"""Return ``text`` as a string literal of ``dialect``.

    >>> quote_literal("O'Brien", Dialect.TRINO)
    "'O''Brien'"
    >>> quote_literal("O'Brien", Dialect.HIVE)
    "'O\\'Brien'"
    """
    if "\x00" in text:
        raise InvalidCallError(f"Cannot quote {text!r} as a literal: it holds a NUL.")
    if dialect is Dialect.TRINO:
        return "'" + text.replace("'", "''") + "'"
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def tokenize(sql: str, dialect: Dialect = Dialect.TRINO) -> tuple[Token, ...]:
    """Cut ``sql`` into tokens without losing a character. Raises SqlTextError on an open quote or comment."""
    tokens: list[Token] = []
    position = 0
    while position < len(sql):
        token = _token_at(sql, position, dialect)
        tokens.append(token)
        position += len(token.text)
    return tuple(tokens)


def _token_at(sql: str, position: int, dialect: Dialect) -> Token:
    if dialect is Dialect.HIVE and sql[position] == "'":
        string = _HIVE_STRING.match(sql, position)
        if string is None:  # open in Hive, also where it would be closed in Trino
            raise _not_closed("string literal", sql, position)
        return Token(TokenKind.STRING, string.group(), position)
    match = _TOKEN.match(sql, position)
    # The last branch takes any character, so a match there always is.
    kind = TokenKind(match.lastgroup) if match else TokenKind.SYMBOL
    text = match.group() if match else sql[position]
    if kind is TokenKind.SYMBOL:
        _refuse_open(sql, position)
    return Token(kind, text, position)


def _refuse_open(sql: str, position: int) -> None:
    what = "comment" if sql.startswith("/*", position) else _OPENERS.get(sql[position])
    if what:
        raise _not_closed(what, sql, position)


def _not_closed(what: str, sql: str, position: int) -> SqlTextError:
    line = sql.count("\n", 0, position) + 1
    column = position - (sql.rfind("\n", 0, position) + 1) + 1
    return SqlTextError(f"The {what} that starts at line {line}:{column} is not closed.")


def split_statements(sql: str, dialect: Dialect = Dialect.TRINO) -> tuple[str, ...]:
    """Cut ``sql`` at its semicolons. Comments stay; statements of nothing but comments and space go.

    >>> split_statements("SELECT ';' ; -- done")
    ("SELECT ';'",)
    """
    statements: list[str] = []
    current: list[Token] = []
    for token in (*tokenize(sql, dialect), Token(TokenKind.SEMICOLON, ";", len(sql))):
        if token.kind is not TokenKind.SEMICOLON:
            current.append(token)
            continue
        if any(t.kind not in SILENT for t in current):
            statements.append("".join(t.text for t in current).strip())
        current = []
    return tuple(statements)


_INERT = frozenset({TokenKind.COMMENT, TokenKind.STRING, TokenKind.QUOTED, TokenKind.BACKTICK})


def replace_in_code(sql: str, replacements: Mapping[str, str]) -> str:
    """Return ``sql`` with texts replaced, in one pass, where they are in no literal, quoted name or comment.

    >>> replace_in_code("SELECT '{a}' FROM {a} -- {a}", {"{a}": "t"})
    "SELECT '{a}' FROM t -- {a}"
    """
    pattern = re.compile("|".join(map(re.escape, replacements)))
    runs = groupby(tokenize(sql), key=lambda token: token.kind in _INERT)
    texts = ((inert, "".join(token.text for token in tokens)) for inert, tokens in runs)
    return "".join(
        text if inert else pattern.sub(lambda found: replacements[found[0]], text) for inert, text in texts
    )


def is_in_code(sql: str, text: str) -> bool:
    """Whether ``sql`` holds ``text`` in no literal, quoted name or comment."""
    return replace_in_code(sql, {text: ""}) != sql
