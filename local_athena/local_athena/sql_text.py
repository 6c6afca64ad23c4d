"""SQL as text: its tokens, and names and literals quoted. What a statement means is not known here.

Athena reads two languages. Hive DDL quotes names with back-ticks and escapes in literals with a backslash;
the rest is Trino, which doubles quotes. A test compares the shapes with the lexer of Trino's own grammar; but
words here may hold any letter, since what a name may be is asked later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Dialect(Enum):
    """The two languages of Athena engine version 3."""

    TRINO = "trino"
    HIVE = "hive"


class TokenKind(Enum):
    """What a stretch of SQL text is."""

    SPACE = "space"
    COMMENT = "comment"
    STRING = "string"
    QUOTED = "quoted"  # "name"
    BACKTICK = "backtick"  # `name`
    WORD = "word"
    NUMBER = "number"
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


class SqlTextError(ValueError):
    """A quote or a comment is not closed."""


def _doubled(mark: str) -> str:
    """Return the shape of text between two marks; a mark inside is written twice."""
    return f"{mark}[^{mark}]*(?:{mark}{mark}[^{mark}]*)*{mark}"


_OPEN = "open"  # what begins like a token that has an end, and has none
_STRINGS = {
    Dialect.TRINO: _doubled("'"),
    Dialect.HIVE: r"'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'",
}
_OPENERS = {"'": "string literal", '"': "quoted identifier", "`": "quoted identifier", "/": "comment"}


def _compile(dialect: Dialect) -> re.Pattern[str]:
    """Return all shapes as one pattern. The last matches any character, so that none is ever passed over."""
    shapes = {
        TokenKind.SPACE.value: r"\s+",
        TokenKind.COMMENT.value: r"--[^\r\n]*|/\*.*?\*/",
        TokenKind.STRING.value: _STRINGS[dialect],
        TokenKind.QUOTED.value: _doubled('"'),
        TokenKind.BACKTICK.value: _doubled("`"),
        _OPEN: r"/\*|['\"`]",
        TokenKind.WORD.value: r"(?!\d)\w+",
        TokenKind.NUMBER.value: r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?",
        TokenKind.PARAMETER.value: r"\?",
        TokenKind.SEMICOLON.value: ";",
        TokenKind.SYMBOL.value: ".",
    }
    return re.compile("|".join(f"(?P<{name}>{shape})" for name, shape in shapes.items()), re.DOTALL)


_PATTERNS = {dialect: _compile(dialect) for dialect in Dialect}


def tokenize(sql: str, dialect: Dialect = Dialect.TRINO) -> tuple[Token, ...]:
    """Cut ``sql`` into tokens without losing a character. Raises SqlTextError on an open quote or comment.

    >>> [token.text for token in tokenize("SELECT 'it''s'")]
    ['SELECT', ' ', "'it''s'"]
    """
    return tuple(_tokens(sql, dialect))


def _tokens(sql: str, dialect: Dialect) -> Iterator[Token]:
    for match in _PATTERNS[dialect].finditer(sql):
        if match.lastgroup == _OPEN:
            raise _not_closed(sql, match.start())
        yield Token(TokenKind(match.lastgroup), match[0], match.start())


def _not_closed(sql: str, start: int) -> SqlTextError:
    before = sql[:start]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return SqlTextError(f"The {_OPENERS[sql[start]]} that starts at line {line}:{column} is not closed.")


def count_statements(sql: str, dialect: Dialect = Dialect.TRINO) -> int:
    """Return how many statements semicolons part; comments and white space alone are none.

    >>> count_statements("SELECT ';'; -- done")
    1
    """
    count, inside = 0, False
    for token in _tokens(sql, dialect):
        if token.kind is TokenKind.SEMICOLON:
            inside = False
        elif token.kind not in SILENT and not inside:
            count, inside = count + 1, True
    return count


def quote_identifier(name: str, dialect: Dialect) -> str:
    """Return ``name`` as one quoted identifier.

    >>> quote_identifier("order", Dialect.HIVE)
    '`order`'
    """
    mark = "`" if dialect is Dialect.HIVE else '"'
    return mark + name.replace(mark, mark + mark) + mark


def quote_name(database: str, name: str, dialect: Dialect) -> str:
    """Return ``database.name`` as two quoted identifiers."""
    return ".".join(quote_identifier(part, dialect) for part in (database, name))


def quote_literal(text: str, dialect: Dialect) -> str:
    r"""Return ``text`` as a string literal.

    >>> quote_literal("O'Brien", Dialect.TRINO), quote_literal("O'Brien", Dialect.HIVE)
    ("'O''Brien'", "'O\\'Brien'")
    """
    if dialect is Dialect.HIVE:
        return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"
    return "'" + text.replace("'", "''") + "'"
