"""Reads a statement's tokens one after another, and says where it met one it cannot read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from local_athena.errors import QueryFailed
from local_athena.sql_text import SILENT, Dialect, SqlTextError, Token, TokenKind, tokenize

GLUE_CATALOG = "awsdatacatalog"

_END = "<EOF>"
_NO_BACKTICKS = "backquoted identifiers are not supported; use double quotes to quote identifiers"
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|[0-3][0-7]{2}|.)", re.DOTALL)
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "%": "\\%", "_": "\\_"}


@dataclass(frozen=True, slots=True)
class QualifiedName:
    """A table, view or database object's name, lower case; ``database`` is None when none was written."""

    database: str | None
    name: str

    def within(self, database: str) -> tuple[str, str]:
        """Return the database and the name, with ``database`` for a name that brought none."""
        return self.database or database, self.name


class Cursor:
    """A place in the tokens of ``sql``; comments and white space are passed over."""

    def __init__(self, sql: str, dialect: Dialect) -> None:
        self.sql = sql
        self.dialect = dialect
        try:
            tokens = tokenize(sql, dialect)
        except SqlTextError as error:
            raise QueryFailed(str(error)) from error
        self._tokens = [token for token in tokens if token.kind not in SILENT]
        while self._tokens and self._tokens[-1].kind is TokenKind.SEMICOLON:
            self._tokens.pop()
        self._end = self._tokens[-1].start + len(self._tokens[-1].text) if self._tokens else len(sql)
        self._index = 0

    @property
    def token(self) -> Token:
        """The next token; one without text at the end."""
        if self._index < len(self._tokens):
            return self._tokens[self._index]
        return Token(TokenKind.SPACE, "", self._end)

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return self._index >= len(self._tokens)

    def at(self, *texts: str) -> bool:
        """Whether the next tokens are these words or symbols, in any case."""
        return self._at(self._index, texts)

    def _at(self, index: int, texts: tuple[str, ...]) -> bool:
        ahead = self._tokens[index : index + len(texts)]
        return len(ahead) == len(texts) and all(
            token.kind in (TokenKind.WORD, TokenKind.SYMBOL) and token.text.upper() == text
            for token, text in zip(ahead, texts, strict=True)
        )

    def take(self, *texts: str) -> bool:
        """Step over these words or symbols if they come next."""
        found = self.at(*texts)
        if found:
            self._index += len(texts)
        return found

    def expect(self, *texts: str) -> None:
        """Step over these words or symbols, or fail."""
        for text in texts:
            if not self.take(text):
                self.fail(f"'{text}'")

    def expect_end(self) -> None:
        """Fail when anything is left."""
        if not self.done:
            self.fail(_END)

    def step(self) -> Token:
        """Return the next token, stepped over."""
        token = self.token
        if self.done:
            self.fail("more")
        self._index += 1
        return token

    def cut_tail(self, *texts: str) -> bool:
        """Drop these words from the statement's end, if it ends in them."""
        start = len(self._tokens) - len(texts)
        found = start > self._index and self._at(start, texts)
        if found:
            del self._tokens[start:]
            self._end = self._tokens[-1].start + len(self._tokens[-1].text)
        return found

    def rest(self) -> str:
        """All that is left, as it was written."""
        return self.sql[self.token.start : self._end]

    def padded_rest(self) -> str:
        """All that is left, at the line and column where it stood: an engine's errors then point right."""
        return re.sub(r"[^\n]", " ", self.sql[: self.token.start]) + self.rest()

    def bracketed(self, padded: bool = False) -> str:
        """Step over a pair of brackets; what stood between them, as it was written."""
        opening = self.token
        self.expect("(")
        depth = 1
        while depth:
            token = self.step()
            if token.kind is TokenKind.SYMBOL:
                depth += (token.text == "(") - (token.text == ")")
        start, end = opening.start + 1, self._tokens[self._index - 1].start
        pad = re.sub(r"[^\n]", " ", self.sql[:start]) if padded else ""
        return pad + self.sql[start:end]

    def identifier(self) -> str:
        """One identifier, lower case, as both Glue and Trino keep them."""
        return self.raw_identifier().lower()

    def raw_identifier(self) -> str:
        """One identifier, in the case it was written in."""
        token = self.token
        quoted = token.kind is self._quoted_kind
        if not quoted and token.kind is TokenKind.BACKTICK:
            self.refuse(_NO_BACKTICKS)
        if not quoted and token.kind is not TokenKind.WORD:
            self.fail("identifier")
        self._index += 1
        mark = token.text[0]
        return token.text[1:-1].replace(mark * 2, mark) if quoted else token.text

    @property
    def _quoted_kind(self) -> TokenKind:
        return TokenKind.BACKTICK if self.dialect is Dialect.HIVE else TokenKind.QUOTED

    def qualified_name(self) -> QualifiedName:
        """``name``, ``database.name`` or ``awsdatacatalog.database.name``.

        In Hive DDL one pair of back-ticks may hold a name with its database, as SHOW CREATE TABLE prints it.
        """
        at = self.token
        parts = [self.identifier()]
        while self.take("."):
            parts.append(self.identifier())
        if self.dialect is Dialect.HIVE:
            parts = [piece for part in parts for piece in part.split(".")]
        if len(parts) == 3 and parts[0] == GLUE_CATALOG:
            parts = parts[1:]
        if len(parts) > 2 or not all(parts):
            self._refuse_at(at, f"Catalog or name '{'.'.join(parts)}' does not exist: this is {GLUE_CATALOG}")
        return QualifiedName(parts[0] if len(parts) == 2 else None, parts[-1])

    def string(self) -> str:
        """One string literal's text, by the rules of the dialect."""
        token = self.token
        hive = self.dialect is Dialect.HIVE
        if token.kind is not TokenKind.STRING and not (hive and token.kind is TokenKind.QUOTED):
            self.fail("string")
        self._index += 1
        body = token.text[1:-1]
        if not hive:
            return body.replace("''", "'")
        return _ESCAPE.sub(_unescape, body.replace(token.text[0] * 2, token.text[0]))

    def integer(self) -> int:
        """One whole number."""
        token = self.token
        if token.kind is not TokenKind.NUMBER or not token.text.isdigit():
            self.fail("number")
        self._index += 1
        return int(token.text)

    def refuse_backticks(self) -> None:
        """Refuse a name in back-ticks wherever it stands, as Trino does."""
        for token in self._tokens:
            if token.kind is TokenKind.BACKTICK:
                self._refuse_at(token, _NO_BACKTICKS)

    def fail(self, expected: str) -> NoReturn:
        """Refuse the next token, naming what should have stood there."""
        found = self.token.text or _END
        if self.dialect is Dialect.HIVE:
            self.refuse(f"mismatched input '{found}' expecting {expected}")
        self.refuse(f"mismatched input '{found}'. Expecting: {expected}")

    def refuse(self, what: str) -> NoReturn:
        """Refuse the statement at the next token, in the words of the parser that would."""
        self._refuse_at(self.token, what)

    def _refuse_at(self, token: Token, what: str) -> NoReturn:
        line = self.sql.count("\n", 0, token.start) + 1
        column = token.start - (self.sql.rfind("\n", 0, token.start) + 1)
        if self.dialect is Dialect.HIVE:
            raise QueryFailed(f"FAILED: ParseException line {line}:{column} {what}")
        raise QueryFailed(f"line {line}:{column + 1}: {what}")


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) > 1:
        return chr(int(code[1:], 16)) if code[0] == "u" else chr(int(code, 8))
    return _ESCAPED.get(code, code)
