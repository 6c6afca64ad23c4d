"""Tokens of SQL, compared with those that the lexer of Trino's own grammar finds."""

from __future__ import annotations

import doctest
import re

import pytest
from antlr4 import InputStream
from hypothesis import given
from hypothesis import strategies as st
from trino_query_parser.SqlBaseLexer import SqlBaseLexer

from local_athena import sql_text
from local_athena.conformance import table
from local_athena.data import partition_names, s3_uri
from local_athena.data.s3_uri import InvalidUri, S3Uri
from local_athena.sql_text import Dialect, SqlTextError, TokenKind, count_statements, tokenize

MARKED = {
    "STRING": TokenKind.STRING,
    "UNICODE_STRING": TokenKind.STRING,
    "BINARY_LITERAL": TokenKind.STRING,
    "QUOTED_IDENTIFIER": TokenKind.QUOTED,
    "BACKQUOTED_IDENTIFIER": TokenKind.BACKTICK,
    "SIMPLE_COMMENT": TokenKind.COMMENT,
    "BRACKETED_COMMENT": TokenKind.COMMENT,
    "QUESTION_MARK": TokenKind.PARAMETER,
}
KINDS = {getattr(SqlBaseLexer, name): kind for name, kind in MARKED.items()}
# What must not be taken for something else: all else is told apart by the words themselves.
COMPARED = {*MARKED.values()}


def of_the_grammar(sql: str) -> tuple[list[tuple[TokenKind, str]], bool]:
    """Return the marked tokens by the grammar's lexer, and whether it met text that is no token."""
    stream = InputStream(sql)
    stream.data = [ord(char.upper()) if len(char.upper()) == 1 else ord(char) for char in sql]
    lexer = SqlBaseLexer(stream)
    lexer.removeErrorListeners()
    found, unknown = [], False
    for token in lexer.getAllTokens():
        unknown = unknown or (token.type == SqlBaseLexer.UNRECOGNIZED and token.text in "'\"`")
        if token.type in KINDS:
            text = re.sub(r"^(?:[xX]|[uU]&)(?=')", "", token.text.rstrip("\r\n"))
            found.append((KINDS[token.type], text))
    return found, unknown


def ours(sql: str) -> list[tuple[TokenKind, str]]:
    return [(token.kind, token.text) for token in tokenize(sql) if token.kind in COMPARED]


STATEMENTS = [
    sql for of_topic in table.topics().values() for sql in of_topic if table.reaches_the_engine(sql)
]


@pytest.mark.parametrize("sql", [sql for sql in STATEMENTS if len(sql) < 4_000][::5])
def test_the_statements_of_the_conformance_table_are_cut_as_trino_cuts_them(sql: str) -> None:
    found, unknown = of_the_grammar(sql)
    if unknown:
        with pytest.raises(SqlTextError):
            tokenize(sql)
    else:
        assert ours(sql) == found


@given(
    st.lists(
        st.sampled_from(["'", "''", '"', "`", "--", "/*", "*/", "\n", " ", "a", "?", "1.5"]), max_size=12
    )
)
def test_any_text_is_cut_as_trino_cuts_it(pieces: list[str]) -> None:
    sql = "".join(pieces)
    found, unknown = of_the_grammar(sql)
    try:
        tokens = ours(sql)
    except SqlTextError:
        assert unknown or "/*" in sql
    else:
        assert not unknown
        assert tokens == found


@given(st.text(alphabet="aé0_.;'\\\"` \n-/*?(", max_size=30), st.sampled_from(Dialect))
def test_no_character_is_lost(sql: str, dialect: Dialect) -> None:
    try:
        tokens = tokenize(sql, dialect)
    except SqlTextError:
        return
    assert "".join(token.text for token in tokens) == sql
    assert all(sql[token.start :].startswith(token.text) for token in tokens)


@pytest.mark.parametrize(
    ("sql", "dialect", "words"),
    [
        ("SELECT 'a", Dialect.TRINO, "The string literal that starts at line 1:8 is not closed."),
        ('SELECT\n  "a', Dialect.TRINO, "The quoted identifier that starts at line 2:3 is not closed."),
        ("SELECT `a", Dialect.HIVE, "The quoted identifier that starts at line 1:8 is not closed."),
        ("SELECT 1 /* a", Dialect.TRINO, "The comment that starts at line 1:10 is not closed."),
        (r"SELECT 'a\'", Dialect.HIVE, "The string literal that starts at line 1:8 is not closed."),
    ],
)
def test_what_is_not_closed_is_told_with_its_place(sql: str, dialect: Dialect, words: str) -> None:
    with pytest.raises(SqlTextError) as refused:
        tokenize(sql, dialect)
    assert str(refused.value) == words


def test_a_backslash_escapes_in_hive_alone() -> None:
    assert [token.text for token in tokenize(r"'a\'b'", Dialect.HIVE)] == [r"'a\'b'"]
    with pytest.raises(SqlTextError):
        tokenize(r"'a\'b'", Dialect.TRINO)


@pytest.mark.parametrize(
    ("sql", "count"),
    [("", 0), (" -- a; b\n", 0), ("a", 1), ("a;", 1), ("a; b", 2), ("a;;b;/* c; */", 2), ("';'", 1)],
)
def test_statements_are_counted_by_the_semicolons_between_them(sql: str, count: int) -> None:
    assert count_statements(sql) == count


@pytest.mark.parametrize("text", ["s3://b/k", "s3a://b/k", "s3n://b/k"])
def test_hadoop_s_schemes_are_the_same_place(text: str) -> None:
    assert S3Uri.parse(text) == S3Uri("b", "k")


@pytest.mark.parametrize("text", ["", "b/k", "s3:/b/k", "s3:///k", "gs://b/k", "S3://b/k", " s3://b/k"])
def test_what_is_no_place_in_s3_is_refused(text: str) -> None:
    with pytest.raises(InvalidUri):
        S3Uri.parse(text)


def test_a_key_is_taken_as_it_is_written() -> None:
    assert S3Uri.parse("s3://b//a%20b/\n?x#y").key == "/a%20b/\n?x#y"
    assert str(S3Uri("b", "t") / "x=1") == "s3://b/t/x=1"
    assert S3Uri("b").folder == S3Uri("b")


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_partition_s_folder_gives_its_value_back(value: str) -> None:
    escaped = partition_names.escape(value)
    assert partition_names.unescape(escaped) == value
    assert not set(escaped) & set("\"#'*/:=?\\{[]^\x7f\n")


@pytest.mark.parametrize("module", [sql_text, partition_names, s3_uri], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_are_true(module: object) -> None:
    failures, _ = doctest.testmod(module)  # type: ignore[arg-type]
    assert failures == 0
