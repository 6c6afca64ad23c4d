"""Prepared statements: the store behind the API, and PREPARE, EXECUTE and DEALLOCATE as SQL."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from local_athena.athena.paging import take_page
from local_athena.errors import ApiError, QueryFailed
from local_athena.sql_text import SILENT, SqlTextError, Token, TokenKind, tokenize

# Cheap look at the first word, since this is asked of every query.
_FIRST_WORD = re.compile(
    r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*(execute|prepare|deallocate)\b", re.IGNORECASE | re.DOTALL
)
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")


@dataclass(frozen=True, slots=True)
class PreparedStatement:
    """A statement kept under a name in a workgroup."""

    name: str
    workgroup: str
    statement: str
    modified: float
    description: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return it as GetPreparedStatement does."""
        described: dict[str, Any] = {
            "StatementName": self.name,
            "QueryStatement": self.statement,
            "WorkGroupName": self.workgroup,
            "LastModifiedTime": self.modified,
        }
        return described | ({"Description": self.description} if self.description else {})


@dataclass(frozen=True, slots=True)
class Prepare:
    """``PREPARE name FROM statement``."""

    name: str
    statement: str


@dataclass(frozen=True, slots=True)
class Execute:
    """``EXECUTE name [USING value, …]``."""

    name: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deallocate:
    """``DEALLOCATE PREPARE name``."""

    name: str


Command = Prepare | Execute | Deallocate


class PreparedStatements:
    """The prepared statements of all workgroups. Safe under concurrent calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statements: dict[tuple[str, str], PreparedStatement] = {}

    def create(self, workgroup: str, name: str, statement: str, description: str | None = None) -> None:
        """Add a statement. Raises ApiError when the workgroup has one of that name."""
        with self._lock:
            if (workgroup, name) in self._statements:
                raise ApiError(
                    "InvalidRequestException",
                    f"PreparedStatement {name} already exists in WorkGroup {workgroup}",
                )
            self._put(workgroup, name, statement, description)

    def replace(self, workgroup: str, name: str, statement: str, description: str | None = None) -> None:
        """Change a statement that is there."""
        with self._lock:
            self._get(workgroup, name)
            self._put(workgroup, name, statement, description)

    def get(self, workgroup: str, name: str) -> PreparedStatement:
        """Return a statement. Raises ApiError (ResourceNotFoundException) when there is none."""
        with self._lock:
            return self._get(workgroup, name)

    def find(self, workgroup: str, name: str) -> PreparedStatement | None:
        """Return a statement, or None."""
        with self._lock:
            return self._statements.get((workgroup, name))

    def batch(self, workgroup: str, names: Iterable[str]) -> dict[str, Any]:
        """Return many statements, and the names there are none of."""
        found = {name: self.find(workgroup, name) for name in names}
        return {
            "PreparedStatements": [one.describe() for one in found.values() if one is not None],
            "UnprocessedPreparedStatementNames": [
                {
                    "StatementName": name,
                    "ErrorCode": "STATEMENT_NOT_FOUND",
                    "ErrorMessage": f"PreparedStatement {name} was not found in WorkGroup {workgroup}",
                }
                for name, one in found.items()
                if one is None
            ],
        }

    def delete(self, workgroup: str, name: str) -> None:
        """Remove a statement that is there."""
        with self._lock:
            self._get(workgroup, name)
            del self._statements[workgroup, name]

    def page(self, request: dict[str, Any], workgroup: str) -> dict[str, Any]:
        """Return a page of the workgroup's statements in the order of their names."""
        with self._lock:
            found = sorted(
                (one for one in self._statements.values() if one.workgroup == workgroup),
                key=lambda one: one.name,
            )
        page, more = take_page(
            found, request, scope=f"prepared in {workgroup}", position=lambda one: one.name
        )
        shown = [{"StatementName": one.name, "LastModifiedTime": one.modified} for one in page]
        return {"PreparedStatements": shown, **more}

    def count(self, workgroup: str) -> int:
        """How many statements a workgroup has."""
        with self._lock:
            return sum(one.workgroup == workgroup for one in self._statements.values())

    def forget_workgroup(self, workgroup: str) -> None:
        """Drop all statements of a workgroup."""
        with self._lock:
            self._statements = {
                key: one for key, one in self._statements.items() if one.workgroup != workgroup
            }

    def _get(self, workgroup: str, name: str) -> PreparedStatement:
        found = self._statements.get((workgroup, name))
        if found is None:
            raise ApiError(
                "ResourceNotFoundException",
                f"PreparedStatement {name} was not found in WorkGroup {workgroup}",
            )
        return found

    def _put(self, workgroup: str, name: str, statement: str, description: str | None) -> None:
        self._statements[workgroup, name] = PreparedStatement(
            name, workgroup, statement, round(time.time(), 3), description
        )


