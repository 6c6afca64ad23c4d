"""The gate: what Trino's own grammar refuses does not run. Returns parse trees; positions are the user's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from local_athena.errors import QueryFailed
from local_athena.sql_text import SqlTextError, Token, TokenKind, tokenize

_TRAILING = frozenset({TokenKind.SPACE, TokenKind.COMMENT, TokenKind.SEMICOLON})
_CACHED_TREES = 256
# The parser's prediction tables are shared by all parsers and are filled without locks.
_lock = threading.RLock()


# Trino's own limit is its stack, which holds more of either; see docs/athena-is-not-trino.md.
MAX_DEPTH = 100
MAX_TOKENS = 50_000
_DEEPER = {"(": 1, "[": 1, "CASE": 1, ")": -1, "]": -1, "END": -1}


class SyntaxRefused(QueryFailed):
    """The text is not a statement of Trino's."""


class _FirstProblem(Exception):
    """Ends the parser at the first problem."""


def parse(sql: str) -> Any:
    """Return the parse tree of one statement (a trailing ``;`` and comments are allowed).

    Raises SyntaxRefused with Trino's words: ``line 1:8: mismatched input 'x'. Expecting: …``.
    """
    return _parse(_without_end(sql), "statement")


def parse_expression(text: str) -> Any:
    """Return the parse tree of one expression, such as an execution parameter."""
    return _parse(text, "expression")


def check(sql: str) -> None:
    """Raise SyntaxRefused unless the text is one Trino statement."""
    parse(sql)


def _without_end(sql: str) -> str:
    try:
        tokens = tokenize(sql)
    except SqlTextError as error:
        raise SyntaxRefused(f"line 1:1: {error}") from error
    _refuse_too_large(sql, tokens)
    kept = list(tokens)
    while kept and kept[-1].kind in _TRAILING:
        kept.pop()
    return sql[: kept[-1].start + len(kept[-1].text)] if kept else ""


def _refuse_too_large(sql: str, tokens: Sequence[Token]) -> None:
    """Refuse what the parser would be at for minutes: its time grows with the square of the nesting."""
    count = depth = 0
    for token in tokens:
        count += token.kind not in _TRAILING
        depth += _DEEPER.get(token.text.upper(), 0)
        if depth > MAX_DEPTH or count > MAX_TOKENS:
            line = sql.count("\n", 0, token.start) + 1
            column = token.start - (sql.rfind("\n", 0, token.start) + 1) + 1
            limit = f"{MAX_DEPTH} brackets" if depth > MAX_DEPTH else f"{MAX_TOKENS:,} words and signs"
            raise SyntaxRefused(
                f"line {line}:{column}: statement is too large: the local Athena reads up to {limit} "
                f"{'inside one another' if depth > MAX_DEPTH else 'in a statement'}"
            )


@lru_cache(maxsize=_CACHED_TREES)
def _parse(sql: str, rule: str) -> Any:
    from antlr4.atn.PredictionMode import PredictionMode

    with _lock:
        # The quick prediction mode accepts nothing that the full one refuses, but may refuse what it accepts.
        tree, problem = _attempt(sql, rule, PredictionMode.SLL)
        if problem is not None:
            tree, problem = _attempt(sql, rule, PredictionMode.LL)
    if problem is not None:
        raise SyntaxRefused(problem)
    return tree


def _attempt(sql: str, rule: str, mode: Any) -> tuple[Any, str | None]:
    from antlr4 import CommonTokenStream
    from trino_query_parser.SqlBaseLexer import SqlBaseLexer
    from trino_query_parser.SqlBaseParser import SqlBaseParser

    problems: list[str] = []
    lexer = SqlBaseLexer(_case_blind(sql))
    parser = SqlBaseParser(CommonTokenStream(lexer))
    for recognizer in (lexer, parser):
        recognizer.removeErrorListeners()
        recognizer.addErrorListener(_listener(problems))
    parser._interp.predictionMode = mode
    try:
        tree = parser.singleStatement() if rule == "statement" else parser.standaloneExpression()
    except _FirstProblem:
        return None, problems[0]
    except RecursionError:
        return None, "line 1:1: statement is too large (stack overflow while parsing)"
    if not problems:
        problems.extend(_refused_names(parser, tree))
    return tree, problems[0] if problems else None


def _case_blind(sql: str) -> Any:
    """Return a stream in which keywords match in any case and tokens keep the text as it was written."""
    from antlr4 import InputStream

    stream = InputStream(sql)
    stream.data = [ord(char.upper()) if len(char.upper()) == 1 else ord(char) for char in sql]
    return stream


def _listener(problems: list[str]) -> Any:
    from antlr4.error.ErrorListener import ErrorListener

    class Listener(ErrorListener):  # type: ignore[misc]  # antlr4 has no types
        def syntaxError(  # noqa: N802  # the name is antlr's
            self, recognizer: Any, offending: Any, line: int, column: int, message: str, error: Any
        ) -> None:
            problems.append(f"line {line}:{column + 1}: {_reworded(recognizer, offending, message)}")
            raise _FirstProblem  # the first is told; looking for others may take minutes

    return Listener()


_SHOWN_EXPECTATIONS = 12


def _reworded(recognizer: Any, offending: Any, message: str) -> str:
    if offending is None or not hasattr(recognizer, "getExpectedTokens"):
        return message
    names, symbols = recognizer.literalNames, recognizer.symbolicNames
    expected = []
    for interval in recognizer.getExpectedTokens().intervals or ():
        for kind in interval:
            literal = names[kind] if 0 <= kind < len(names) else "<INVALID>"
            expected.append(
                "<EOF>"
                if kind < 0
                else literal
                if literal != "<INVALID>"
                else f"<{symbols[kind].lower().replace('_', ' ')}>"
            )
    shown = ", ".join(sorted(set(expected))[:_SHOWN_EXPECTATIONS])
    return f"mismatched input '{offending.text}'." + (f" Expecting: {shown}" if shown else "")


def _refused_names(parser: Any, tree: Any) -> list[str]:
    """Trino's grammar reads back-ticks and names that start with a digit only to refuse them."""
    reasons = {
        parser.BACKQUOTED_IDENTIFIER: (
            "backquoted identifiers are not supported; use double quotes to quote identifiers"
        ),
        parser.DIGIT_IDENTIFIER: (
            "identifiers must not start with a digit; surround the identifier with double quotes"
        ),
    }
    return [
        f"line {token.line}:{token.column + 1}: {reasons[token.type]}"
        for token in parser.getTokenStream().tokens
        if token.type in reasons
    ]
