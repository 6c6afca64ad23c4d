"""Lines and columns of Athena's messages, as those of the query that the user wrote. Runs nothing.

Athena counts in the statement it was sent, in which the query is wrapped, and its tokens are filled in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from airflow_quilt_athena.core.athena.sql import replaced_in_code

_POSITION = re.compile(r"line (\d+):(\d+)(: )?")


def relocate(message: str, *, sent: str, query: str, fillings: Mapping[str, str], written: str) -> str:
    r"""Return ``message`` with its positions counted in ``written``; those outside of it are left out.

    :param sent: the statement as it was sent.
    :param query: the user's one statement, with its tokens.
    :param fillings: what the tokens were replaced by.
    :param written: what the user wrote, blank lines before the statement and all.

    >>> sent = "CREATE TABLE t\nAS (\nSELECT x\n)"
    >>> relocate("line 3:8: no", sent=sent, query="SELECT x", fillings={}, written="\nSELECT x")
    'line 2:8: no'
    """
    filled = "".join(target for _, target in replaced_in_code(query, fillings))
    begins, indented = sent.find(filled), written.find(query)
    if begins < 0 or indented < 0:
        return message

    def moved(match: re.Match[str]) -> str:
        offset = _offset(sent, int(match[1]), int(match[2])) - begins
        if not 0 <= offset <= len(filled):
            return ""
        line, column = _line_and_column(written, indented + _source_offset(query, fillings, offset))
        return f"line {line}:{column}{match[3] or ''}"

    return _POSITION.sub(moved, message)


def _source_offset(query: str, fillings: Mapping[str, str], offset: int) -> int:
    """Return where in ``query`` a place of the filled text comes from; a token's, for what is inside it."""
    source_start = target_start = 0
    for source, target in replaced_in_code(query, fillings):
        if offset < target_start + len(target):
            return source_start + (offset - target_start if source == target else 0)
        source_start += len(source)
        target_start += len(target)
    return len(query)


def _offset(text: str, line: int, column: int) -> int:
    lines = text.split("\n")
    return sum(len(one) + 1 for one in lines[: line - 1]) + column - 1


def _line_and_column(text: str, offset: int) -> tuple[int, int]:
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
