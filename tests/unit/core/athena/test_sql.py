from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.athena.sql import (
    Dialect,
    SqlTextError,
    TokenKind,
    is_in_code,
    language_at,
    quote_identifier,
    quote_literal,
    quote_name,
    replace_in_code,
    split_statements,
    tokenize,
)
from airflow_quilt_athena.exceptions import InvalidCallError

texts = st.text(st.characters(blacklist_characters="\x00", blacklist_categories=["Cs"]), min_size=1)


@given(texts, st.sampled_from(Dialect))
def test_a_quoted_literal_is_one_token_that_means_the_text(text: str, dialect: Dialect) -> None:
    (token,) = tokenize(quote_literal(text, dialect), dialect)
    assert token.kind is TokenKind.STRING
    inside = token.text[1:-1]
    # Trino doubles quotes; Hive lets a backslash stand before what means itself.
    meant = inside.replace("''", "'") if dialect is Dialect.TRINO else re.sub(r"(?s)\\(.)", r"\1", inside)
    assert meant == text


@given(texts, st.sampled_from(Dialect))
def test_a_quoted_identifier_is_one_token_that_means_the_text(text: str, dialect: Dialect) -> None:
    (token,) = tokenize(quote_identifier(text, dialect), dialect)
    assert token.kind is (TokenKind.QUOTED if dialect is Dialect.TRINO else TokenKind.BACKTICK)
    mark = token.text[0]
    assert token.text[1:-1].replace(mark * 2, mark) == text


@given(st.lists(st.tuples(texts, st.booleans()), min_size=1, max_size=4), st.sampled_from(Dialect))
def test_quoted_texts_side_by_side_stay_apart(parts: list[tuple[str, bool]], dialect: Dialect) -> None:
    quoted = [
        quote_literal(text, dialect) if literal else quote_identifier(text, dialect)
        for text, literal in parts
    ]
    tokens = tokenize(", ".join(quoted), dialect)
    assert [token.text for token in tokens if token.text not in {",", " "}] == quoted


@given(st.text(), st.sampled_from(Dialect))
def test_tokens_lose_no_character(text: str, dialect: Dialect) -> None:
    try:
        tokens = tokenize(text, dialect)
    except SqlTextError:
        return
    assert "".join(token.text for token in tokens) == text
    assert [token.start for token in tokens] == [
        sum(len(t.text) for t in tokens[:i]) for i in range(len(tokens))
    ]


def test_a_name_is_quoted_part_by_part() -> None:
    assert quote_name("db", "my.table", Dialect.TRINO) == '"db"."my.table"'
    assert quote_name("db", "my.table", Dialect.HIVE) == "`db`.`my.table`"


@pytest.mark.parametrize("name", ["", "a\x00b"])
def test_an_identifier_nobody_could_read_is_refused(name: str) -> None:
    with pytest.raises(InvalidCallError, match="identifier"):
        quote_identifier(name, Dialect.TRINO)


def test_a_literal_with_a_nul_is_refused() -> None:
    with pytest.raises(InvalidCallError, match="NUL"):
        quote_literal("a\x00", Dialect.TRINO)


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("SELECT 1", ("SELECT 1",)),
        ("SELECT 1;", ("SELECT 1",)),
        ("SELECT ';'; SELECT \"a;b\"", ("SELECT ';'", 'SELECT "a;b"')),
        ("-- only; a comment\n;;", ()),
        ("SELECT 1 -- it's fine\n; /* ; */ SELECT 2", ("SELECT 1 -- it's fine", "/* ; */ SELECT 2")),
        ("", ()),
    ],
)
def test_statements_are_cut_at_real_semicolons_only(sql: str, statements: tuple[str, ...]) -> None:
    assert split_statements(sql) == statements


def test_a_backslash_escapes_in_hive_only() -> None:
    assert split_statements(r"COMMENT 'it\'s; one'", Dialect.HIVE) == (r"COMMENT 'it\'s; one'",)
    assert split_statements(r"SELECT 'a\'; SELECT 2") == (r"SELECT 'a\'", "SELECT 2")


def test_a_string_that_ends_in_a_backslash_is_open_in_hive() -> None:
    with pytest.raises(SqlTextError, match="string literal that starts at line 2:9"):
        tokenize("SELECT\nCOMMENT 'a\\'", Dialect.HIVE)


@pytest.mark.parametrize("sql", ["SELECT 'a", 'SELECT "a', "SELECT `a", "SELECT 1 /* a"])
def test_an_open_quote_is_named_with_its_place(sql: str) -> None:
    with pytest.raises(SqlTextError, match=r"line 1:\d+ is not closed"):
        tokenize(sql)


def test_a_token_in_a_literal_a_quoted_name_or_a_comment_is_left_to_the_user() -> None:
    sql = (
        """SELECT '{entries}', "{entries}" FROM {entries} -- {entries}\nJOIN {revisions} /* {revisions} */"""
    )
    filled = replace_in_code(sql, {"{entries}": "({revisions})", "{revisions}": "(r)"})
    assert (
        filled
        == """SELECT '{entries}', "{entries}" FROM ({revisions}) -- {entries}\nJOIN (r) /* {revisions} */"""
    )
    assert is_in_code(sql, "{revisions}")
    assert not is_in_code("SELECT 1 -- {revisions}", "{revisions}")


# ------------------------------------------------------------------------ each statement in its own language


@pytest.mark.parametrize(
    "statement",
    [
        r"""CREATE EXTERNAL TABLE t (a string COMMENT 'it\'s; fine') WITH SERDEPROPERTIES ("q" = "\"")""",
        r"CREATE TABLE IF NOT EXISTS d.t (a string COMMENT 'it\'s; fine') LOCATION 's3://b/'",
        r"ALTER TABLE t SET TBLPROPERTIES ('comment' = 'it\'s; fine')",
        r"""/* ; */ alter table t set tblproperties ("a" = "\";")""",
        r"CREATE DATABASE d COMMENT 'it\'s; fine'",
        r"SHOW TABLES 'it\'s;.*'",
        r"SELECT 'a\', ';', "
        r"""'it''s' AS "a;b\" FROM t""",
        r"CREATE TABLE t AS SELECT 'a\', ';' AS b",
        r"CREATE TABLE IF NOT EXISTS d.t WITH (format = 'ORC') AS SELECT 'a\', ';' AS b",
        r"CREATE OR REPLACE VIEW v AS SELECT 'a\', ';' AS b",
        r"INSERT INTO t VALUES ('a\', ';')",
        r"UNLOAD (SELECT ';') TO 's3://b/\' WITH (format = 'ORC')",
    ],
)
def test_a_statement_is_cut_by_its_own_language(statement: str) -> None:
    others = ("SELECT 'x\\'", r"MSCK REPAIR TABLE t", r"DROP TABLE `a;b`")
    for other in others:
        assert split_statements(f"{other};\n{statement} ;{other}") == (other, statement, other)


@pytest.mark.parametrize("sql", ["CREATE TABLE t 'a", 'CREATE TABLE "t', "CREATE TABLE t /* AS"])
def test_a_statement_that_does_not_end_is_told_by_what_can_be_read_of_it(sql: str) -> None:
    assert language_at(sql) is Dialect.HIVE
