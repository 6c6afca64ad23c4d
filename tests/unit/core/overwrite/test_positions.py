from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_quilt_athena.core.overwrite.positions import relocate

LINES = st.lists(st.text("ab (){", max_size=6), min_size=1, max_size=5).map("\n".join)
TOKENS = {"{entries}": "(\nSELECT 1\nUNION ALL\nSELECT 2)", "{revisions}": "(SELECT 3)"}


@given(LINES, LINES, LINES, st.sampled_from(["\n", "\n\n  ", ""]), st.booleans())
def test_a_mark_in_the_query_is_found_where_the_user_put_it(
    before: str, between: str, wrapping: str, indent: str, filled: bool
) -> None:
    token = "{entries}" if filled else "entries"
    query = f"S{before}\n{token} x {between}@E"
    written = f"{indent}{query}\n"
    as_sent = query.replace("{entries}", TOKENS["{entries}"])
    sent = f"CREATE\n{wrapping}\nAS (\n{as_sent}\n)"
    at = sent.index("@E")
    line, column = sent.count("\n", 0, at) + 1, at - (sent.rfind("\n", 0, at) + 1) + 1
    told = relocate(
        f"X: line {line}:{column}: no",
        sent=sent,
        query=query,
        fillings=TOKENS if filled else {},
        written=written,
    )
    here = written.index("@E")
    expected = (
        f"line {written.count(chr(10), 0, here) + 1}:{here - (written.rfind(chr(10), 0, here) + 1) + 1}"
    )
    assert told == f"X: {expected}: no"


def test_a_place_inside_of_a_token_is_the_token_s() -> None:
    sent = f"CREATE AS\nSELECT * FROM {TOKENS['{entries}']} t"
    told = relocate(
        "line 4:1: no",
        sent=sent,
        query="SELECT * FROM {entries} t",
        fillings=TOKENS,
        written="SELECT * FROM {entries} t",
    )
    assert told == "line 1:15: no"


def test_a_place_outside_of_the_query_is_not_told() -> None:
    told = relocate(
        "E: line 1:1: no", sent="CREATE\nSELECT 1", query="SELECT 1", fillings={}, written="SELECT 1"
    )
    assert told == "E: no"


def test_a_place_just_behind_the_query_is_the_end_of_what_was_written() -> None:
    sent = f"CREATE AS\n{TOKENS['{entries}']}"
    told = relocate(
        f"line {sent.count(chr(10)) + 1}:{len(sent) - sent.rfind(chr(10))}: no",
        sent=sent,
        query="{entries}",
        fillings=TOKENS,
        written="{entries}",
    )
    assert told == "line 1:10: no"
