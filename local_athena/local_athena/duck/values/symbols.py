"""Text of conditions on its way down to the scans: symbols replaced, strings left alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

_STRING_OR_NAME = re.compile(r"""'(?:[^']|'')*'|"((?:[^"]|"")*)\"""")


def replace_symbols(sql: str, replacements: Mapping[str, str]) -> str:
    """Put other SQL in place of quoted names; text inside string literals stays."""

    def replaced(found: re.Match[str]) -> str:
        symbol = found.group(1)
        return found.group(0) if symbol is None else replacements.get(symbol, found.group(0))

    return _STRING_OR_NAME.sub(replaced, sql)
