"""JSON read token by token and written as Trino does, against Python's own reader and Java's rules."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_athena.duck.json import json_text, trino_json
from local_athena.duck.json.json_stream import Torn, copied, found, size, tokens

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


def read(document: str, *steps: str) -> Any:
    stream = tokens(document)
    token = found(stream, steps)
    return None if token is None else json.loads(copied(token, stream))


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_a_whole_document_is_read_as_python_reads_it(
    value: Any, ascii_only: bool, indent: int | None
) -> None:
    document = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert read(document) == value
    assert json.loads(json_text.parsed(document)) == value
    assert json.loads(json_text.tree(document)) == value


@given(VALUES, st.data())
def test_a_value_is_found_where_the_document_is_torn_behind_it_and_only_there(value: Any, data: Any) -> None:
    document = json.dumps({"before": value, "wanted": [7], "behind": value})
    end = document.index('"wanted": [7]') + len('"wanted": [7]')
    assert read(document[:end], "wanted", "0") == 7
    assert read(document[: data.draw(st.integers(end, len(document)))], "wanted") == [7]
    with pytest.raises(ValueError, match=r"at \d+|char \d+|a string"):
        read(document[: data.draw(st.integers(0, end - 1))], "wanted")


@given(st.dictionaries(TEXTS, VALUES, max_size=5) | st.lists(VALUES, max_size=5))
def test_a_size_is_the_number_of_members_or_items(value: Any) -> None:
    stream = tokens(json.dumps(value))
    assert size(next(stream), stream) == len(value)
    assert next(stream, None) is None


@given(DOUBLES)
def test_a_double_is_written_with_the_fewest_digits_that_give_it_back(value: float) -> None:
    shown = json_text.double(repr(value))
    assert struct.pack("d", float(shown)) == struct.pack("d", value)
    digits = shown.lstrip("-").partition("E")[0].replace(".", "").strip("0")
    assert len(digits) <= max(2, len(repr(value).lstrip("-").partition("e")[0].replace(".", "").strip("0")))


# Double.toString's documentation, JDK 19: its examples, and the bounds at which the notation changes.
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2e23", "2.0E23"),
        ("1e23", "1.0E23"),
        ("8.41e21", "8.41E21"),
        ("2.0e-3", "0.002"),
        ("4.9e-324", "4.9E-324"),
        ("1e-3", "0.001"),
        ("9.99e-4", "9.99E-4"),
        ("9999999.0", "9999999.0"),
        ("1e7", "1.0E7"),
        ("-12345678.5", "-1.23456785E7"),
        ("-0.0", "-0.0"),
        ("1e309", '"Infinity"'),
    ],
)
def test_a_double_is_written_as_java_writes_it(value: str, shown: str) -> None:
    assert json_text.double(value) == shown


@pytest.mark.parametrize(
    "document",
    ["", " ", "{", "[1,]", '{"a":1,}', '{"a" 1}', "[1 2]", "01", "1.", "-", "tru", "NaN", "'a'", '"\\x"'],
)
def test_what_is_no_json_is_torn(document: str) -> None:
    with pytest.raises(ValueError, match=r"at \d+|char \d+|a string"):
        read(document)
    with pytest.raises(ValueError, match=r"line 1|is no JSON"):
        json_text.parsed(document)


def test_a_torn_string_is_a_token_without_text_until_the_next_is_asked_for() -> None:
    stream = tokens('["a')
    assert [next(stream), next(stream)] == [("[", "["), ("string", None)]
    with pytest.raises(Torn):
        next(stream)


RUN = """
from local_athena.duck.runtime import cursor
for found in (cursor(), cursor()):
    print(found.sql("SELECT trino_json('json_parse', '{'||chr(10)||'}', '')").fetchall())
"""


def test_every_cursor_knows_the_function_and_a_process_that_ran_it_ends_without_a_word() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "[('{}',)]\n" * 2


def test_a_document_that_nests_too_deeply_is_refused_and_not_read_wrongly() -> None:
    deep = "[" * 100_000 + "1.0" + "]" * 100_000
    with pytest.raises(ValueError, match="NOT_SUPPORTED"):
        trino_json.answer("json_parse", deep, "")