def parse_command(sql: str) -> Command | None:
    """Return the PREPARE, EXECUTE or DEALLOCATE that ``sql`` is, or None. Raises QueryFailed if malformed.

    >>> parse_command("EXECUTE ps1 USING 1, 'a, b'")
    Execute(name='ps1', parameters=('1', "'a, b'"))
    """
    first = _FIRST_WORD.match(sql)
    if first is None:
        return None
    try:
        tokens = tokenize(sql)
    except SqlTextError as error:
        raise _syntax_error(str(error)) from error
    words = [token for token in tokens if token.kind not in SILENT]
    while words and words[-1].kind is TokenKind.SEMICOLON:
        words.pop()
    verb = first[1].lower()
    if verb == "execute":
        # EXECUTE IMMEDIATE has no prepared statement behind it: the engines answer for it.
        return None if _is_word(words, 1, "immediate") else _parse_execute(sql, words)
    return _parse_prepare(sql, words) if verb == "prepare" else _parse_deallocate(words)


def _parse_execute(sql: str, words: Sequence[Token]) -> Execute:
    name = _name(words, 1)
    if len(words) == 2:
        return Execute(name, ())
    if not _is_word(words, 2, "using") or len(words) == 3:
        raise _syntax_error("expected EXECUTE name [USING value, ...]")
    return Execute(name, _split_arguments(sql, words[3:]))


def _parse_prepare(sql: str, words: Sequence[Token]) -> Prepare:
    name = _name(words, 1)
    if not _is_word(words, 2, "from") or len(words) == 3:
        raise _syntax_error("expected PREPARE name FROM statement")
    return Prepare(name, sql[words[3].start : words[-1].start + len(words[-1].text)])


def _parse_deallocate(words: Sequence[Token]) -> Deallocate:
    if not _is_word(words, 1, "prepare") or len(words) != 3:
        raise _syntax_error("expected DEALLOCATE PREPARE name")
    return Deallocate(_name(words, 2))


def _split_arguments(sql: str, words: Sequence[Token]) -> tuple[str, ...]:
    arguments: list[str] = []
    depth, start = 0, words[0].start
    for token in words:
        depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth == 0 and token.text == ",":
            arguments.append(sql[start : token.start].strip())
            start = token.start + 1
    arguments.append(sql[start : words[-1].start + len(words[-1].text)].strip())
    if not all(arguments):
        raise _syntax_error("a value is missing after USING")
    return tuple(arguments)


def _name(words: Sequence[Token], at: int) -> str:
    if at >= len(words) or words[at].kind not in {TokenKind.WORD, TokenKind.QUOTED}:
        raise _syntax_error("the name of the prepared statement is missing")
    text = words[at].text
    return text[1:-1].replace('""', '"') if words[at].kind is TokenKind.QUOTED else text


def _is_word(words: Sequence[Token], at: int, word: str) -> bool:
    return at < len(words) and words[at].kind is TokenKind.WORD and words[at].text.lower() == word


def _syntax_error(message: str) -> QueryFailed:
    return QueryFailed(f"SYNTAX_ERROR: {message}", error_type=1000)
