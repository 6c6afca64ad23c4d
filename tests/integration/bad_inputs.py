"""Values that nobody means, and which of them each parameter takes all the same.

The lists of what is taken were decided by reading, parameter by parameter; all else is to be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any


class Colour(Enum):
    RED = "red"


class Unshowable:
    """An object that cannot even show itself."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


VALUES: Mapping[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "0": 0,
    "1": 1,
    "-1": -1,
    "10**30": 10**30,
    "10**5000": 10**5000,
    "1.5": 1.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "complex": 1j,
    "decimal": Decimal("1"),
    "decimal nan": Decimal("NaN"),
    "empty": "",
    "blank": " \t",
    "text None": "None",
    "text false": "false",
    "text 5": "5",
    "word": "plain",
    "template": "{{ ds }}",
    "block": "{% if x %}",
    "star": "*",
    "question": "a?b",
    "dollar": "${aws:username}",
    "break": "a\nb",
    "nul": "a\x00b",
    "surrogate": "\ud800",
    "emoji": "🙂",
    "quote": "x'; DROP TABLE t; --",
    "dotted": "a.b.c",
    "slash": "a/b",
    "300 letters": "x" * 300,
    "temporary": "tmp_quilt_0123456789ab_1_01234567",
    "uri": "s3://lake/folder/",
    "uri root": "s3://lake/",
    "uri star": "s3://*/x/",
    "uri query": "s3://?/x/",
    "http": "https://example.org/x",
    "list text": "['plain']",
    "torn list": "['plain",
    "bytes": b"plain",
    "bytearray": bytearray(b"plain"),
    "[]": [],
    "[1]": [1],
    "[None]": [None],
    "['']": [""],
    "[word]": ["plain"],
    "(word,)": ("plain",),
    "[[word]]": [["plain"]],
    "set": {"plain"},
    "range": range(2),
    "generator": (letter for letter in "ab"),
    "{}": {},
    "{1: 2}": {1: 2},
    "{word: None}": {"plain": None},
    "{word: list}": {"plain": ["x"]},
    "{word: word}": {"plain": "plain"},
    "object": object(),
    "unshowable": Unshowable(),
    "class": int,
    "function": len,
    "enum": Colour.RED,
    "path": PurePath("plain"),
    "date": date(2026, 1, 31),
    "datetime": datetime(2026, 1, 31, tzinfo=UTC),
    "0 s": timedelta(0),
    "-1 day": timedelta(days=-1),
    "1 hour": timedelta(hours=1),
    "1 day": timedelta(days=1),
    "1000 years": timedelta(days=365_000),
}
