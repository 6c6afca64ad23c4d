"""The folders of Hive's partitions, ``key=value/key=value``, as Hive escapes what they are named after.

Source: FileUtils.escapePathName and unescapePathName of Apache Hive 3.1, which Trino and Athena follow
(read 2026-11): a byte below 32, DEL and some punctuation are written as ``%`` and two hexadecimal digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HIVE_DEFAULT_PARTITION = "__HIVE_DEFAULT_PARTITION__"

_ESCAPED = re.compile(r"""[\x01-\x1f\x7f"#%'*/:=?\\{[\]^]""")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")


def escape(text: str) -> str:
    """Return a key's name or a value as it stands in a folder's name.

    >>> escape("10:30 a=b")
    '10%3A30 a%3Db'
    """
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)


def unescape(text: str) -> str:
    """Undo ``escape``; a ``%`` that begins no escape stays."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def partition_path(names: Iterable[str], values: Iterable[str]) -> str:
    """Return a partition's folder below its table, without a slash at its end.

    >>> partition_path(["dt", "note"], ["2026-01-01", "10:30"])
    'dt=2026-01-01/note=10%3A30'
    """
    return "/".join(f"{escape(name)}={escape(value)}" for name, value in zip(names, values, strict=True))
