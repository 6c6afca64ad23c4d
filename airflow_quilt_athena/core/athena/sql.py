"""SQL as text: quoting for a named engine, and tokens. Questions about columns are left to the engine.

Athena speaks two languages: Hive DDL (``CREATE EXTERNAL TABLE``, ``ALTER TABLE``, …) quotes identifiers
with back-ticks and escapes literals with a backslash; everything else is Trino, which doubles quotes.
Quoting takes the dialect as an argument because a wrong guess is an injection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
# Hive knows two quotes of literals, and a backslash escapes in both.
_HIVE_STRINGS = {
    "'": re.compile(r"'(?:[^'\\]|\\.|'')*'", re.DOTALL),
    '"': re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL),
}
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
    if dialect is Dialect.HIVE and sql[position] in _HIVE_STRINGS:
        string = _HIVE_STRINGS[sql[position]].match(sql, position)
        if string is None:  # open in Hive, also where it would be closed in Trino
            raise _not_closed("string literal", sql, position)
        kind = TokenKind.STRING if sql[position] == "'" else TokenKind.QUOTED
        return Token(kind, string.group(), position)
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


def split_statements(sql: str, dialect: Dialect | None = None) -> tuple[str, ...]:
    r"""Cut ``sql`` at its semicolons. Comments stay; statements of nothing but comments and space go.

    :param dialect: the language of all statements; None is each statement's own, by the words it begins with.

    >>> split_statements("SELECT ';' ; -- done")
    ("SELECT ';'",)
    >>> split_statements(r"ALTER TABLE t SET TBLPROPERTIES ('comment' = 'it\'s; fine'); SELECT 'a\'")[1]
    "SELECT 'a\\'"
    """
    statements: list[str] = []
    position = 0
    while position < len(sql):
        start, end, speaks = position, len(sql), False
        language = dialect or language_at(sql, position)
        while position < len(sql):
            token = _token_at(sql, position, language)
            position += len(token.text)
            if token.kind is TokenKind.SEMICOLON:
                end = token.start
                break
            speaks = speaks or token.kind not in SILENT
        if speaks:
            statements.append(sql[start:end].strip())
    return tuple(statements)


_HIVE_WORDS = frozenset({"ALTER", "DESC", "DESCRIBE", "DROP", "MSCK", "SHOW"})
_HIVE_MADE = frozenset({"EXTERNAL", "DATABASE", "SCHEMA"})


def language_at(sql: str, position: int = 0) -> Dialect:
    """Return the language of the statement that begins at ``position``, as Athena tells them apart.

    Hive's is the DDL. A CREATE TABLE is Trino's when a query follows its name, behind AS or WITH.

    >>> language_at("CREATE TABLE t AS SELECT 1"), language_at("CREATE TABLE t (id int) LOCATION 's3://b/'")
    (<Dialect.TRINO: 'trino'>, <Dialect.HIVE: 'hive'>)
    """
    tokens = _spoken_at(sql, position)
    first = _word(next(tokens, None))
    if first in _HIVE_WORDS:
        return Dialect.HIVE
    if first != "CREATE":
        return Dialect.TRINO
    second = _word(next(tokens, None))
    if second != "TABLE":
        return Dialect.HIVE if second in _HIVE_MADE else Dialect.TRINO
    if _word(next(tokens, None)) == "IF":
        for _ in ("NOT", "EXISTS", "name"):
            next(tokens, None)
    behind = next(tokens, None)
    while behind is not None and behind.text == ".":
        next(tokens, None)
        behind = next(tokens, None)
    return Dialect.TRINO if _word(behind) in {"AS", "WITH"} else Dialect.HIVE


def _spoken_at(sql: str, position: int) -> Iterator[Token]:
    """Yield the tokens of a statement but for blanks and comments, up to one that does not end."""
    while position < len(sql):
        try:
            token = _token_at(sql, position, Dialect.TRINO)
        except SqlTextError:
            return
        if token.kind is TokenKind.SEMICOLON:
            return
        if token.kind not in SILENT:
            yield token
        position += len(token.text)


def _word(token: Token | None) -> str:
    return token.text.upper() if token is not None else ""


_INERT = frozenset({TokenKind.COMMENT, TokenKind.STRING, TokenKind.QUOTED, TokenKind.BACKTICK})


def replace_in_code(sql: str, replacements: Mapping[str, str]) -> str:
    """Return ``sql`` with texts replaced, in one pass, where they are in no literal, quoted name or comment.

    >>> replace_in_code("SELECT '{a}' FROM {a} -- {a}", {"{a}": "t"})
    "SELECT '{a}' FROM t -- {a}"
    """
    return "".join(target for _, target in replaced_in_code(sql, replacements))


def replaced_in_code(sql: str, replacements: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield stretches of ``sql`` with what stands in their place: themselves, but for what is replaced."""
    if not replacements:
        yield sql, sql
        return
    pattern = re.compile(f"({'|'.join(map(re.escape, replacements))})")
    for inert, tokens in groupby(tokenize(sql), key=lambda token: token.kind in _INERT):
        text = "".join(token.text for token in tokens)
        for part in (text,) if inert else pattern.split(text):
            yield part, part if inert else replacements.get(part, part)


def is_in_code(sql: str, text: str) -> bool:
    """Whether ``sql`` holds ``text`` in no literal, quoted name or comment."""
    return replace_in_code(sql, {text: ""}) != sql
